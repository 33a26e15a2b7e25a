//! Tools that can be asked what became of a call: found, not found, unknown, and never asked when declared otherwise.

use std::sync::atomic::{AtomicU32, Ordering};

use steadfast_idempotency::{Call, Effect, Found, LedgerError, Ran, ToolCall};
use steadfast_store::{Durability, OperationStatus, Store, StoreExt};

use crate::stage::{Stage, TERM, begun, call, done};

const ASKABLE: [Effect; 2] = [Effect::Queryable, Effect::Transactional];

/// A call whose caller has vanished between the intent and the result.
async fn abandoned(stage: &Stage, effect: Effect) -> (ToolCall, steadfast_store::OperationToken) {
    let call = call("k", effect);
    let attempt = begun(stage.ask(&call).await);
    assert_eq!(stage.store.batches.lock().await.last().unwrap().durability(), Durability::Durable);
    stage.clock.advance(TERM);
    (call, attempt.token())
}

#[tokio::test]
async fn a_call_that_happened_is_settled_and_not_made_again() {
    for effect in ASKABLE {
        let stage = Stage::new();
        let (call, token) = abandoned(&stage, effect).await;
        let check = async |doubt: steadfast_idempotency::Doubt| {
            assert_eq!(doubt.token, token);
            Found::Happened(done("it did"))
        };
        let ran = stage.ledger.run_or_ask(&call, async |_| panic!("called again"), check).await.unwrap();
        assert_eq!(ran, Ran { output: done("it did"), replayed: true });
        assert!(matches!(stage.ask(&call).await, Call::Replayed(output) if output == done("it did")));
    }
}

#[tokio::test]
async fn a_call_that_did_not_happen_is_made() {
    for effect in ASKABLE {
        let stage = Stage::new();
        let (call, before) = abandoned(&stage, effect).await;
        let tool = async |attempt: steadfast_idempotency::Attempt| {
            assert_eq!(attempt.number(), 2);
            assert_ne!(attempt.token(), before);
            done("now")
        };
        let ran = stage.ledger.run_or_ask(&call, tool, async |_| Found::DidNotHappen).await.unwrap();
        assert_eq!(ran, Ran { output: done("now"), replayed: false });
        let stats = stage.ledger.stats();
        assert_eq!((stats.executions, stats.replays, stats.doubts), (1, 0, 1));
    }
}

#[tokio::test]
async fn a_call_of_which_nobody_knows_stays_in_doubt() {
    for effect in ASKABLE {
        let stage = Stage::new();
        let (call, _) = abandoned(&stage, effect).await;
        let looked = AtomicU32::new(0);
        for _ in 0..2 {
            let check = async |_| {
                looked.fetch_add(1, Ordering::SeqCst);
                Found::Unknown
            };
            let error =
                stage.ledger.run_or_ask(&call, async |_| panic!("called again"), check).await.unwrap_err();
            assert!(matches!(error, LedgerError::InDoubt(_)), "{error}");
        }
        assert_eq!(looked.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn an_at_most_once_call_is_not_looked_up() {
    let stage = Stage::new();
    let (call, _) = abandoned(&stage, Effect::AtMostOnce).await;
    let ran = stage.ledger.run_or_ask(&call, async |_| panic!("called"), async |_| panic!("asked")).await;
    assert!(matches!(ran, Err(LedgerError::InDoubt(_))));
}

#[tokio::test]
async fn a_doubt_that_somebody_settles_while_it_is_looked_up_is_settled() {
    for answer in [Found::DidNotHappen, Found::Happened(done("wrong"))] {
        let stage = Stage::new();
        let (call, _) = abandoned(&stage, Effect::Queryable).await;
        let check = async |doubt| {
            stage.ledger.settle_doubt(&doubt, done("a person knew")).await.unwrap();
            answer.clone()
        };
        let ran = stage.ledger.run_or_ask(&call, async |_| panic!("called"), check).await.unwrap();
        assert_eq!(ran.output, done("a person knew"));
    }
}

#[tokio::test]
async fn an_attempt_given_up_leaves_the_call_to_the_next_caller_at_once() {
    let stage = Stage::new();
    let call = call("k", Effect::AtMostOnce);
    let first = begun(stage.ask(&call).await);
    first.give_up().await.unwrap();
    let second = begun(stage.ask(&call).await);
    assert_eq!(second.number(), 2);
    assert!(matches!(first.finish(done("late")).await, Err(LedgerError::TakenOver { .. })));
    assert_eq!(second.finish(done("x")).await.unwrap(), OperationStatus::Succeeded);
    assert!(matches!(second.give_up().await, Err(LedgerError::Ended { .. })));
}

#[tokio::test]
async fn the_history_of_a_task_lists_its_calls_and_a_purge_forgets_the_old_ones() {
    let stage = Stage::new();
    let lease = stage.lease().await;
    let task = steadfast_store::TaskId::new("report").unwrap();
    for key in ["a", "b", "c"] {
        let call = ToolCall { task: Some(task.clone()), ..call(key, Effect::AtMostOnce) };
        let attempt = begun(stage.ask(&call).await);
        if key != "c" {
            attempt.finish(done("x")).await.unwrap();
        }
        stage.clock.advance(TERM / 3);
    }
    drop(lease);
    let history = stage.ledger.history(&task, None, 2).await.unwrap();
    let names = |calls: &[steadfast_store::Operation]| -> Vec<String> {
        calls.iter().map(|call| call.key.to_string()).collect()
    };
    assert_eq!(names(&history.calls), ["tool-ledger:tool:a", "tool-ledger:tool:b"]);
    let rest = stage.ledger.history(&task, history.next, 2).await.unwrap();
    assert_eq!(names(&rest.calls), ["tool-ledger:tool:c"]);
    assert_eq!(stage.ledger.history(&task, rest.next, 2).await.unwrap().next, None);
    assert!(stage.ledger.history(&task, None, 0).await.is_err());

    assert_eq!(stage.ledger.purge(TERM).await.unwrap(), 0, "the task goes on");
    let end = steadfast_store::TaskEnd::Succeeded;
    let result = steadfast_store::Payload::empty();
    stage.store.finish_task(steadfast_store::FinishTask { task, end, result }).await.unwrap();
    assert_eq!(stage.ledger.purge(TERM).await.unwrap(), 1, "the oldest alone is old enough");
    assert_eq!(stage.ledger.purge(std::time::Duration::ZERO).await.unwrap(), 1, "what is under way stays");
    assert!(stage.store.operation(&rest.calls[0].key).await.unwrap().is_some());
}

#[tokio::test]
async fn an_output_of_ten_megabytes_is_kept_whole() {
    let stage = Stage::new();
    let call = call("large", Effect::Idempotent);
    let output: Vec<u8> = (0..10 * 1024 * 1024_u32).map(|at| at.to_le_bytes()[at as usize % 4]).collect();
    let output = steadfast_idempotency::ToolOutput::Succeeded(output.into());
    stage.ledger.run(&call, async || output.clone()).await.unwrap();
    let again = stage.ledger.run(&call, async || panic!("called again")).await.unwrap();
    assert!(again.output == output && again.replayed);
}
