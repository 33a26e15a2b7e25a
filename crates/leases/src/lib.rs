//! Fenced leases on work items, with heartbeats.
//!
//! A [`LeaseManager`] claims items; each [`Lease`] renews itself in the background, knows by its holder's own clock
//! when it must stop, and gives the commands and guards with which its holder composes commits. What decides in the
//! end is the fence in the store: a holder that does not notice its loss is rejected there, in the same transaction
//! as the effect it wanted.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use steadfast_leases::{LeaseManager, LeaseOptions};
//! use steadfast_store::{
//!     CreateTask, Delay, Enqueue, HolderId, Label, MemoryStore, Payload, Settle, StoreExt, TaskId, WorkItemId,
//!     env::Env,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(MemoryStore::new(Env::system()));
//! let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
//! store.create_task(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() }).await?;
//! let item = WorkItemId::new("report/collect")?;
//! store.enqueue(Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 3 }).await?;
//!
//! let leases = LeaseManager::new(store, LeaseOptions::new(HolderId::new("worker-1")?))?;
//! let Some(lease) = leases.wait_for_work(Duration::from_secs(1)).await? else { return Ok(()) };
//! tokio::select! {
//!     loss = lease.lost() => println!("stop: {loss}"),
//!     () = async { /* the work */ } => { lease.finish(Settle::Succeeded).await?; }
//! }
//! # Ok(())
//! # }
//! ```

mod heartbeat;
mod hold;
mod lease;
mod manager;
mod queue;
mod retry;
mod sync;
mod telemetry;

/// The store below, for those who depend on this crate alone.
pub use steadfast_store as store;

pub use hold::Loss;
pub use lease::{Lease, RenewError};
pub use manager::{LeaseManager, LeaseOptions, TERM_DEFAULT, WORK_POLL_INTERVAL};
pub use retry::RetryPolicy;
/// The token of [`Lease::cancellation`].
pub use tokio_util::sync::CancellationToken;
