//! Another process that comes at the worst moment: while the log is written over itself, or right before.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use rustix::fs::{FlockOperation, fcntl_lock};
use steadfast_store::env::{Failpoint, Failpoints};

use super::gate::Gated;

const DATABASE: &str = "STORE_FAULTS_PEER_DATABASE";
const ROLE: &str = "STORE_FAULTS_PEER_ROLE";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// While the log is written over itself: finds every lock taken, and reads.
    Looks,
    /// After the first marker: folds the log, and begins it anew.
    BeginsLogAnew,
}

/// Starts it at its moment, once, and hands every point on.
#[derive(Debug)]
pub(super) struct Peer {
    role: Role,
    inner: Arc<Gated>,
    database: PathBuf,
    came: AtomicBool,
}

impl Peer {
    pub(super) fn new(role: Role, inner: Arc<Gated>, database: PathBuf) -> Self {
        Self { role, inner, database, came: AtomicBool::new(false) }
    }

    fn comes(&self) {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "store_faults::peer::a_process_of_its_own"])
            .env(DATABASE, &self.database)
            .env(ROLE, format!("{:?}", self.role))
            .output()
            .unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}\n{stderr}");
    }
}

impl Failpoints for Peer {
    fn reach(&self, point: Failpoint) {
        self.inner.reach(point);
        let moment = match self.role {
            Role::Looks => Failpoint::LOG_REWRITE_AFTER,
            Role::BeginsLogAnew => Failpoint::MARKER_AFTER,
        };
        if point == moment && !self.came.swap(true, Ordering::Relaxed) {
            self.comes();
        }
    }
}

#[test]
#[ignore = "the tests start it in processes of their own"]
fn a_process_of_its_own() {
    let (Ok(path), Ok(role)) = (std::env::var(DATABASE), std::env::var(ROLE)) else { return };
    if role == format!("{:?}", Role::BeginsLogAnew) {
        let database = Connection::open(path).unwrap();
        database.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
        database.execute("UPDATE store_meta SET marker = marker + 1", []).unwrap();
        return;
    }
    // The store's lock on the database file tells the last of all connections that it is not the last one.
    let file = File::options().read(true).write(true).open(&path).unwrap();
    assert!(
        fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).is_err(),
        "the store has lost its lock"
    );
    drop(file);
    let database = Connection::open(path).unwrap();
    database.busy_timeout(Duration::ZERO).unwrap();
    let lock = database.execute_batch("BEGIN IMMEDIATE").unwrap_err();
    assert_eq!(lock.sqlite_error_code(), Some(ErrorCode::DatabaseBusy), "the write lock is held");
    let rows: i64 = database.query_row("SELECT count(*) FROM checkpoints", [], |row| row.get(0)).unwrap();
    assert!(rows > 0);
}
