//! The heartbeat: short real terms, a sweeper that takes whatever has expired.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use steadfast_leases::Loss;
use steadfast_store::{Batch, Committed, Settle, Status, Store, StoreExt, SweepExpired, TransitionId};

use crate::stage::{Staged, enqueue, item, manager, ms, silent, soon, system};

/// Long enough that a busy machine does not end it by accident.
const TERM: Duration = Duration::from_secs(1);

async fn sweep(store: &Staged) -> usize {
    let sweep = TransitionId::generate(store.env());
    store.sweep_expired(SweepExpired { sweep, limit: 10 }).await.unwrap().reclaimed.len()
}

#[tokio::test]
async fn a_heartbeat_keeps_a_lease_for_several_terms() {
    let store = system();
    enqueue(&*store, 1, Duration::ZERO).await;
    let lease = manager(&store, TERM).claim().await.unwrap().unwrap();
    for _ in 0..12 {
        tokio::time::sleep(TERM / 4).await;
        assert_eq!(sweep(&store).await, 0);
        assert!(!lease.is_lost());
    }
    let renewals = store.renewals.load(Ordering::SeqCst);
    assert!((6..=12).contains(&renewals), "{renewals} renewals in three terms, about nine are due");
    lease.finish(Settle::Succeeded).await.unwrap();
}

#[tokio::test]
async fn without_a_heartbeat_the_lease_is_swept_after_its_term() {
    let store = system();
    enqueue(&*store, 1, Duration::ZERO).await;
    let lease = silent(&store, TERM).claim().await.unwrap().unwrap();
    tokio::time::sleep(TERM + ms(20)).await;
    assert!(lease.is_lost());
    assert_eq!(sweep(&store).await, 1);
}

#[tokio::test]
async fn dropping_a_lease_stops_its_heartbeat_and_settles_nothing() {
    let store = system();
    enqueue(&*store, 1, Duration::ZERO).await;
    let lease = manager(&store, TERM).claim().await.unwrap().unwrap();
    let lost = lease.lost();
    tokio::time::sleep(TERM / 2).await;
    drop(lease);
    assert_eq!(soon(lost).await, Loss::GivenUp);
    let renewals = store.renewals.load(Ordering::SeqCst);
    assert_eq!(store.work_item(&item(0)).await.unwrap().unwrap().status, Status::InProgress);
    tokio::time::sleep(TERM * 2).await;
    assert_eq!(store.renewals.load(Ordering::SeqCst), renewals, "it beats on without its lease");
    assert_eq!(sweep(&store).await, 1);
}

#[tokio::test]
async fn a_heartbeat_ends_with_its_lease_and_not_at_its_next_beat() {
    let store = system();
    enqueue(&*store, 1, Duration::ZERO).await;
    let lease = manager(&store, Duration::from_mins(5)).claim().await.unwrap().unwrap();
    // The heartbeat holds the store for as long as it lives.
    assert!(Arc::strong_count(&store) > 1);
    drop(lease);
    let ended = async {
        while Arc::strong_count(&store) > 1 {
            tokio::time::sleep(ms(5)).await;
        }
    };
    soon(ended).await;
}

#[tokio::test]
async fn a_heartbeat_outlives_renewals_that_the_store_refused_or_left_unclear() {
    let spoils: [fn(&Staged) -> &AtomicU32; 2] = [|store| &store.overloaded, |store| &store.unknown];
    for spoil in spoils {
        let store = system();
        enqueue(&*store, 1, Duration::ZERO).await;
        let lease = manager(&store, TERM).claim().await.unwrap().unwrap();
        spoil(&store).store(5, Ordering::SeqCst);
        tokio::time::sleep(TERM * 2).await;
        assert_eq!(spoil(&store).load(Ordering::SeqCst), 0);
        assert!(!lease.is_lost());
    }
}

#[tokio::test]
async fn the_heartbeat_of_a_reclaimed_item_ends_and_revives_nothing() {
    let store = system();
    enqueue(&*store, 1, Duration::ZERO).await;
    let lease = manager(&store, TERM).claim().await.unwrap().unwrap();
    // No renewal gets through until the term is over and the item has been taken.
    store.overloaded.store(crate::stage::ALWAYS, Ordering::SeqCst);
    assert_eq!(soon(lease.lost()).await, Loss::DeadlinePassed);
    store.overloaded.store(0, Ordering::SeqCst);
    tokio::time::sleep(ms(20)).await;
    assert_eq!(sweep(&store).await, 1);
    let second = manager(&store, TERM).claim().await.unwrap().unwrap();
    assert!(lease.renew().await.is_err());
    assert_eq!(lease.loss(), Some(Loss::DeadlinePassed));
    assert!(!second.is_lost());
}

#[tokio::test]
async fn a_settlement_committed_with_other_commands_is_not_reported_as_a_loss() {
    let store = system();
    enqueue(&*store, 1, Duration::ZERO).await;
    let lease = manager(&store, TERM).claim().await.unwrap().unwrap();
    let mut batch = Batch::durable();
    batch.add(lease.settle(Settle::Succeeded));
    assert!(matches!(store.commit(batch).await.unwrap(), Committed::Applied(_)));
    let began = store.renewals.load(Ordering::SeqCst);
    let beat = async {
        while store.renewals.load(Ordering::SeqCst) == began {
            tokio::time::sleep(ms(5)).await;
        }
    };
    soon(beat).await;
    tokio::time::sleep(ms(10)).await;
    assert_eq!(lease.loss(), None, "the refused renewal was taken for a loss");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sweepers_and_heartbeats_side_by_side_leave_every_live_lease_alone() {
    let store = system();
    enqueue(&*store, 20, Duration::ZERO).await;
    let leases = manager(&store, TERM).claim_many(20).await.unwrap();
    assert_eq!(leases.len(), 20);
    let sweepers = (0..3).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut taken = 0;
            for _ in 0..400 {
                taken += sweep(&store).await;
                tokio::time::sleep(ms(4)).await;
            }
            taken
        })
    });
    for sweeper in sweepers.collect::<Vec<_>>() {
        assert_eq!(sweeper.await.unwrap(), 0);
    }
    assert!(leases.iter().all(|lease| !lease.is_lost()));
}
