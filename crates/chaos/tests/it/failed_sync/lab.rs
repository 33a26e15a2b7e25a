//! The laboratory: a database, and processes that go through a list of steps on it and may kill
//! themselves.
//!
//! A process is this test binary started again, on the one ignored test below. Each step asserts
//! that it ended as its name says, so a child that gets as far as its `Kill` has seen all of them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use rusqlite::{Connection, ffi};
use serde::{Deserialize, Serialize};
use steadfast_chaos::vfs::{FaultVfs, FileRole, OpKind, Rule, Script};

use super::device::Device;

const STEPS: &str = "FAILED_SYNC_STEPS";
const DATABASE: &str = "FAILED_SYNC_DATABASE";

/// What a process does next on its one connection, at `synchronous=FULL` unless it says otherwise.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Step {
    /// Commits a page, so that the WAL has its header and a first frame. [`Database::after`] begins
    /// with it.
    Begin,
    /// Commits so many rows of a kilobyte in one transaction.
    Insert(u32),
    /// The same, at `synchronous=NORMAL`.
    InsertRelaxed(u32),
    /// The same, at FULL, but the sync in its COMMIT fails with EIO.
    InsertFails(u32),
    /// The same, but the disk is full after so many bytes of the COMMIT.
    InsertFull { rows: u32, bytes: u64 },
    /// Commits one changed page: `marker = marker + 1`.
    Marker,
    /// The same, but the sync in its COMMIT fails with EIO.
    MarkerFails,
    /// Runs a WAL checkpoint of this mode to its end.
    Checkpoint(String),
    /// The same, but the sync of the WAL that comes before any copying fails with EIO.
    CheckpointFails,
    /// Writes the bytes of the WAL over themselves, under the write lock, and syncs it.
    RewriteWal,
    /// Counts the rows, on this connection.
    Sees(i64),
    /// Closes the connection in good order.
    Close,
    /// Lets another process go through these steps meanwhile.
    Elsewhere(Vec<Step>),
    /// SIGKILL, to itself.
    Kill,
}

/// What a database holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) rows: i64,
    pub(super) marker: i64,
}

/// A database in a folder of its own, in WAL mode, with a marker of 0 and no rows.
#[derive(Debug)]
pub(super) struct Database {
    _folder: tempfile::TempDir,
    pub(super) path: PathBuf,
}

impl Database {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.db");
        let database = Connection::open(&path).unwrap();
        database
            .execute_batch(
                "PRAGMA page_size = 4096;
                 PRAGMA journal_mode = WAL;
                 CREATE TABLE meta (marker INTEGER NOT NULL, begun INTEGER NOT NULL) STRICT;
                 INSERT INTO meta VALUES (0, 0);
                 CREATE TABLE work (id INTEGER PRIMARY KEY, payload BLOB NOT NULL) STRICT;",
            )
            .unwrap();
        database.close().unwrap();
        Self { _folder: folder, path }
    }

    /// Sends a process through the steps, the last of which is `Kill`, and tells what the next one
    /// finds.
    pub(super) fn after(&self, steps: &[Step]) -> Found {
        assert!(matches!(steps.last(), Some(Step::Kill)), "{steps:?}");
        process(&self.path, &[&[Step::Begin], steps].concat());
        self.found()
    }

    /// Opens the database (whoever comes first after a crash recovers it) twice, and says what both
    /// times found.
    pub(super) fn found(&self) -> Found {
        let first = look(&self.path);
        let second = look(&self.path);
        assert_eq!(first, second, "what is found once stays");
        first
    }
}

fn look(path: &Path) -> Found {
    let database = Connection::open(path).unwrap();
    assert_eq!(integrity(&database).unwrap(), "ok");
    let found = Found { rows: rows(&database), marker: marker(&database) };
    database.close().unwrap();
    found
}

pub(super) fn integrity(database: &Connection) -> rusqlite::Result<String> {
    database.query_row("PRAGMA integrity_check", [], |row| row.get(0))
}

pub(super) fn rows(database: &Connection) -> i64 {
    database.query_row("SELECT count(*) FROM work", [], |row| row.get(0)).unwrap()
}

pub(super) fn marker(database: &Connection) -> i64 {
    database.query_row("SELECT marker FROM meta", [], |row| row.get(0)).unwrap()
}

/// The extended result code of a call that must have failed.
pub(super) fn failure<T: std::fmt::Debug>(answer: rusqlite::Result<T>) -> i32 {
    match answer {
        Err(rusqlite::Error::SqliteFailure(error, _)) => error.extended_code,
        other => panic!("expected a failure of SQLite, got {other:?}"),
    }
}

/// Starts this binary again, sends it through the steps, and waits for its end.
pub(super) fn process(path: &Path, steps: &[Step]) {
    let Output { status, stdout, stderr } = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "failed_sync::lab::a_process_of_its_own"])
        .env(STEPS, serde_json::to_string(steps).unwrap())
        .env(DATABASE, path)
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let as_planned = match steps.last() {
        Some(Step::Kill) => status.signal() == Some(9),
        _ => status.success() && stdout.contains("1 passed"),
    };
    assert!(as_planned, "{steps:?} ended with {status}\n{stdout}\n{stderr}");
}

/// Where a process that kills itself leaves the model's answer: which bytes of the WAL the device
/// never got.
pub(super) fn unwritten(path: &Path) -> PathBuf {
    path.with_extension("unwritten")
}

#[test]
#[ignore = "the tests start it in processes of their own"]
fn a_process_of_its_own() {
    let (Ok(steps), Ok(path)) = (std::env::var(STEPS), std::env::var(DATABASE)) else { return };
    let path = PathBuf::from(path);
    let steps: Vec<Step> = serde_json::from_str(&steps).unwrap();
    let mut worker = Some(Worker::open(&path));
    for step in &steps {
        match step {
            Step::Elsewhere(steps) => process(&path, steps),
            Step::Close => worker.take().unwrap().database.close().unwrap(),
            Step::Kill => {
                if let Some(worker) = &worker {
                    std::fs::write(unwritten(&path), worker.device.unwritten()).unwrap();
                }
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                    .unwrap();
            }
            step => worker.as_ref().unwrap().take(step),
        }
    }
}

/// One connection through the faulty device.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) database: Connection,
    pub(super) device: Arc<Device>,
}

impl Worker {
    /// Opens the database at FULL, never checkpointing by itself.
    pub(super) fn open(path: &Path) -> Self {
        let device = Arc::new(Device::default());
        let name = format!("failed-sync-{}", path.display());
        let database = FaultVfs::register(&name, device.clone()).unwrap().open(path).unwrap();
        database.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;").unwrap();
        rows(&database); // reads the schema, so that no later step does
        Self { database, device }
    }

    /// One transaction; whatever fails, fails in its COMMIT.
    pub(super) fn insert(&self, rows: u32) -> rusqlite::Result<()> {
        self.database.execute_batch("BEGIN IMMEDIATE")?;
        for _ in 0..rows {
            self.database.execute("INSERT INTO work (payload) VALUES (randomblob(1000))", []).unwrap();
        }
        self.database.execute_batch("COMMIT")
    }

    pub(super) fn mark(&self) -> rusqlite::Result<usize> {
        self.database.execute("UPDATE meta SET marker = marker + 1", [])
    }

    pub(super) fn take(&self, step: &Step) {
        let eio = Rule::next(OpKind::Sync, FileRole::Wal, Script::EIO);
        let script = &self.device.script;
        match step {
            Step::Begin => assert_eq!(self.database.execute("UPDATE meta SET begun = begun + 1", []), Ok(1)),
            Step::Insert(rows) => self.insert(*rows).unwrap(),
            Step::InsertRelaxed(rows) => {
                self.database.execute_batch("PRAGMA synchronous = NORMAL").unwrap();
                self.insert(*rows).unwrap();
                self.database.execute_batch("PRAGMA synchronous = FULL").unwrap();
            }
            Step::InsertFails(rows) => {
                script.add(eio);
                assert_eq!(failure(self.insert(*rows)), ffi::SQLITE_IOERR_FSYNC);
                self.healed();
            }
            Step::InsertFull { rows, bytes } => {
                script.bytes_left(*bytes);
                assert_eq!(failure(self.insert(*rows)), ffi::SQLITE_FULL);
                self.healed();
            }
            Step::Marker => assert_eq!(self.mark(), Ok(1)),
            Step::MarkerFails => {
                script.add(eio);
                assert_eq!(failure(self.mark()), ffi::SQLITE_IOERR_FSYNC);
                self.healed();
            }
            Step::Checkpoint(mode) => {
                let pragma = format!("PRAGMA wal_checkpoint({mode})");
                let (busy, frames, done): (i64, i64, i64) = self
                    .database
                    .query_row(&pragma, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                    .unwrap();
                assert_eq!((busy, frames), (0, done));
            }
            Step::CheckpointFails => {
                script.add(eio);
                let answer = self.database.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
                assert_eq!(failure(answer), ffi::SQLITE_IOERR_FSYNC);
                self.healed();
            }
            Step::RewriteWal => self.rewrite_wal(),
            Step::Sees(count) => assert_eq!(rows(&self.database), *count),
            Step::Close | Step::Elsewhere(_) | Step::Kill => unreachable!("taken by the process itself"),
        }
    }

    /// Plain file I/O is harmless on this one of the database's files: SQLite's locks lie on the
    /// other two.
    fn rewrite_wal(&self) {
        let path = PathBuf::from(format!("{}-wal", self.database.path().unwrap()));
        self.database.execute_batch("BEGIN IMMEDIATE").unwrap();
        let wal = File::options().read(true).write(true).open(path).unwrap();
        let mut bytes = vec![0; usize::try_from(wal.metadata().unwrap().len()).unwrap()];
        wal.read_exact_at(&mut bytes, 0).unwrap();
        wal.write_all_at(&bytes, 0).unwrap();
        wal.sync_data().unwrap();
        drop(wal);
        self.device.rewrote_and_synced(bytes.len());
        self.database.execute_batch("ROLLBACK").unwrap();
    }

    /// The fault has fired, and SQLite has ended the transaction by itself. The device is well
    /// again.
    pub(super) fn healed(&self) {
        assert!(self.device.script.struck() > 0);
        assert!(self.database.is_autocommit());
        self.device.script.heal();
    }
}
