//! Input that is wrong, odd or too late, on every backend: each gets a typed answer, and nothing is lost by it.

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

#[tokio::test]
async fn two_sweepers_and_a_renewal_at_once_leave_one_winner() {
    for (store, _folder) in stores().await {
        submit(&store).await;
        let options = LeaseOptions {
            term: Duration::from_millis(50),
            heartbeat: false,
            ..LeaseOptions::new(HolderId::new("only").unwrap())
        };
        let leases = LeaseManager::new(store.clone(), options).unwrap();
        let mut won = [0, 0];
        for _ in 0..20 {
            let lease = leases.wait_for_work(Duration::from_secs(20)).await.unwrap().unwrap();
            // At about the end of the term: whoever is first wins.
            tokio::time::sleep(lease.remaining()).await;
            let sweeper = Sweeper::new(store.clone(), SweepOptions::default());
            let renew = steadfast::store::Renew { guard: lease.guard(), term: Term::new(TERM).unwrap() };
            let (one, other, renewed) =
                tokio::join!(sweeper.run_once(), sweeper.run_once(), store.renew(renew));
            let reclaimed = one.expired_found + other.expired_found;
            assert!(reclaimed <= 1, "reclaimed {reclaimed} times");
            let item = store.work_item(&lease.item().id).await.unwrap().unwrap();
            if renewed.is_ok() && reclaimed == 0 {
                assert_eq!((item.status, item.fence), (Status::InProgress, lease.guard().fence));
                won[0] += 1;
                store.settle(lease.settle(Settle::Released)).await.unwrap();
            } else {
                // Reclaimed; a renewal that came before was too late all the same only if it was rejected.
                assert!(renewed.is_err() && reclaimed == 1, "{renewed:?}, reclaimed {reclaimed} times");
                assert_eq!(item.status, Status::Pending);
                won[1] += 1;
                if item.attempt >= 2 {
                    break;
                }
            }
        }
        assert!(won.iter().sum::<u32>() > 0);
    }
}
