//! Waiting for changes: a commit of another process wakes whoever waits in this one, and none is missed. How fast is
//! printed here and judged by the benchmarks.

use std::path::Path;
use std::time::Duration;

use steadfast_store::env::{Clock, Env, SystemClock};
use steadfast_store::{SqliteOptions, SqliteStore, Store, StoreExt};

use crate::child::{Process, Task, hear, say};
use crate::kit::{Place, append, apply, claim, create, durable, task};

const ROUNDS: u64 = 100;
const LIMIT: Duration = Duration::from_secs(20);

/// Commits once per line and says when the commit was answered, on the clock that all processes share.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn commit_in_child(file: &Path) {
    let store = SqliteStore::open(SqliteOptions::new(file), Env::system()).await.unwrap();
    let clock = SystemClock::new();
    while hear().is_some() {
        store.append_checkpoint(append("watched", "state")).await.unwrap();
        say(&clock.boot().elapsed.as_micros().to_string());
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_another_process_wakes_every_waiter() {
    let place = Place::new();
    let store = place.open().await;
    store.create_task(create("watched")).await.unwrap();
    let clock = SystemClock::new();
    let mut committer = Process::start(&Task { role: "committer", file: &place.database(), number: 0 });
    let mut latencies = Vec::new();
    for round in 1..=ROUNDS {
        let mut seen = store.change_stamp();
        committer.tell("commit");
        // A waiter may be woken for nothing; it looks and waits again.
        let woken_at = loop {
            let before = clock.boot().elapsed;
            seen = store.changed(seen, LIMIT).await;
            let now = clock.boot().elapsed;
            assert!(now.saturating_sub(before) < LIMIT, "round {round} ended by its limit: nobody was woken");
            if store.task(&task("watched")).await.unwrap().unwrap().head.0 == round {
                break now;
            }
        };
        let answered_at = Duration::from_micros(committer.listen().unwrap().parse().unwrap());
        latencies.push(woken_at.saturating_sub(answered_at));
    }
    committer.finish();
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
    println!(
        "woken by another process, {ROUNDS} rounds: p50 {:?}, p99 {:?}, max {:?}",
        at(50),
        at(99),
        at(100)
    );
}

#[tokio::test]
async fn a_change_between_stamp_and_wait_is_not_missed() {
    let place = Place::new();
    let (store, peer) = (place.open().await, place.open().await);
    store.create_task(create("watched")).await.unwrap();
    for committer in [&store, &peer] {
        for _ in 0..20 {
            let seen = store.change_stamp();
            committer.append_checkpoint(append("watched", "state")).await.unwrap();
            let clock = SystemClock::new();
            let before = clock.monotonic();
            let now = store.changed(seen, LIMIT).await;
            assert_ne!(now, seen);
            assert!(clock.monotonic().saturating_sub(before) < LIMIT, "nobody was woken");
        }
    }
}

#[tokio::test]
async fn a_wait_without_a_change_ends_at_its_limit() {
    let place = Place::new();
    let store = place.open().await;
    let span = Duration::from_millis(30);
    // The first look at the file may count as a change.
    let mut seen = store.changed(store.change_stamp(), span).await;
    let clock = SystemClock::new();
    let before = clock.monotonic();
    let after = store.changed(seen, span).await;
    assert!(after != seen || clock.monotonic().saturating_sub(before) >= span);
    seen = after;
    let before = clock.monotonic();
    assert_eq!(store.changed(seen, span).await, seen, "woken again for nothing");
    assert!(clock.monotonic().saturating_sub(before) >= span);
}

#[tokio::test]
async fn a_claim_that_takes_nothing_wakes_nobody() {
    let place = Place::new();
    let store = place.open().await;
    let before = store.change_stamp();
    let empty = apply(&store, durable(claim(store.env(), Duration::from_secs(1)))).await;
    assert!(!empty.is_replayed());
    assert_eq!(store.change_stamp(), before);
    apply(&store, durable(create("t"))).await;
    assert_ne!(store.change_stamp(), before);
}
