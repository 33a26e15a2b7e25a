//! What cannot be opened: wrong URLs, missing folders, files of something else. Each is refused with a typed error
//! that says what to do, and what is there already is left byte for byte as it was.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use steadfast_store::env::Env;
use steadfast_store::{OpenError, SqliteOptions, SqliteStore, Store, open};

use crate::kit::{Kept, Place, assert_is, says};

async fn refused(url: &str) -> OpenError {
    let answer: Result<Arc<dyn Store>, OpenError> = open(url, Env::system()).await;
    answer.unwrap_err()
}

async fn not_opened(options: SqliteOptions) -> OpenError {
    SqliteStore::open(options, Env::system()).await.unwrap_err()
}

/// A store with something acknowledged, closed, and its URL.
async fn closed_store(place: &Place) -> (Kept, String) {
    let store = place.open().await;
    let kept = Kept::begin(&store).await;
    store.close().await;
    (kept, format!("sqlite:{}", place.database().display()))
}

async fn opens_as_before(place: &Place, mut kept: Kept) {
    let store = place.open().await;
    kept.is_there(&store).await;
    kept.goes_on(&store).await;
    store.close().await;
}

#[tokio::test]
async fn an_unknown_url_scheme_is_refused() {
    let place = Place::new();
    let (kept, url) = closed_store(&place).await;
    let path = url.strip_prefix("sqlite:").unwrap();
    for url in [format!("postgresql:{path}"), format!("SQLITE:{path}"), path.to_owned(), String::new()] {
        let error = refused(&url).await;
        assert_is!(error, OpenError::UnknownScheme { url: told } if *told == url);
        says(&error, "use memory:, sqlite:PATH or");
    }
    for url in ["sqlite:", "sqlite://", "sqlite:?readers=2"] {
        assert_is!(refused(url).await, OpenError::UnknownScheme { .. });
    }
    opens_as_before(&place, kept).await;
}

#[tokio::test]
async fn an_unknown_option_is_refused() {
    let place = Place::new();
    let (kept, url) = closed_store(&place).await;
    for option in ["cache", "Readers", "mode"] {
        let error = refused(&format!("{url}?readers=2&{option}=ro")).await;
        assert_is!(error, OpenError::UnknownOption { option: told, .. } if told == option);
        says(&error, "the known ones are create, wal_pages, readers, psow, vfs");
    }
    opens_as_before(&place, kept).await;
}

#[tokio::test]
async fn a_bad_value_of_an_option_is_refused() {
    let place = Place::new();
    let (kept, url) = closed_store(&place).await;
    for (option, value, advice) in [
        ("readers", "0", "1 to 64"),
        ("readers", "65", "1 to 64"),
        ("readers", "-1", "1 to 64"),
        ("readers", "", "1 to 64"),
        ("wal_pages", "99", "100 to 1000000"),
        ("wal_pages", "1e6", "100 to 1000000"),
        ("psow", "yes", "0 or 1"),
        ("vfs", "", "the name of a registered VFS"),
    ] {
        let error = refused(&format!("{url}?{option}={value}")).await;
        assert_is!(error, OpenError::InvalidOption { option: told, .. } if *told == option);
        says(&error, advice);
    }
    opens_as_before(&place, kept).await;
}

#[tokio::test]
async fn a_vfs_that_nobody_registered_is_refused() {
    let place = Place::new();
    let (kept, url) = closed_store(&place).await;
    let error = refused(&format!("{url}?vfs=nobody")).await;
    assert_is!(error, OpenError::Failed { .. });
    says(&error, "no such vfs: nobody");
    opens_as_before(&place, kept).await;
}

/// Options are fields too: what the URL refuses is refused however it was set.
#[tokio::test]
async fn options_set_by_hand_are_held_to_the_same_bounds() {
    let place = Place::new();
    let (kept, _) = closed_store(&place).await;
    let mut none = place.options();
    none.readers = 0;
    assert_is!(not_opened(none).await, OpenError::InvalidOption { option: "readers", .. });
    let mut none = place.options();
    none.wal_pages = 0;
    assert_is!(not_opened(none).await, OpenError::InvalidOption { option: "wal_pages", .. });
    opens_as_before(&place, kept).await;
}

#[tokio::test]
async fn a_missing_folder_is_refused_and_not_made() {
    let place = Place::new();
    let folder = place.folder().join("not there");
    let error = not_opened(SqliteOptions::new(folder.join("agent.db"))).await;
    assert_is!(error, OpenError::MissingFolder { folder: told } if *told == folder);
    says(&error, "create it first");
    assert!(!folder.exists());
    fs::create_dir(&folder).unwrap();
    SqliteStore::open(SqliteOptions::new(folder.join("agent.db")), Env::system())
        .await
        .unwrap()
        .close()
        .await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let long = "no database, but text\n".repeat(500);
    for text in [long.as_str(), "short"] {
        let place = Place::new();
        fs::write(place.database(), text).unwrap();
        let error = not_opened(place.options()).await;
        assert_is!(error, OpenError::NotADatabase { path } if *path == place.database());
        says(&error, "name another file");
        assert_eq!(fs::read_to_string(place.database()).unwrap(), text);
        assert_eq!(place.files(), ["agent.db"]);
    }
}

#[tokio::test]
async fn a_folder_in_place_of_the_file_is_refused() {
    let place = Place::new();
    fs::create_dir(place.database()).unwrap();
    assert_is!(not_opened(place.options()).await, OpenError::NotADatabase { .. });
    assert_eq!(place.files(), ["agent.db"]);
}

#[tokio::test]
async fn a_nul_in_a_path_is_refused_and_opens_no_shorter_name() {
    let place = Place::new();
    let (kept, url) = closed_store(&place).await;
    let error = refused(&format!("{url}\0.other")).await;
    assert_is!(error, OpenError::InvalidOption { option: "path", .. });
    says(&error, "without a NUL");
    let path = PathBuf::from(format!("{}\0", place.database().display()));
    assert_is!(not_opened(SqliteOptions::new(path)).await, OpenError::InvalidOption { option: "path", .. });
    let mut options = place.options();
    options.vfs = Some("unix\0".into());
    assert_is!(not_opened(options).await, OpenError::InvalidOption { option: "vfs", .. });
    assert_eq!(place.files(), ["agent.db"]);
    opens_as_before(&place, kept).await;
}

async fn is_refused_as_foreign(prepare: &str) {
    let place = Place::new();
    let raw = place.raw();
    raw.execute_batch(prepare).unwrap();
    drop(raw);
    let before = fs::read(place.database()).unwrap();
    let error = not_opened(place.options()).await;
    assert_is!(error, OpenError::ForeignDatabase { path, .. } if *path == place.database());
    says(&error, "name another file");
    assert!(fs::read(place.database()).unwrap() == before, "the file was changed: {prepare}");
    assert_eq!(place.files(), ["agent.db"], "{prepare}");
}

#[tokio::test]
async fn a_database_of_another_application_is_refused_and_left_as_it_is() {
    const ROWS: &str = "CREATE TABLE notes (id INTEGER PRIMARY KEY, note TEXT);
         INSERT INTO notes (note) VALUES ('keep me');";
    is_refused_as_foreign(ROWS).await;
    is_refused_as_foreign(&format!("PRAGMA journal_mode = WAL; {ROWS}")).await;
    is_refused_as_foreign(&format!("PRAGMA application_id = 252006673; {ROWS}")).await;
    is_refused_as_foreign("PRAGMA application_id = 252006673").await;
    is_refused_as_foreign("PRAGMA user_version = 3").await;
    // The tables of ours alone do not make a file ours.
    is_refused_as_foreign("CREATE TABLE tasks (task_id INTEGER PRIMARY KEY)").await;
}

#[tokio::test]
async fn a_database_that_another_application_has_open_is_left_to_it() {
    let place = Place::new();
    let other: Connection = place.raw();
    other
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE notes (note TEXT); INSERT INTO notes VALUES ('a')",
        )
        .unwrap();
    assert_is!(not_opened(place.options()).await, OpenError::ForeignDatabase { .. });
    other.execute_batch("INSERT INTO notes VALUES ('b')").unwrap();
    let count: u32 = place.raw().query_row("SELECT count(*) FROM notes", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2);
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let place = Place::new();
    fs::write(place.database(), "").unwrap();
    let store = place.open().await;
    Kept::begin(&store).await.is_there(&store).await;
}

#[tokio::test]
async fn a_file_that_is_not_to_be_made_is_not_made() {
    let place = Place::new();
    let error = refused(&format!("sqlite:{}?create=0", place.database().display())).await;
    assert_is!(error, OpenError::NotThere { .. });
    says(&error, "correct the path");
    assert!(!place.database().exists());
}
