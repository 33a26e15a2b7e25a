//! What a worker's life tells by the `metrics` facade: every name that the alert rules watch is really counted.

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

/// Sums and counts, by name.
#[derive(Debug, Clone, Default)]
struct Heard(Arc<Mutex<BTreeMap<String, f64>>>);

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
    fn record(&self, _: f64) {
        self.add(1.0);
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

#[tokio::test]
async fn a_workers_life_is_counted() {
    let heard = Heard::default();
    metrics::set_global_recorder(heard.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("agent.db").display());
    let store = steadfast::open(&url, Env::system()).await.unwrap();
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
    let options = LeaseOptions {
        heartbeat: false,
        term: Duration::from_millis(500),
        ..LeaseOptions::new(HolderId::new("w").unwrap())
    };
    let leases = LeaseManager::new(store.clone(), options).unwrap();
    let done = leases.claim().await.unwrap().unwrap();
    done.renew().await.unwrap();
    let checkpoints = CheckpointManager::new(store.clone(), CheckpointOptions::new(folder.path()));
    let step = checkpoints.prepare(NewCheckpoint::new(task.clone(), label("step"), "state")).unwrap();
    checkpoints.commit_step(&step, Some(done.guard()), |_| {}).await.unwrap();
    checkpoints.verify(step.id()).await.unwrap();
    done.finish(Settle::Succeeded).await.unwrap();
    assert!(store.settle(done.settle(Settle::Failed)).await.is_err(), "a rejected batch");

    let lost = leases.claim().await.unwrap().unwrap();
    lost.lost().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let stats = Sweeper::new(store.clone(), SweepOptions::default()).run_once().await;
    assert_eq!(stats.expired_found, 1);

    let tools = ToolLedger::new(store.clone(), LedgerOptions::default()).unwrap();
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
    let cache = LlmCache::new(store.clone(), LlmCacheOptions::default()).unwrap();
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
