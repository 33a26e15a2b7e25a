//! Finds the bug of a naive agent, and passes the mended one: `cargo run -p steadfast-chaos --example crash_matrix`.
//!
//! Both send a mail and note that they did. The naive one is killed in between and sends it again. The mended one
//! states its intent first, under its lease, and records the result, its checkpoint and the end of its work in one commit:
//! wherever it is killed, the mail is sent once, or the call is in doubt and named.

#![allow(clippy::print_stdout, reason = "an example: what it prints is what it is for")]

use std::process::ExitCode;

use steadfast_chaos::kit::{BoxError, World, crash_matrix};
use steadfast_checkpoints::{CheckpointManager, CheckpointOptions, NewCheckpoint};
use steadfast_idempotency::{Call, Effect, LedgerOptions, ToolCall, ToolLedger, ToolOutput};
use steadfast_leases::{LeaseManager, LeaseOptions};
use steadfast_store::{
    Batch, Committed, CreateTask, Delay, Enqueue, FinishTask, HolderId, Label, Payload, Settle, Store,
    TaskEnd, TaskId, WorkItemId,
};

/// Submits the task, unless it is there: the same batch every time.
async fn submit(store: &dyn Store) -> Result<TaskId, BoxError> {
    let (task, kind) = (TaskId::new("report")?, Label::new("mail")?);
    let item = WorkItemId::new("report/1")?;
    let mut batch = Batch::durable();
    batch.add(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() });
    batch.add(Enqueue { item, task: task.clone(), kind, priority: 0, delay: Delay::ZERO, max_attempts: 9 });
    match store.commit(batch).await? {
        Committed::Applied(_) => Ok(task),
        // It has ended before: nothing to do.
        Committed::Rejected(_) if store.task(&task).await?.is_some() => Ok(task),
        Committed::Rejected(rejection) => Err(rejection.into()),
    }
}

/// Sends, and then notes that it did.
pub(crate) async fn naive(world: World) -> Result<(), BoxError> {
    let store = world.store();
    let task = submit(&*store).await?;
    if store.task(&task).await?.is_some_and(|task| task.status.is_terminal()) {
        return Ok(());
    }
    world.effect("mail").await;
    let mut batch = Batch::durable();
    batch.add(FinishTask { task, end: TaskEnd::Succeeded, result: Payload::new("sent")? });
    store.commit(batch).await?.into_applied()?;
    Ok(())
}

/// States its intent, sends, and commits what came of it in one.
pub(crate) async fn mended(world: World) -> Result<(), BoxError> {
    let store = world.store();
    let task = submit(&*store).await?;
    let holder = HolderId::new(format!("life-{}", world.life()))?;
    let leases = LeaseManager::new(store.clone(), LeaseOptions::new(holder))?;
    let checkpoints = CheckpointManager::new(store.clone(), CheckpointOptions::new("."));
    let tools = ToolLedger::new(store.clone(), LedgerOptions::default())?;
    let Some(lease) = leases.claim().await? else {
        let ended = store.task(&task).await?.is_some_and(|task| task.status.is_terminal());
        return if ended {
            Ok(())
        } else {
            Err("there is nothing to claim, and the task has not ended".into())
        };
    };
    let call = ToolCall {
        task: Some(task.clone()),
        lease: Some(lease.guard()),
        ..ToolCall::new(Label::new("send-mail")?, "report/mail", "to: all", Effect::AtMostOnce)
    };
    let attempt = match tools.call(&call).await? {
        Call::Begun(attempt) => attempt,
        Call::InDoubt(doubt) => return Err(format!("a person decides: {doubt}").into()),
        other => return Err(format!("the result is never recorded alone: {other:?}").into()),
    };
    world.effect("mail").await;
    let result = attempt.finish_command(ToolOutput::Succeeded("sent as 4711".into()))?;
    let step = checkpoints.prepare(NewCheckpoint::new(task.clone(), Label::new("step")?, "mail sent"))?;
    let end = lease.settle(Settle::Succeeded);
    checkpoints
        .commit_step(&step, Some(lease.guard()), |batch| {
            batch.add_guarded(lease.guard(), result);
            batch.add_guarded(
                lease.guard(),
                FinishTask { task, end: TaskEnd::Succeeded, result: Payload::empty() },
            );
            batch.add(end);
        })
        .await?;
    Ok(())
}

/// Prints what came of both; the code is 0 when the naive agent is found out and the mended one is clean.
#[allow(dead_code, reason = "the test that includes this file calls the agents itself")]
fn main() -> ExitCode {
    let (naive, mended) = (crash_matrix(naive), crash_matrix(mended));
    println!("the naive agent:\n{naive}\nthe mended agent:\n{mended}");
    if !naive.is_clean() && mended.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
