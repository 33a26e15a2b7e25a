//! A full disk: whoever needs the room that is not there is told so, smaller batches of the same group go through,
//! and nothing acknowledged is lost. The disk is a small tmpfs, which only root may mount.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustix::process::geteuid;
use steadfast_store::env::{Env, Failpoint};
use steadfast_store::{Committed, SqliteStore, Store, StoreError, StoreExt};

use crate::kit::{
    Kept, Place, Points, append, apply, assert_is, chain, create, durable, says, skipped, soon,
};

/// A disk of its own in the place's folder, unmounted in the end.
struct SmallDisk {
    place: Place,
}

impl SmallDisk {
    /// `None`, and a visible line, where it cannot be mounted.
    fn mount(kib: u32) -> Option<Self> {
        let place = Place::new();
        let size = format!("size={kib}k");
        let mounted = geteuid().is_root()
            && Command::new("mount")
                .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
                .arg(place.folder())
                .status()
                .is_ok_and(|status| status.success());
        if !mounted {
            skipped("no small disk can be mounted here: a full disk is not tried");
            return None;
        }
        Some(Self { place })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // By then a connection may still be closing.
        drop(Command::new("umount").arg("-l").arg(self.place.folder()).status());
    }
}

#[tokio::test]
async fn only_the_batch_that_needs_too_much_fails_of_its_group() {
    let Some(disk) = SmallDisk::mount(2_048) else { return };
    let points = Points::new();
    let store = disk.place.open_in(points.env()).await;
    let mut kept = Kept::begin(&store).await;
    apply(&store, durable(create("t"))).await;
    let before = points.count(Failpoint::COMMIT_AFTER);
    let tried_before = points.count(Failpoint::COMMIT_BEFORE);

    // While another connection has the write lock, the first batch waits for it and the others become one group.
    let other = disk.place.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = Arc::new(store);
    let submit = |batch| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.commit(batch).await })
    };
    let first = submit(durable(create("first")));
    soon("the first batch waits for the lock", || points.count(Failpoint::BEGIN_BEFORE) == tried_before + 1)
        .await;
    let small = submit(durable(append("t", "small")));
    let large = submit(durable(append("t", vec![7; 3 << 20])));
    let last = submit(durable(append("t", "last")));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    other.execute_batch("ROLLBACK").unwrap();

    for answer in [first, small, last] {
        assert_is!(answer.await.unwrap(), Ok(Committed::Applied(_)));
    }
    let error = large.await.unwrap().unwrap_err();
    assert_is!(error, StoreError::DiskFull);
    says(&error, "free some space, then submit again");
    // Tried: the first, the three together, each of the three.
    assert_eq!(points.count(Failpoint::COMMIT_BEFORE) - tried_before, 5);
    assert_eq!(points.count(Failpoint::COMMIT_AFTER) - before, 3);
    let states: Vec<_> =
        chain(&*store, "t").await.iter().map(|found| found.payload.clone().unwrap()).collect();
    assert_eq!(
        states.iter().map(|state| state.bytes().as_ref()).collect::<Vec<_>>(),
        [b"small".as_slice(), b"last"]
    );
    kept.goes_on(&*store).await;
    Arc::into_inner(store).unwrap().close().await;
    drop(other);

    let store = disk.place.open().await;
    assert_eq!(chain(&store, "t").await.len(), 2);
    kept.goes_on(&store).await;
    store.close().await;
}

/// Appends until the disk is full, and answers with how many were acknowledged.
async fn fill(store: &SqliteStore) -> usize {
    store.create_task(create("filling")).await.unwrap();
    for count in 0.. {
        match store.commit(durable(append("filling", vec![7; 50_000]))).await {
            Ok(answer) => assert_is!(answer, Committed::Applied(_)),
            Err(error) => {
                assert_is!(error, StoreError::DiskFull);
                return count;
            }
        }
    }
    unreachable!("the disk is endless")
}

fn fill_up(path: &Path) {
    let mut length = 1 << 20;
    let mut content = Vec::new();
    while length > 0 {
        content.resize(content.len() + length, 7);
        if fs::write(path, &content).is_err() {
            content.truncate(content.len() - length);
            length /= 2;
        }
    }
}

#[tokio::test]
async fn everything_acknowledged_survives_a_full_disk() {
    let Some(disk) = SmallDisk::mount(4_096) else { return };
    let ballast = disk.place.folder().join("ballast");
    fs::write(&ballast, vec![7; 1 << 20]).unwrap();
    let store = disk.place.open().await;
    let mut kept = Kept::begin(&store).await;
    let acknowledged = fill(&store).await;
    assert!(acknowledged > 10, "{acknowledged}");
    assert_eq!(chain(&store, "filling").await.len(), acknowledged);
    kept.is_there(&store).await;
    store.close().await;

    // To open it again on the full disk either works or says why not.
    fill_up(&disk.place.folder().join("rest"));
    match SqliteStore::open(disk.place.options(), Env::system()).await {
        Ok(store) => {
            assert_eq!(chain(&store, "filling").await.len(), acknowledged);
            store.close().await;
        }
        Err(error) => says(&error, "full"),
    }

    fs::remove_file(ballast).unwrap();
    let store = disk.place.open().await;
    assert_eq!(chain(&store, "filling").await.len(), acknowledged);
    kept.goes_on(&store).await;
    store.close().await;
}

#[tokio::test]
async fn a_store_goes_on_by_itself_once_there_is_room() {
    let Some(disk) = SmallDisk::mount(4_096) else { return };
    let ballast = disk.place.folder().join("ballast");
    fs::write(&ballast, vec![7; 1 << 20]).unwrap();
    let store = disk.place.open().await;
    let mut kept = Kept::begin(&store).await;
    let acknowledged = fill(&store).await;
    fs::remove_file(ballast).unwrap();
    kept.goes_on(&store).await;
    store.append_checkpoint(append("filling", vec![7; 50_000])).await.unwrap();
    assert_eq!(chain(&store, "filling").await.len(), acknowledged + 1);
    store.close().await;
}
