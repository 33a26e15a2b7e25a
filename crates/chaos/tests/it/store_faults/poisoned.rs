//! Syncs that keep failing: the store acknowledges nothing until a marker has synced and the log was written over
//! itself; after that nothing acknowledged is lost, whatever stood in the log before.

use std::sync::Arc;
use std::time::Duration;

use steadfast_chaos::prove::iofault::disk::Disk;
use steadfast_chaos::vfs::{FaultVfs, FileRole, OpKind, Rule, Script};
use steadfast_store::{SqliteCore, SqliteOptions};

use super::deed::Answer::{Applied, Failed, Replayed, Unknown};
use super::deed::{Answer, Deed, Told, all, durable, relaxed};
use super::lab::Step::{
    Close, Commit, Evict, Group, Heal, Kill, PeerBeforeRewrite, PeerDuringRewrite, Read, Restore,
};
use super::lab::{OPEN, Place, SYNC_FAILS, SYNCS_FAIL, env};

#[test]
fn while_syncs_fail_one_group_is_unknown_and_nothing_else_is_acknowledged() {
    let place = Place::new();
    let before = [OPEN, Commit(durable(1)), SYNCS_FAIL, Group(all(10..14))];
    let meanwhile = [Commit(durable(20)), Commit(relaxed(21)), Commit(durable(10)), Read, Heal];
    let after = [Commit(durable(2)), Group(all(10..14)), Commit(durable(20)), Read, Kill];
    let report = place.run(&[&before[..], &meanwhile, &after].concat());
    let answers = report.answers();
    let poisoned = [&[Applied][..], &[const { Unknown }; 4], &[const { Failed }; 3], &[Applied]].concat();
    assert_eq!(answers[..9], poisoned);
    assert!(answers[9..].iter().all(|answer| [Applied, Replayed].contains(answer)), "{answers:?}");
    assert_eq!((report.markers, report.rewrites), (1, 1));
    place.audit(&report.told);
}

#[test]
fn a_process_killed_while_syncs_fail_leaves_what_the_next_one_resolves() {
    let place = Place::new();
    let before = [OPEN, Commit(relaxed(1)), Commit(durable(2)), Commit(relaxed(3))];
    let first = place.run(&[&before[..], &[SYNCS_FAIL, Group(all(10..14)), Kill]].concat());
    first.told_exactly(&[&[const { Applied }; 3][..], &[const { Unknown }; 4]].concat());
    place.audit(&first.told);

    // The pages that the failed syncs dropped count as clean for the next process too.
    let second = place.run(&[OPEN, Read, Group(all(10..14)), Commit(durable(20)), Read, Kill]);
    assert!(second.answers().iter().all(|answer| [Applied, Replayed].contains(answer)));
    place.audit(&second.told);
}

#[test]
fn what_is_acknowledged_after_a_failed_sync_survives_although_relaxed_commits_stood_before_it() {
    let before = [OPEN, Commit(relaxed(1)), Commit(relaxed(2)), Commit(relaxed(3).sized(50_000))];
    let place = Place::new();
    let once = [SYNC_FAILS, Commit(durable(10)), Commit(durable(20)), Kill];
    let report = place.run(&[&before[..], &once].concat());
    report.told_exactly(&[Applied, Applied, Applied, Failed, Applied]);
    place.audit(&report.told);

    let place = Place::new();
    let lasting = [SYNCS_FAIL, Commit(durable(10)), Commit(durable(11)), Heal, Commit(durable(20)), Kill];
    let report = place.run(&[&before[..], &lasting].concat());
    report.told_exactly(&[Applied, Applied, Applied, Unknown, Failed, Applied]);
    place.audit(&report.told);
}

#[test]
fn a_failed_sync_right_after_another_is_overcome_as_well() {
    let place = Place::new();
    let once = [Commit(relaxed(1)), SYNC_FAILS, Commit(durable(10)), Commit(durable(2))];
    let twice = [Commit(relaxed(3)), SYNC_FAILS, Commit(durable(11)), Commit(durable(4)), Kill];
    let report = place.run(&[&[OPEN], &once[..], &twice].concat());
    report.told_exactly(&[Applied, Failed, Applied, Applied, Failed, Applied]);
    assert_eq!(report.rewrites, 2);
    place.audit(&report.told);
}

#[test]
fn a_log_of_which_the_kernel_dropped_a_page_is_never_built_upon() {
    let place = Place::new();
    let before = [OPEN, Commit(durable(1)), Commit(relaxed(2).sized(50_000)), Commit(relaxed(3))];
    let dropped = [SYNCS_FAIL, Commit(durable(10)), Evict, Heal];
    let poisoned = [Commit(durable(20)), Commit(relaxed(21)), Commit(durable(10))];
    let after = [Restore, Commit(durable(20)), Commit(durable(10)), Read, Kill];
    let report = place.run(&[&before[..], &dropped, &poisoned, &after].concat());
    let answers = report.answers();
    assert_eq!(answers[..8], [Applied, Applied, Applied, Unknown, Failed, Failed, Failed, Applied]);
    assert!([Applied, Replayed].contains(&answers[8]));
    assert!(report.markers > report.rewrites, "the marker synced, and was not enough");
    place.audit(&report.told);
}

#[test]
fn another_process_reads_on_and_finds_the_locks_taken_while_the_log_is_written_over_itself() {
    let place = Place::new();
    let failing = [SYNC_FAILS, Commit(durable(10)), Commit(durable(2)), Kill];
    let report = place.run(&[&[PeerDuringRewrite, OPEN, Commit(relaxed(1))], &failing[..]].concat());
    report.told_exactly(&[Applied, Failed, Applied]);
    assert_eq!(report.rewrites, 1);
    place.audit(&report.told);
}

#[test]
fn a_log_that_another_process_began_anew_after_the_marker_is_proven_by_one_more() {
    let place = Place::new();
    let before = [PeerBeforeRewrite, OPEN, Commit(relaxed(1).sized(50_000))];
    let failing = [SYNC_FAILS, Commit(durable(10)), Commit(durable(2)), Read, Kill];
    let report = place.run(&[&before[..], &failing].concat());
    report.told_exactly(&[Applied, Failed, Applied]);
    assert_eq!((report.markers, report.rewrites), (2, 1));
    // What the other process wrote is not modelled.
    place.audit_after(&report.told, &[]);
}

#[test]
fn a_poisoned_store_that_is_closed_and_opened_again_has_lost_nothing() {
    let place = Place::new();
    let before = [OPEN, Commit(relaxed(1).sized(50_000)), SYNCS_FAIL, Commit(durable(10)), Close];
    let after = [Heal, OPEN, Read, Commit(durable(10)), Commit(durable(2)), Kill];
    let report = place.run(&[&before[..], &after].concat());
    let answers = report.answers();
    assert_eq!(answers[..2], [Applied, Unknown]);
    assert!([Applied, Replayed].contains(&answers[2]) && answers[3] == Applied, "{answers:?}");
    place.audit(&report.told);
}

#[test]
fn a_poisoned_store_folds_its_log_neither_when_it_is_due_nor_when_it_is_closed() {
    let place = Place::new();
    let disk = Arc::new(Disk::under(&place.database()).unwrap());
    let mut options = SqliteOptions::new(place.database());
    let vfs = format!("poisoned-{}", place.database().display());
    FaultVfs::register(&vfs, disk.clone()).unwrap();
    (options.vfs, options.wal_pages) = (Some(vfs), 100);
    let mut core = SqliteCore::open(&options, env().with_failpoints(disk.clone())).unwrap();
    let mut told = Told::default();
    let mut apply = |core: &mut SqliteCore, deed: Deed| {
        let answer = core.apply(&[&deed.batch()], Duration::from_secs(1)).pop().unwrap();
        told.0.push((deed, Answer::of(answer)));
    };
    apply(&mut core, relaxed(1).sized(500_000));
    disk.script.add(Rule::next(OpKind::Sync, FileRole::Wal, Script::EIO).lasting());
    apply(&mut core, durable(10));
    // The device is well again, but the store has not seen it yet.
    disk.heal();
    let written = disk.script.count(OpKind::Write, FileRole::Database);
    assert!(core.log_pages() > options.wal_pages);
    core.fold_log_if_due();
    drop(core);
    assert_eq!(disk.script.count(OpKind::Write, FileRole::Database), written);
    assert_eq!(disk.script.count(OpKind::Delete, FileRole::Wal), 0);
    assert_eq!(told.answers(), [Applied, Unknown]);
    disk.save().unwrap();
    place.audit(&told);
}

#[test]
fn a_store_that_was_opened_on_a_log_proves_it_once_and_a_new_one_need_not() {
    let place = Place::new();
    let first = place.run(&[OPEN, Commit(durable(1)), Kill]);
    assert_eq!((first.markers, first.rewrites), (0, 0));
    let second = place.run(&[OPEN, Commit(durable(2)), Commit(durable(3)), Kill]);
    assert_eq!((second.markers, second.rewrites), (1, 1));
    let last = place.run(&[OPEN, Commit(durable(4)), Close, OPEN, Commit(durable(5)), Kill]);
    assert_eq!((last.markers, last.rewrites), (1, 1), "a log that was folded and removed needs none");
    place.audit(&last.told);
}
