//! One fault in the midst of a group: only who must fail does, and nothing of it is left.

use super::deed::Answer::{Applied, DiskFull, Failed, Replayed, Unknown};
use super::deed::{all, durable, relaxed};
use super::lab::Step::{BytesLeft, Commit, Group, Heal, Kill, LogEnds, Open, Read, SyncFails, WriteFails};
use super::lab::{OPEN, Place, Report, SYNC_FAILS, Which};

/// A page in the log and its header, in bytes.
const FRAME: u64 = 24 + 4_096;

/// Many pages in one batch.
const LARGE: u32 = 600_000;

#[test]
fn a_group_whose_sync_fails_is_failed_for_every_caller_and_gone_for_good() {
    let place = Place::new();
    let before = [OPEN, Commit(durable(1)), Commit(relaxed(2))];
    let after = [SYNC_FAILS, Group(all(10..18)), Read, Commit(durable(3)), Kill];
    let report = place.run(&[&before[..], &after].concat());
    report.told_exactly(&[&[const { Applied }; 2][..], &[const { Failed }; 8], &[Applied]].concat());
    assert_eq!((report.struck, report.markers, report.rewrites), (1, 1, 1));
    place.audit(&report.told);

    // Submitted again, by the process that comes after it, each is applied once.
    let again = place.run(&[OPEN, Group(all(10..18)), Group(all(10..18)), Read, Kill]);
    again.told_exactly(&[[const { Applied }; 8], [const { Replayed }; 8]].concat());
    place.audit(&again.told);
}

#[test]
fn the_same_process_applies_a_failed_group_once_when_it_is_submitted_again() {
    let place = Place::new();
    let steps = [OPEN, Commit(durable(1)), SYNC_FAILS, Group(all(10..18)), Group(all(10..18)), Read, Kill];
    let report = place.run(&steps);
    report.told_exactly(&[&[Applied][..], &[const { Failed }; 8], &[const { Applied }; 8]].concat());
    place.audit(&report.told);
}

#[test]
fn it_makes_no_difference_when_the_sync_that_fails_is_the_first_of_a_log() {
    // A new log's header is synced before its first frame.
    for nth in [1, 2] {
        let place = Place::new();
        let sync_fails = SyncFails { file: Which::Log, nth, lasting: false };
        let report = place.run(&[OPEN, sync_fails, Group(all(10..18)), Read, Commit(durable(1)), Kill]);
        report.told_exactly(&[&[const { Failed }; 8][..], &[Applied]].concat());
        assert_eq!((report.struck, report.rewrites), (1, 1));
        place.audit(&report.told);
    }
}

#[test]
fn a_write_that_fails_once_costs_no_caller_his_batch() {
    for nth in [1, 2, 5, 8] {
        let place = Place::new();
        let write_fails = WriteFails { file: Which::Log, nth };
        let report = place.run(&[OPEN, Commit(durable(1)), write_fails, Group(all(10..18)), Read, Kill]);
        report.told_exactly(&[const { Applied }; 9]);
        assert_eq!((report.struck, report.markers), (1, 1));
        place.audit(&report.told);
    }
}

/// A group of which one batch needs more of the device than it takes.
fn group_with_a_large_one(full: bool) -> Report {
    let place = Place::new();
    let large = durable(12).sized(LARGE);
    let group = vec![durable(10), relaxed(11), large, durable(13)];
    let log_ends = LogEnds { bytes: 32 + 100 * FRAME, full };
    let report =
        place.run(&[OPEN, Commit(durable(1)), log_ends, Group(group), Read, Heal, Commit(large), Kill]);
    assert!(report.struck > 0);
    place.audit(&report.told);
    report
}

#[test]
fn only_the_batch_whose_writes_the_device_refuses_fails_of_its_group() {
    let report = group_with_a_large_one(false);
    report.told_exactly(&[Applied, Applied, Applied, Failed, Applied, Applied]);
    assert!(report.markers > 0);
}

#[test]
fn only_the_batch_for_which_the_disk_is_too_full_fails_of_its_group() {
    let report = group_with_a_large_one(true);
    report.told_exactly(&[Applied, Applied, Applied, DiskFull, Applied, Applied]);
    assert_eq!(report.markers, 0, "no sync was tried");
}

#[test]
fn a_disk_that_fills_up_anywhere_in_a_group_takes_nothing_that_was_acknowledged() {
    for bytes in [0, 10, FRAME / 2, FRAME, 2 * FRAME + 1_000, 4 * FRAME] {
        let place = Place::new();
        let before = [OPEN, Commit(durable(1)), Commit(relaxed(2)), BytesLeft(bytes)];
        let after = [Group(all(10..18)), Commit(durable(3)), Read, Heal, Group(all(10..18)), Kill];
        let report = place.run(&[&before[..], &after].concat());
        assert!(report.struck > 0);
        let answers = report.answers();
        assert_eq!(answers[..2], [Applied, Applied]);
        assert!(answers[2..11].contains(&DiskFull), "{bytes}: {answers:?}");
        assert!(answers[2..11].iter().all(|answer| [DiskFull, Applied].contains(answer)), "{answers:?}");
        assert!(answers[11..].iter().all(|answer| [Replayed, Applied].contains(answer)), "{answers:?}");
        place.audit(&report.told);
    }
}

#[test]
fn nor_does_it_when_the_log_is_padded_to_whole_sectors() {
    // The last frame of a commit, its mark included, is written several times then: it may be whole when the disk is
    // full.
    let mut full = 0;
    for bytes in (0..12).map(|half| half * FRAME / 2 + 100) {
        let place = Place::new();
        let open = Open { wal_pages: 4_000, psow: false };
        let before = [open, Commit(durable(1)), BytesLeft(bytes), Commit(durable(2))];
        let report = place.run(&[&before[..], &[Kill]].concat());
        place.audit(&report.told);
        full += u32::from(report.struck > 0);

        let place = Place::new();
        let after = [Commit(durable(3)), Read, Heal, Commit(durable(2)), Commit(durable(4)), Read, Kill];
        let report = place.run(&[&before[..], &after].concat());
        let answers = report.answers();
        let possible = [Applied, DiskFull, Failed, Unknown];
        assert!(answers[1..3].iter().all(|answer| possible.contains(answer)), "{bytes}: {answers:?}");
        assert!([Applied, Replayed].contains(&answers[3]) && answers[4] == Applied, "{answers:?}");
        place.audit(&report.told);
    }
    assert!(full > 5);
}
