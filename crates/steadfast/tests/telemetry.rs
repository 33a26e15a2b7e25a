//! What a worker's life tells by the `metrics` facade: every name that the alert rules watch is really counted, from 0
//! on, and latencies are measured by the clock of the environment.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use serde_json::json;
use steadfast::prelude::*;
use steadfast::store::env::{BootReading, Clock, ManualClock};
use steadfast::store::{MemoryStore, WallTime};

/// Sums and counts, by name, and the samples of each histogram.
#[derive(Debug, Clone, Default)]
struct Heard(Arc<Mutex<BTreeMap<String, f64>>>, Arc<Mutex<BTreeMap<String, Vec<f64>>>>);

/// One metric of it.
struct One(String, Heard);

impl One {
    fn add(&self, value: f64) {
        *self.1.0.lock().unwrap().entry(self.0.clone()).or_default() += value;
    }
}

impl CounterFn for One {
    #[allow(clippy::cast_precision_loss)]
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }
    fn absolute(&self, _: u64) {}
}

impl GaugeFn for One {
    fn increment(&self, value: f64) {
        self.add(value);
    }
    fn decrement(&self, value: f64) {
        self.add(-value);
    }
    fn set(&self, value: f64) {
        self.1.0.lock().unwrap().insert(self.0.clone(), value);
    }
}

impl HistogramFn for One {
    fn record(&self, value: f64) {
        self.add(1.0);
        self.1.1.lock().unwrap().entry(self.0.clone()).or_default().push(value);
    }
}

impl Heard {
    fn one(&self, key: &Key) -> Arc<One> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = if labels.is_empty() {
            key.name().to_owned()
        } else {
            format!("{}{{{}}}", key.name(), labels.join(","))
        };
        Arc::new(One(name, self.clone()))
    }

    fn get(&self, name: &str) -> f64 {
        self.0.lock().unwrap().get(name).copied().unwrap_or_default()
    }

    fn samples(&self, name: &str) -> Vec<f64> {
        self.1.lock().unwrap().get(name).cloned().unwrap_or_default()
    }
}

impl Recorder for Heard {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}

/// The metrics that a text names.
fn names(text: &str) -> std::collections::BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    words.filter(|word| word.starts_with("steadfast_")).collect()
}

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
    let shown: Vec<(String, f64)> = heard.0.lock().unwrap().clone().into_iter().collect();
    assert_eq!(shown, COUNTERS.map(|name| (name.to_owned(), 0.0)));

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
        ("steadfast_batches_total{outcome=rejected}", 2.0),
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
    manual_and_rules_speak_of_what_is_counted(&heard);
}

fn manual_and_rules_speak_of_what_is_counted(heard: &Heard) {
    let counted: Vec<String> = heard.0.lock().unwrap().keys().cloned().collect();
    let is_counted = |name: &str| counted.iter().any(|counted| counted.split('{').next() == Some(name));
    let (rules, manual) =
        (include_str!("../../../docs/alerts.yml"), include_str!("../../../docs/operations.md"));
    for (file, text) in [("the alert rules", rules), ("the manual", manual)] {
        let names = names(text);
        assert!(names.len() > 10, "{file}: {names:?}");
        let unknown: Vec<_> = names.into_iter().filter(|name| !is_counted(name)).collect();
        assert!(unknown.is_empty(), "{file} speaks of what is never counted: {unknown:?}");
    }
    let told = names(manual);
    let untold: Vec<_> =
        counted.iter().filter(|name| !told.contains(name.split('{').next().unwrap())).collect();
    assert!(untold.is_empty(), "the manual says nothing of {untold:?}");
}

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
