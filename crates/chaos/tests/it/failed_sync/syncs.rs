//! Which commits sync the WAL at all.

use std::sync::{Arc, Mutex};

use rusqlite::{Connection, ffi};
use steadfast_chaos::vfs::{Fault, FaultVfs, FileOp, FileRole, OpKind, Rule, Script};

use super::lab::{Database, Step, Worker, failure};

type Journal = Arc<Mutex<Vec<(FileRole, OpKind)>>>;

/// A connection whose writes and syncs are noted in their order, on a WAL that has begun.
fn watched(database: &Database) -> (Connection, Journal) {
    let journal = Journal::default();
    let noted = Arc::clone(&journal);
    let note = move |op: &FileOp| {
        if matches!(op.kind, OpKind::Write | OpKind::Sync) {
            noted.lock().unwrap().push((op.file, op.kind));
        }
        Fault::Pass
    };
    let name = format!("syncs-{}", database.path.display());
    let connection = FaultVfs::register(&name, Arc::new(note)).unwrap().open(&database.path).unwrap();
    connection.execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE meta SET begun = begun + 1").unwrap();
    journal.lock().unwrap().clear();
    (connection, journal)
}

/// What these statements write and sync.
fn noted((connection, journal): &(Connection, Journal), sql: &str) -> Vec<(FileRole, OpKind)> {
    connection.execute_batch(sql).unwrap();
    std::mem::take(&mut *journal.lock().unwrap())
}

const FULL: &str = "PRAGMA synchronous = FULL;";
const NORMAL: &str = "PRAGMA synchronous = NORMAL;";
const MARK: &str = "UPDATE meta SET marker = marker + 1;";
const EMPTY: &str = "BEGIN IMMEDIATE; COMMIT;";

const WRITE: (FileRole, OpKind) = (FileRole::Wal, OpKind::Write);
const SYNC: (FileRole, OpKind) = (FileRole::Wal, OpKind::Sync);

#[test]
fn a_full_commit_syncs_the_wal_once_and_a_normal_one_never() {
    let database = Database::new();
    let watched = watched(&database);
    assert_eq!(noted(&watched, &format!("{FULL}{MARK}")), [WRITE, WRITE, SYNC]);
    assert_eq!(noted(&watched, &format!("{NORMAL}{MARK}")), [WRITE, WRITE]);
}

#[test]
fn an_empty_commit_syncs_nothing_even_at_full_and_after_normal_ones() {
    let database = Database::new();
    let watched = watched(&database);
    assert_eq!(noted(&watched, &format!("{FULL}{EMPTY}")), []);
    assert_eq!(noted(&watched, &format!("{NORMAL}{MARK}")), [WRITE, WRITE]);
    assert_eq!(noted(&watched, &format!("{FULL}{EMPTY}")), []);
}

#[test]
fn an_update_to_the_same_value_writes_no_page_and_syncs_nothing() {
    let database = Database::new();
    let watched = watched(&database);
    assert_eq!(noted(&watched, &format!("{FULL}UPDATE meta SET marker = marker;")), []);
    assert_eq!(noted(&watched, &format!("{FULL}BEGIN IMMEDIATE; UPDATE meta SET marker = 0; COMMIT;")), []);
}

#[test]
fn the_one_sync_of_a_full_commit_comes_behind_the_frames_of_all_normal_ones_before() {
    let database = Database::new();
    let watched = watched(&database);
    let commits = format!("{NORMAL}{MARK}{MARK}{MARK}{FULL}{MARK}");
    // The WAL is one file and sync has no range: this one sync covers them all.
    let four_frames = [WRITE; 8];
    assert_eq!(noted(&watched, &commits), [&four_frames[..], &[SYNC]].concat());
}

#[test]
fn the_first_commit_of_a_wal_syncs_its_header_too_even_at_normal() {
    for (synchronous, syncs) in [(NORMAL, 1), (FULL, 2)] {
        let database = Database::new();
        let watched = watched(&database);
        noted(&watched, "PRAGMA wal_checkpoint(RESTART)");
        let first = noted(&watched, &format!("{synchronous}{MARK}"));
        assert_eq!(first[..3], [WRITE, SYNC, WRITE]);
        assert_eq!(first.iter().filter(|&&op| op == SYNC).count(), syncs);
        let second = noted(&watched, &format!("{synchronous}{MARK}"));
        assert_eq!(second.iter().filter(|&&op| op == SYNC).count(), syncs - 1);
    }
}

#[test]
fn a_checkpoint_syncs_the_wal_first_and_the_database_last_and_copies_again_when_that_fails() {
    let database = Database::new();
    let worker = Worker::open(&database.path);
    for step in [Step::Begin, Step::InsertRelaxed(20)] {
        worker.take(&step);
    }
    let script = &worker.device.script;
    let written = || script.count(OpKind::Write, FileRole::Database);
    let synced = |file| script.count(OpKind::Sync, file);

    let (wal_syncs, database_syncs) = (synced(FileRole::Wal), synced(FileRole::Database));
    script.add(Rule::next(OpKind::Sync, FileRole::Database, Script::EIO));
    let failed = worker.database.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    assert_eq!(failure(failed), ffi::SQLITE_IOERR_FSYNC);
    assert_eq!((synced(FileRole::Wal), synced(FileRole::Database)), (wal_syncs + 1, database_syncs + 1));
    worker.healed();

    // Every page is written a second time, so none is left that the failed sync dropped.
    let pages = written();
    assert!(pages > 5);
    worker.take(&Step::Checkpoint("PASSIVE".into()));
    assert_eq!(written(), 2 * pages);
}
