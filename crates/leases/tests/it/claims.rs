//! Claiming: what is taken, what an unclear answer does, what a dropped future leaves behind, how long a wait lasts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use steadfast_leases::{LeaseManager, LeaseOptions, Loss};
use steadfast_store::env::{Env, ManualClock};
use steadfast_store::{
    CreateTask, Delay, HolderId, Label, MemoryStore, Payload, Settle, Status, Store, StoreError, StoreExt,
    TaskId,
};

use crate::stage::{ALWAYS, Staged, enqueue, item, manager, ms, options, silent, soon, system};

#[tokio::test]
async fn a_claim_takes_items_in_order_and_none_when_there_are_none() {
    let store = system();
    enqueue(&*store, 3, Duration::ZERO).await;
    let leases = manager(&store, Duration::from_mins(1));
    let taken = leases.claim_many(2).await.unwrap();
    assert_eq!(taken.iter().map(|lease| lease.item().id.clone()).collect::<Vec<_>>(), [item(0), item(1)]);
    let last = leases.claim().await.unwrap().unwrap();
    assert_eq!((last.item().id.clone(), last.item().attempt), (item(2), 1));
    assert!(leases.claim().await.unwrap().is_none());
}

#[tokio::test]
async fn a_term_out_of_bounds_is_refused() {
    for term in [Duration::ZERO, Duration::from_hours(24 * 366)] {
        let store = Arc::new(MemoryStore::new(Env::system()));
        assert!(LeaseManager::new(store, options(term)).is_err());
    }
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_submitted_again_and_takes_its_items_once() {
    let store = system();
    enqueue(&*store, 2, Duration::ZERO).await;
    store.unknown.store(2, Ordering::SeqCst);
    let lease = manager(&store, Duration::from_mins(1)).claim().await.unwrap().unwrap();
    assert_eq!((lease.item().id.clone(), lease.guard().fence.0), (item(0), 1));
    assert_eq!(store.work_item(&item(1)).await.unwrap().unwrap().status, Status::Pending);
}

#[tokio::test]
async fn the_deadline_of_a_claim_counts_from_before_its_first_submission() {
    let store = system();
    enqueue(&*store, 1, Duration::ZERO).await;
    let before = store.env().clock().monotonic();
    // The pauses between the submissions make at least 15 ms.
    store.unknown.store(2, Ordering::SeqCst);
    let lease = silent(&store, Duration::from_secs(1)).claim().await.unwrap().unwrap();
    assert!(store.env().clock().monotonic() >= before + ms(15));
    assert!(lease.deadline() < before + Duration::from_secs(1) + ms(10), "it counts from the answer");
}

#[tokio::test]
async fn a_dropped_claim_releases_what_it_took_without_counting_an_attempt() {
    let inner = MemoryStore::new(Env::system()).with_yields();
    let store = Arc::new(Staged::new(inner));
    enqueue(&*store, 2, Duration::ZERO).await;
    let leases = manager(&store, Duration::from_mins(1));
    // At every point from "not polled" to "answered but not read".
    for polls in 0..12 {
        let mut claim = Box::pin(leases.claim_many(2));
        for _ in 0..polls {
            let waker = std::task::Waker::noop();
            let poll = claim.as_mut().poll(&mut std::task::Context::from_waker(waker));
            if let std::task::Poll::Ready(taken) = poll {
                for lease in taken.unwrap() {
                    lease.finish(Settle::Released).await.unwrap();
                }
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(claim);
        let taken = async {
            loop {
                let seen = store.change_stamp();
                let items = [store.work_item(&item(0)).await, store.work_item(&item(1)).await];
                let items = items.map(|item| item.unwrap().unwrap());
                if items.iter().all(|item| item.status == Status::Pending && item.attempt == 0) {
                    return;
                }
                store.changed(seen, Duration::from_secs(1)).await;
            }
        };
        let taken = tokio::time::timeout(Duration::from_secs(10), taken).await;
        assert!(taken.is_ok(), "after {polls} polls the items stay leased to nobody");
        // Whatever still runs in the background must not meet the next round's claim.
        tokio::time::sleep(ms(5)).await;
    }
}

#[tokio::test]
async fn a_waiter_is_woken_by_work_that_another_handle_adds() {
    let memory = MemoryStore::new(Env::system());
    let other = memory.peer();
    let store = Arc::new(Staged::new(memory));
    let leases = manager(&store, Duration::from_mins(1));
    let waiter = tokio::spawn(async move { leases.wait_for_work(Duration::from_secs(30)).await });
    tokio::time::sleep(ms(30)).await;
    let began = Instant::now();
    enqueue(&other, 1, Duration::ZERO).await;
    let lease = soon(waiter).await.unwrap().unwrap().unwrap();
    assert!(began.elapsed() < ms(300), "woken after {:?}, which is a poll", began.elapsed());
    assert_eq!(lease.item().id, item(0));
}

#[tokio::test]
async fn a_waiter_finds_delayed_work_although_nothing_is_committed() {
    let store = system();
    enqueue(&*store, 1, ms(100)).await;
    store.quiet.store(true, Ordering::SeqCst);
    let leases = manager(&store, Duration::from_mins(1));
    let lease = soon(leases.wait_for_work(Duration::from_mins(1))).await.unwrap();
    assert!(lease.is_some());
}

#[tokio::test]
async fn a_waiter_that_is_woken_again_and_again_in_vain_asks_seldom() {
    let memory = MemoryStore::new(Env::system());
    let other = memory.peer();
    let store = Arc::new(Staged::new(memory));
    let leases = manager(&store, Duration::from_mins(1));
    let waiter = tokio::spawn(async move { leases.wait_for_work(ms(400)).await });
    let busy = async {
        for number in 0.. {
            let task = TaskId::new(format!("t{number}")).unwrap();
            let create = CreateTask { task, kind: Label::new("k").unwrap(), input: Payload::empty() };
            other.create_task(create).await.unwrap();
            tokio::task::yield_now().await;
            if waiter.is_finished() {
                return;
            }
        }
    };
    soon(busy).await;
    assert!(waiter.await.unwrap().unwrap().is_none());
    let claims = store.claims.load(Ordering::SeqCst);
    assert!((5..=60).contains(&claims), "{claims} claims in 400 ms");
}

#[tokio::test]
async fn a_wait_ends_with_nothing_at_its_limit() {
    let store = system();
    let began = Instant::now();
    let lease = manager(&store, Duration::from_mins(1)).wait_for_work(ms(50)).await.unwrap();
    assert!(lease.is_none());
    assert!(began.elapsed() >= ms(50) && began.elapsed() < ms(400), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_busy_store_is_told_and_not_hidden() {
    let store = system();
    store.overloaded.store(ALWAYS, Ordering::SeqCst);
    let error = manager(&store, Duration::from_mins(1)).claim().await.unwrap_err();
    assert!(matches!(error, StoreError::Overloaded { .. }), "{error}");
}

#[tokio::test]
async fn finishing_settles_the_item_and_ends_the_lease() {
    let store = system();
    enqueue(&*store, 1, Duration::ZERO).await;
    let lease = manager(&store, Duration::from_mins(1)).claim().await.unwrap().unwrap();
    let lost = lease.lost();
    store.unknown.store(1, Ordering::SeqCst);
    let settled = lease.finish(Settle::Retry(Delay::new(Duration::from_secs(5)).unwrap())).await.unwrap();
    assert_eq!(settled.status, Status::Pending);
    assert_eq!(lease.loss(), Some(Loss::GivenUp));
    assert_eq!(soon(lost).await, Loss::GivenUp);
}

#[tokio::test]
async fn a_stale_holder_cannot_finish() {
    let clock = Arc::new(ManualClock::new());
    let store = Arc::new(MemoryStore::new(Env::system().with_clock(clock.clone())));
    enqueue(&*store, 1, Duration::ZERO).await;
    let term = Duration::from_secs(30);
    let options =
        LeaseOptions { heartbeat: false, term, ..LeaseOptions::new(HolderId::new("slow").unwrap()) };
    let leases = LeaseManager::new(store.clone(), options).unwrap();
    let slow = leases.claim().await.unwrap().unwrap();
    clock.advance(term);
    let sweep = steadfast_store::TransitionId::generate(store.env());
    store.sweep_expired(steadfast_store::SweepExpired { sweep, limit: 10 }).await.unwrap();
    let quick = leases.claim().await.unwrap().unwrap();
    assert!(quick.guard().fence > slow.guard().fence);
    let error = slow.finish(Settle::Succeeded).await.unwrap_err();
    assert!(matches!(error.reason(), Some(steadfast_store::Reason::StaleFence { .. })), "{error}");
    quick.finish(Settle::Succeeded).await.unwrap();
}
