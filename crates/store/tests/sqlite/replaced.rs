//! Files that are renamed or deleted under an open store, as backup scripts and people do. What SQLite still commits
//! then lands in a file that nobody will open again, so nothing is acknowledged any more; what was acknowledged before
//! is there again as far as the files that hold it are.
//!
//! What is asserted after opening anew:
//! - the log was moved or deleted, the store was closed in order: everything, for SQLite folds the log into the
//!   database through its open descriptor;
//! - the log was moved and the process killed: the state of the last fold, a whole chain; and everything once the log
//!   is put back;
//! - the database was moved: everything, once it is put back; an empty store until then.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use steadfast_store::env::{Env, Failpoint};
use steadfast_store::{Batch, Committed, SqliteOptions, SqliteStore, Store, StoreError, StoreExt};

use crate::child::{Process, Task, hear, say};
use crate::kit::{Kept, Place, Points, append, assert_is, chain, create, durable, says, soon, task};

/// What a test does to the files of an open store, and what undoes it before the store is opened anew.
#[derive(Debug, Clone, Copy)]
enum Mishap {
    LogMoved,
    LogDeleted,
    LogReplaced,
    DatabaseMoved,
    DatabaseReplaced,
}

impl Mishap {
    fn happen(self, place: &Place) {
        let (database, log) = (place.database(), place.beside("-wal"));
        match self {
            Self::LogMoved => fs::rename(log, moved(place)).unwrap(),
            Self::LogDeleted => fs::remove_file(log).unwrap(),
            Self::LogReplaced => {
                fs::rename(&log, moved(place)).unwrap();
                fs::write(log, "").unwrap();
            }
            Self::DatabaseMoved => fs::rename(database, moved(place)).unwrap(),
            Self::DatabaseReplaced => {
                fs::rename(&database, moved(place)).unwrap();
                fs::write(database, "").unwrap();
            }
        }
    }

    fn mend(self, place: &Place) {
        if matches!(self, Self::DatabaseMoved | Self::DatabaseReplaced) {
            fs::rename(moved(place), place.database()).unwrap();
        }
    }
}

fn moved(place: &Place) -> PathBuf {
    place.folder().join("moved")
}

async fn is_told_and_recovered_from(mishap: Mishap) {
    let place = Place::new();
    let store = place.open().await;
    let mut kept = Kept::begin(&store).await;
    store.create_task(create("t")).await.unwrap();
    mishap.happen(&place);

    let unsure = durable(append("t", "unsure"));
    let error = store.commit(unsure.clone()).await.unwrap_err();
    assert_is!(error, StoreError::Unknown { .. });
    says(&error, "submit the same batch again");
    for _ in 0..3 {
        let error = store.commit(durable(append("t", "too late"))).await.unwrap_err();
        assert_is!(error, StoreError::Failed { .. });
        says(&error, "open it again");
    }
    // The very same batch, too, is not acknowledged by this store.
    assert!(store.commit(unsure.clone()).await.is_err());
    store.close().await;

    mishap.mend(&place);
    let store = place.open().await;
    kept.is_there(&store).await;
    assert_is!(store.commit(unsure).await, Ok(Committed::Applied(_)));
    let states = chain(&store, "t").await;
    assert_eq!(states.len(), 1, "the batch of unknown fate was applied once, and no other");
    kept.goes_on(&store).await;
    store.close().await;
}

#[tokio::test]
async fn nothing_is_acknowledged_after_the_log_was_moved() {
    is_told_and_recovered_from(Mishap::LogMoved).await;
}

#[tokio::test]
async fn nothing_is_acknowledged_after_the_log_was_deleted() {
    is_told_and_recovered_from(Mishap::LogDeleted).await;
}

#[tokio::test]
async fn nothing_is_acknowledged_after_the_log_was_replaced() {
    is_told_and_recovered_from(Mishap::LogReplaced).await;
}

#[tokio::test]
async fn nothing_is_acknowledged_after_the_database_was_moved() {
    is_told_and_recovered_from(Mishap::DatabaseMoved).await;
}

#[tokio::test]
async fn nothing_is_acknowledged_after_the_database_was_replaced() {
    is_told_and_recovered_from(Mishap::DatabaseReplaced).await;
}

#[tokio::test]
async fn every_batch_of_the_group_that_meets_it_is_told() {
    let place = Place::new();
    let points = Points::new();
    let store = Arc::new(place.open_in(points.env()).await);
    store.create_task(create("t")).await.unwrap();
    let begun = points.count(Failpoint::BEGIN_BEFORE);
    let other = place.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let submit = |batch: Batch| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.commit(batch).await })
    };
    let first = submit(durable(append("t", "first")));
    soon("the first waits for the lock; the others will join it", || {
        points.count(Failpoint::BEGIN_BEFORE) > begun
    })
    .await;
    let group: Vec<_> = (0..10).map(|count| submit(durable(append("t", format!("{count}"))))).collect();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    Mishap::LogMoved.happen(&place);
    other.execute_batch("ROLLBACK").unwrap();
    assert_is!(first.await.unwrap(), Err(StoreError::Unknown { .. }));
    for answer in group {
        assert_is!(answer.await.unwrap(), Err(StoreError::Unknown { .. }));
    }
    assert_is!(submit(durable(append("t", "later"))).await.unwrap(), Err(StoreError::Failed { .. }));
    assert_eq!(
        points.count(Failpoint::COMMIT_AFTER),
        begun + 1,
        "one more group was committed, and no other"
    );
}

/// Tries to append, and says what came of it.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn try_to_append_in_child(file: &Path) {
    say(match SqliteStore::open(SqliteOptions::new(file), Env::system()).await {
        Err(_) => "not opened",
        Ok(store) => match store.commit(durable(append("t", "by the child"))).await {
            Err(_) => "not committed",
            Ok(_) => "committed",
        },
    });
}

/// What SQLite shares between processes still speaks of the log that is gone.
#[tokio::test]
async fn nobody_else_builds_on_a_log_that_is_gone() {
    let place = Place::new();
    let store = place.open().await;
    let kept = Kept::begin(&store).await;
    store.create_task(create("t")).await.unwrap();
    store.append_checkpoint(append("t", "acknowledged")).await.unwrap();
    Mishap::LogDeleted.happen(&place);
    let file = place.database();
    let try_to_append = || {
        let mut child = Process::start(&Task { role: "try to append", file: &file, number: 0 });
        let said = child.listen();
        child.finish();
        said.unwrap()
    };
    assert_eq!(try_to_append(), "not opened");
    store.close().await;
    assert_eq!(try_to_append(), "committed");
    let store = place.open().await;
    kept.is_there(&store).await;
    assert_eq!(chain(&store, "t").await.len(), 2);
    store.close().await;
    assert_eq!(crate::schema::is_whole(&file), crate::schema::newest());
}

/// Appends on the parent's word until the log is gone, then waits for its end.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn append_until_told_in_child(file: &Path) {
    let store = SqliteStore::open(SqliteOptions::new(file), Env::system()).await.unwrap();
    for count in 0..5 {
        store.append_checkpoint(append("t", format!("acknowledged {count}"))).await.unwrap();
    }
    say("acknowledged");
    hear();
    let error = store.commit(durable(append("t", "unsure"))).await.unwrap_err();
    say(if error.may_have_been_applied() { "unknown" } else { "failed" });
    hear();
    unreachable!("the parent kills this process");
}

#[tokio::test]
async fn a_log_that_is_put_back_after_a_kill_brings_everything_back() {
    let place = Place::new();
    let store = place.open().await;
    let kept = Kept::begin(&store).await;
    store.create_task(create("t")).await.unwrap();
    store.close().await;
    let mut child = Process::start(&Task { role: "append until told", file: &place.database(), number: 0 });
    assert_eq!(child.listen().as_deref(), Some("acknowledged"));
    fs::rename(place.beside("-wal"), moved(&place)).unwrap();
    child.tell("go on");
    assert_eq!(child.listen().as_deref(), Some("unknown"));
    drop(child);

    let mended = Place::new();
    fs::copy(place.database(), mended.database()).unwrap();
    fs::copy(moved(&place), mended.beside("-wal")).unwrap();
    let store = mended.open().await;
    kept.is_there(&store).await;
    let states = chain(&store, "t").await;
    assert!(states.len() >= 5, "{} of 5 acknowledged states are there", states.len());
    for (count, state) in states.iter().enumerate().take(5) {
        let bytes = state.payload.as_ref().unwrap().bytes();
        assert_eq!(bytes.as_ref(), format!("acknowledged {count}").as_bytes());
    }
    store.close().await;

    // Without it: what had been folded, whole in itself.
    let store = place.open().await;
    kept.is_there(&store).await;
    assert!(store.task(&task("t")).await.unwrap().is_some());
    assert_eq!(chain(&store, "t").await.len(), 0);
    store.append_checkpoint(append("t", "new")).await.unwrap();
    store.close().await;
}
