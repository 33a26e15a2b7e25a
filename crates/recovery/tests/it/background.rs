//! Sweeping in the background, beside live heartbeats.

use std::sync::Arc;
use std::time::Duration;

use steadfast_leases::{LeaseManager, LeaseOptions};
use steadfast_recovery::{SweepOptions, Sweeper};
use steadfast_store::env::Env;
use steadfast_store::{
    CreateTask, Delay, Enqueue, HolderId, Label, MemoryStore, Payload, Settle, Store, StoreExt, TaskId,
    WorkItemId,
};

const PERIOD: Duration = Duration::from_millis(10);

/// Waits for what must come soon; none when it does not.
async fn soon<F: Future>(future: F) -> Option<F::Output> {
    tokio::time::timeout(Duration::from_secs(10), future).await.ok()
}

async fn store_with_items(count: u32) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new(Env::system()));
    let (task, kind) = (TaskId::new("t").unwrap(), Label::new("work").unwrap());
    let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
    store.create_task(create).await.unwrap();
    for number in 0..count {
        let item = WorkItemId::new(format!("t/{number}")).unwrap();
        let (task, kind) = (task.clone(), kind.clone());
        let enqueue = Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 9 };
        store.enqueue(enqueue).await.unwrap();
    }
    store
}

fn leases(store: &Arc<MemoryStore>, heartbeat: bool) -> LeaseManager {
    // Long enough that a busy machine does not end it by accident.
    let term = Duration::from_millis(800);
    let options = LeaseOptions { heartbeat, term, ..LeaseOptions::new(HolderId::new("w").unwrap()) };
    LeaseManager::new(store.clone(), options).unwrap()
}

#[tokio::test]
async fn an_item_of_a_holder_that_vanished_is_taken_over_and_a_live_one_is_not() {
    let store = store_with_items(2).await;
    let sweeping = Sweeper::new(store.clone(), SweepOptions::default()).run_every(PERIOD);
    let live = leases(&store, true).claim().await.unwrap().unwrap();
    let silent = leases(&store, false).claim().await.unwrap().unwrap();
    let taken = leases(&store, true).wait_for_work(Duration::from_secs(10)).await.unwrap().unwrap();
    assert_eq!(taken.item().id, silent.item().id);
    assert!(silent.is_lost(), "the sweep was earlier than the holder's own clock");
    assert!(silent.finish(Settle::Succeeded).await.is_err());
    // Two terms on, both living holders still have theirs.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!live.is_lost() && !taken.is_lost());
    let total = soon(sweeping.stop()).await.unwrap();
    assert_eq!((total.expired_found, total.recovered, total.errors), (1, 1, 0));
}

#[tokio::test]
async fn it_sweeps_at_once_and_then_every_period_until_it_is_stopped() {
    let store = store_with_items(0).await;
    let sweeping = Sweeper::new(store, SweepOptions::default()).run_every(Duration::from_secs(3_000));
    let stopped = async {
        sweeping.passed(1).await;
        sweeping.stop().await
    };
    assert!(soon(stopped).await.is_some(), "the stop waited for the period");
    let store = store_with_items(0).await;
    let sweeping = Sweeper::new(store, SweepOptions::default()).run_every(PERIOD);
    assert!(soon(sweeping.passed(5)).await.is_some());
}

#[tokio::test]
async fn dropping_the_handle_ends_the_sweep() {
    let store = store_with_items(0).await;
    let sweeping = Sweeper::new(store.clone(), SweepOptions::default()).run_every(PERIOD);
    sweeping.passed(2).await;
    drop(sweeping);
    // The task holds the store until it ends.
    let ended = async {
        while Arc::strong_count(&store) > 1 {
            tokio::time::sleep(PERIOD).await;
        }
    };
    assert!(soon(ended).await.is_some());
    assert_eq!(store.health().await.unwrap().expired_leases, 0);
}
