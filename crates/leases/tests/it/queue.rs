//! What becomes of items: claimed by kind and task, tried again, given up, brought back, called off.

use std::sync::Arc;
use std::time::Duration;

use steadfast_leases::{LeaseManager, LeaseOptions, Loss, RenewError, RetryPolicy};
use steadfast_store::{
    Delay, Enqueue, Label, Reason, Settle, Status, Store, StoreError, StoreExt, TaskId, WorkItem, WorkItemId,
};

use crate::stage::{Staged, enqueue, item, manager, ms, options, silent, soon, system, task};

const MINUTE: Duration = Duration::from_mins(1);

fn with(store: &Arc<Staged>, change: impl FnOnce(&mut LeaseOptions)) -> LeaseManager {
    let mut options = options(MINUTE);
    change(&mut options);
    LeaseManager::new(Arc::clone(store) as Arc<dyn Store>, options).unwrap()
}

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

async fn read(store: &Staged, number: u32) -> WorkItem {
    store.work_item(&item(number)).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_manager_claims_only_the_kinds_and_the_task_it_was_made_for() {
    let store = system();
    enqueue(&*store, 2, Duration::ZERO).await;
    let mail = WorkItemId::new("mail").unwrap();
    let other = Enqueue {
        item: mail.clone(),
        task: task(),
        kind: label("mail"),
        priority: -5,
        delay: Delay::ZERO,
        max_attempts: 1,
    };
    store.enqueue(other).await.unwrap();
    let mails = with(&store, |options| options.kinds = vec![label("mail"), label("letter")]);
    let taken = mails.claim_many(10).await.unwrap();
    assert_eq!(
        taken.iter().map(|lease| &lease.item().id).collect::<Vec<_>>(),
        [&mail],
        "a negative priority"
    );
    let elsewhere = with(&store, |options| options.task = Some(TaskId::new("other").unwrap()));
    assert!(elsewhere.claim().await.unwrap().is_none());
    let here = with(&store, |options| options.task = Some(task()));
    assert_eq!(here.claim_many(10).await.unwrap().len(), 2);
    let many = with(&store, |options| options.kinds = vec![label("x"); 33]);
    assert!(matches!(many.claim().await, Err(StoreError::TooLarge { .. })));
}

#[tokio::test]
async fn failed_work_is_tried_again_later_and_is_a_dead_letter_in_the_end() {
    let store = system();
    enqueue(&*store, 1, Duration::ZERO).await;
    let retry = RetryPolicy { first: ms(20), factor: 3.0, jitter: 0.0, ..RetryPolicy::default() };
    let leases = with(&store, |options| options.retry = retry);
    for (attempt, wait) in [(1, ms(20)), (2, ms(60))] {
        let lease = soon(leases.wait_for_work(MINUTE)).await.unwrap().unwrap();
        assert_eq!(lease.item().attempt, attempt);
        let before = store.health().await.unwrap().store_time;
        let settled = lease.retry(format!("failure {attempt}")).await.unwrap();
        assert_eq!(settled.status, Status::Pending);
        assert!(settled.available_at >= before.plus(wait));
        assert_eq!(read(&store, 0).await.detail, format!("failure {attempt}"));
        assert!(leases.claim().await.unwrap().is_none(), "not before its time");
    }
    let lease = soon(leases.wait_for_work(MINUTE)).await.unwrap().unwrap();
    assert_eq!(lease.retry("failure 3").await.unwrap().status, Status::Failed);
    assert!(lease.is_lost());
    let letters = leases.dead_letters(None, 10).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.detail.as_str()).collect::<Vec<_>>(), ["failure 3"]);
}

#[tokio::test]
async fn a_dead_letter_is_listed_and_brought_back() {
    let store = system();
    enqueue(&*store, 3, Duration::ZERO).await;
    let leases = manager(&store, MINUTE);
    for lease in leases.claim_many(3).await.unwrap() {
        assert_eq!(lease.fail("no such address").await.unwrap().status, Status::Failed);
    }
    let first = leases.dead_letters(None, 2).await.unwrap();
    assert_eq!(first.iter().map(|letter| letter.id.clone()).collect::<Vec<_>>(), [item(0), item(1)]);
    let rest = leases.dead_letters(Some(item(1)), 2).await.unwrap();
    assert_eq!(rest.iter().map(|letter| letter.id.clone()).collect::<Vec<_>>(), [item(2)]);
    assert!(leases.dead_letters(None, 0).await.is_err());

    leases.requeue(item(1), Delay::ZERO).await.unwrap();
    let again = leases.claim().await.unwrap().unwrap();
    assert_eq!((again.item().id.clone(), again.item().attempt), (item(1), 1));
    assert_eq!(again.item().detail, "no such address", "why it failed is kept until it is settled again");
    let refused = leases.requeue(item(1), Delay::ZERO).await.unwrap_err();
    assert!(matches!(refused.reason(), Some(Reason::NotRequeuable { status: Status::InProgress, .. })));
}

#[tokio::test]
async fn an_item_called_off_is_lost_to_its_holder() {
    let store = system();
    enqueue(&*store, 2, Duration::ZERO).await;
    let leases = manager(&store, MINUTE);
    let lease = leases.claim().await.unwrap().unwrap();
    for number in [0, 1, 1] {
        leases.cancel(item(number)).await.unwrap();
    }
    assert!(matches!(lease.renew().await, Err(RenewError::Lost(Loss::Rejected(Reason::StaleFence { .. })))));
    assert!(soon(leases.wait_for_work(ms(20))).await.unwrap().is_none());
    assert!(lease.finish(Settle::Succeeded).await.is_err());
    assert!(leases.cancel(item(9)).await.is_err(), "there is no such item");
}

#[tokio::test]
async fn a_released_item_is_there_for_others_at_once() {
    let store = system();
    enqueue(&*store, 1, Duration::ZERO).await;
    let leases = manager(&store, MINUTE);
    let lease = leases.claim().await.unwrap().unwrap();
    assert_eq!(lease.release().await.unwrap().status, Status::Pending);
    let again = leases.claim().await.unwrap().unwrap();
    assert_eq!((again.item().attempt, again.guard().fence.0), (1, 2));
}

#[tokio::test]
async fn a_token_is_cancelled_when_the_lease_ends_however_it_ends() {
    let store = system();
    enqueue(&*store, 3, Duration::ZERO).await;
    let silent = silent(&store, ms(40));
    let (passed, dropped, settled) = {
        let mut leases = silent.claim_many(3).await.unwrap().into_iter();
        (leases.next().unwrap(), leases.next().unwrap(), leases.next().unwrap())
    };
    let token = settled.cancellation();
    assert!(!token.is_cancelled());
    settled.finish(Settle::Succeeded).await.unwrap();
    soon(token.cancelled()).await;
    let token = dropped.cancellation();
    drop(dropped);
    soon(token.cancelled()).await;
    let token = passed.cancellation();
    soon(token.cancelled()).await;
    assert_eq!(passed.loss(), Some(Loss::DeadlinePassed));
    // One that is asked for afterwards, too.
    soon(passed.cancellation().cancelled()).await;
}
