//! `smoke`: a probe for a store in production. On a task of its own, whose item nobody else can claim, it goes once
//! through leases, checkpoints, the resume plan, tool calls, model answers and the settlement, measures each answer, looks
//! at the store's health, and leaves behind one finished task. It does not sweep: that would reclaim other people's
//! items. What a probe that was killed has left, the next one calls off.

use std::time::{Duration, Instant};

use serde_json::json;
use steadfast_checkpoints::{ChainReport, CheckpointManager, CheckpointOptions, NewCheckpoint};
use steadfast_idempotency::{
    Effect, LedgerOptions, LlmAnswer, LlmCache, LlmCacheOptions, LlmRequest, ToolCall, ToolLedger, ToolOutput,
};
use steadfast_recovery::resume_plan;
use steadfast_store::env::Env;
use steadfast_store::{
    Batch, CancelItem, Claim, Committed, CreateTask, Delay, Enqueue, FinishTask, Guard, HolderId,
    InvalidateOperation, Label, Monitoring, OperationKey, Payload, Renew, Requeue, Settle, SettleItem,
    Status, Store, StoreExt, TaskEnd, TaskId, Term, TransitionId, WorkItemId, WorkItemPage, open,
};

use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::report::{Figure, Unit};

/// The matrix of one case.
pub const CASES: &[Case] = &[Case {
    id: "smoke",
    title: "Smoke Test",
    shows: "Leases, checkpoints, resume plan, ledger and cache answer on this store, in time. It sweeps nothing.",
    needs: Needs::Anything,
    runs: Runs::of(1, 1),
    run,
}];

/// The operation kind and tool of everything that the probe leaves.
const KIND: &str = "steadfast-smoke";
/// Items of earlier probes that one probe calls off.
const LEFTOVERS_MAX: u32 = 100;
/// How long the probe's lease lasts: it is settled long before.
const TERM: Duration = Duration::from_mins(1);
/// The reference's limits: creation, verification, look-ups.
const WRITE_MAX_MS: f64 = 20.0;
const VERIFY_MAX_MS: f64 = 30.0;
const LOOKUP_MAX_MS: f64 = 10.0;

/// One probe: a store, and names that are its own.
struct Probe<'a> {
    context: &'a mut Context,
    store: std::sync::Arc<dyn Store>,
    name: String,
    task: TaskId,
    kind: Label,
}

fn run(context: &mut Context) -> Result<(), CaseError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build();
    runtime.map_err(CaseError::io("starting a runtime"))?.block_on(probe(context))
}

fn refused<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    what: &'static str,
) -> impl FnOnce(E) -> CaseError {
    CaseError::store(what)
}

async fn probe(context: &mut Context) -> Result<(), CaseError> {
    let url = existing(context.settings().url.as_deref().unwrap_or("memory:"));
    let store = open(&url, Env::system()).await.map_err(refused("open"))?;
    let name = format!("{KIND}-{}", TransitionId::generate(store.env()));
    let task = TaskId::new(&name).map_err(refused("take a name"))?;
    let kind = Label::new(KIND).map_err(refused("take a label"))?;
    let mut probe = Probe { context, store, name, task, kind };
    probe.call_off_leftovers().await?;
    let guard = probe.claim_own_item().await?;
    probe.checkpoints(&guard).await?;
    probe.tools().await?;
    probe.models().await?;
    probe.settle(guard).await?;
    let monitoring = probe.store.monitoring().await.map_err(refused("tell how it is"))?;
    tell(probe.context, &monitoring);
    context.advance(true);
    Ok(())
}

/// The same store, but never one that has to be made or upgraded for it: a probe with a wrong path finds nothing.
fn existing(url: &str) -> String {
    if !url.starts_with("sqlite:") || url.contains("create=") {
        return url.to_owned();
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}create=0")
}

impl Probe<'_> {
    fn took(&mut self, name: &str, began: Instant, limit_ms: f64) {
        let figure = Figure::new(name, began.elapsed().as_secs_f64() * 1_000.0, Unit::Ms);
        self.context.check(figure.at_most(limit_ms).advisory());
    }

    /// A probe that was killed leaves its item under a lease; the sweep then makes a dead letter of it, since nobody may
    /// claim it. Its task is over with it. Whoever is first of several probes calls it off.
    async fn call_off_leftovers(&mut self) -> Result<(), CaseError> {
        const WHAT: &str = "call off what an earlier probe left";
        let before_all = WorkItemId::new(format!("{KIND}-")).map_err(refused(WHAT))?;
        let (status, after) = (Some(Status::Failed), Some(before_all));
        let page = WorkItemPage { task: None, status, after, limit: LEFTOVERS_MAX };
        let found = self.store.work_items(page).await.map_err(refused(WHAT))?;
        let mut cleared = 0;
        for item in found.into_iter().take_while(|item| item.id.as_str().starts_with(KIND)) {
            if item.kind.as_str() != KIND {
                continue;
            }
            let mut batch = Batch::durable();
            let requeue = TransitionId::generate(self.store.env());
            // Taken back and called off at once: no worker sees it in between.
            batch.add(Requeue { requeue, item: item.id.clone(), delay: Delay::ZERO });
            batch.add(CancelItem { item: item.id });
            batch.add(FinishTask { task: item.task, end: TaskEnd::Cancelled, result: Payload::empty() });
            match self.store.commit(batch).await.map_err(refused(WHAT))? {
                Committed::Applied(_) => cleared += 1,
                // Another probe was first.
                Committed::Rejected(_) => {}
            }
        }
        self.context.check(Figure::count("leftovers_cleared", cleared).reported());
        Ok(())
    }

    /// Task, item and claim are one batch: the item is leased before anybody else can see it.
    async fn claim_own_item(&mut self) -> Result<Guard, CaseError> {
        const WHAT: &str = "lease an item of its own";
        let began = Instant::now();
        let mut batch = Batch::durable();
        let (task, kind) = (self.task.clone(), self.kind.clone());
        batch.add(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() });
        let item = WorkItemId::new(&self.name).map_err(refused(WHAT))?;
        batch.add(Enqueue {
            item,
            task: task.clone(),
            kind: kind.clone(),
            priority: 0,
            delay: Delay::ZERO,
            max_attempts: 1,
        });
        let claimed = batch.add(Claim {
            claim: TransitionId::generate(self.store.env()),
            holder: HolderId::new(KIND).map_err(refused(WHAT))?,
            term: Term::new(TERM).map_err(refused(WHAT))?,
            limit: 1,
            kinds: vec![kind],
            task: Some(task),
        });
        let applied = match self.store.commit(batch).await.map_err(refused(WHAT))? {
            Committed::Applied(applied) => applied,
            Committed::Rejected(rejection) => return Err(refused(WHAT)(rejection)),
        };
        let claimed = applied.get(claimed).map_err(refused(WHAT))?;
        let guard = claimed.items.first().map(steadfast_store::WorkItem::guard);
        let guard = guard.ok_or_else(|| refused(WHAT)("the claim came back empty"))?;
        self.took("claim_ms", began, WRITE_MAX_MS);
        let began = Instant::now();
        let renew = Renew { guard: guard.clone(), term: Term::new(TERM).map_err(refused(WHAT))? };
        self.store.renew(renew).await.map_err(refused("renew a lease"))?;
        self.took("renewal_ms", began, WRITE_MAX_MS);
        Ok(guard)
    }

    async fn checkpoints(&mut self, guard: &Guard) -> Result<(), CaseError> {
        const WHAT: &str = "keep a checkpoint";
        let manager = CheckpointManager::new(self.store.clone(), CheckpointOptions::new("."));
        let new = NewCheckpoint::new(self.task.clone(), self.kind.clone(), "smoke");
        let prepared = manager.prepare(new).map_err(refused(WHAT))?;
        let began = Instant::now();
        manager.commit_step(&prepared, Some(guard.clone()), |_| {}).await.map_err(refused(WHAT))?;
        self.took("checkpoint_ms", began, WRITE_MAX_MS);
        let began = Instant::now();
        let report = manager.verify(prepared.id()).await.map_err(refused("verify a checkpoint"))?;
        self.took("verification_ms", began, VERIFY_MAX_MS);
        let chain = manager.verify_chain(&self.task).await.map_err(refused("verify a chain"))?;
        let is_whole = report.is_verified() && matches!(chain, ChainReport::Intact { length: 1, .. });
        self.context.check(Figure::count("checkpoints_verified", usize::from(is_whole)).at_least(1.0));
        let began = Instant::now();
        let plan = resume_plan(&manager, &self.task).await.map_err(refused("plan a resume"))?;
        self.took("resume_plan_ms", began, VERIFY_MAX_MS);
        let from = plan.from.map(|checkpoint| checkpoint.header.id);
        let is_right = from == Some(prepared.id()) && plan.in_doubt.is_empty() && plan.pending.is_empty();
        self.context.check(Figure::count("resume_points_found", usize::from(is_right)).at_least(1.0));
        Ok(())
    }

    async fn tools(&mut self) -> Result<(), CaseError> {
        const WHAT: &str = "record a call";
        let ledger =
            ToolLedger::new(self.store.clone(), LedgerOptions::default()).map_err(refused("take a term"))?;
        // Not of its task: whose operations are kept as long as it is, while this one goes with the others.
        let call = ToolCall::new(self.kind.clone(), self.name.clone(), "smoke", Effect::AtMostOnce);
        let began = Instant::now();
        let first =
            ledger.run(&call, async || ToolOutput::Succeeded("done".into())).await.map_err(refused(WHAT))?;
        self.took("tool_call_ms", began, 2.0 * WRITE_MAX_MS);
        let began = Instant::now();
        let again = ledger
            .run(&call, async || ToolOutput::Failed("run twice".into()))
            .await
            .map_err(refused(WHAT))?;
        self.took("tool_replay_ms", began, LOOKUP_MAX_MS);
        let is_replayed = !first.replayed && again.replayed && again.output == first.output;
        self.context.check(Figure::count("calls_replayed", usize::from(is_replayed)).at_least(1.0));
        let key = format!("{}{KIND}:{}", steadfast_store::TOOL_KEYS, self.name);
        let key = OperationKey::new(key).map_err(refused(WHAT))?;
        let gone = self.store.invalidate_operation(InvalidateOperation { key }).await;
        gone.map(drop).map_err(refused("remove its call again"))
    }

    async fn models(&mut self) -> Result<(), CaseError> {
        const WHAT: &str = "keep an answer";
        let cache =
            LlmCache::new(self.store.clone(), LlmCacheOptions::default()).map_err(refused("take a term"))?;
        let request = LlmRequest::new(KIND, json!({ "prompt": self.name }));
        let ask = async || Ok::<_, std::io::Error>(LlmAnswer::new("smoke"));
        let first = cache.get_or_ask(&request, ask).await.map_err(refused(WHAT))?;
        let began = Instant::now();
        let again = cache.get_or_ask(&request, ask).await.map_err(refused(WHAT))?;
        self.took("cache_hit_ms", began, LOOKUP_MAX_MS);
        let is_hit = !first.is_hit && again.is_hit && again.answer == first.answer;
        self.context.check(Figure::count("answers_cached", usize::from(is_hit)).at_least(1.0));
        cache.invalidate(&request).await.map(drop).map_err(refused("remove its answer again"))
    }

    async fn settle(&mut self, guard: Guard) -> Result<(), CaseError> {
        const WHAT: &str = "settle an item";
        let began = Instant::now();
        let mut batch = Batch::durable();
        batch.add(SettleItem { guard, settle: Settle::Succeeded, detail: String::new() });
        let (task, end) = (self.task.clone(), TaskEnd::Succeeded);
        batch.add(FinishTask { task, end, result: Payload::empty() });
        match self.store.commit(batch).await.map_err(refused(WHAT))? {
            Committed::Applied(_) => self.took("settlement_ms", began, WRITE_MAX_MS),
            Committed::Rejected(rejection) => return Err(refused(WHAT)(rejection)),
        }
        Ok(())
    }
}

/// What the store says of itself.
fn tell(context: &mut Context, now: &Monitoring) {
    #[allow(clippy::cast_precision_loss, reason = "rows of a store")]
    let count = |name: &str, count: u64| Figure::new(name, count as f64, Unit::Count);
    let of = |counts: &[(Status, u64)]| counts.iter().map(|(_, count)| count).sum();
    context.check(count("expired_leases", now.health.expired_leases).reported());
    context.check(count("work_items", of(&now.health.work_items)).reported());
    context.check(count("tasks", of(&now.health.tasks)).reported());
    context.check(count("checkpoints", now.health.checkpoints).reported());
    context.check(count("tool_calls_in_doubt", now.tool_calls.in_doubt).reported());
    context.check(count("tasks_with_too_many_checkpoints", now.crowded_tasks.len() as u64).reported());
    let apart = now.health.store_time.as_millis() - now.health.wall_time.as_millis();
    context.check(count("clock_distance_ms", apart.unsigned_abs()).reported());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_makes_no_store() {
        assert_eq!(existing("sqlite:a.db"), "sqlite:a.db?create=0");
        assert_eq!(existing("sqlite:a.db?readers=2"), "sqlite:a.db?readers=2&create=0");
        assert_eq!(existing("sqlite:a.db?create=1"), "sqlite:a.db?create=1");
        assert_eq!(existing("memory:"), "memory:");
    }
}
