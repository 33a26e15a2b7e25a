//! Crash recovery for AI agents: a process may be killed at any instant, and the work goes on from the last state
//! that can be proved, without running a tool twice behind anybody's back.
//!
//! This crate is the whole of Steadfast under one name. Each part can be used alone: it stands in a crate of its own
//! ([`store`], [`checkpoints`], [`leases`], [`recovery`], [`idempotency`]), and works over any [`Store`], which
//! [`open`] finds by its URL.
//!
//! A worker that may be killed anywhere:
//!
//! ```
//! use std::time::Duration;
//! use steadfast::prelude::*;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let work_folder = folder.path();
//! let store = steadfast::open("memory:", Env::system()).await?; // or sqlite:PATH
//! # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
//! # store.create_task(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() }).await?;
//! # let item = WorkItemId::new("report/mail")?;
//! # store.enqueue(Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 3 }).await?;
//! let leases = LeaseManager::new(store.clone(), LeaseOptions::new(HolderId::new("worker-1")?))?;
//! let checkpoints = CheckpointManager::new(store.clone(), CheckpointOptions::new(work_folder));
//! let tools = ToolLedger::new(store.clone(), LedgerOptions::default())?;
//! // Gives what vanished workers held to those that live.
//! let sweeping = Sweeper::new(store, SweepOptions::default()).run_every(Duration::from_secs(60));
//!
//! let Some(lease) = leases.wait_for_work(Duration::from_secs(1)).await? else { return Ok(()) };
//! let task = lease.item().task.clone();
//! let plan = resume_plan(&checkpoints, &task).await?;
//! println!("going on from {:?}", plan.from.map(|checkpoint| checkpoint.header.sequence));
//!
//! let call = ToolCall {
//!     task: Some(task.clone()),
//!     lease: Some(lease.guard()),
//!     ..ToolCall::new(Label::new("send-mail")?, "report/mail", "to: all", Effect::AtMostOnce)
//! };
//! if let Call::Begun(attempt) = tools.call(&call).await? {
//!     let sent = ToolOutput::Succeeded("sent as 4711".into()); // the tool's
//!     let step = checkpoints.prepare(NewCheckpoint::new(task, Label::new("step")?, "mail sent"))?;
//!     let (result, end) = (attempt.finish_command(sent)?, lease.settle(Settle::Succeeded));
//!     // The state, the result and the end of the lease, in one commit.
//!     checkpoints
//!         .commit_step(&step, Some(lease.guard()), |batch| {
//!             batch.add_guarded(lease.guard(), result);
//!             batch.add(end);
//!         })
//!         .await?;
//! }
//! sweeping.stop().await;
//! # Ok(())
//! # }
//! ```

pub use steadfast_checkpoints as checkpoints;
pub use steadfast_idempotency as idempotency;
pub use steadfast_leases as leases;
pub use steadfast_recovery as recovery;
pub use steadfast_store as store;

pub use steadfast_store::{Store, StoreExt, open};

/// What a worker needs, in one `use`.
pub mod prelude {
    pub use steadfast_checkpoints::{
        ArtifactExists, ArtifactKind, Begun, CheckpointManager, CheckpointOptions, CommandOutcome,
        EvidencePack, NewCheckpoint, Piece, Prepared, Rule, Verifiers,
    };
    pub use steadfast_idempotency::{
        Attempt, Call, Doubt, Effect, Found, LedgerOptions, LlmAnswer, LlmCache, LlmCacheOptions, LlmRequest,
        ToolCall, ToolLedger, ToolOutput,
    };
    pub use steadfast_leases::{Lease, LeaseManager, LeaseOptions, Loss, RetryPolicy};
    pub use steadfast_recovery::{
        Housekeeping, ResumePlan, SweepOptions, SweepStats, Sweeper, Sweeping, resume_plan,
    };
    pub use steadfast_store::env::Env;
    pub use steadfast_store::{
        Batch, Committed, CreateTask, Delay, Enqueue, FinishTask, Guard, HolderId, Label, Payload, Settle,
        Store, StoreError, StoreExt, TaskEnd, TaskId, WorkItemId,
    };
}

/// The examples of the README are compiled with the other ones.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
