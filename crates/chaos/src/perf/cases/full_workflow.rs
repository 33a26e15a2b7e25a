//! `full_workflow`: all that one piece of work takes, from its submission to its settlement.

use std::fs;
use std::time::Instant;

use steadfast_checkpoints::{CheckpointManager, CheckpointOptions, EvidencePack, NewCheckpoint, Rule};
use steadfast_idempotency::{Call, Effect, LedgerOptions, ToolCall, ToolLedger, ToolOutput};
use steadfast_leases::{LeaseManager, LeaseOptions};
use steadfast_store::{
    CreateTask, Delay, Enqueue, FinishTask, HolderId, Label, Payload, Settle, StoreExt, TaskEnd, TaskId,
    WorkItemId,
};

use super::{Ground, in_time, latencies, runtime};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::perf::PAYLOAD_BYTES;
use crate::perf::stats::Samples;
use crate::perf::subject::refused;

/// The case.
pub(super) const CASE: Case = Case {
    id: "full_workflow",
    title: "Full Workflow",
    shows: "Submit, claim, call a tool, checkpoint with evidence, settle, verify: within the reference's limits.",
    needs: Needs::Anything,
    runs: Runs::of(50, 50),
    run,
};

/// The reference's limits.
const AVERAGE_MAX_MS: f64 = 30.0;
const P95_MAX_MS: f64 = 50.0;
const WHAT: &str = "carry out a workflow";

fn run(context: &mut Context) -> Result<(), CaseError> {
    let ground = Ground::new(context)?;
    let runtime = runtime()?;
    let took = runtime.block_on(async {
        let opened = ground.store("agent.db").await?;
        let store = opened.store();
        let holder = HolderId::new("worker-1").map_err(refused(WHAT))?;
        let leases = LeaseManager::new(store.clone(), LeaseOptions::new(holder)).map_err(refused(WHAT))?;
        let base = ground.path("work");
        fs::create_dir(&base).map_err(CaseError::io("making a folder for evidence"))?;
        let checkpoints = CheckpointManager::new(store.clone(), CheckpointOptions::new(&base));
        let tools = ToolLedger::new(store.clone(), LedgerOptions::default()).map_err(refused(WHAT))?;
        let parts = Parts { leases, checkpoints, tools, base: base.clone() };
        let mut rng = context.rng(1);
        let mut took = Vec::new();
        for number in 0..context.runs() {
            let state = ground.pool.cut(&mut rng, PAYLOAD_BYTES);
            let began = Instant::now();
            let is_verified = workflow(&*store, &parts, number, state).await?;
            took.push(began.elapsed());
            context.advance(is_verified);
            in_time(context, "the workflows")?;
        }
        drop((parts, store));
        opened.close().await;
        Ok::<_, CaseError>(took)
    })?;
    latencies(context, "workflow", &Samples::of_durations_ms(&took), AVERAGE_MAX_MS, P95_MAX_MS);
    Ok(())
}

struct Parts {
    leases: LeaseManager,
    checkpoints: CheckpointManager,
    tools: ToolLedger,
    base: std::path::PathBuf,
}

/// One task from its submission to the verification of its checkpoint.
async fn workflow(
    store: &(impl StoreExt + ?Sized),
    parts: &Parts,
    number: usize,
    state: bytes::Bytes,
) -> Result<bool, CaseError> {
    let task = TaskId::new(format!("report-{number}")).map_err(refused(WHAT))?;
    let kind = Label::new("research").map_err(refused(WHAT))?;
    let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
    store.create_task(create).await.map_err(refused(WHAT))?;
    let item = WorkItemId::new(format!("report-{number}/1")).map_err(refused(WHAT))?;
    let (of, delay) = (task.clone(), Delay::ZERO);
    let enqueue = Enqueue { item, task: of, kind: kind.clone(), priority: 0, delay, max_attempts: 3 };
    store.enqueue(enqueue).await.map_err(refused(WHAT))?;

    let lease = parts.leases.claim().await.map_err(refused(WHAT))?;
    let lease = lease.ok_or_else(|| refused(WHAT)("there was no item"))?;
    let call = ToolCall {
        task: Some(task.clone()),
        lease: Some(lease.guard()),
        ..ToolCall::new(kind, format!("report-{number}/mail"), "to: all", Effect::AtMostOnce)
    };
    let Call::Begun(attempt) = parts.tools.call(&call).await.map_err(refused(WHAT))? else {
        return Err(refused(WHAT)("the call had been made before"));
    };
    let name = format!("draft-{number}");
    fs::write(parts.base.join(&name), &state).map_err(CaseError::io("writing evidence"))?;
    let piece = parts.checkpoints.observe_file(&name).await.map_err(refused(WHAT))?;
    let evidence = EvidencePack::new(Rule::All, vec![piece]).map_err(refused(WHAT))?;
    let label = Label::new("step").map_err(refused(WHAT))?;
    let new = NewCheckpoint { evidence, ..NewCheckpoint::new(task.clone(), label, state) };
    let prepared = parts.checkpoints.prepare(new).map_err(refused(WHAT))?;
    let sent = ToolOutput::Succeeded("sent as 4711".into());
    let result = attempt.finish_command(sent).map_err(refused(WHAT))?;
    let finish = FinishTask { task, end: TaskEnd::Succeeded, result: Payload::empty() };
    let end = lease.settle(Settle::Succeeded);
    let also = |batch: &mut steadfast_store::Batch| {
        batch.add(result);
        batch.add(finish);
        batch.add(end);
    };
    parts.checkpoints.commit_step(&prepared, Some(lease.guard()), also).await.map_err(refused(WHAT))?;
    let report = parts.checkpoints.verify(prepared.id()).await.map_err(refused(WHAT))?;
    Ok(report.is_verified())
}
