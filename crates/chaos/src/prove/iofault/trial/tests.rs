//! What trials find wrong: stores that lie, a device that lies, and answers that come too early are each noticed.

use super::*;
use crate::prove::iofault::disk::Sickness;
use crate::vfs::{FileRole, OpKind};

fn durable() -> Scenario {
    Scenario::named("durable", 1).unwrap().unwrap()
}

/// What is found when a store does the first two acts on a healthy device, and then what it told is forged.
fn found_after(forge: impl Fn(&mut Vec<Told>), extra: Option<usize>) -> Vec<Wrong> {
    let (folder, scenario) = (tempfile::tempdir().unwrap(), durable());
    let vfs = format!("trial-tests-{}", folder.path().display());
    let mut bench = Bench::new(&scenario, folder.path(), &vfs).unwrap();
    let database = folder.path().join("agent.db");
    fs::copy(folder.path().join("base.db"), &database).unwrap();
    let mut subject = Subject::new(&database, &scenario, Duration::ZERO);
    subject.open();
    for act in [0, 1] {
        subject.submit(act, &scenario.submission(act).unwrap().batch, None);
    }
    let mut told = subject.told.clone();
    if let Some(act) = extra {
        subject.submit(act, &scenario.submission(act).unwrap().batch, None);
    }
    subject.close();
    forge(&mut told);
    let mut found = Found::default();
    bench.look_at_left(&database, &told, "forged", &mut found).unwrap();
    found.wrong.into_iter().map(|(wrong, _)| wrong).collect()
}

#[test]
fn true_answers_are_explained_and_an_unknown_resolves() {
    assert!(found_after(|_| {}, None).is_empty());
    assert!(found_after(|told| told[1].answer = Answer::Unknown, None).is_empty());
}

#[test]
fn a_lie_about_a_batch_is_contradicted_by_the_file() {
    let never_done = Told { act: 2, after: Duration::ZERO, answer: Answer::Applied };
    assert_eq!(
        found_after(|told| told.push(never_done.clone()), None),
        [Wrong::Unexplained],
        "acknowledged, lost"
    );
    assert_eq!(
        found_after(|told| told[1].answer = Answer::Failed, None),
        [Wrong::Unexplained],
        "failed, yet done"
    );
    assert_eq!(
        found_after(|_| {}, Some(2)),
        [Wrong::Unexplained],
        "done under an identity that nobody told of"
    );
}

#[test]
fn a_device_that_only_says_that_it_syncs_loses_what_was_acknowledged() {
    struct Swallows(Arc<Disk>);
    impl FileFaults for Swallows {
        fn before(&self, op: &FileOp) -> Fault {
            if op.kind == OpKind::Sync { Fault::Pass } else { self.0.before(op) }
        }
    }
    let (folder, scenario) = (tempfile::tempdir().unwrap(), durable());
    let vfs = |name| format!("trial-tests-{name}-{}", folder.path().display());
    let mut bench = Bench::new(&scenario, folder.path(), &vfs("bench")).unwrap();
    let place = bench.place("swallowed").unwrap();
    let disk = Arc::new(Disk::under(&place.database).unwrap());
    FaultVfs::register(&vfs("swallows"), Arc::new(Swallows(disk.clone()))).unwrap();
    let mut subject = Subject::new(&place.database, &scenario, Duration::ZERO).on(&vfs("swallows"), &disk);
    subject.open();
    subject.act(&scenario, &disk);
    assert!(subject.told.iter().all(|told| told.answer == Answer::Applied));
    let mut found = Found::default();
    bench.look_after_loss(&place, &disk, &subject, Loss::All, "swallowed", &mut found).unwrap();
    assert_eq!(found.wrong.iter().map(|(wrong, _)| *wrong).collect::<Vec<_>>(), [Wrong::Unexplained]);
}

#[test]
fn an_acknowledgement_after_a_failed_sync_and_before_the_next_is_noticed() {
    let (folder, scenario) = (tempfile::tempdir().unwrap(), durable());
    let base = folder.path().join("base.db");
    make_base(&base, &scenario).unwrap();
    let disk = Disk::under(&base).unwrap();
    let sync = FileOp { kind: OpKind::Sync, file: FileRole::Wal, offset: 0, length: 0, index: 0 };
    disk.strike_at(StrikeAt { operation: 1, lasting: false, sickness: Sickness::Eio });
    let mut subject = Subject::new(&base, &scenario, Duration::ZERO);
    subject.open();
    let mut too_early = |act| {
        subject.submit(act, &scenario.submission(act).unwrap().batch, Some(&disk));
        subject.too_early
    };
    assert_eq!(too_early(0), 0);
    assert!(disk.before(&sync) != Fault::Pass);
    assert_eq!(too_early(1), 1);
    disk.after(&sync);
    assert_eq!(too_early(2), 1, "a later sync has succeeded");
}

#[test]
fn every_scenario_is_struck_soundly_at_its_beginning_and_its_end() {
    for name in crate::prove::iofault::acts::NAMES {
        let (folder, scenario) = (tempfile::tempdir().unwrap(), Scenario::named(name, 3).unwrap().unwrap());
        let vfs = format!("trial-tests-{name}-{}", folder.path().display());
        let mut bench = Bench::new(&scenario, folder.path(), &vfs).unwrap();
        for sickness in Sickness::ALL {
            let operations = bench.operations(|disk| disk.seen(sickness)).unwrap();
            for (operation, lasting) in [(1, true), (operations / 2, false), (operations, true)] {
                let found = bench.strike(StrikeAt { operation, lasting, sickness }).unwrap();
                assert!(found.wrong.is_empty(), "{:?}", found.wrong);
                assert!(found.struck > 0, "{name}, {sickness:?} at {operation} of {operations}");
            }
        }
    }
}
