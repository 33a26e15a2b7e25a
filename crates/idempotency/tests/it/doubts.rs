//! A caller vanishes between the intent and the result: what the ledger does with its call, by its effect.

use steadfast_idempotency::{Attempt, Call, Doubt, Effect, LedgerError, ToolCall, ToolOutput};
use steadfast_store::{Durability, Guard, OperationStatus, Store, TaskId};

use crate::stage::{Stage, TERM, begun, call, done};

#[track_caller]
fn doubted(call: Call) -> Doubt {
    match call {
        Call::InDoubt(doubt) => doubt,
        other => panic!("{other:?}"),
    }
}

async fn status(stage: &Stage, attempt: &Attempt) -> OperationStatus {
    stage.store.operation(attempt.key()).await.unwrap().unwrap().operation.status
}

/// Begins a call under a lease and loses the lease: as a crash of the caller looks to everybody else.
async fn abandoned(stage: &Stage, effect: Effect) -> (ToolCall, Attempt, Guard) {
    let lease = stage.lease().await;
    let task = Some(TaskId::new("report").unwrap());
    let call = ToolCall { lease: Some(lease.clone()), task, ..call("k", effect) };
    let attempt = begun(stage.ask(&call).await);
    stage.lose_lease().await;
    let second = stage.claim().await;
    assert!(second.fence > lease.fence);
    (ToolCall { lease: Some(second.clone()), ..call }, attempt, second)
}

#[tokio::test]
async fn an_at_most_once_call_in_doubt_is_never_made_again() {
    let stage = Stage::new();
    let (call, attempt, _) = abandoned(&stage, Effect::AtMostOnce).await;
    let doubt = doubted(stage.ask(&call).await);
    assert_eq!((doubt.token, doubt.attempt), (attempt.token(), 1));
    assert_eq!(doubt.task, call.task);
    assert_eq!(doubt.lease.as_ref().unwrap().fence.0, 1);
    for part in ["tool", "report/1", "fence 1", &attempt.token().to_string()] {
        assert!(doubt.to_string().contains(part), "{doubt}");
    }
    // It is on record, durably, before anybody is told.
    assert_eq!(status(&stage, &attempt).await, OperationStatus::InDoubt);
    assert_eq!(stage.store.batches.lock().await.last().unwrap().durability(), Durability::Durable);
    for _ in 0..3 {
        stage.clock.advance(TERM * 100);
        assert_eq!(doubted(stage.ask(&call).await), doubt);
    }
    let error = stage.ledger.run(&call, async || panic!("called again")).await.unwrap_err();
    assert!(matches!(error, LedgerError::InDoubt(_)), "{error}");
}

#[tokio::test]
async fn without_a_lease_the_doubt_begins_with_the_end_of_the_term() {
    let stage = Stage::new();
    let call = call("k", Effect::AtMostOnce);
    let attempt = begun(stage.ask(&call).await);
    stage.clock.advance(std::time::Duration::from_millis(29_999));
    assert!(matches!(stage.ask(&call).await, Call::InFlight { .. }));
    stage.clock.advance(std::time::Duration::from_millis(1));
    assert_eq!(doubted(stage.ask(&call).await).token, attempt.token());
}

#[tokio::test]
async fn a_held_lease_keeps_the_call_however_long_it_takes() {
    let stage = Stage::new();
    let lease = stage.lease().await;
    let call = ToolCall { lease: Some(lease), ..call("k", Effect::AtMostOnce) };
    let attempt = begun(stage.ask(&call).await);
    // Past every term, and nobody has reclaimed the item: its holder may still be at it.
    stage.clock.advance(TERM * 10);
    assert!(matches!(stage.ask(&call).await, Call::InFlight { .. }));
    attempt.finish(done("x")).await.unwrap();
}

#[tokio::test]
async fn an_idempotent_call_is_made_again() {
    let stage = Stage::new();
    let (call, first, _) = abandoned(&stage, Effect::Idempotent).await;
    let second = begun(stage.ask(&call).await);
    assert_eq!(second.number(), 2);
    second.finish(done("second")).await.unwrap();
    // The first comes back: its result is not the outcome any more.
    let error = first.finish(done("first")).await.unwrap_err();
    assert!(matches!(error, LedgerError::LeaseLost(_)), "{error}");
    let error = first.late(done("first")).await.unwrap_err();
    assert!(matches!(error, LedgerError::TakenOver { .. }), "{error}");
    let Call::Replayed(output) = stage.ask(&call).await else { panic!("not replayed") };
    assert_eq!(output, done("second"));
}

#[tokio::test]
async fn a_late_result_settles_the_doubt() {
    let stage = Stage::new();
    let (call, attempt, _) = abandoned(&stage, Effect::AtMostOnce).await;
    doubted(stage.ask(&call).await);
    // Not under the lease: that is lost.
    let error = attempt.finish(done("late")).await.unwrap_err();
    assert!(matches!(error, LedgerError::LeaseLost(_)), "{error}");
    assert_eq!(status(&stage, &attempt).await, OperationStatus::InDoubt);
    assert_eq!(attempt.late(done("late")).await.unwrap(), OperationStatus::Succeeded);
    let Call::Replayed(output) = stage.ask(&call).await else { panic!("not replayed") };
    assert_eq!(output, done("late"));
}

#[tokio::test]
async fn a_late_result_that_comes_before_anybody_doubts_is_the_outcome() {
    let stage = Stage::new();
    let (call, attempt, _) = abandoned(&stage, Effect::AtMostOnce).await;
    attempt.late(done("late")).await.unwrap();
    assert!(matches!(stage.ask(&call).await, Call::Replayed(_)));
}

#[tokio::test]
async fn a_person_settles_the_doubt_once() {
    let stage = Stage::new();
    let (call, attempt, _) = abandoned(&stage, Effect::AtMostOnce).await;
    let doubt = doubted(stage.ask(&call).await);
    let found = ToolOutput::Failed("the mail server has no trace of it".into());
    for _ in 0..2 {
        let settled = stage.ledger.settle_doubt(&doubt, found.clone()).await.unwrap();
        assert_eq!(settled, OperationStatus::Failed);
    }
    // An end never changes, whoever comes later.
    let other = stage.ledger.settle_doubt(&doubt, done("it was sent")).await.unwrap_err();
    assert!(matches!(other, LedgerError::Ended { status: OperationStatus::Failed, .. }), "{other}");
    let late = attempt.late(done("it was sent")).await.unwrap_err();
    assert!(matches!(late, LedgerError::Ended { .. }), "{late}");
    let Call::Replayed(output) = stage.ask(&call).await else { panic!("not replayed") };
    assert_eq!(output, found);
}
