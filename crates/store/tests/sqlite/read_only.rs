//! Files and folders that may not be written: opening is refused with a typed error, and nothing is changed. Root may
//! write everywhere, so as root the child that tries is made `nobody`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::geteuid;
use steadfast_store::env::Env;
use steadfast_store::{OpenError, SqliteOptions, SqliteStore, StoreExt};

use crate::child::{Process, Task, say};
use crate::kit::{Kept, Place, create};

/// Opens the store and says what came of it, by name and in words.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn open_and_tell_in_child(file: &Path) {
    match SqliteStore::open(SqliteOptions::new(file), Env::system()).await {
        Ok(store) => {
            store.create_task(create("by the child")).await.unwrap();
            store.close().await;
            say("opened");
        }
        Err(error) => {
            let kind = if matches!(error, OpenError::ReadOnly { .. }) { "ReadOnly" } else { "another error" };
            say(&format!("{kind}: {error}"));
        }
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// What a process without privileges is told that opens the store under these modes.
fn told(place: &Place, file: Option<u32>, folder: u32) -> String {
    if let Some(mode) = file {
        set_mode(&place.database(), mode);
    }
    set_mode(&place.folder(), folder);
    let task = Task { role: "open and tell", file: &place.database(), number: 0 };
    let mut child =
        if geteuid().is_root() { Process::start_unprivileged(&task) } else { Process::start(&task) };
    let told = child.listen().unwrap();
    child.finish();
    set_mode(&place.folder(), 0o777);
    told
}

#[tokio::test]
async fn a_file_or_folder_without_write_access_is_refused_and_left_as_it_is() {
    for (file, folder) in [(0o444, 0o777), (0o666, 0o555), (0o444, 0o555), (0o000, 0o777)] {
        let place = Place::new();
        let store = place.open().await;
        let mut kept = Kept::begin(&store).await;
        store.close().await;
        let before = fs::read(place.database()).unwrap();

        let told = told(&place, Some(file), folder);
        assert!(told.starts_with("ReadOnly: "), "file {file:o} in folder {folder:o}: {told}");
        assert!(told.contains("give this process write access to the file and its folder"), "{told}");
        set_mode(&place.database(), 0o666);
        assert!(fs::read(place.database()).unwrap() == before, "the file was changed");
        // A log left behind would be as unwritable as the file was, and stay so.
        assert_eq!(place.files(), ["agent.db"], "file {file:o} in folder {folder:o}");

        let store = place.open().await;
        kept.is_there(&store).await;
        kept.goes_on(&store).await;
    }
}

#[test]
fn a_new_file_in_a_folder_without_write_access_is_refused() {
    let place = Place::new();
    let told = told(&place, None, 0o555);
    assert!(told.starts_with("ReadOnly: "), "{told}");
    assert!(place.files().is_empty());
}

/// It is the modes, and nothing else, that the others are refused for.
#[tokio::test]
async fn a_process_without_privileges_opens_what_it_may_write() {
    let place = Place::new();
    place.open().await.close().await;
    assert_eq!(told(&place, Some(0o666), 0o777), "opened");
}
