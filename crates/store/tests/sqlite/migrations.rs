//! Migrations: a process that is killed at any point of one leaves the old or the new schema, rows of an older
//! version are kept, a newer version is refused, and processes that open one file at the same time do not disturb
//! each other.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use rustix::process::{Signal, getpid, kill_process};
use steadfast_store::env::{Env, Failpoint, Failpoints};
use steadfast_store::{Digest, OpenError, SqliteCore, SqliteOptions, SqliteStore, Store, StoreExt};

use crate::child::{Process, Task, hear, say};
use crate::kit::{Kept, Place, append, assert_is, chain, item, says, task};
use crate::schema::{is_whole, migrate_to, newest, schema, version};

/// Counts the failpoints of opening a file, migrations included, and ends the process at one of them.
#[derive(Debug)]
struct KillAt {
    reached: AtomicUsize,
    deadly: usize,
}

impl KillAt {
    fn new(deadly: usize) -> Arc<Self> {
        Arc::new(Self { reached: AtomicUsize::new(0), deadly })
    }
}

impl Failpoints for KillAt {
    fn reach(&self, point: Failpoint) {
        let of_opening = [
            Failpoint::WAL_MODE_BEFORE,
            Failpoint::WAL_MODE_AFTER,
            Failpoint::CLOCK_COMMIT_BEFORE,
            Failpoint::CLOCK_COMMIT_AFTER,
            Failpoint::MIGRATION_STATEMENT,
            Failpoint::MIGRATION_COMMIT_BEFORE,
            Failpoint::MIGRATION_COMMIT_AFTER,
        ];
        if of_opening.contains(&point) && self.reached.fetch_add(1, Ordering::SeqCst) + 1 == self.deadly {
            kill_process(getpid(), Signal::KILL).unwrap();
            // The signal may take a moment; nothing more may be written.
            loop {
                std::thread::park();
            }
        }
    }
}

/// Opens the file, to be killed at the given failpoint.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn open_and_die_in_child(file: &Path, number: usize) {
    let env = Env::system().with_failpoints(KillAt::new(number));
    drop(SqliteStore::open(SqliteOptions::new(file), env).await);
    panic!("failpoint {number} was not reached");
}

/// An older file with rows, closed.
fn older(place: &Place) {
    let connection = place.raw();
    connection.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    migrate_to(&connection, 1);
    let (input, link) = (Digest::of(b"old input"), Digest::ZERO);
    connection
        .execute(
            "INSERT INTO tasks (task_key, task_type, status, input_digest, head_link, created_at)
             VALUES ('old', 'test', 'in_progress', ?1, ?2, '2026-01-01 00:00:00.000')",
            (input.as_bytes(), link.as_bytes()),
        )
        .unwrap();
    connection
        .execute_batch(
            "INSERT INTO task_payloads (task_id, input) VALUES (1, CAST('old input' AS BLOB));
             INSERT INTO work_items (work_item_id, task_id, work_type, status, priority, available_at,
                                     max_attempts, created_at)
             VALUES ('old item', 1, 'test', 'pending', 7, '2026-01-01 00:00:00.000', 3, '2026-01-01 00:00:00.000');",
        )
        .unwrap();
}

/// The rows of the older file are there and can be worked with.
async fn older_rows_are_kept(store: &SqliteStore) {
    let record = store.task_record(&task("old")).await.unwrap().unwrap();
    assert_eq!(record.input.bytes().as_ref(), b"old input");
    assert_eq!(store.work_item(&item("old item")).await.unwrap().unwrap().priority, 7);
    store.append_checkpoint(append("old", "new state")).await.unwrap();
    assert_eq!(chain(store, "old").await.len(), 1);
}

fn count_failpoints(prepare: fn(&Place)) -> usize {
    let (place, count) = (Place::new(), KillAt::new(0));
    prepare(&place);
    SqliteCore::open(&place.options(), Env::system().with_failpoints(count.clone())).unwrap();
    count.reached.load(Ordering::SeqCst)
}

/// Kills one process at each failpoint on the way from that file to the newest schema; answers with how many of them
/// left which version.
async fn kill_at_each(prepare: fn(&Place)) -> BTreeMap<u32, usize> {
    let mut left = BTreeMap::new();
    for deadly in 1..=count_failpoints(prepare) {
        let place = Place::new();
        prepare(&place);
        let task = Task { role: "open and die", file: &place.database(), number: deadly };
        let status = Process::start(&task).wait();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "at failpoint {deadly}");

        // A copy is looked at, so that the store itself meets what the kill left.
        let copy = Place::new();
        for name in place.files() {
            fs::copy(place.folder().join(&name), copy.folder().join(&name)).unwrap();
        }
        *left.entry(is_whole(&copy.database())).or_default() += 1;

        let store = place.open().await;
        let mut kept = Kept::begin(&store).await;
        if store.task(&self::task("old")).await.unwrap().is_some() {
            older_rows_are_kept(&store).await;
        }
        store.close().await;
        assert_eq!(is_whole(&place.database()), newest(), "after failpoint {deadly}");
        let store = place.open().await;
        kept.goes_on(&store).await;
        store.close().await;
    }
    left
}

#[tokio::test]
async fn a_first_migration_killed_anywhere_leaves_the_old_or_the_new_schema() {
    let left = kill_at_each(|_| {}).await;
    println!("schema versions left by kills, and how often: {left:?}");
    assert_eq!(left.keys().copied().collect::<Vec<_>>(), (0..=newest()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_later_migration_killed_anywhere_leaves_the_old_or_the_new_schema() {
    let left = kill_at_each(older).await;
    println!("schema versions left by kills, and how often: {left:?}");
    assert_eq!(left.keys().copied().collect::<Vec<_>>(), (1..=newest()).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_older_file_is_migrated_with_its_rows() {
    let place = Place::new();
    older(&place);
    let store = place.open().await;
    older_rows_are_kept(&store).await;
    store.close().await;
    assert_eq!(is_whole(&place.database()), newest());
}

#[tokio::test]
async fn a_newer_file_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let store = place.open().await;
    let kept = Kept::begin(&store).await;
    store.close().await;
    let raw = place.raw();
    raw.pragma_update(None, "user_version", newest() + 1).unwrap();
    raw.execute_batch("CREATE TABLE later (id INTEGER PRIMARY KEY)").unwrap();
    drop(raw);
    let before = fs::read(place.database()).unwrap();

    let refused = SqliteStore::open(place.options(), Env::system()).await.unwrap_err();
    assert_is!(refused, OpenError::SchemaTooNew { found, supported, .. }
        if (*found, *supported) == (newest() + 1, newest()));
    says(&refused, "upgrade it");
    assert!(fs::read(place.database()).unwrap() == before, "the file was changed");
    assert_eq!(place.files(), ["agent.db"]);

    // What was acknowledged is there for the program that knows the version.
    place.raw().pragma_update(None, "user_version", newest()).unwrap();
    let store = place.open().await;
    kept.is_there(&store).await;
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn open_in_child(file: &Path) {
    say("ready");
    hear().unwrap();
    let store = SqliteStore::open(SqliteOptions::new(file), Env::system()).await.unwrap();
    say("open");
    hear();
    store.close().await;
}

#[test]
fn processes_that_open_a_fresh_file_at_once_all_succeed() {
    for _ in 0..5 {
        let place = Place::new();
        let file = place.database();
        let mut processes: Vec<_> =
            (0..4).map(|number| Process::start(&Task { role: "open", file: &file, number })).collect();
        for said in ["ready", "open"] {
            for process in &mut processes {
                assert_eq!(process.listen().as_deref(), Some(said));
            }
            for process in &mut processes {
                process.tell("go");
            }
        }
        processes.into_iter().for_each(Process::finish);
        assert_eq!(is_whole(&file), newest());
    }
}

#[test]
fn threads_that_open_a_fresh_file_at_once_all_succeed() {
    const THREADS: usize = 3;
    for round in 0..60 {
        let (place, barrier) = (Place::new(), Barrier::new(THREADS));
        let options = place.options();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    barrier.wait();
                    let opened = SqliteCore::open(&options, Env::system());
                    assert!(opened.is_ok(), "round {round}: {}", opened.unwrap_err());
                });
            }
        });
        let raw = place.raw();
        assert_eq!(version(&raw), newest());
        assert!(!schema(&raw).is_empty());
    }
}

#[tokio::test]
async fn an_older_file_that_is_not_to_be_upgraded_is_refused_and_left_as_it_is() {
    let place = Place::new();
    older(&place);
    let before = fs::read(place.database()).unwrap();
    let url = format!("sqlite:{}?create=0", place.database().display());
    let error = steadfast_store::open(&url, Env::system()).await.unwrap_err();
    assert_is!(error, OpenError::SchemaTooOld { found: 1, .. });
    says(&error, "leave out create=0");
    assert_eq!(fs::read(place.database()).unwrap(), before);
    place.open().await.close().await;
    steadfast_store::open(&url, Env::system()).await.unwrap();
}
