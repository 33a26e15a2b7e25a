//! Recovery: the sweep that reclaims expired leases, and the plan to resume a task.
//!
//! A [`Sweeper`] gives the items of holders that vanished to others, once or in the background; any number of them
//! may run beside one another and beside live heartbeats. In the background it also lets go of what is old
//! ([`Housekeeping`]). [`resume_plan`] then tells whoever claims such an item
//! where its task goes on, and which operations need a look before it does.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use steadfast_checkpoints::{CheckpointManager, CheckpointOptions};
//! use steadfast_recovery::{SweepOptions, Sweeper, resume_plan};
//! use steadfast_store::{CreateTask, Label, MemoryStore, Payload, StoreExt, TaskId, env::Env};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = Arc::new(MemoryStore::new(Env::system()));
//! # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
//! # store.create_task(CreateTask { task: task.clone(), kind, input: Payload::empty() }).await?;
//! let sweeping = Sweeper::new(store.clone(), SweepOptions::default()).run_every(Duration::from_secs(60));
//!
//! let checkpoints = CheckpointManager::new(store, CheckpointOptions::new("."));
//! let plan = resume_plan(&checkpoints, &task).await?;
//! assert!(plan.from.is_none(), "the task has made no checkpoint yet: begin anew");
//! assert!(plan.in_doubt.is_empty());
//!
//! sweeping.stop().await;
//! # Ok(())
//! # }
//! ```

mod background;
mod housekeeping;
mod resume;
mod sweep;
mod sync;
mod telemetry;

/// The checkpoints that a resume plan goes on from.
pub use steadfast_checkpoints as checkpoints;
/// The store below, for those who depend on this crate alone.
pub use steadfast_store as store;

pub use background::{SWEEP_PERIOD_DEFAULT, Sweeping};
pub use housekeeping::{Housekeeping, HousekeepingStats};
pub use resume::{RecoveryError, ResumePlan, resume_plan};
pub use sweep::{SweepOptions, SweepStats, Sweeper};
