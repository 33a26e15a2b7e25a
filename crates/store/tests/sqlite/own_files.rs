//! The files of an open store are known as this process's own, from opening to the close of the last connection, so
//! that nothing else here opens and closes them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use steadfast_store::env::Env;
use steadfast_store::own_files::is_own;
use steadfast_store::{SqliteCore, StoreExt};

use crate::kit::{Place, create, soon};

/// The database and the two files beside it, each under a second name, so that its inode is not given out anew.
struct Files(Vec<PathBuf>);

impl Files {
    fn pin(place: &Place) -> Self {
        let pin = |suffix: &str| {
            let pinned = place.folder().join(format!("pinned{suffix}"));
            fs::hard_link(place.beside(suffix), &pinned).unwrap();
            pinned
        };
        Self(["", "-wal", "-shm"].into_iter().map(pin).collect())
    }

    fn own(&self) -> Vec<bool> {
        let look = |path: &PathBuf| fs::metadata(path).map(|file| is_own(file.dev(), file.ino())).unwrap();
        self.0.iter().map(look).collect()
    }
}

#[tokio::test]
async fn files_are_own_while_a_store_is_open() {
    let place = Place::new();
    let store = place.open().await;
    let files = Files::pin(&place);
    assert_eq!(files.own(), [true; 3]);
    store.create_task(create("t")).await.unwrap();
    assert_eq!(files.own(), [true; 3]);
    store.close().await;
    assert_eq!(files.own(), [false; 3]);
}

#[tokio::test]
async fn files_stay_own_until_the_last_store_is_closed() {
    let place = Place::new();
    let (first, second) = (place.open().await, place.open().await);
    let files = Files::pin(&place);
    first.close().await;
    assert_eq!(files.own(), [true; 3]);
    second.create_task(create("t")).await.unwrap();
    second.close().await;
    assert_eq!(files.own(), [false; 3]);
}

#[tokio::test]
async fn files_of_a_dropped_store_are_own_until_it_has_closed_itself() {
    let place = Place::new();
    let store = place.open().await;
    let files = Files::pin(&place);
    drop(store);
    soon("the files are no longer own", || files.own() == [false; 3]).await;
    // By then nothing of the store is left.
    assert!(!place.beside("-wal").exists());
}

#[test]
fn files_are_own_while_a_core_is_open() {
    let place = Place::new();
    let core = SqliteCore::open(&place.options(), Env::system()).unwrap();
    let files = Files::pin(&place);
    assert_eq!(files.own(), [true; 3]);
    drop(core);
    assert_eq!(files.own(), [false; 3]);
}

#[tokio::test]
async fn a_refused_file_is_not_own() {
    let place = Place::new();
    fs::write(place.database(), "no database, but text\n".repeat(500)).unwrap();
    assert!(SqliteCore::open(&place.options(), Env::system()).is_err());
    let file = fs::metadata(place.database()).unwrap();
    // The inode may be that of a log that another test's store deletes, and stops to call its own, in this moment.
    soon("a refused file is not own", || !is_own(file.dev(), file.ino())).await;
}
