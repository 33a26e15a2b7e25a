//! The shim itself: that faults strike where they should, and that everything else passes.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ffi};

use super::*;

const SCHEMA: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x BLOB);";

/// A folder, and a VFS that no other test uses.
struct Lab {
    folder: tempfile::TempDir,
    vfs: Registered,
}

impl Lab {
    fn new(faults: Arc<dyn FileFaults>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("vfs-test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { folder: tempfile::tempdir().unwrap(), vfs: FaultVfs::register(&name, faults).unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("t.db")
    }

    fn database(&self) -> Connection {
        let database = self.vfs.open(self.path()).unwrap();
        database.execute_batch(SCHEMA).unwrap();
        database
    }
}

fn code<T: std::fmt::Debug>(answer: rusqlite::Result<T>) -> i32 {
    match answer {
        Err(rusqlite::Error::SqliteFailure(error, _)) => error.extended_code,
        other => panic!("expected a failure of SQLite, got {other:?}"),
    }
}

fn insert(database: &Connection) -> rusqlite::Result<usize> {
    database.execute("INSERT INTO t VALUES (randomblob(100))", [])
}

fn count(database: &Connection) -> rusqlite::Result<i64> {
    database.query_row("SELECT count(*) FROM t", [], |row| row.get(0))
}

#[test]
fn a_name_is_registered_once_and_must_be_usable() {
    let register = |name| FaultVfs::register(name, Arc::new(NoFaults));
    assert_eq!(register("vfs-test-once").unwrap().name(), "vfs-test-once");
    assert!(
        matches!(register("vfs-test-once"), Err(RegisterError::NameTaken(name)) if name == "vfs-test-once")
    );
    assert!(matches!(register("unix"), Err(RegisterError::NameTaken(_))));
    assert!(matches!(register(""), Err(RegisterError::BadName(None))));
    assert!(matches!(register("a\0b"), Err(RegisterError::BadName(Some(_)))));
}

#[test]
fn connections_through_several_registrations_and_none_share_one_database() {
    let lab = Lab::new(Arc::new(NoFaults));
    let slow = Lab::new(Arc::new(SyncDelay(Duration::from_millis(1))));
    let (one, other) = (lab.database(), slow.vfs.open(lab.path()).unwrap());
    let plain = Connection::open(lab.path()).unwrap();
    for database in [&one, &other, &plain] {
        insert(database).unwrap();
    }
    for database in [&one, &other, &plain] {
        assert_eq!(count(database), Ok(3));
    }
    one.execute_batch("BEGIN IMMEDIATE").unwrap();
    plain.busy_timeout(Duration::ZERO).unwrap();
    assert_eq!(code(plain.execute_batch("BEGIN IMMEDIATE")), ffi::SQLITE_BUSY, "locks reach the real file");
}

#[test]
fn every_journal_mode_and_memory_mapped_reads_work_through_it() {
    let lab = Lab::new(Arc::new(NoFaults));
    let database = lab.database();
    for mode in ["WAL", "DELETE", "TRUNCATE", "PERSIST", "MEMORY", "WAL"] {
        let answer: String =
            database.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |row| row.get(0)).unwrap();
        assert_eq!(answer, mode.to_lowercase());
        insert(&database).unwrap();
    }
    let mapped: i64 = database.query_row("PRAGMA mmap_size = 1048576", [], |row| row.get(0)).unwrap();
    assert_eq!(mapped, 1_048_576);
    database.execute_batch("VACUUM; CREATE TEMP TABLE s AS SELECT * FROM t").unwrap();
    assert_eq!(count(&database), Ok(6));
    database.close().unwrap();
    assert_eq!(count(&Connection::open(lab.path()).unwrap()), Ok(6));
}

#[test]
fn operations_are_named_numbered_densely_and_reported_after_they_went_well() {
    #[derive(Default)]
    struct Log(Mutex<Vec<(bool, FileOp)>>);
    impl FileFaults for Log {
        fn before(&self, op: &FileOp) -> Fault {
            self.0.lock().unwrap().push((false, *op));
            Fault::Pass
        }
        fn after(&self, op: &FileOp) {
            self.0.lock().unwrap().push((true, *op));
        }
    }
    let log = Arc::new(Log::default());
    let lab = Lab::new(log.clone());
    lab.database().close().unwrap();
    let log = log.0.lock().unwrap();
    let before: Vec<FileOp> = log.iter().filter(|(after, _)| !after).map(|(_, op)| *op).collect();
    assert!(before.iter().enumerate().all(|(index, op)| op.index == index as u64));
    let first = before[0];
    assert_eq!((first.kind, first.file, first.index), (OpKind::Open, FileRole::Database, 0));
    let has = |kind, file| log.iter().any(|(after, op)| *after && op.kind == kind && op.file == file);
    assert!(has(OpKind::Open, FileRole::Wal) && has(OpKind::Delete, FileRole::Wal));
    assert!(has(OpKind::Write, FileRole::Wal) && has(OpKind::Sync, FileRole::Wal));
    let header = before.iter().find(|op| op.kind == OpKind::Write && op.file == FileRole::Wal).unwrap();
    assert_eq!((header.offset, header.length), (0, 32));
}

#[test]
fn a_sync_delay_is_felt_by_every_commit() {
    let lab = Lab::new(Arc::new(SyncDelay(Duration::from_millis(20))));
    let database = lab.database();
    let start = Instant::now();
    insert(&database).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(20));
}

#[test]
fn each_kind_of_operation_fails_with_its_own_code() {
    let script = Arc::new(Script::new());
    let lab = Lab::new(script.clone());
    let strike = |kind, file| {
        script.heal();
        script.add(Rule::next(kind, file, Script::EIO));
    };
    strike(OpKind::Open, FileRole::Database);
    script.add(Rule::next(OpKind::Open, FileRole::Database, Script::EIO).lasting());
    assert_eq!(code(lab.vfs.open(lab.path())), ffi::SQLITE_CANTOPEN);
    script.heal();
    let database = lab.database();
    strike(OpKind::Write, FileRole::Wal);
    assert_eq!(code(insert(&database)), ffi::SQLITE_IOERR_WRITE);
    strike(OpKind::Sync, FileRole::Wal);
    assert_eq!(code(insert(&database)), ffi::SQLITE_IOERR_FSYNC);
    strike(OpKind::Truncate, FileRole::Wal);
    let truncate = database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    assert_eq!(code(truncate), ffi::SQLITE_IOERR_TRUNCATE);
    strike(OpKind::Read, FileRole::Database);
    assert_eq!(code(lab.vfs.open(lab.path())), ffi::SQLITE_IOERR_READ);
    script.heal();
    database.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    strike(OpKind::Delete, FileRole::Journal);
    assert_eq!(code(insert(&database)), ffi::SQLITE_IOERR_DELETE);
    assert_eq!(script.struck(), 6);
    script.heal();
    insert(&database).unwrap();
}

#[test]
fn a_rule_strikes_the_nth_or_all_from_the_nth_on_until_healed() {
    let script = Arc::new(Script::new());
    let lab = Lab::new(script.clone());
    let database = lab.database();
    let commits = |n| (0..n).map(|_| insert(&database).is_ok()).collect::<Vec<_>>();
    assert_eq!(commits(1), [true]);
    script.add(Rule::next(OpKind::Sync, FileRole::Wal, Script::EIO).nth(2));
    assert_eq!(commits(4), [true, false, true, true]);
    script.add(Rule::next(OpKind::Sync, FileRole::Wal, Script::EIO).nth(3).lasting());
    assert_eq!(commits(5), [true, true, false, false, false]);
    assert_eq!(script.struck(), 4);
    script.heal();
    assert_eq!(commits(2), [true, true]);
    assert!(script.count(OpKind::Sync, FileRole::Wal) >= 12);
    // Becoming a WAL database took syncs of the database file and of a rollback journal.
    assert!(script.count_all(OpKind::Sync) > script.count(OpKind::Sync, FileRole::Wal));
}

#[test]
fn a_disk_takes_exactly_the_bytes_that_are_left() {
    let script = Arc::new(Script::new());
    let lab = Lab::new(script.clone());
    let database = lab.database();
    let wal = lab.path().with_extension("db-wal");
    let size = wal.metadata().unwrap().len();
    script.bytes_left(1000);
    assert_eq!(code(insert(&database)), ffi::SQLITE_FULL);
    assert_eq!(wal.metadata().unwrap().len(), size + 1000);
    assert_eq!(code(insert(&database)), ffi::SQLITE_FULL);
    assert_eq!(script.struck(), 2);
    script.heal();
    insert(&database).unwrap();
    assert_eq!(count(&database), Ok(1));
}

#[test]
fn a_panic_in_a_fault_becomes_an_error_of_sqlite() {
    struct Panics(AtomicU64);
    impl FileFaults for Panics {
        fn before(&self, op: &FileOp) -> Fault {
            assert!(op.kind != OpKind::Sync || self.0.load(Ordering::Relaxed) != 1, "planted");
            Fault::Pass
        }
        fn after(&self, op: &FileOp) {
            let moment = self.0.load(Ordering::Relaxed);
            assert!(op.kind != OpKind::Sync || moment != 2, "planted");
            assert!(op.kind != OpKind::Open || moment != 3, "planted");
        }
    }
    let panics = Arc::new(Panics(AtomicU64::new(0)));
    let lab = Lab::new(panics.clone());
    let database = lab.database();
    for moment in [1, 2] {
        panics.0.store(moment, Ordering::Relaxed);
        assert_eq!(code(insert(&database)), ffi::SQLITE_IOERR);
    }
    panics.0.store(3, Ordering::Relaxed);
    assert_eq!(code(lab.vfs.open(lab.path())), ffi::SQLITE_IOERR);
    panics.0.store(0, Ordering::Relaxed);
    insert(&database).unwrap();
    assert_eq!(count(&database), Ok(1));
}

#[test]
fn many_threads_use_one_registration_at_once() {
    let script = Arc::new(Script::new());
    let lab = Lab::new(script.clone());
    lab.database();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let database = lab.vfs.open(lab.path()).unwrap();
                database.busy_timeout(Duration::from_secs(30)).unwrap();
                for _ in 0..50 {
                    insert(&database).unwrap();
                }
            });
        }
    });
    assert_eq!(count(&lab.vfs.open(lab.path()).unwrap()), Ok(200));
}
