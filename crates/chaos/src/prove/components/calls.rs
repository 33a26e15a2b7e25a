//! What the components promise: the key of a model's answer covers the whole request, a tool's intent stands in the
//! store before the tool is called, and an unknown answer is resolved without doing anything twice.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use steadfast_idempotency::{
    Effect, LedgerOptions, LlmAnswer, LlmCache, LlmCacheOptions, LlmRequest, ToolCall, ToolLedger, ToolOutput,
};
use steadfast_store::env::Env;
use steadfast_store::{
    AppendCheckpoint, Batch, CheckpointId, Claim, Committed, CreateTask, Delay, Enqueue, HolderId, Payload,
    RESOLVE_PATIENCE, SealedPayload, Store, StoreExt, Term, TransitionId, WorkItemId, commit_resolved,
};

use super::{Figures, TASK, kind, options, store, task};
use crate::audit::Audit;
use crate::case::CaseError;
use crate::kit::{FaultyStore, StoreFault};

/// Nothing here takes as long.
const TERM: Duration = Duration::from_mins(5);
/// Calls, batches and items of one probe.
const TIMES: usize = 8;

/// Requests that differ in one thing each, and so are never answered for one another.
fn requests() -> Vec<LlmRequest> {
    let first = LlmRequest::new("large-1", json!({ "prompt": "Why?", "seed": 7, "format": "text" }));
    let tenant = |name: &str| LlmRequest { tenant: Some(name.to_owned()), ..first.clone() };
    let model = |name: &str| LlmRequest { model: name.to_owned(), ..first.clone() };
    let body = |body| LlmRequest { body, ..first.clone() };
    vec![
        first.clone(),
        tenant("acme"),
        tenant(""),
        model("large-2"),
        model("large"),
        body(json!({ "prompt": "Why?", "seed": 8, "format": "text" })),
        body(json!({ "prompt": "Why?", "seed": 7.0, "format": "text" })),
        body(json!({ "prompt": "Why?", "seed": 7, "format": "json" })),
        body(json!({ "prompt": "Why?", "seed": 7 })),
        body(json!({ "prompt": "Why", "seed": 7, "format": "text" })),
    ]
}

pub(super) async fn model_keys(figures: &mut Figures, folder: &Path) -> Result<(), CaseError> {
    const WHAT: &str = "keep an answer";
    let store: Arc<dyn Store> = store(options(folder, "keys")).await?;
    let cache = LlmCache::new(store, LlmCacheOptions::default()).map_err(CaseError::store(WHAT))?;
    let (mut crossed, mut asked_again) = (0, 0);
    for round in 0..2 {
        for (index, request) in requests().iter().enumerate() {
            let own = LlmAnswer::new(format!("answer {index}"));
            let ask = async || Ok::<_, std::io::Error>(own.clone());
            let answered = cache.get_or_ask(request, ask).await.map_err(CaseError::store(WHAT))?;
            crossed += usize::from(answered.answer != own);
            asked_again += usize::from(round == 1 && !answered.is_hit);
        }
    }
    figures.add("answers_given_to_another_request", crossed);
    figures.add("answers_asked_for_again", asked_again);
    Ok(())
}

pub(super) async fn intents(figures: &mut Figures, folder: &Path) -> Result<(), CaseError> {
    const WHAT: &str = "record a call";
    let options = options(folder, "intents");
    let path = options.path.clone();
    let store: Arc<dyn Store> = store(options).await?;
    let ledger = ToolLedger::new(store, LedgerOptions::default()).map_err(CaseError::store(WHAT))?;
    let mut unwritten = 0;
    for index in 0..TIMES {
        let call = ToolCall::new(kind()?, format!("call-{index}"), "probe", Effect::AtMostOnce);
        // The tool looks itself, by SQL on a connection of its own.
        let tool = async || {
            let written = Audit::open(&path).and_then(|audit| audit.operations_at("pending", "tool-ledger:"));
            ToolOutput::Succeeded(written.is_ok_and(|written| written == 1).to_string().into())
        };
        let ran = ledger.run(&call, tool).await.map_err(CaseError::store(WHAT))?;
        unwritten += usize::from(ran.output != ToolOutput::Succeeded("true".into()));
    }
    figures.add("calls_without_a_written_intent", unwritten);
    Ok(())
}

pub(super) async fn unknown_answers(figures: &mut Figures, folder: &Path) -> Result<(), CaseError> {
    const WHAT: &str = "resolve an unknown answer";
    let inner = store(options(folder, "unknown")).await?;
    let create = CreateTask { task: task()?, kind: kind()?, input: Payload::empty() };
    inner.create_task(create).await.map_err(CaseError::store("create a task"))?;
    for index in 0..2 * TIMES {
        let item = WorkItemId::new(format!("{TASK}/{index}")).map_err(CaseError::store(WHAT))?;
        let (task, kind) = (task()?, kind()?);
        let enqueue = Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 1 };
        inner.enqueue(enqueue).await.map_err(CaseError::store("enqueue an item"))?;
    }
    // Of each batch the first submission is applied, and its answer is lost.
    let faults = |commit: u64, _: &Batch| {
        if commit.is_multiple_of(2) { StoreFault::LoseAnswer } else { StoreFault::Pass }
    };
    let unsure = FaultyStore::new(inner.clone(), faults);
    let mut unanswered = 0;
    for _ in 0..TIMES {
        let mut batch = Batch::durable();
        batch.add(append(inner.env())?);
        batch.add(claim(inner.env())?);
        let answer =
            commit_resolved(&unsure, batch, RESOLVE_PATIENCE).await.map_err(CaseError::store(WHAT))?;
        unanswered += usize::from(!matches!(answer, Committed::Applied(_)));
    }
    let found = inner.task(&task()?).await.map_err(CaseError::store("read a task"))?;
    let appended = found.map_or(0, |task| usize::try_from(task.head.0).unwrap_or(usize::MAX));
    let mut claimed = 0;
    for index in 0..2 * TIMES {
        let id = WorkItemId::new(format!("{TASK}/{index}")).map_err(CaseError::store(WHAT))?;
        let item = inner.work_item(&id).await.map_err(CaseError::store("read an item"))?;
        claimed += usize::from(item.is_some_and(|item| item.lease.is_some()));
    }
    figures.add("unknown_answers_not_resolved", unanswered);
    figures.add("checkpoints_appended_twice", appended.abs_diff(TIMES));
    figures.add("items_claimed_twice", claimed.abs_diff(TIMES));
    Ok(())
}

fn append(env: &Env) -> Result<AppendCheckpoint, CaseError> {
    let payload = SealedPayload::seal("state", env).map_err(CaseError::store("seal a payload"))?;
    Ok(AppendCheckpoint {
        checkpoint: CheckpointId::generate(env),
        task: task()?,
        kind: kind()?,
        work_item: None,
        expected_head: None,
        payload,
        evidence: Payload::empty(),
        copy_of: None,
    })
}

fn claim(env: &Env) -> Result<Claim, CaseError> {
    Ok(Claim {
        claim: TransitionId::generate(env),
        holder: HolderId::new(TASK).map_err(CaseError::store("take a name"))?,
        term: Term::new(TERM).map_err(CaseError::store("take a term"))?,
        limit: 1,
        kinds: Vec::new(),
        task: None,
    })
}
