//! Latencies, by the clock of the environment, and labels that depend on the answer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use steadfast::prelude::*;
use steadfast::store::env::{BootReading, Clock, ManualClock};
use steadfast::store::{MemoryStore, WallTime};

use crate::heard::Heard;
use crate::label;

/// A clock that stands still, but for a millisecond that passes between any two readings of it.
#[derive(Debug)]
struct Ticking(ManualClock);

impl Clock for Ticking {
    fn monotonic(&self) -> Duration {
        self.0.advance(Duration::from_millis(1));
        self.0.monotonic()
    }

    fn boot(&self) -> BootReading {
        self.0.boot()
    }

    fn wall(&self) -> WallTime {
        self.0.wall()
    }
}

#[tokio::test]
async fn latencies_are_told_in_seconds_by_the_clock_of_the_environment() {
    let heard = Heard::default();
    let _hearing = metrics::set_default_local_recorder(&heard);
    let clock = Arc::new(Ticking(ManualClock::new()));
    let store = Arc::new(MemoryStore::new(Env::system().with_clock(clock)));
    let task = TaskId::new("report").unwrap();
    let create = CreateTask { task: task.clone(), kind: label("work"), input: Payload::empty() };
    store.create_task(create).await.unwrap();
    let item = WorkItemId::new("report/1").unwrap();
    let (of, kind) = (task.clone(), label("work"));
    let enqueue = Enqueue { item, task: of, kind, priority: 0, delay: Delay::ZERO, max_attempts: 3 };
    store.enqueue(enqueue).await.unwrap();
    let options = LeaseOptions { heartbeat: false, ..LeaseOptions::new(HolderId::new("w").unwrap()) };
    let leases = LeaseManager::new(store.clone(), options).unwrap();
    let lease = leases.claim().await.unwrap();
    assert!(lease.is_some() && leases.claim().await.unwrap().is_none());
    let checkpoints = CheckpointManager::new(store.clone(), CheckpointOptions::new("."));
    let step = checkpoints.prepare(NewCheckpoint::new(task, label("step"), "state")).unwrap();
    checkpoints.commit_step(&step, None, |_| {}).await.unwrap();
    checkpoints.verify(step.id()).await.unwrap();
    let tools = ToolLedger::new(store.clone(), LedgerOptions::default()).unwrap();
    let call = ToolCall::new(label("tool"), "k", "in", Effect::AtMostOnce);
    for _ in 0..2 {
        tools.run(&call, async || ToolOutput::Succeeded("out".into())).await.unwrap();
    }
    tools.call(&call).await.unwrap();
    let cache = LlmCache::new(store, LlmCacheOptions::default()).unwrap();
    let request = LlmRequest::new("model", json!({ "prompt": "why" }));
    for _ in 0..2 {
        cache.get_or_ask(&request, async || Ok::<_, String>(LlmAnswer::new("because"))).await.unwrap();
    }

    for (name, count) in [
        ("steadfast_lease_claim_seconds", 1),
        ("steadfast_checkpoint_create_seconds", 1),
        ("steadfast_checkpoint_verify_seconds", 1),
        ("steadfast_tool_replay_seconds", 2),
        ("steadfast_llm_lookup_seconds", 1),
    ] {
        let samples = heard.samples(name);
        assert_eq!(samples.len(), count, "{name}: {samples:?}");
        assert!(samples.iter().all(|took| (0.001..0.1).contains(took)), "{name}: {samples:?}");
    }
}

#[tokio::test]
async fn a_lookup_does_not_count_the_wait_for_somebody_elses_answer() {
    let heard = Heard::default();
    let _hearing = metrics::set_default_local_recorder(&heard);
    let clock = Arc::new(ManualClock::new());
    let store = Arc::new(MemoryStore::new(Env::system().with_clock(clock.clone())));
    let cache = LlmCache::new(store, LlmCacheOptions::default()).unwrap();
    let request = LlmRequest::new("model", json!({ "prompt": "why" }));
    let slow = cache.get_or_ask(&request, async || {
        tokio::time::sleep(Duration::from_millis(20)).await;
        clock.advance(Duration::from_secs(3));
        Ok::<_, String>(LlmAnswer::new("because"))
    });
    let waiting = cache.get_or_ask(&request, async || unreachable!("it is asked for") as Result<_, String>);
    let (slow, waiting) = tokio::join!(slow, waiting);
    assert!(!slow.unwrap().is_hit && waiting.unwrap().is_hit);
    assert_eq!(heard.samples("steadfast_llm_lookup_seconds"), [0.0]);
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_pending_and_a_last_retry_is_a_dead_letter() {
    let heard = Heard::default();
    let _hearing = metrics::set_default_local_recorder(&heard);
    let store = Arc::new(MemoryStore::new(Env::system()));
    let folder = tempfile::tempdir().unwrap();
    let task = TaskId::new("report").unwrap();
    let create = CreateTask { task: task.clone(), kind: label("work"), input: Payload::empty() };
    store.create_task(create).await.unwrap();
    let item = WorkItemId::new("report/1").unwrap();
    let (of, kind) = (task.clone(), label("work"));
    let enqueue = Enqueue { item, task: of, kind, priority: 0, delay: Delay::ZERO, max_attempts: 1 };
    store.enqueue(enqueue).await.unwrap();
    let leases = LeaseManager::new(store.clone(), LeaseOptions::new(HolderId::new("w").unwrap())).unwrap();
    leases.claim().await.unwrap().unwrap().retry("the last attempt").await.unwrap();

    let base = folder.path().join("base");
    std::fs::create_dir(&base).unwrap();
    std::fs::write(base.join("proof"), "one").unwrap();
    let checkpoints = CheckpointManager::new(store, CheckpointOptions::new(&base));
    let evidence =
        EvidencePack::new(Rule::All, vec![checkpoints.observe_file("proof").await.unwrap()]).unwrap();
    let new = NewCheckpoint { evidence, ..NewCheckpoint::new(task, label("step"), "state") };
    let step = checkpoints.prepare(new).unwrap();
    checkpoints.commit_step(&step, None, |_| {}).await.unwrap();
    // Without its base nothing can be looked at, and nothing is decided.
    std::fs::remove_dir_all(&base).unwrap();
    checkpoints.verify(step.id()).await.unwrap();

    for (name, expected) in [
        ("steadfast_checkpoint_verifications_total{verdict=pending}", 1.0),
        ("steadfast_checkpoint_verifications_total{verdict=failed}", 0.0),
        ("steadfast_leases_settled_total{how=failed}", 1.0),
        ("steadfast_leases_settled_total{how=retried}", 0.0),
    ] {
        let found = heard.get(name);
        assert!((found - expected).abs() < 1e-9, "{name} is {found}, not {expected}: {heard:?}");
    }
}
