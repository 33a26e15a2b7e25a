//! What a commit syncs: a relaxed one nothing, a durable one the log, and a durable replay of a relaxed one too, for
//! its answer must be as durable as it asks. Counted from outside, by strace(1).

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use steadfast_store::env::Env;
use steadfast_store::{Batch, Durability, SqliteOptions, SqliteStore, Store};

use crate::child::{Process, Task};
use crate::kit::{Place, append, apply, batch, create, durable, skipped};

/// The commits of a child, one after the other in a store that it opens and closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Nothing,
    Relaxed,
    Durable,
    RelaxedThenDurable,
    RelaxedThenDurableReplay,
    RelaxedThenRelaxedReplay,
    DurableRejected,
    DurableEmpty,
}

const ALL: [Work; 8] = [
    Work::Nothing,
    Work::Relaxed,
    Work::Durable,
    Work::RelaxedThenDurable,
    Work::RelaxedThenDurableReplay,
    Work::RelaxedThenRelaxedReplay,
    Work::DurableRejected,
    Work::DurableEmpty,
];

const REPEATS: usize = 20;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn work_in_child(file: &Path, number: usize) {
    let store = SqliteStore::open(SqliteOptions::new(file), Env::system()).await.unwrap();
    apply(&store, durable(create("t"))).await;
    for _ in 0..REPEATS {
        work(&store, ALL[number]).await;
    }
    store.close().await;
}

async fn work(store: &SqliteStore, work: Work) {
    let command = append("t", "state");
    let relaxed = batch(Durability::Relaxed, command.clone());
    match work {
        Work::Nothing => {}
        Work::Relaxed => drop(apply(store, relaxed).await),
        Work::Durable => drop(apply(store, durable(command)).await),
        Work::RelaxedThenDurable => {
            apply(store, relaxed).await;
            apply(store, durable(append("t", "another"))).await;
        }
        Work::RelaxedThenDurableReplay => {
            apply(store, relaxed).await;
            assert!(apply(store, durable(command)).await.is_replayed());
        }
        Work::RelaxedThenRelaxedReplay => {
            apply(store, relaxed.clone()).await;
            assert!(apply(store, relaxed).await.is_replayed());
        }
        Work::DurableRejected => {
            store.commit(durable(append("no such task", ""))).await.unwrap().into_applied().unwrap_err();
        }
        Work::DurableEmpty => drop(apply(store, Batch::durable()).await),
    }
}

/// How many syncs the process and all its threads asked for.
fn count_syncs(work: Work) -> usize {
    let place = Place::new();
    let trace = place.folder().join("trace");
    let arguments = ["-f", "-qq", "-e", "trace=fsync,fdatasync", "-o"];
    let mut arguments: Vec<OsString> = arguments.map(OsString::from).into();
    arguments.push(trace.clone().into());
    let number = ALL.iter().position(|one| *one == work).unwrap();
    let task = Task { role: "sync", file: &place.database(), number };
    Process::start_under("strace", &arguments, &task).finish();
    // A call that another thread interrupts has two lines; the second says "resumed".
    fs::read_to_string(trace).unwrap().lines().filter(|line| line.contains("sync(")).count()
}

#[test]
fn relaxed_commits_do_not_sync_and_durable_ones_do() {
    let probe =
        Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        skipped("strace cannot be run here: syncs are not counted");
        return;
    }
    let base = count_syncs(Work::Nothing);
    assert!(base > 0, "strace saw no sync at all");
    for (work, each) in [
        (Work::Relaxed, 0),
        (Work::Durable, 1),
        (Work::RelaxedThenDurable, 1),
        (Work::RelaxedThenDurableReplay, 1),
        (Work::RelaxedThenRelaxedReplay, 0),
        (Work::DurableRejected, 0),
        (Work::DurableEmpty, 0),
    ] {
        assert_eq!(count_syncs(work) - base, each * REPEATS, "syncs of {REPEATS} times {work:?}");
    }
}
