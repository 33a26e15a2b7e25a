//! Another process that looks at the file at the worst moment: while the log is written over itself.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use rustix::fs::{FlockOperation, fcntl_lock};
use steadfast_store::env::{Failpoint, Failpoints};

use super::disk::Disk;

const DATABASE: &str = "STORE_FAULTS_PEER_DATABASE";

/// Starts it at that moment, and hands every point on to the disk.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) disk: Arc<Disk>,
    pub(super) database: PathBuf,
}

impl Failpoints for Peer {
    fn reach(&self, point: Failpoint) {
        self.disk.reach(point);
        if point == Failpoint::LOG_REWRITE_AFTER {
            process(&self.database);
        }
    }
}

fn process(database: &Path) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "store_faults::peer::a_process_of_its_own"])
        .env(DATABASE, database)
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}\n{stderr}");
}

#[test]
#[ignore = "a test starts it in a process of its own"]
fn a_process_of_its_own() {
    let Ok(path) = std::env::var(DATABASE) else { return };
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
