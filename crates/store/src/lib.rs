//! The storage contract of Steadfast: commands in batches, pure decisions, and the backends that keep them.
//!
//! Every change is a [`Batch`] of commands that [`Store::commit`] applies whole or not at all. What a command does is
//! decided by the pure functions in [`decide`], which every backend shares; see [`Store`] for what a backend promises.
//! Payloads are bytes to this crate: it knows nothing of models, tools or evidence.
//!
//! ```
//! use steadfast_store::{
//!     CreateTask, Label, MemoryStore, Payload, Store, StoreExt, TaskId, env::Env,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new(Env::system());
//! let task = TaskId::new("report")?;
//! let (kind, input) = (Label::new("research")?, Payload::new("the topic")?);
//! store.create_task(CreateTask { task: task.clone(), kind, input }).await?;
//! assert!(store.task(&task).await?.is_some());
//! # Ok(())
//! # }
//! ```

mod batch;
mod command;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod decide;
mod digest;
pub mod env;
mod error;
mod ext;
mod id;
pub mod limits;
mod memory;
mod monitoring;
mod outcome;
pub mod own_files;
mod payload;
#[doc(hidden)]
pub mod planted;
#[cfg(feature = "postgres")]
mod postgres;
mod record;
mod resolve;
#[cfg(steadfast_shuttle)]
pub mod schedules;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod store_clock;
mod sync;
mod telemetry;
mod time;
mod url;

pub use batch::{Batch, Durability, Entry, Handle};
pub use command::{
    AppendCheckpoint, BeginOperation, CancelItem, Claim, Command, CreateTask, Enqueue, EraseCheckpoint,
    FinishOperation, FinishTask, InvalidateOperation, OperationEnd, PruneCheckpoints, PurgeOperations,
    RecordVerification, Renew, Requeue, Settle, SettleItem, SweepExpired, TaskEnd, TypedCommand,
};
pub use digest::{Digest, Fields, Link, LinkContents};
pub use error::{OpenError, Source, StoreError};
pub use ext::{CommandError, StoreExt, commit_one};
pub use id::{
    CheckpointId, HolderId, InvalidId, Label, OperationKey, OperationToken, TaskId, TransitionId, WorkItemId,
};
pub use memory::MemoryStore;
pub use monitoring::{
    AgeCount, CROWDED_CHECKPOINTS, CROWDED_TASKS_MAX, DAYS_LOOKED_BACK, EntryCount, HolderLoad, KindCount,
    MODEL_KEYS, Monitoring, TOOL_KEYS,
};
pub use outcome::{
    Appended, Applied, Claimed, Committed, Enqueued, Erased, Invalidated, ItemCancelled, OperationBegun,
    OperationFinished, Outcome, Pruned, Purged, Reason, Reclaimed, Rejection, Renewed, Requeued, Settled,
    Superseded, Swept, TaskCreated, TaskFinished, VerificationRecorded,
};
pub use payload::{DamagedPayload, NoPayload, Payload, PayloadTooLarge, SealedPayload};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStatements, PostgresStore, PostgresTls};
pub use record::{
    Abandonment, Checkpoint, CheckpointHeader, CheckpointPage, Fence, Guard, Health, LeaseRecord, Operation,
    OperationPage, OperationRecord, OperationStatus, Ownership, SequenceNumber, Settlement, Status, Task,
    TaskPage, TaskRecord, Verdict, Verification, WorkItem, WorkItemPage,
};
pub use resolve::{RESOLVE_PATIENCE, commit_one_resolved, commit_resolved};
#[cfg(feature = "sqlite")]
pub use sqlite::{Answer, SqliteCore, SqliteOptions, SqliteStore};
pub use store::{ChangeStamp, Store};
pub use sync::within;
pub use time::{Delay, InvalidSpan, Now, StoreTime, Term, WallTime};
pub use url::open;
