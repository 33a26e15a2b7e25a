//! What happens when the disk is full while COMMIT writes its frames.

use rusqlite::ffi;
use steadfast_chaos::vfs::{FileRole, OpKind, Rule, Script};

use super::lab::Step::{Begin, Insert, InsertFull, Kill, Marker, Sees};
use super::lab::{Database, Found, Worker, failure};
use super::{GONE, gone_with_marker};

/// A frame in the WAL: its header, then a page of the database, in bytes.
const FRAME: u64 = 24 + 4096;

/// How many bytes a commit of so many rows writes to the WAL, as the model's device counts them.
fn bytes_of_commit(rows: u32) -> u64 {
    let database = Database::new();
    let worker = Worker::open(&database.path);
    worker.take(&Begin);
    let writes = worker.device.script.count(OpKind::Write, FileRole::Wal);
    worker.take(&Insert(rows));
    // Each frame is two writes, its header and its page.
    (worker.device.script.count(OpKind::Write, FileRole::Wal) - writes) / 2 * FRAME
}

#[test]
fn a_commit_on_a_full_disk_answers_full_and_leaves_no_transaction_behind() {
    let database = Database::new();
    let worker = Worker::open(&database.path);
    worker.take(&Begin);
    worker.device.script.bytes_left(FRAME / 2);
    assert_eq!(failure(worker.insert(100)), ffi::SQLITE_FULL);
    assert!(worker.database.is_autocommit());
    let rollback = worker.database.execute_batch("ROLLBACK").unwrap_err();
    assert_eq!(rollback.to_string(), "cannot rollback - no transaction is active");
    worker.healed();
    worker.take(&Sees(0));
    // The connection is as good as before.
    worker.take(&Insert(100));
    worker.take(&Sees(100));
}

#[test]
fn wherever_the_disk_fills_up_in_a_commit_nothing_of_it_comes_back() {
    let total = bytes_of_commit(1);
    assert!(total >= FRAME);
    for bytes in (0..total).step_by(12).filter(|bytes| {
        let in_frame = bytes % FRAME;
        in_frame <= 36 || in_frame > FRAME - 12
    }) {
        assert_eq!(Database::new().after(&[InsertFull { rows: 1, bytes }, Sees(0), Kill]), GONE, "{bytes}");
    }
    assert_eq!(Database::new().after(&[InsertFull { rows: 1, bytes: total - 1 }, Kill]), GONE);
}

#[test]
fn nor_does_anything_of_a_commit_of_many_pages() {
    let total = bytes_of_commit(100);
    assert!(total > 20 * FRAME);
    for bytes in [0, FRAME, total / 2, total - FRAME, total - 1] {
        let full = InsertFull { rows: 100, bytes };
        assert_eq!(Database::new().after(&[full.clone(), Kill]), GONE);
        assert_eq!(Database::new().after(&[full.clone(), Marker, Kill]), gone_with_marker(1));
        assert_eq!(Database::new().after(&[full, Insert(3), Kill]), Found { rows: 3, marker: 0 });
    }
}

#[test]
fn a_statement_that_spills_to_a_full_disk_rolls_the_whole_transaction_back() {
    let database = Database::new();
    let worker = Worker::open(&database.path);
    worker.take(&Begin);
    worker.database.execute_batch("PRAGMA cache_size = 10; BEGIN IMMEDIATE").unwrap();
    worker.device.script.bytes_left(0);
    let mut inserted = 0;
    let full = loop {
        match worker.database.execute("INSERT INTO work (payload) VALUES (randomblob(1000))", []) {
            Ok(_) if inserted < 1000 => inserted += 1,
            answer => break failure(answer),
        }
    };
    assert_eq!(full, ffi::SQLITE_FULL);
    assert!(inserted > 0, "earlier statements of the transaction went well");
    assert!(worker.database.is_autocommit());
    worker.healed();
    worker.take(&Sees(0));
    worker.take(&Marker);
}

#[test]
fn a_write_error_in_a_commit_ends_like_a_full_disk() {
    let database = Database::new();
    let worker = Worker::open(&database.path);
    worker.take(&Begin);
    worker.device.script.add(Rule::next(OpKind::Write, FileRole::Wal, Script::EIO));
    assert_eq!(failure(worker.insert(1)), ffi::SQLITE_IOERR_WRITE);
    worker.healed();
    worker.take(&Sees(0));
    worker.take(&Insert(1));
}
