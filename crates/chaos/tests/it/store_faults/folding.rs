//! Folding the log into the file (a WAL checkpoint) on a faulty device, and a store on a slow one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_chaos::vfs::{FaultVfs, SyncDelay};
use steadfast_store::{SqliteOptions, SqliteStore, Store};

use super::deed::Answer::{Applied, Failed};
use super::deed::{Answer, all, durable, relaxed};
use super::lab::Step::{Commit, Kill, Open, Read, SyncFails, WriteFails};
use super::lab::{Place, Step, Which, env, on_runtime};
use super::worker::submit;

/// As few pages as are allowed.
const OPEN: Step = Open { wal_pages: 100, psow: true };

/// More pages than that.
const LARGE: u32 = 500_000;

#[test]
fn what_was_relaxed_is_not_lost_for_what_comes_after_it_when_the_sync_before_folding_fails() {
    // The first sync of the log is that of its header.
    let sync_fails = SyncFails { file: Which::Log, nth: 2, lasting: false };
    let folded = [OPEN, sync_fails, Commit(relaxed(1).sized(LARGE))];
    let place = Place::new();
    let report = place.run(&[&folded[..], &[Commit(durable(2)), Commit(durable(3)), Read, Kill]].concat());
    report.told_exactly(&[Applied, Applied, Applied]);
    assert_eq!((report.struck, report.folds, report.rewrites), (1, 1, 1));
    place.audit(&report.told);

    // Nor when it is folded again later.
    let place = Place::new();
    let again = [Commit(durable(2).sized(LARGE)), Commit(durable(3).sized(LARGE)), Read, Kill];
    let report = place.run(&[&folded[..], &again].concat());
    report.told_exactly(&[Applied, Applied, Applied]);
    assert!(report.folds > 1 && report.rewrites == 1);
    place.audit(&report.told);
}

#[test]
fn nothing_is_lost_when_the_file_does_not_take_what_is_folded() {
    let file = Which::Database;
    for fault in [
        SyncFails { file, nth: 1, lasting: false },
        SyncFails { file, nth: 1, lasting: true },
        WriteFails { file, nth: 1 },
        WriteFails { file, nth: 50 },
    ] {
        let place = Place::new();
        let first = Commit(durable(1).sized(LARGE));
        let rest = [Commit(relaxed(2)), Commit(durable(3).sized(LARGE)), Commit(durable(4)), Read, Kill];
        let report = place.run(&[&[OPEN, fault.clone(), first], &rest[..]].concat());
        report.told_exactly(&[const { Applied }; 4]);
        assert!(report.struck > 0 && report.folds > 0 && report.rewrites > 0, "{fault:?}: {report:?}");
        place.audit(&report.told);
    }
}

#[test]
fn a_log_is_not_folded_while_syncs_fail() {
    // The first is folded, in vain, or not even that where relaxed commits are to be synced before; after that nothing
    // is tried until a marker has synced.
    for (first, nth, folds) in [(durable(1), 3, 1), (relaxed(1), 2, 0)] {
        let syncs_fail = SyncFails { file: Which::Log, nth, lasting: true };
        let large = |number| Commit(relaxed(number).sized(LARGE));
        let place = Place::new();
        let report =
            place.run(&[OPEN, syncs_fail, Commit(first.sized(LARGE)), large(2), large(3), Read, Kill]);
        report.told_exactly(&[Applied, Failed, Failed]);
        assert_eq!((report.folds, report.rewrites), (folds, 0));
        place.audit(&report.told);
    }
}

#[test]
fn a_store_on_a_slow_device_answers_after_its_sync_and_shares_syncs_among_callers() {
    const DELAY: Duration = Duration::from_millis(30);
    let place = Place::new();
    let vfs = format!("slow-{}", place.database().display());
    FaultVfs::register(&vfs, Arc::new(SyncDelay(DELAY))).unwrap();
    on_runtime(async {
        let mut options = SqliteOptions::new(place.database());
        options.vfs = Some(vfs);
        let store = SqliteStore::open(options, env()).await.unwrap();
        let mut commits: Vec<_> = all(1..65).into_iter().map(|deed| store.commit(deed.batch())).collect();
        let started = Instant::now();
        for commit in &mut commits {
            submit(commit).await;
        }
        for commit in commits {
            assert_eq!(Answer::of(commit.await), Applied);
        }
        let took = started.elapsed();
        assert!(took >= DELAY, "{took:?}");
        assert!(took < DELAY * 32, "64 batches in {took:?}");
        let started = Instant::now();
        assert_eq!(Answer::of(store.commit(durable(70).batch()).await), Applied);
        assert!(started.elapsed() >= DELAY);
        store.close().await;
    });
    assert_eq!(place.found().len(), 65);
}
