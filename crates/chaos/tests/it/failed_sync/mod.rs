//! What SQLite does when the sync inside COMMIT fails, on the bundled version, in WAL mode at
//! `synchronous=FULL`.
//!
//! The store's answers to a failed sync rest on these findings, so they are tested on SQLite alone,
//! with nothing of the project above it. In short: COMMIT answers `SQLITE_IOERR_FSYNC` and has
//! rolled back, but only for those who share the WAL index. The frames stay in the WAL file with a
//! valid commit mark, and whoever recovers the database from that file finds the transaction
//! committed. It is gone once other frames stand in its place.
#![allow(clippy::unwrap_used)]
#![allow(clippy::doc_markdown)] // SQLite is a name, not code

mod device;
mod full_disk;
mod lab;
mod lost_pages;
mod syncs;

use rusqlite::{Connection, ffi};
use steadfast_chaos::vfs::{FileRole, OpKind, Rule, Script};

use lab::Step::{
    Checkpoint, Close, Elsewhere, Insert, InsertFails, InsertRelaxed, Kill, Marker, MarkerFails, Sees,
};
use lab::{Database, Found, Step, Worker, failure, rows};

/// One page of rows, and many.
const SIZES: [u32; 2] = [1, 100];

const GONE: Found = Found { rows: 0, marker: 0 };

fn back(rows: u32) -> Found {
    Found { rows: rows.into(), marker: 0 }
}

fn gone_with_marker(marker: i64) -> Found {
    Found { rows: 0, marker }
}

#[test]
fn the_bundled_sqlite_is_the_one_these_findings_are_about() {
    assert_eq!(rusqlite::version(), "3.53.2");
}

#[test]
fn a_commit_whose_sync_fails_answers_ioerr_fsync_and_leaves_no_transaction_behind() {
    let database = Database::new();
    let worker = Worker::open(&database.path);
    worker.take(&Step::Begin);
    for rows in SIZES {
        worker.device.script.add(Rule::next(OpKind::Sync, FileRole::Wal, Script::EIO));
        assert_eq!(failure(worker.insert(rows)), ffi::SQLITE_IOERR_FSYNC);
        assert!(worker.database.is_autocommit());
        let rollback = worker.database.execute_batch("ROLLBACK").unwrap_err();
        assert_eq!(rollback.to_string(), "cannot rollback - no transaction is active");
    }
    // A statement that is its own transaction fails alike.
    worker.take(&MarkerFails);
}

#[test]
fn a_row_whose_sync_failed_is_seen_by_nobody_while_the_wal_index_lives() {
    let database = Database::new();
    let before = Connection::open(&database.path).unwrap();
    let worker = Worker::open(&database.path);
    worker.take(&Step::Begin);
    worker.take(&InsertFails(1));
    worker.take(&Sees(0));
    assert_eq!(rows(&before), 0);
    assert_eq!(rows(&Connection::open(&database.path).unwrap()), 0);
    lab::process(&database.path, &[Sees(0)]);
    worker.take(&Insert(1));
    assert_eq!(rows(&before), 1);
}

#[test]
fn after_sigkill_and_reopening_the_row_is_back() {
    for rows in SIZES {
        assert_eq!(Database::new().after(&[InsertFails(rows), Sees(0), Kill]), back(rows));
        // That others looked meanwhile and saw nothing makes no difference.
        let looked_at = [InsertFails(rows), Elsewhere(vec![Sees(0)]), Kill];
        assert_eq!(Database::new().after(&looked_at), back(rows));
    }
}

#[test]
fn after_an_orderly_close_the_row_is_gone() {
    for rows in SIZES {
        assert_eq!(Database::new().after(&[InsertFails(rows), Close, Kill]), GONE);
    }
}

#[test]
fn while_another_process_keeps_the_database_open_the_row_stays_in_limbo() {
    for rows in SIZES {
        let killed = Elsewhere(vec![InsertFails(rows), Kill]);
        // It does not see the row, and when it is killed too, the row is back.
        assert_eq!(Database::new().after(&[killed.clone(), Sees(0), Kill]), back(rows));
        // When it closes in good order or commits something, the row is gone.
        assert_eq!(Database::new().after(&[killed.clone(), Sees(0), Close, Kill]), GONE);
        assert_eq!(Database::new().after(&[killed, Sees(0), Marker, Kill]), gone_with_marker(1));
    }
}

#[test]
fn after_one_more_synced_commit_on_the_same_connection_the_row_is_gone_for_good() {
    for rows in SIZES {
        assert_eq!(Database::new().after(&[InsertFails(rows), Marker, Kill]), gone_with_marker(1));
        // Nor does it come back when later commits reach past the frames that it left.
        let later = [InsertFails(rows), Marker, Insert(200), Kill];
        assert_eq!(Database::new().after(&later), Found { rows: 200, marker: 1 });
    }
}

#[test]
fn no_checkpoint_but_truncate_takes_the_place_of_that_commit() {
    for rows in SIZES {
        for mode in ["PASSIVE", "FULL", "RESTART"] {
            let checkpointed = [InsertFails(rows), Checkpoint(mode.into()), Kill];
            assert_eq!(Database::new().after(&checkpointed), back(rows), "{mode}");
            let marked = [InsertFails(rows), Checkpoint(mode.into()), Marker, Kill];
            assert_eq!(Database::new().after(&marked), gone_with_marker(1), "{mode}");
        }
        let truncated = [InsertFails(rows), Checkpoint("TRUNCATE".into()), Kill];
        assert_eq!(Database::new().after(&truncated), GONE);
    }
}

#[test]
fn a_commit_of_another_process_overwrites_the_row_as_well() {
    for rows in SIZES {
        for other in [Insert(1), InsertRelaxed(1)] {
            let overwritten = [InsertFails(rows), Elsewhere(vec![other.clone()]), Kill];
            assert_eq!(Database::new().after(&overwritten), Found { rows: 1, marker: 0 });
            // The marker then comes behind it, and both stay.
            let marked = [InsertFails(rows), Elsewhere(vec![other]), Marker, Sees(1), Kill];
            assert_eq!(Database::new().after(&marked), Found { rows: 1, marker: 1 });
        }
    }
}

#[test]
fn a_marker_whose_sync_fails_too_overwrites_the_row_in_memory_and_comes_back_itself() {
    for rows in SIZES {
        // SIGKILL leaves the page cache, in which the marker's frame stands over the row's first
        // one. A device that wrote the row out before, and not the marker, has the row: that is the
        // database of `after_sigkill_and_reopening_the_row_is_back`. So whether the row was applied
        // stays unknown.
        assert_eq!(Database::new().after(&[InsertFails(rows), MarkerFails, Kill]), gone_with_marker(1));
        // The next marker starts from what is visible, not from what failed.
        let twice = [InsertFails(rows), MarkerFails, Marker, Kill];
        assert_eq!(Database::new().after(&twice), gone_with_marker(1));
    }
}

#[test]
fn a_failed_sync_of_the_wal_header_leaves_no_row_to_come_back() {
    for rows in SIZES {
        let database = Database::new();
        // Without `Begin`, this commit is the WAL's first: its header is written and synced before
        // any frame.
        lab::process(&database.path, &[InsertFails(rows), Kill]);
        assert_eq!(database.found(), GONE);
    }
}
