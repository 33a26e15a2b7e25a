//! Running in one go: one of many runs the tool, the others get its bytes, and no result is lost in silence.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use steadfast_idempotency::{Call, Effect, LedgerError, LedgerOptions, ToolCall, ToolLedger, ToolOutput};
use steadfast_store::env::Env;
use steadfast_store::{MemoryStore, OperationStatus, StoreError};

use crate::stage::{Stage, Staged, begun, call, done, soon, wrap};

/// Under the machine's clock, with races.
fn system(term: Duration, wait: Duration) -> (Arc<Staged>, ToolLedger) {
    let store = wrap(MemoryStore::new(Env::system()).with_yields());
    let ledger = ToolLedger::new(store.clone(), LedgerOptions { term, wait }).unwrap();
    (store, ledger)
}

const LONG: Duration = Duration::from_mins(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_callers_at_once_one_runs_the_tool_and_all_get_its_bytes() {
    for effect in [Effect::Idempotent, Effect::AtMostOnce] {
        let (_, ledger) = system(LONG, LONG);
        let runs = Arc::new(AtomicU32::new(0));
        let callers: Vec<_> = (0..20)
            .map(|_| {
                let (ledger, runs) = (ledger.clone(), Arc::clone(&runs));
                tokio::spawn(async move {
                    let tool = async || {
                        let run = runs.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        ToolOutput::Succeeded(format!("run {run}").into())
                    };
                    ledger.run(&call("k", effect), tool).await.unwrap()
                })
            })
            .collect();
        let mut ran_here = 0;
        for caller in callers {
            let ran = soon(caller).await.unwrap();
            assert_eq!(ran.output, done("run 0"));
            ran_here += u32::from(!ran.replayed);
        }
        assert_eq!((runs.load(Ordering::SeqCst), ran_here), (1, 1), "{effect:?}");
    }
}

#[tokio::test]
async fn a_waiter_is_woken_by_the_end_and_not_by_a_poll() {
    let (_, ledger) = system(LONG, LONG);
    let call = call("k", Effect::AtMostOnce);
    let attempt = begun(ledger.call(&call).await.unwrap());
    let waiter = {
        let (ledger, call) = (ledger.clone(), call.clone());
        tokio::spawn(async move { (ledger.run(&call, async || panic!("called")).await, Instant::now()) })
    };
    // Past the first polls of the waiter, in the midst of one.
    tokio::time::sleep(Duration::from_millis(350)).await;
    let ended = Instant::now();
    attempt.finish(done("x")).await.unwrap();
    let (ran, woken) = soon(waiter).await.unwrap();
    assert_eq!(ran.unwrap().output, done("x"));
    assert!(woken - ended < Duration::from_millis(100), "woken after {:?}", woken - ended);
}

#[tokio::test]
async fn a_wait_for_a_call_elsewhere_is_bounded() {
    let wait = Duration::from_millis(80);
    let (_, ledger) = system(LONG, wait);
    let call = call("k", Effect::Idempotent);
    let _attempt = begun(ledger.call(&call).await.unwrap());
    let began = Instant::now();
    let error = soon(ledger.run(&call, async || panic!("called"))).await.unwrap_err();
    assert!(matches!(error, LedgerError::StillInFlight { waited, .. } if waited == wait), "{error}");
    assert!(began.elapsed() >= wait && began.elapsed() < wait * 5, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_waiter_takes_over_an_idempotent_call_and_reports_the_doubt_of_another() {
    let (_, ledger) = system(Duration::from_millis(100), LONG);
    let vanished = begun(ledger.call(&call("again", Effect::Idempotent)).await.unwrap());
    let ran = ledger.run(&call("again", Effect::Idempotent), async || done("second")).await.unwrap();
    assert_eq!((ran.output, ran.replayed), (done("second"), false));
    drop(vanished);
    let vanished = begun(ledger.call(&call("once", Effect::AtMostOnce)).await.unwrap());
    let error = ledger.run(&call("once", Effect::AtMostOnce), async || panic!("called")).await.unwrap_err();
    let LedgerError::InDoubt(doubt) = error else { panic!("{error}") };
    assert_eq!(doubt.token, vanished.token());
}

#[tokio::test]
async fn a_result_is_recorded_although_the_store_is_busy_at_first() {
    let (store, ledger) = system(LONG, LONG);
    let tool = async || {
        store.overloaded.store(3, Ordering::SeqCst);
        done("x")
    };
    let ran = ledger.run(&call("k", Effect::AtMostOnce), tool).await.unwrap();
    assert_eq!(ran.output, done("x"));
    assert!(matches!(ledger.call(&call("k", Effect::AtMostOnce)).await.unwrap(), Call::Replayed(_)));
}

#[tokio::test]
async fn a_result_that_cannot_be_recorded_is_handed_back_with_its_attempt() {
    let stage = Stage::new();
    let call = call("k", Effect::AtMostOnce);
    let huge = ToolOutput::Succeeded(vec![0; steadfast_store::limits::PAYLOAD_BYTES_MAX + 1].into());
    let error = stage.ledger.run(&call, async || huge.clone()).await.unwrap_err();
    let LedgerError::Unrecorded { attempt, output, source } = error else { panic!("{error}") };
    assert!(output == huge && matches!(*source, LedgerError::TooLarge(_)));
    assert_eq!(attempt.finish(done("kept elsewhere")).await.unwrap(), OperationStatus::Succeeded);
}

#[tokio::test]
async fn a_lease_lost_while_the_tool_runs_ends_the_run_and_keeps_the_result() {
    let stage = Stage::new();
    let call = ToolCall { lease: Some(stage.lease().await), ..call("k", Effect::AtMostOnce) };
    let tool = async || {
        stage.lose_lease().await;
        // Its end is recorded only at the third try.
        stage.store.overloaded.store(2, Ordering::SeqCst);
        done("late")
    };
    let error = soon(stage.ledger.run(&call, tool)).await.unwrap_err();
    assert!(matches!(error, LedgerError::LeaseLost(_)), "{error}");
    let Call::Replayed(output) = stage.ask(&call).await else { panic!("the result was lost") };
    assert_eq!(output, done("late"));
}

#[tokio::test]
async fn a_tool_is_not_called_when_its_intent_cannot_be_written() {
    let stage = Stage::new();
    stage.store.overloaded.store(1, Ordering::SeqCst);
    let call = call("k", Effect::AtMostOnce);
    let error = stage.ledger.run(&call, async || panic!("called")).await.unwrap_err();
    assert!(matches!(error, LedgerError::Store(StoreError::Overloaded { .. })), "{error}");
}

#[tokio::test]
async fn an_error_of_the_tool_is_an_outcome_like_any_other() {
    let stage = Stage::new();
    let call = call("k", Effect::AtMostOnce);
    let failed = ToolOutput::Failed("no such address".into());
    let ran = stage.ledger.run(&call, async || failed.clone()).await.unwrap();
    assert!(!ran.output.is_success());
    let again = stage.ledger.run(&call, async || panic!("called again")).await.unwrap();
    assert_eq!((again.output, again.replayed), (failed, true));
}

#[tokio::test]
async fn a_call_whose_future_is_dropped_is_in_doubt_or_free_at_once_although_its_lease_holds() {
    let stage = Stage::new();
    let lease = stage.lease().await;
    for (key, effect) in [("once", Effect::AtMostOnce), ("again", Effect::Idempotent)] {
        let call = ToolCall { lease: Some(lease.clone()), ..call(key, effect) };
        let never = async || std::future::pending::<ToolOutput>().await;
        let limit = Duration::from_millis(20);
        assert!(tokio::time::timeout(limit, stage.ledger.run(&call, never)).await.is_err());
        let again = soon(stage.ledger.run(&call, async || done("second"))).await;
        match effect {
            Effect::Idempotent => assert_eq!(again.unwrap().output, done("second")),
            _ => assert!(matches!(again, Err(LedgerError::InDoubt(_))), "{again:?}"),
        }
    }
}

#[test]
fn a_call_whose_future_is_dropped_outside_of_a_runtime_is_left_as_a_crash_would() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_, ledger) = system(LONG, Duration::ZERO);
    let call = call("k", Effect::AtMostOnce);
    let mut run = Box::pin(ledger.run(&call, async || std::future::pending::<ToolOutput>().await));
    let begun = async { tokio::time::timeout(Duration::from_millis(200), &mut run).await };
    assert!(runtime.block_on(begun).is_err());
    drop(run);
    let asked = runtime.block_on(ledger.call(&call)).unwrap();
    assert!(matches!(asked, Call::InFlight { .. }), "{asked:?}");
}
