//! The campaign on a few hundred images; its controls; and planted bugs, which it must find.
#![allow(clippy::unwrap_used)]

use rusqlite::{Connection, OpenFlags};
use steadfast_store::Durability;

use super::bench::Bench;
use super::campaign::{Examined, Variant, examine_all, held_against, perform, run};
use super::fault::Fault;
use super::judge::{Broken, Kind};
use super::script::Author;
use super::session::{Recording, Session, Setup};
use super::storage::Storage;
use crate::memory_vfs::{Files, Name, Op, SyncRule};

const IMAGES: usize = 80;

fn bench() -> Bench {
    Bench::new(&std::env::temp_dir()).unwrap()
}

fn rng(seed: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed)
}

fn plain(rule: SyncRule) -> Variant {
    Variant { is_new: false, garbles: None, fails: false, rule }
}

/// How often the images of a recording break promises in this way.
fn found(bench: &mut Bench, recording: &Recording, kind: Kind) -> usize {
    let images = examine_all(bench, recording, 4 * IMAGES, &mut rng(1));
    images.iter().filter(|image| matches!(&image.broken, Some(broken) if broken.kind == kind)).count()
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_anywhere() {
    let mut bench = bench();
    let (mut cut_again, mut failed_syncs) = (0, 0);
    for script in 0..6 {
        let ran = run(&mut bench, Variant::of(script), rng(script as u64), IMAGES).unwrap();
        assert_eq!(ran.broken, [""; 0], "script {script}, without any power cut");
        let broken: Vec<&Examined> = ran.images.iter().filter(|image| image.broken.is_some()).collect();
        assert!(broken.is_empty(), "script {script}: {broken:#?}");
        cut_again += ran.images.iter().filter(|image| image.again.is_some()).count();
        failed_syncs += ran.failed_syncs;
    }
    assert!(cut_again > 0 && failed_syncs > 0, "{cut_again} cut again, {failed_syncs} syncs failed");
}

#[test]
fn a_device_that_leaves_out_syncs_is_found_out() {
    let mut bench = bench();
    let count = |ran: &super::campaign::Ran, kind| {
        ran.images.iter().filter(|image| matches!(&image.broken, Some(broken) if broken.kind == kind)).count()
    };
    let normal = run(&mut bench, plain(SyncRule::NoLog), rng(1), 2 * IMAGES).unwrap();
    assert!(count(&normal, Kind::Lost) > 0 && count(&normal, Kind::Corrupt) == 0);
    let off = run(&mut bench, plain(SyncRule::Nothing), rng(1), 4 * IMAGES).unwrap();
    assert!(count(&off, Kind::Lost) > 0 && count(&off, Kind::Corrupt) > 0);
}

#[test]
fn an_acknowledgement_before_the_sync_is_found() {
    let mut bench = bench();
    let mut recording = perform(&mut bench, plain(SyncRule::Honest), &mut rng(2)).unwrap();
    assert_eq!(found(&mut bench, &recording, Kind::Lost), 0);
    for promise in &mut recording.promises {
        // As soon as the last page of the commit is written.
        let sync = |op: &Op| matches!(op, Op::Sync { name: Name::Log, .. });
        let last = recording.ops[..promise.at].iter().rposition(sync);
        promise.at = last.filter(|_| promise.durability == Durability::Durable).unwrap_or(promise.at);
    }
    assert!(found(&mut bench, &recording, Kind::Lost) > 0);
}

#[test]
fn a_batch_that_is_committed_in_two_transactions_is_found() {
    let mut bench = bench();
    let setup = Setup { garbles: None, rule: SyncRule::Honest, seed: 3, boot: 0 };
    let mut session = Session::open(&bench, Files::default(), setup).unwrap();
    let mut author = Author::new(rng(3), session.env.clone());
    let whole = author.next().group.remove(0);
    assert_eq!(whole.commands.len(), 2, "a task and its item");
    let mut halves = [whole.clone(), whole];
    for (half, command) in halves.iter_mut().zip([0, 1]) {
        half.durability = Durability::Durable;
        half.commands = vec![half.commands[command].clone()];
        session.apply(&bench, std::slice::from_ref(half)).unwrap();
    }
    let mut recording = session.finish(&mut bench).unwrap();
    assert_eq!(found(&mut bench, &recording, Kind::Torn), 0);
    // Of one batch only the end is a state, and only the end is acknowledged.
    let half = recording.states.len() - 2;
    let at = recording.states.remove(half).at;
    recording.promises.retain(|promise| promise.commit_at != at);
    assert!(found(&mut bench, &recording, Kind::Torn) > 0);
}

#[test]
fn a_batch_that_was_answered_to_have_failed_too_early_is_found() {
    let mut bench = bench();
    let mut planted = 0;
    for seed in 0..20 {
        let variant = Variant { fails: true, ..plain(SyncRule::Honest) };
        let mut recording = perform(&mut bench, variant, &mut rng(seed)).unwrap();
        let failed = |op: &Op| matches!(op, Op::Sync { took: crate::memory_vfs::Took::Failed, .. });
        let Some(at) = recording.ops.iter().position(failed) else { continue };
        // The answer was given at the failed sync already, before a marker had overwritten the group.
        let Some(marker) = recording.states.iter().find(|state| state.at > at + 1).map(|state| state.at)
        else {
            continue;
        };
        recording.promises.push(super::session::Promise {
            at: at + 1,
            commit_at: marker,
            durability: Durability::Durable,
        });
        planted += 1;
        let mut storage = Storage::holding(&recording.start);
        for op in &recording.ops[..=at] {
            storage.play(op);
        }
        let image = storage.image(Fault::Kept, &mut rng(0));
        let (_, broken) = held_against(&mut bench, &recording, (at + 1, Fault::Kept), image);
        assert!(matches!(broken, Some(Broken { kind: Kind::Lost, .. })), "{broken:?}");
    }
    assert!(planted > 5, "{planted}");
}

#[test]
fn going_on_after_a_failed_sync_without_writing_the_log_again_loses_what_is_acknowledged_later() {
    let bench = bench();
    let device = bench.machine.device();
    let connect =
        || Connection::open_with_flags_and_vfs("a.db", OpenFlags::default(), bench.machine.name()).unwrap();
    let database = connect();
    database.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").unwrap();
    drop(database);
    let start = device.files();
    device.load(start.clone());
    device.record();
    let database = connect();
    database.execute_batch("PRAGMA synchronous = NORMAL; INSERT INTO t VALUES (1)").unwrap();
    device.fail_syncs(Name::Log, 1);
    database.execute_batch("PRAGMA synchronous = FULL; INSERT INTO t VALUES (2)").unwrap_err();
    database.execute_batch("INSERT INTO t VALUES (3)").unwrap();
    let (ops, _) = device.take_recording();
    drop(database);
    let mut storage = Storage::holding(&start);
    for op in &ops {
        storage.play(op);
    }
    let rows = |fault| {
        device.load(storage.image(fault, &mut rng(1)));
        let count = "SELECT group_concat(x) FROM t";
        connect().query_row(count, [], |row| row.get::<_, Option<String>>(0)).unwrap()
    };
    assert_eq!(rows(Fault::Kept).as_deref(), Some("1,3"));
    assert_eq!(rows(Fault::LostAfterFailedSync), None, "the synced commit stands behind a hole");
}

#[test]
fn damage_that_sqlite_does_not_see_is_found() {
    let mut bench = bench();
    let recording = perform(&mut bench, plain(SyncRule::Honest), &mut rng(4)).unwrap();
    let mut storage = Storage::holding(&recording.start);
    for op in &recording.ops {
        storage.play(op);
    }
    let files = storage.image(Fault::Kept, &mut rng(0));
    assert!(bench.look_deeply(files.clone()).unwrap().complaints.is_empty());
    for damage in [
        "UPDATE checkpoints SET payload = x'00'",
        "UPDATE checkpoints SET evidence = x'00'",
        "UPDATE checkpoints SET sequence_number = sequence_number * 1000",
        "UPDATE checkpoints SET parent_link = zeroblob(32)",
        "PRAGMA foreign_keys = OFF;
         UPDATE checkpoints SET task_id = 77 WHERE task_id = (SELECT min(task_id) FROM checkpoints)",
    ] {
        let device = bench.machine.device();
        device.load(files.clone());
        let flags = OpenFlags::default();
        let database = Connection::open_with_flags_and_vfs("a.db", flags, bench.machine.name()).unwrap();
        database.execute_batch(damage).unwrap();
        drop(database);
        let look = bench.look_deeply(device.files()).unwrap();
        assert!(!look.complaints.is_empty(), "{damage}");
        let at = recording.ops.len();
        let (_, broken) = held_against(&mut bench, &recording, (at, Fault::Kept), device.files());
        assert_eq!(broken.map(|broken| broken.kind), Some(Kind::Corrupt), "{damage}");
    }
}
