//! Input that is wrong, odd or too late, on every backend: each gets a typed answer, and nothing is lost by it.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use steadfast::checkpoints::ChainReport;
use steadfast::idempotency::LedgerError;
use steadfast::leases::RenewError;
use steadfast::store::{Reason, Status, StoreError, Term};

use super::*;

fn enqueue(item: &str, priority: i32) -> Enqueue {
    let (item, task) = (WorkItemId::new(item).unwrap(), TaskId::new("report").unwrap());
    Enqueue { item, task, kind: label("research"), priority, delay: Delay::ZERO, max_attempts: 3 }
}

#[tokio::test]
async fn a_tool_output_of_10_mib_is_kept_whole() {
    let output: Vec<u8> = (0..10 * 1024 * 1024_u32).map(|at| at.to_le_bytes()[at as usize % 4]).collect();
    for (store, _folder) in stores().await {
        let tools = ToolLedger::new(store, LedgerOptions::default()).unwrap();
        let call = ToolCall::new(label("dump"), "report/dump", "", Effect::AtMostOnce);
        tools.run(&call, async || ToolOutput::Succeeded(output.clone().into())).await.unwrap();
        let again = tools.run(&call, async || unreachable!("it was called before")).await.unwrap();
        assert!(again.replayed && again.output.bytes()[..] == output[..]);
    }
}

#[tokio::test]
async fn a_tool_output_beyond_the_limit_is_refused_and_handed_back() {
    for (store, _folder) in stores().await {
        let tools = ToolLedger::new(store, LedgerOptions::default()).unwrap();
        let call = ToolCall::new(label("dump"), "report/dump", "", Effect::AtMostOnce);
        let large = vec![0; steadfast::store::limits::PAYLOAD_BYTES_MAX + 1];
        let error = tools.run(&call, async || ToolOutput::Succeeded(large.into())).await.unwrap_err();
        let is_told = matches!(error, LedgerError::TooLarge(_) | LedgerError::Unrecorded { .. });
        assert!(is_told, "{error:?}");
    }
}

#[tokio::test]
async fn a_prompt_with_nuls_is_a_prompt_of_its_own() {
    for (store, _folder) in stores().await {
        let cache = LlmCache::new(store, LlmCacheOptions::default()).unwrap();
        let mut answers = Vec::new();
        for prompt in ["a", "a\0", "\0a", "a\0\0", "a\\0"] {
            let request = LlmRequest::new("model\0", json!({ "prompt": prompt }));
            let ask = async || Ok::<_, std::io::Error>(LlmAnswer::new(format!("to {prompt:?}")));
            assert!(!cache.get_or_ask(&request, ask).await.unwrap().is_hit, "{prompt:?}");
            let again = cache.get_or_ask(&request, ask).await.unwrap();
            assert!(again.is_hit);
            answers.push(again.answer.body);
        }
        answers.dedup();
        assert_eq!(answers.len(), 5);
    }
}

#[tokio::test]
async fn a_negative_priority_comes_last() {
    for (store, folder) in stores().await {
        submit(&store).await;
        for (item, priority) in [("least", i32::MIN), ("less", -1), ("most", i32::MAX)] {
            store.enqueue(enqueue(item, priority)).await.unwrap();
        }
        let worker = Worker::new(&store, folder.path(), "only");
        let claimed = worker.leases.claim_many(10).await.unwrap();
        let order: Vec<&str> = claimed.iter().map(|lease| lease.item().id.as_str()).collect();
        assert_eq!(order, ["most", "report/mail", "less", "least"]);
    }
}

#[tokio::test]
async fn a_retention_of_zero_is_refused_and_removes_nothing() {
    for (store, folder) in stores().await {
        let task = submit(&store).await;
        let worker = Worker::new(&store, folder.path(), "only");
        let prepared =
            worker.checkpoints.prepare(NewCheckpoint::new(task.clone(), label("step"), "state")).unwrap();
        worker.checkpoints.commit_step(&prepared, None, |_| {}).await.unwrap();
        let error = worker.checkpoints.prune(&task, 0).await.unwrap_err();
        assert!(matches!(error, CheckpointError::Store(StoreError::Invalid { .. })), "{error:?}");
        let housekeeping = Housekeeping { keep_checkpoints: Some(0), ..Housekeeping::off() };
        let stats = housekeeping.run_once(&store).await;
        assert_eq!((stats.checkpoints_pruned, stats.errors), (0, 1), "{stats:?}");
        let chain = worker.checkpoints.verify_chain(&task).await.unwrap();
        assert!(matches!(chain, ChainReport::Intact { length: 1, .. }), "{chain:?}");
    }
}

#[tokio::test]
async fn a_heartbeat_after_the_settlement_is_rejected_and_revives_nothing() {
    for (store, folder) in stores().await {
        submit(&store).await;
        let worker = Worker::new(&store, folder.path(), "only");
        let lease = worker.claim().await;
        let (guard, item) = (lease.guard(), lease.item().id.clone());
        // Committed by hand, so that the lease itself does not know.
        store.settle(lease.settle(Settle::Succeeded)).await.unwrap();
        let error = lease.renew().await.unwrap_err();
        assert!(matches!(error, RenewError::Lost(_)), "{error:?}");
        let renew = steadfast::store::Renew { guard, term: Term::new(TERM).unwrap() };
        let error = store.renew(renew).await.unwrap_err();
        assert!(matches!(error.reason(), Some(Reason::NotLeased { .. })), "{error:?}");
        assert_eq!(store.work_item(&item).await.unwrap().unwrap().status, Status::Succeeded);
    }
}

#[tokio::test]
async fn a_settlement_after_the_reclaim_is_rejected_and_the_item_stays_with_its_new_holder() {
    for (store, folder) in stores().await {
        submit(&store).await;
        let worker = Worker::new(&store, folder.path(), "first");
        let late = worker.claim().await.settle(Settle::Succeeded);
        let sweeper = Sweeper::new(store.clone(), SweepOptions::default());
        while sweeper.run_once().await.expired_found == 0 {
            tokio::time::sleep(TERM / 20).await;
        }
        let successor = Worker::new(&store, folder.path(), "second").claim().await;
        let error = store.settle(late).await.unwrap_err();
        assert!(matches!(error.reason(), Some(Reason::StaleFence { .. })), "{error:?}");
        let item = store.work_item(&successor.item().id).await.unwrap().unwrap();
        assert_eq!((item.status, item.fence), (Status::InProgress, successor.guard().fence));
        successor.finish(Settle::Succeeded).await.unwrap();
    }
}

/// When the renewal comes, from the end of the term on; the sweepers sweep all the while.
const RENEWALS_MS: [i64; 5] = [-80, -1, 0, 1, 80];
/// Rounds until a renewal has won and a sweep has: the first and the last of each five are hardly in doubt.
const ROUNDS_MAX: usize = 50;

#[tokio::test]
async fn two_sweepers_and_a_renewal_at_once_leave_one_winner() {
    for (store, _folder) in stores().await {
        submit(&store).await;
        store.enqueue(Enqueue { max_attempts: 1_000, ..enqueue("contended", 1) }).await.unwrap();
        let options = LeaseOptions {
            term: Duration::from_millis(100),
            heartbeat: false,
            ..LeaseOptions::new(HolderId::new("only").unwrap())
        };
        let leases = LeaseManager::new(store.clone(), options).unwrap();
        let sweeper = Sweeper::new(store.clone(), SweepOptions::default());
        let mut won = [0, 0];
        for round in 0..ROUNDS_MAX {
            let lease = leases.wait_for_work(Duration::from_secs(20)).await.unwrap().unwrap();
            assert_eq!(lease.item().id.as_str(), "contended");
            let offset = RENEWALS_MS[round % RENEWALS_MS.len()];
            let by = Duration::from_millis(offset.unsigned_abs());
            let wait = if offset < 0 { lease.remaining().saturating_sub(by) } else { lease.remaining() + by };
            let is_answered = AtomicBool::new(false);
            let sweeping = async || {
                let mut found = 0;
                loop {
                    let was_answered = is_answered.load(Ordering::SeqCst);
                    found += sweeper.run_once().await.expired_found;
                    if was_answered {
                        return found;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            let renewing = async {
                tokio::time::sleep(wait).await;
                let renew = steadfast::store::Renew { guard: lease.guard(), term: Term::new(TERM).unwrap() };
                let renewed = store.renew(renew).await;
                is_answered.store(true, Ordering::SeqCst);
                renewed
            };
            let (one, other, renewed) = tokio::join!(sweeping(), sweeping(), renewing);
            let item = store.work_item(&lease.item().id).await.unwrap().unwrap();
            match (renewed, one + other) {
                (Ok(_), 0) => {
                    assert_eq!((item.status, item.fence), (Status::InProgress, lease.guard().fence));
                    won[0] += 1;
                    store.settle(lease.settle(Settle::Released)).await.unwrap();
                }
                (Err(error), 1) => {
                    let is_told =
                        matches!(error.reason(), Some(Reason::StaleFence { .. } | Reason::NotLeased { .. }));
                    assert!(is_told, "{error:?}");
                    assert_eq!(item.status, Status::Pending);
                    won[1] += 1;
                }
                (renewed, reclaimed) => panic!("{renewed:?}, reclaimed {reclaimed} times"),
            }
            if round + 1 >= RENEWALS_MS.len() && won.iter().all(|times| *times > 0) {
                break;
            }
        }
        assert!(won.iter().all(|times| *times > 0), "one side always won: renewals and sweeps {won:?}");
    }
}
