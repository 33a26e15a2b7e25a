//! The spans that the crates put around what they offer: each is there with its fields, below the one that it is part
//! of, and below the caller's own. A program of its own, one test at a time: tracing decides once and for all whether
//! anybody listens to a span, and a test beside these that does not listen could be the one it asks.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use steadfast::prelude::*;
use steadfast::store::{CheckpointId, MemoryStore};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Instrument, Metadata, Subscriber};

/// One test at a time.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

/// One span: its own name and those above it, joined by `/`, and its fields as text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    crate_name: String,
    path: String,
    fields: BTreeMap<String, String>,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().to_owned(), value.to_owned());
    }
}

/// Notes every span of this workspace and of the tests, and which are entered.
#[derive(Debug, Clone, Default)]
struct Listener(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    /// The id of a span is its place here, from 1.
    seen: Vec<Seen>,
    entered: Vec<u64>,
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && (metadata.target().starts_with("steadfast") || metadata.target() == "test")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut notes = self.0.lock().unwrap();
        let above = match attributes.parent() {
            Some(parent) => Some(parent.into_u64()),
            None if attributes.is_contextual() => notes.entered.last().copied(),
            None => None,
        };
        let name = attributes.metadata().name();
        let path = match above {
            Some(above) => format!("{}/{name}", notes.seen[usize::try_from(above).unwrap() - 1].path),
            None => name.to_owned(),
        };
        let target = attributes.metadata().target();
        let crate_name = target.split("::").next().unwrap_or_default().to_owned();
        let mut seen = Seen { crate_name, path, fields: BTreeMap::new() };
        attributes.record(&mut seen);
        notes.seen.push(seen);
        Id::from_u64(notes.seen.len() as u64)
    }

    fn enter(&self, id: &Id) {
        self.0.lock().unwrap().entered.push(id.into_u64());
    }

    fn exit(&self, id: &Id) {
        let left = self.0.lock().unwrap().entered.pop();
        assert_eq!(left, Some(id.into_u64()), "a span was left that was not the one entered last");
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
}

impl Listener {
    fn all(&self) -> Vec<Seen> {
        self.0.lock().unwrap().seen.clone()
    }

    fn has(&self, crate_name: &str, path: &str, fields: &[(&str, &str)]) -> bool {
        let wanted: BTreeMap<String, String> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let wanted = Seen { crate_name: crate_name.to_owned(), path: path.to_owned(), fields: wanted };
        self.all().contains(&wanted)
    }

    #[track_caller]
    fn expect(&self, crate_name: &str, path: &str, fields: &[(&str, &str)]) {
        let seen = self.all();
        assert!(self.has(crate_name, path, fields), "no span {crate_name}: {path} {fields:?} in {seen:#?}");
    }

    /// A commit in the store, below that path.
    #[track_caller]
    fn expect_commit(&self, below: &str, commands: &str, durability: &str) {
        let path = format!("{below}/commit");
        self.expect("steadfast_store", &path, &[("commands", commands), ("durability", durability)]);
    }
}

/// A store with one task, and so many work items of it.
async fn furnished(store: Arc<dyn Store>, items: u32) -> (Arc<dyn Store>, TaskId) {
    let task = TaskId::new("report").unwrap();
    let create = CreateTask { task: task.clone(), kind: label("work"), input: Payload::empty() };
    store.create_task(create).await.unwrap();
    for number in 0..items {
        let item = WorkItemId::new(format!("report/{number}")).unwrap();
        let (task, kind) = (task.clone(), label("work"));
        let enqueue = Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 3 };
        store.enqueue(enqueue).await.unwrap();
    }
    (store, task)
}

async fn opened(folder: &tempfile::TempDir) -> Arc<dyn Store> {
    let url = format!("sqlite:{}", folder.path().join("work.db").display());
    steadfast::open(&url, Env::system()).await.unwrap()
}

#[tokio::test]
async fn leases_are_claimed_renewed_and_ended_in_spans() {
    let _turn = TURN.lock().await;
    let listener = Listener::default();
    let _listening = tracing::subscriber::set_default(listener.clone());
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = furnished(opened(&folder).await, 1).await;
    let options =
        LeaseOptions { term: Duration::from_secs(3), ..LeaseOptions::new(HolderId::new("w").unwrap()) };
    let leases = LeaseManager::new(store, options).unwrap();

    let above = tracing::info_span!(target: "test", "worker");
    let lease = leases.claim().instrument(above).await.unwrap().unwrap();
    lease.renew().await.unwrap();
    let beaten = [("item", "report/0"), ("fence", "1"), ("heartbeat", "true")];
    for _ in 0..1_000 {
        if listener.has("steadfast_leases", "renew", &beaten) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lease.finish(Settle::Succeeded).await.unwrap();

    listener.expect("steadfast_leases", "worker/claim", &[("holder", "w"), ("limit", "1")]);
    listener.expect_commit("worker/claim", "1", "durable");
    let called = [("item", "report/0"), ("fence", "1"), ("heartbeat", "false")];
    listener.expect("steadfast_leases", "renew", &called);
    listener.expect("steadfast_leases", "renew", &beaten);
    listener.expect_commit("renew", "1", "relaxed");
    let ended = [("item", "report/0"), ("fence", "1"), ("settle", "Succeeded")];
    listener.expect("steadfast_leases", "finish", &ended);
    listener.expect_commit("finish", "1", "durable");
}

#[tokio::test]
async fn checkpoints_are_made_and_looked_at_in_spans() {
    let _turn = TURN.lock().await;
    let listener = Listener::default();
    let _listening = tracing::subscriber::set_default(listener.clone());
    let folder = tempfile::tempdir().unwrap();
    let (store, task) = furnished(opened(&folder).await, 1).await;
    let options = LeaseOptions { heartbeat: false, ..LeaseOptions::new(HolderId::new("w").unwrap()) };
    let lease = LeaseManager::new(store.clone(), options).unwrap().claim().await.unwrap().unwrap();
    let checkpoints = CheckpointManager::new(store, CheckpointOptions::new(folder.path()));

    let Begun::Open(step) = checkpoints.begin_step(&task, label("draft"), None).await.unwrap() else {
        panic!("nobody began it before");
    };
    let new = NewCheckpoint::new(task.clone(), label("step"), "state");
    let prepared = checkpoints.prepare(new).unwrap();
    checkpoints.commit_begun(&step, &prepared, Some(lease.guard()), |_| {}).await.unwrap();
    checkpoints.verify(prepared.id()).await.unwrap();
    checkpoints.last_verified(&task).await.unwrap();
    resume_plan(&checkpoints, &task).await.unwrap();
    let unknown = CheckpointId::from_bytes([7; 16]);
    checkpoints.verify(unknown).await.unwrap_err();

    listener.expect("steadfast_checkpoints", "begin_step", &[("task", "report"), ("step", "draft")]);
    listener.expect_commit("begin_step", "1", "durable");
    let id = prepared.id().to_string();
    let fields = [("task", "report"), ("checkpoint", &*id), ("fence", "1")];
    listener.expect("steadfast_checkpoints", "commit_step", &fields);
    // The checkpoint, its verdict, the end of the step.
    listener.expect_commit("commit_step", "3", "durable");
    listener.expect("steadfast_checkpoints", "verify", &[("checkpoint", &id)]);
    listener.expect_commit("verify", "1", "relaxed");
    listener.expect("steadfast_checkpoints", "verify", &[("checkpoint", &unknown.to_string())]);
    listener.expect("steadfast_checkpoints", "last_verified", &[("task", "report")]);
    listener.expect("steadfast_recovery", "resume_plan", &[("task", "report")]);
    listener.expect("steadfast_checkpoints", "resume_plan/last_verified", &[("task", "report")]);
}

#[tokio::test]
async fn calls_are_made_once_in_spans_and_tools_run_below_them() {
    let _turn = TURN.lock().await;
    let listener = Listener::default();
    let _listening = tracing::subscriber::set_default(listener.clone());
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder).await;
    let tools = ToolLedger::new(store.clone(), LedgerOptions::default()).unwrap();
    let cache = LlmCache::new(store, LlmCacheOptions::default()).unwrap();

    let by_steps = ToolCall::new(label("mail"), "steps", "in", Effect::AtMostOnce);
    let Call::Begun(attempt) = tools.call(&by_steps).await.unwrap() else { panic!("nobody asked before") };
    attempt.finish(ToolOutput::Succeeded("sent".into())).await.unwrap();
    let at_once = ToolCall::new(label("mail"), "at once", "in", Effect::AtMostOnce);
    for _ in 0..2 {
        let tool = async || {
            let send = async { ToolOutput::Succeeded("sent".into()) };
            send.instrument(tracing::info_span!(target: "test", "send")).await
        };
        tools.run(&at_once, tool).await.unwrap();
    }
    let request = LlmRequest::new("large", json!({ "prompt": "Why?" }));
    let ask = async || {
        let think = async { Ok::<_, String>(LlmAnswer::new("Because.")) };
        think.instrument(tracing::info_span!(target: "test", "think")).await
    };
    cache.get_or_ask(&request, ask).await.unwrap();
    cache.get_or_ask(&request, ask).await.unwrap();

    let key = attempt.key().to_string();
    listener.expect("steadfast_idempotency", "call", &[("tool", "mail"), ("key", &key)]);
    listener.expect_commit("call", "1", "durable");
    let recorded = [("key", &*key), ("attempt", "1"), ("late", "false")];
    listener.expect("steadfast_idempotency", "record", &recorded);
    listener.expect_commit("record", "1", "durable");
    let paths: Vec<String> = listener.all().into_iter().map(|seen| seen.path).collect();
    let below = |above: &str| paths.iter().filter(|path| path.split('/').next() == Some(above)).count();
    assert_eq!(below("run"), 6, "twice asked; once intent, tool, record and its commit: {paths:?}");
    for path in ["run", "run/commit", "run/send", "run/record", "run/record/commit"] {
        assert!(paths.iter().any(|seen| seen == path), "{path} in {paths:?}");
    }
    for path in ["get_or_ask", "get_or_ask/commit", "get_or_ask/think", "get_or_ask/record/commit"] {
        assert!(paths.iter().any(|seen| seen == path), "{path} in {paths:?}");
    }
    assert_eq!(below("get_or_ask"), 6, "{paths:?}");
    let asked = listener.all().into_iter().find(|seen| seen.path == "get_or_ask").unwrap();
    assert_eq!(asked.fields["model"], "large");
    assert!(asked.fields["key"].starts_with("llm-cache:large:"), "{asked:?}");
}

#[tokio::test]
async fn sweeps_and_housekeeping_run_in_spans() {
    let _turn = TURN.lock().await;
    let listener = Listener::default();
    let _listening = tracing::subscriber::set_default(listener.clone());
    let folder = tempfile::tempdir().unwrap();
    let sweeping = Sweeper::new(opened(&folder).await, SweepOptions::default()).run();
    sweeping.passed(1).await;
    sweeping.stop().await;

    listener.expect("steadfast_recovery", "sweep", &[("page", "256")]);
    listener.expect_commit("sweep", "1", "durable");
    listener.expect("steadfast_recovery", "housekeeping", &[("keep_checkpoints", "100")]);
    listener.expect_commit("housekeeping", "1", "relaxed");
}

/// A guard that stays entered over an await would put the spans of one task below those of another.
#[tokio::test]
async fn tasks_that_take_turns_keep_their_spans_apart() {
    let _turn = TURN.lock().await;
    let listener = Listener::default();
    let _listening = tracing::subscriber::set_default(listener.clone());
    let memory = Arc::new(MemoryStore::new(Env::system()).with_yields());
    let (store, task) = furnished(memory, 0).await;
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = CheckpointManager::new(store, CheckpointOptions::new(folder.path()));
    let made = (0..8).map(|number| {
        let (checkpoints, task) = (checkpoints.clone(), task.clone());
        let work = async move {
            let new = NewCheckpoint::new(task, label("step"), format!("state {number}"));
            let prepared = checkpoints.prepare(new).unwrap();
            checkpoints.commit_step(&prepared, None, |_| {}).await.unwrap();
            checkpoints.verify(prepared.id()).await.unwrap();
        };
        tokio::spawn(work.instrument(tracing::info_span!(target: "test", "worker")))
    });
    for made in made.collect::<Vec<_>>() {
        made.await.unwrap();
    }

    let count = |path: &str| listener.all().iter().filter(|seen| seen.path == path).count();
    for path in ["commit_step", "commit_step/commit", "verify", "verify/commit"] {
        assert_eq!(count(&format!("worker/{path}")), 8, "{path}: {:#?}", listener.all());
    }
    assert!(listener.0.lock().unwrap().entered.is_empty(), "every span was left");
}
