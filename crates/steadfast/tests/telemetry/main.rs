//! What a worker's life tells by the `metrics` facade: every name that the alert rules watch is really counted, from 0
//! on, and latencies are measured by the clock of the environment.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod answers;
mod heard;
mod rules;

use std::time::Duration;

use serde_json::json;
use steadfast::prelude::*;

use crate::heard::Heard;

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

/// Every counter, with every value of its label.
const COUNTERS: [&str; 32] = [
    "steadfast_batches_total{outcome=applied}",
    "steadfast_batches_total{outcome=failed}",
    "steadfast_batches_total{outcome=overloaded}",
    "steadfast_batches_total{outcome=rejected}",
    "steadfast_batches_total{outcome=unknown}",
    "steadfast_checkpoint_verifications_total{verdict=failed}",
    "steadfast_checkpoint_verifications_total{verdict=pending}",
    "steadfast_checkpoint_verifications_total{verdict=verified}",
    "steadfast_checkpoints_created_total",
    "steadfast_checkpoints_pruned_total",
    "steadfast_checkpoints_refused_total",
    "steadfast_housekeeping_errors_total",
    "steadfast_lease_renewals_total",
    "steadfast_leases_claimed_total",
    "steadfast_leases_lost_total",
    "steadfast_leases_settled_total{how=failed}",
    "steadfast_leases_settled_total{how=released}",
    "steadfast_leases_settled_total{how=retried}",
    "steadfast_leases_settled_total{how=succeeded}",
    "steadfast_llm_cache_hits_total",
    "steadfast_llm_cache_misses_total",
    "steadfast_llm_cost_saved_micros_total",
    "steadfast_llm_tokens_saved_total",
    "steadfast_operations_purged_total",
    "steadfast_sweep_errors_total",
    "steadfast_sweep_expired_found_total",
    "steadfast_sweep_failed_total",
    "steadfast_sweep_recovered_total",
    "steadfast_sweeps_total",
    "steadfast_tool_doubts_total",
    "steadfast_tool_executions_total",
    "steadfast_tool_replays_total",
];

#[tokio::test]
async fn a_workers_life_is_counted() {
    let heard = Heard::default();
    metrics::set_global_recorder(heard.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("agent.db").display());
    let store = steadfast::open(&url, Env::system()).await.unwrap();
    let options = LeaseOptions {
        heartbeat: false,
        term: Duration::from_millis(500),
        ..LeaseOptions::new(HolderId::new("w").unwrap())
    };
    let leases = LeaseManager::new(store.clone(), options).unwrap();
    let checkpoints = CheckpointManager::new(store.clone(), CheckpointOptions::new(folder.path()));
    let tools = ToolLedger::new(store.clone(), LedgerOptions::default()).unwrap();
    let cache = LlmCache::new(store.clone(), LlmCacheOptions::default()).unwrap();
    let sweeper = Sweeper::new(store.clone(), SweepOptions::default());
    // A counter that comes into being at 1 has not changed: no alert would see its first event.
    assert_eq!(heard.all(), COUNTERS.map(|name| (name.to_owned(), 0.0)));

    let task = TaskId::new("report").unwrap();
    store
        .create_task(CreateTask { task: task.clone(), kind: label("work"), input: Payload::empty() })
        .await
        .unwrap();
    for number in 0..3 {
        let item = WorkItemId::new(format!("report/{number}")).unwrap();
        let (task, kind) = (task.clone(), label("work"));
        store
            .enqueue(Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 3 })
            .await
            .unwrap();
    }
    let done = leases.claim().await.unwrap().unwrap();
    done.renew().await.unwrap();
    let step = checkpoints.prepare(NewCheckpoint::new(task.clone(), label("step"), "state")).unwrap();
    checkpoints.commit_step(&step, Some(done.guard()), |_| {}).await.unwrap();
    checkpoints.verify(step.id()).await.unwrap();
    done.finish(Settle::Succeeded).await.unwrap();
    assert!(store.settle(done.settle(Settle::Failed)).await.is_err(), "a rejected batch");

    let lost = leases.claim().await.unwrap().unwrap();
    lost.lost().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let stats = sweeper.run_once().await;
    assert_eq!(stats.expired_found, 1);

    let call = ToolCall::new(label("tool"), "k", "in", Effect::AtMostOnce);
    for _ in 0..2 {
        tools.run(&call, async || ToolOutput::Succeeded("out".into())).await.unwrap();
    }
    let options = LedgerOptions { term: Duration::from_millis(10), ..LedgerOptions::default() };
    let hasty = ToolLedger::new(store.clone(), options).unwrap();
    let vanished = ToolCall::new(label("tool"), "vanished", "in", Effect::AtMostOnce);
    assert!(matches!(hasty.call(&vanished).await.unwrap(), Call::Begun(_)));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(matches!(hasty.call(&vanished).await.unwrap(), Call::InDoubt(_)));
    std::fs::write(folder.path().join("proof"), "one").unwrap();
    let evidence =
        EvidencePack::new(Rule::All, vec![checkpoints.observe_file("proof").await.unwrap()]).unwrap();
    std::fs::write(folder.path().join("proof"), "another").unwrap();
    let unproved = NewCheckpoint { evidence, ..NewCheckpoint::new(task.clone(), label("step"), "state") };
    let unproved = checkpoints.prepare(unproved).unwrap();
    assert!(checkpoints.commit_step(&unproved, None, |_| {}).await.is_err());
    for _ in 0..3 {
        let answer = LlmAnswer { input_tokens: 5, ..LlmAnswer::new("because") };
        let request = LlmRequest::new("model", json!({ "prompt": "why" }));
        cache.get_or_ask(&request, async || Ok::<_, String>(answer)).await.unwrap();
    }
    Housekeeping::default().run_once(&store).await;

    for (name, expected) in [
        ("steadfast_leases_claimed_total", 2.0),
        ("steadfast_lease_renewals_total", 1.0),
        ("steadfast_leases_settled_total{how=succeeded}", 1.0),
        ("steadfast_leases_lost_total", 1.0),
        ("steadfast_checkpoints_created_total", 1.0),
        ("steadfast_checkpoint_verifications_total{verdict=verified}", 1.0),
        ("steadfast_sweeps_total", 1.0),
        ("steadfast_sweep_expired_found_total", 1.0),
        ("steadfast_sweep_recovered_total", 1.0),
        ("steadfast_sweep_seconds", 1.0),
        ("steadfast_checkpoints_refused_total", 1.0),
        ("steadfast_tool_doubts_total", 1.0),
        ("steadfast_tool_executions_total", 1.0),
        ("steadfast_tool_replays_total", 1.0),
        ("steadfast_llm_cache_misses_total", 1.0),
        ("steadfast_llm_cache_hits_total", 2.0),
        ("steadfast_llm_tokens_saved_total", 10.0),
        ("steadfast_batches_total{outcome=rejected}", 3.0),
        ("steadfast_lease_claim_seconds", 2.0),
        ("steadfast_checkpoint_create_seconds", 1.0),
        ("steadfast_checkpoint_verify_seconds", 1.0),
        ("steadfast_tool_replay_seconds", 1.0),
        ("steadfast_llm_lookup_seconds", 2.0),
    ] {
        let found = heard.get(name);
        assert!((found - expected).abs() < 1e-9, "{name} is {found}, not {expected}: {heard:?}");
    }
    assert!(heard.get("steadfast_batches_total{outcome=applied}") > 8.0);
    assert!(heard.get("steadfast_group_batches") > 8.0);
    assert!(heard.get("steadfast_log_pages") > 0.0);
    rules::speak_of_what_is_counted(&heard);
}
