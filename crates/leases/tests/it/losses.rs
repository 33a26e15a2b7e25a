//! Losing a lease: by the holder's own clock when the store says nothing, by the store's refusal when it does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use steadfast_leases::{LeaseManager, Loss, RenewError};
use steadfast_store::env::{Env, ManualClock};
use steadfast_store::{
    Batch, CancelItem, Committed, FinishOperation, FinishTask, MemoryStore, OperationEnd, OperationKey,
    OperationToken, Payload, Reason, Settle, Store, StoreExt, SweepExpired, TaskEnd, TransitionId,
};

use crate::stage::{ALWAYS, Staged, enqueue, manager, ms, options, silent, soon, system, task};

/// A store under a clock that stands still.
fn manual() -> (Arc<ManualClock>, Arc<Staged>) {
    let clock = Arc::new(ManualClock::new());
    let env = Env::system().with_clock(clock.clone());
    (clock, Arc::new(Staged::new(MemoryStore::new(env))))
}

#[tokio::test]
async fn a_holder_is_told_by_its_own_clock_when_the_store_stalls() {
    let store = system();
    enqueue(&*store, 1, Duration::ZERO).await;
    let term = ms(300);
    let lease = manager(&store, term).claim().await.unwrap().unwrap();
    let began = Instant::now();
    store.hanging.store(ALWAYS, Ordering::SeqCst);
    assert_eq!(soon(lease.lost()).await, Loss::DeadlinePassed);
    assert!(began.elapsed() <= term + ms(200), "told after {:?}", began.elapsed());
    assert!(store.renewals.load(Ordering::SeqCst) > 0, "no renewal was hanging");
}

#[tokio::test]
async fn a_renewal_that_is_never_answered_ends_with_the_lease() {
    let store = system();
    enqueue(&*store, 1, Duration::ZERO).await;
    let lease = silent(&store, ms(100)).claim().await.unwrap().unwrap();
    store.hanging.store(1, Ordering::SeqCst);
    let error = soon(lease.renew()).await.unwrap_err();
    assert!(matches!(error, RenewError::Lost(Loss::DeadlinePassed)), "{error}");
}

#[tokio::test]
async fn a_lease_without_heartbeat_is_lost_at_its_deadline() {
    let store = system();
    enqueue(&*store, 1, Duration::ZERO).await;
    let lease = silent(&store, ms(50)).claim().await.unwrap().unwrap();
    assert_eq!(soon(lease.lost()).await, Loss::DeadlinePassed);
}

#[tokio::test]
async fn a_lease_is_lost_when_its_term_has_passed_and_not_before() {
    let (clock, store) = manual();
    enqueue(&*store, 1, Duration::ZERO).await;
    let lease = silent(&store, Duration::from_secs(30)).claim().await.unwrap().unwrap();
    clock.advance(ms(29_999));
    assert!(!lease.is_lost());
    assert_eq!(lease.remaining(), ms(1));
    clock.advance(ms(1));
    assert!(lease.is_lost());
    assert_eq!(lease.remaining(), Duration::ZERO);
}

#[tokio::test]
async fn a_step_of_the_wall_clock_loses_no_lease() {
    let (clock, store) = manual();
    enqueue(&*store, 1, Duration::ZERO).await;
    let lease = silent(&store, Duration::from_secs(30)).claim().await.unwrap().unwrap();
    clock.step_wall(86_400_000);
    assert!(!lease.is_lost());
}

#[tokio::test]
async fn a_renewal_moves_the_deadline_and_a_lost_lease_is_not_renewed() {
    let (clock, store) = manual();
    enqueue(&*store, 1, Duration::ZERO).await;
    let lease = silent(&store, Duration::from_secs(30)).claim().await.unwrap().unwrap();
    clock.advance(Duration::from_secs(20));
    lease.renew().await.unwrap();
    assert_eq!(lease.remaining(), Duration::from_secs(30));
    clock.advance(Duration::from_secs(30));
    // The store would still take it: nobody has reclaimed the item.
    let error = lease.renew().await.unwrap_err();
    assert!(matches!(error, RenewError::Lost(Loss::DeadlinePassed)), "{error}");
    assert!(lease.is_lost());
    assert_eq!(store.renewals.load(Ordering::SeqCst), 1, "a lost lease was renewed all the same");
}

#[tokio::test]
async fn a_refused_renewal_loses_the_lease_before_its_deadline() {
    let (clock, store) = manual();
    enqueue(&*store, 1, Duration::ZERO).await;
    let slow = silent(&store, Duration::from_hours(1)).claim().await.unwrap().unwrap();
    // By another holder's shorter idea of the term the item is settled and taken.
    let mut batch = Batch::durable();
    batch.add(steadfast_store::SettleItem {
        guard: slow.guard(),
        settle: Settle::Released,
        detail: String::new(),
    });
    assert!(matches!(store.commit(batch).await.unwrap(), Committed::Applied(_)));
    let second = silent(&store, Duration::from_hours(1)).claim().await.unwrap().unwrap();
    clock.advance(Duration::from_secs(1));
    let error = slow.renew().await.unwrap_err();
    assert!(matches!(&error, RenewError::Lost(Loss::Rejected(Reason::StaleFence { .. }))), "{error}");
    assert!(slow.is_lost());
    assert!(!second.is_lost());
}

#[tokio::test]
async fn a_holder_whose_settlement_was_rejected_still_hears_of_its_loss() {
    let (_clock, store) = manual();
    enqueue(&*store, 1, Duration::ZERO).await;
    let lease = silent(&store, Duration::from_hours(1)).claim().await.unwrap().unwrap();
    // A command beside it is refused, so the holder works on.
    let mut batch = Batch::durable();
    batch.add(lease.settle(Settle::Succeeded));
    let (key, token) = (OperationKey::new("k").unwrap(), OperationToken::generate(store.env()));
    batch.add(FinishOperation { key, token, end: OperationEnd::InDoubt });
    assert!(matches!(store.commit(batch).await.unwrap(), Committed::Rejected(_)));
    lease.renew().await.unwrap();
    assert_eq!(lease.loss(), None);

    store.cancel_item(CancelItem { item: lease.item().id.clone() }).await.unwrap();
    let error = lease.renew().await.unwrap_err();
    assert!(matches!(&error, RenewError::Lost(Loss::Rejected(Reason::StaleFence { .. }))), "{error}");
    let loss = soon(lease.lost()).await;
    assert!(matches!(loss, Loss::Rejected(Reason::StaleFence { .. })), "{loss}");
}

#[tokio::test]
async fn a_stale_holder_commits_nothing_under_its_guard() {
    let (clock, store) = manual();
    enqueue(&*store, 1, Duration::ZERO).await;
    let term = Duration::from_secs(30);
    let slow = silent(&store, term).claim().await.unwrap().unwrap();
    clock.advance(term);
    let sweep = TransitionId::generate(store.env());
    assert_eq!(store.sweep_expired(SweepExpired { sweep, limit: 1 }).await.unwrap().reclaimed.len(), 1);
    let mut batch = Batch::durable();
    let end = FinishTask { task: task(), end: TaskEnd::Succeeded, result: Payload::empty() };
    batch.add_guarded(slow.guard(), end);
    let Committed::Rejected(rejection) = store.commit(batch).await.unwrap() else { panic!("applied") };
    assert!(matches!(rejection.reason, Reason::StaleFence { .. }), "{rejection}");
    assert!(!store.task(&task()).await.unwrap().unwrap().status.is_terminal());
}

#[tokio::test]
async fn a_lost_lease_tells_everybody_who_waits_and_whoever_asks_later() {
    let store = system();
    enqueue(&*store, 1, Duration::ZERO).await;
    let leases = LeaseManager::new(store.clone(), options(ms(200))).unwrap();
    let lease = leases.claim().await.unwrap().unwrap();
    let (first, second) = (tokio::spawn(lease.lost()), tokio::spawn(lease.lost()));
    store.hanging.store(ALWAYS, Ordering::SeqCst);
    for waiter in [first, second] {
        assert_eq!(soon(waiter).await.unwrap(), Loss::DeadlinePassed);
    }
    store.hanging.store(0, Ordering::SeqCst);
    assert_eq!(soon(lease.lost()).await, Loss::DeadlinePassed);
}
