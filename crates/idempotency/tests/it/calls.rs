//! Asking for calls: begun once, replayed byte for byte, refused under another fingerprint.

use std::sync::atomic::Ordering;
use std::time::Duration;

use steadfast_idempotency::{Call, Effect, LedgerError, LedgerOptions, ToolCall, ToolLedger, ToolOutput};
use steadfast_store::limits::PAYLOAD_BYTES_MAX;
use steadfast_store::{
    Batch, Command, Committed, Durability, OperationKey, OperationStatus, Settle, SettleItem, Store, TaskId,
};

use crate::stage::{Stage, begun, call, done, label};

#[tokio::test]
async fn a_call_that_ended_is_answered_with_the_same_bytes_for_ever() {
    let stage = Stage::new();
    let outputs = [done("done"), ToolOutput::Failed("no such address".into()), done(""), done("\0\u{ff}")];
    for (index, output) in outputs.into_iter().enumerate() {
        let call = call(&format!("k{index}"), Effect::AtMostOnce);
        let attempt = begun(stage.ask(&call).await);
        assert_eq!(attempt.number(), 1);
        attempt.finish(output.clone()).await.unwrap();
        for _ in 0..2 {
            let Call::Replayed(again) = stage.ask(&call).await else { panic!("not replayed") };
            assert_eq!(again, output);
            stage.clock.advance(Duration::from_hours(24));
        }
    }
}

#[tokio::test]
async fn a_large_output_is_kept_whole() {
    let stage = Stage::new();
    let call = call("k", Effect::AtMostOnce);
    let large = ToolOutput::Succeeded((0..10_000_000_u32).map(|n| n.to_le_bytes()[0]).collect());
    let attempt = begun(stage.ask(&call).await);
    attempt.finish(large.clone()).await.unwrap();
    let Call::Replayed(again) = stage.ask(&call).await else { panic!("not replayed") };
    assert!(again == large);
}

#[tokio::test]
async fn an_output_over_the_limit_is_refused_and_a_shorter_one_taken() {
    let stage = Stage::new();
    let attempt = begun(stage.ask(&call("k", Effect::AtMostOnce)).await);
    let error =
        attempt.finish(ToolOutput::Succeeded(vec![0; PAYLOAD_BYTES_MAX + 1].into())).await.unwrap_err();
    assert!(matches!(error, LedgerError::TooLarge(_)), "{error}");
    attempt.finish(done("kept elsewhere")).await.unwrap();
}

#[tokio::test]
async fn a_replay_writes_nothing() {
    let stage = Stage::new();
    let call = call("k", Effect::AtMostOnce);
    begun(stage.ask(&call).await).finish(done("x")).await.unwrap();
    let before = stage.store.batches.lock().await.len();
    assert!(matches!(stage.ask(&call).await, Call::Replayed(_)));
    assert_eq!(stage.store.batches.lock().await.len(), before);
}

#[tokio::test]
async fn the_same_key_for_another_call_is_a_conflict_before_and_after_the_end() {
    let stage = Stage::new();
    let first = call("k", Effect::AtMostOnce);
    let others = [
        ToolCall { input: "other input".into(), ..first.clone() },
        ToolCall { effect: Effect::Idempotent, ..first.clone() },
    ];
    let attempt = begun(stage.ask(&first).await);
    for ended in [false, true] {
        for other in &others {
            let error = stage.ledger.call(other).await.unwrap_err();
            assert!(matches!(error, LedgerError::Conflict { .. }), "{error}");
        }
        if !ended {
            attempt.finish(done("x")).await.unwrap();
        }
    }
    // Another tool has keys of its own, and what a call is for does not make it another one.
    let other_tool = ToolCall { tool: label("other"), ..first.clone() };
    begun(stage.ask(&other_tool).await).finish(done("y")).await.unwrap();
    let for_a_task = ToolCall { task: Some(TaskId::new("t").unwrap()), ..first };
    assert!(matches!(stage.ask(&for_a_task).await, Call::Replayed(_)));
}

#[tokio::test]
async fn intents_are_durable_before_the_call_unless_the_tool_is_idempotent() {
    let stage = Stage::new();
    let last = async || stage.store.batches.lock().await.last().unwrap().clone();
    let attempt = begun(stage.ask(&call("once", Effect::AtMostOnce)).await);
    assert_eq!(last().await.durability(), Durability::Durable);
    assert!(matches!(last().await.entries()[0].command, Command::BeginOperation(_)));
    attempt.finish(done("x")).await.unwrap();
    assert_eq!(last().await.durability(), Durability::Durable);
    let attempt = begun(stage.ask(&call("again", Effect::Idempotent)).await);
    assert_eq!(last().await.durability(), Durability::Relaxed);
    attempt.finish(done("x")).await.unwrap();
    assert_eq!(last().await.durability(), Durability::Durable);
}

#[tokio::test]
async fn lost_answers_make_no_second_attempt() {
    let stage = Stage::new();
    let call = call("k", Effect::AtMostOnce);
    stage.store.unknown.store(2, Ordering::SeqCst);
    let attempt = begun(stage.ask(&call).await);
    assert_eq!(attempt.number(), 1);
    stage.store.unknown.store(2, Ordering::SeqCst);
    assert_eq!(attempt.finish(done("x")).await.unwrap(), OperationStatus::Succeeded);
    assert!(matches!(stage.ask(&call).await, Call::Replayed(_)));
}

#[tokio::test]
async fn a_call_under_way_elsewhere_is_told_and_not_made() {
    let stage = Stage::new();
    for effect in [Effect::Idempotent, Effect::AtMostOnce] {
        let call = call(&format!("{effect:?}"), effect);
        let attempt = begun(stage.ask(&call).await);
        let Call::InFlight { key, expires_at } = stage.ask(&call).await else { panic!("not in flight") };
        assert_eq!((&key, expires_at), (attempt.key(), attempt.expires_at()));
    }
}

#[tokio::test]
async fn the_result_goes_into_one_commit_with_what_it_brings_about() {
    let stage = Stage::new();
    let lease = stage.lease().await;
    let call = ToolCall { lease: Some(lease.clone()), ..call("k", Effect::AtMostOnce) };
    let attempt = begun(stage.ask(&call).await);
    let mut batch = Batch::durable();
    batch.add_guarded(lease.clone(), attempt.finish_command(done("x")).unwrap());
    batch.add(SettleItem { guard: lease.clone(), settle: Settle::Succeeded, detail: String::new() });
    assert!(matches!(stage.store.commit(batch).await.unwrap(), Committed::Applied(_)));
    assert!(stage.store.work_item(&lease.item).await.unwrap().unwrap().status.is_terminal());
    // A replay needs no lease: it changes nothing.
    assert!(matches!(stage.ask(&call).await, Call::Replayed(_)));
}

#[tokio::test]
async fn a_stale_holder_begins_nothing() {
    let stage = Stage::new();
    let lease = stage.lease().await;
    stage.lose_lease().await;
    let call = ToolCall { lease: Some(lease), ..call("k", Effect::Idempotent) };
    let error = stage.ledger.call(&call).await.unwrap_err();
    assert!(matches!(error, LedgerError::LeaseLost(_)), "{error}");
    let key = OperationKey::new("tool-ledger:tool:k").unwrap();
    assert!(stage.store.operation(&key).await.unwrap().is_none());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let stage = Stage::new();
    let error = stage.ledger.call(&call("", Effect::Idempotent)).await.unwrap_err();
    assert!(matches!(error, LedgerError::EmptyKey { .. }), "{error}");
    for term in [Duration::ZERO, Duration::from_hours(24 * 365)] {
        let options = LedgerOptions { term, ..LedgerOptions::default() };
        assert!(ToolLedger::new(stage.store.clone(), options).is_err());
    }
}
