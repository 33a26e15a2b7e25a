//! What a marker cannot mend: frames of earlier commits that the failed sync should have written.
//!
//! A power loss is modelled here (see `device`), not made: after a process has killed itself, the
//! bytes of the WAL that the device surely never got are zeroed, and the database is recovered from
//! what is left.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rusqlite::Connection;

use super::lab::Step::{
    Begin, Checkpoint, CheckpointFails, Elsewhere, Insert, InsertFails, InsertRelaxed, Kill, Marker,
    RewriteWal, Sees,
};
use super::lab::{self, Database, Found, Step, integrity};

/// What a simulated power loss at the end of the steps leaves, and what SIGKILL at the same moment leaves.
struct Ends {
    unplugged: Database,
    killed: Database,
}

impl Ends {
    fn of(steps: &[Step]) -> Self {
        let ends = Self { unplugged: Database::new(), killed: Database::new() };
        lab::process(&ends.killed.path, &[&[Begin], steps, &[Kill]].concat());
        for file in ["tasks.db", "tasks.db-wal"] {
            fs::copy(ends.killed.path.with_file_name(file), ends.unplugged.path.with_file_name(file))
                .unwrap();
        }
        let unwritten = fs::read_to_string(lab::unwritten(&ends.killed.path)).unwrap();
        let unwritten: Vec<Range<u64>> = serde_json::from_str(&unwritten).unwrap();
        let wal =
            File::options().write(true).open(ends.unplugged.path.with_file_name("tasks.db-wal")).unwrap();
        for bytes in unwritten {
            let zeros = vec![0; usize::try_from(bytes.end - bytes.start).unwrap()];
            wal.write_all_at(&zeros, bytes.start).unwrap();
        }
        ends
    }
}

/// What is found after SIGKILL, and what after the simulated power loss.
fn killed_and_unplugged(steps: &[Step]) -> (Found, Found) {
    let ends = Ends::of(steps);
    (ends.killed.found(), ends.unplugged.found())
}

fn found(rows: i64, marker: i64) -> Found {
    Found { rows, marker }
}

#[test]
fn without_a_failed_sync_simulated_power_loss_takes_only_what_was_relaxed() {
    let steps = [Insert(10), InsertRelaxed(5)];
    assert_eq!(killed_and_unplugged(&steps), (found(15, 0), found(10, 0)));
    // A later FULL commit makes it durable.
    let steps = [Insert(10), InsertRelaxed(5), Marker];
    assert_eq!(killed_and_unplugged(&steps), (found(15, 1), found(15, 1)));
}

#[test]
fn when_all_earlier_commits_were_synced_a_marker_makes_later_ones_durable_again() {
    for rows in super::SIZES {
        let steps = [Insert(20), InsertFails(rows), Marker, Insert(5)];
        assert_eq!(killed_and_unplugged(&steps), (found(25, 1), found(25, 1)));
    }
}

#[test]
fn a_failed_sync_over_relaxed_commits_leaves_a_hole_that_swallows_synced_ones_behind_it() {
    // Marker and Insert(5) were synced and acknowledged; they stand behind frames that no sync
    // wrote.
    let steps = [InsertRelaxed(20), InsertFails(1), Marker, Insert(5)];
    assert_eq!(killed_and_unplugged(&steps), (found(25, 1), found(0, 0)));
}

#[test]
fn a_truncating_checkpoint_and_one_more_synced_commit_close_that_hole() {
    let truncate = Checkpoint("TRUNCATE".into());
    let steps = [InsertRelaxed(20), InsertFails(1), truncate.clone(), Marker, Insert(5)];
    assert_eq!(killed_and_unplugged(&steps), (found(25, 1), found(25, 1)));
    let steps = [InsertRelaxed(20), InsertFails(1), Marker, truncate, Insert(5)];
    assert_eq!(killed_and_unplugged(&steps), (found(25, 1), found(25, 1)));
}

#[test]
fn simulated_power_loss_between_that_checkpoint_and_that_commit_can_corrupt_the_database() {
    // The database file has everything, but the WAL on the device still has its beginning, without
    // the lost frames, and its old pages stand before the new ones. (TRUNCATE is no better until
    // the truncation has reached the device.) The failed sync may be that of a commit or that of a
    // checkpoint.
    for failed in [&[InsertFails(1), Marker][..], &[CheckpointFails]] {
        let ends = Ends::of(&[&[InsertRelaxed(20)], failed, &[Checkpoint("PASSIVE".into())]].concat());
        assert_eq!(ends.killed.found().rows, 20);
        let unplugged = Connection::open(&ends.unplugged.path).unwrap();
        assert_ne!(integrity(&unplugged), Ok("ok".to_owned()));
    }
}

#[test]
fn writing_the_wal_over_itself_closes_the_hole_without_that_window() {
    for rows in super::SIZES {
        let steps = [InsertRelaxed(20), InsertFails(rows), Marker, RewriteWal];
        assert_eq!(killed_and_unplugged(&steps), (found(20, 1), found(20, 1)));
        let steps = [InsertRelaxed(20), InsertFails(rows), Marker, RewriteWal, Insert(5)];
        assert_eq!(killed_and_unplugged(&steps), (found(25, 1), found(25, 1)));
        let checkpointed = [&steps[..], &[Checkpoint("PASSIVE".into())]].concat();
        assert_eq!(killed_and_unplugged(&checkpointed), (found(25, 1), found(25, 1)));
    }
    // It disturbs nobody: others go on reading and writing.
    let others = [Elsewhere(vec![Sees(20)]), Elsewhere(vec![Insert(5)]), Sees(25)];
    let steps = [&[InsertRelaxed(20), InsertFails(1), Marker, RewriteWal][..], &others].concat();
    assert_eq!(killed_and_unplugged(&steps).0, found(25, 1));
}
