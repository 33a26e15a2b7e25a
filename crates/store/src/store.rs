//! The contract that every backend keeps.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::batch::Batch;
use crate::env::Env;
use crate::error::StoreError;
use crate::id::{CheckpointId, OperationKey, TaskId, WorkItemId};
use crate::monitoring::Monitoring;
use crate::outcome::Committed;
use crate::record::{
    Checkpoint, CheckpointPage, Health, OperationPage, OperationRecord, Task, TaskPage, TaskRecord, WorkItem,
    WorkItemPage,
};

/// Where a store stood at some moment, for [`Store::changed`]. Comparable only within one handle.
///
/// ```
/// # use steadfast_store::env::Env;
/// # use steadfast_store::{
/// #     AppendCheckpoint, Batch, CheckpointId, CheckpointPage, Claim, CommandError, Committed, CreateTask, Delay, Enqueue,
/// #     FinishTask, HolderId, Label, MemoryStore, Payload, Reason, Renew, SealedPayload, Settle, SettleItem, Store, StoreExt,
/// #     TaskEnd, TaskId, TaskPage, Term, TransitionId, WorkItemId, WorkItemPage,
/// # };
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new(Env::system());
/// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// # let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
/// # store.create_task(create).await?;
/// let seen = store.change_stamp();
/// // Look at something, and when it is not there yet, wait until anything was committed.
/// let now = store.changed(seen, std::time::Duration::from_millis(1)).await;
/// assert_eq!(now, seen, "nobody committed anything");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ChangeStamp(pub u64);

/// A transactional store: one way to write, a few bounded reads.
///
/// # Contract
/// - **Atomic**: a batch is applied whole or not at all, its commands in order, each seeing the ones before it.
/// - **Decided alike**: for the same batches submitted one after the other under one clock, every backend answers
///   as the functions in [`decide`](crate::decide) do. Batches submitted at the same time are linearizable per item.
/// - **Durable on return**: an answer comes only after the batch has reached its [`Durability`](crate::Durability),
///   on SQLite and PostgreSQL; the in-memory store keeps nothing beyond its process.
/// - **Once**: a batch submitted again is applied at most once. When it had been applied, the answer is the same
///   outcome, or [`Superseded`](crate::Superseded) for commands whose rows have changed since; otherwise it is
///   evaluated anew. Rejections and empty claims are not remembered. A checkpoint id, a claim id and a begun token
///   belong to one batch: in another one they make it look applied, or are rejected. A result or a settlement that
///   was recorded alone may be named again beside something new.
/// - **Not cancelled by dropping**: once the future of a commit has been polled and the queue has taken the batch,
///   dropping it loses the answer, not the write.
/// - **Bounded**: queues, batches, payloads and pages have limits ([`limits`](crate::limits)); a full queue makes
///   the caller wait up to the batch's wait, then answers [`StoreError::Overloaded`].
/// - **Read**: each read sees one snapshot that holds everything acknowledged before it began. No bytes are
///   handed out that do not match the digest stored beside them.
///
/// ```
/// # use steadfast_store::env::Env;
/// # use steadfast_store::{
/// #     AppendCheckpoint, Batch, CheckpointId, CheckpointPage, Claim, CommandError, Committed, CreateTask, Delay, Enqueue,
/// #     FinishTask, HolderId, Label, MemoryStore, Payload, Reason, Renew, SealedPayload, Settle, SettleItem, Store, StoreExt,
/// #     TaskEnd, TaskId, TaskPage, Term, TransitionId, WorkItemId, WorkItemPage,
/// # };
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new(Env::system());
/// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// # let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
/// use std::sync::Arc;
///
/// let store: Arc<dyn Store> = Arc::new(store);
/// let mut batch = Batch::durable();
/// batch.add(create);
/// store.commit(batch).await?;
/// assert!(store.task(&task).await?.is_some());
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Store: Debug + Send + Sync + 'static {
    /// Applies a batch. See the contract above.
    ///
    /// # Errors
    /// [`StoreError`]; only [`StoreError::Unknown`] may have been applied.
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError>;

    /// A task, without its payloads.
    ///
    /// # Errors
    /// [`StoreError`]; a read changes nothing.
    async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError>;

    /// A task, with its payloads.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Corrupt`] when a payload does not match its digest.
    async fn task_record(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError>;

    /// A work item.
    ///
    /// # Errors
    /// [`StoreError`]; a read changes nothing.
    async fn work_item(&self, id: &WorkItemId) -> Result<Option<WorkItem>, StoreError>;

    /// Some work items, in order of their ids. With a task or with the status of dead letters, those alone are read;
    /// otherwise all are read through.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Invalid`] or [`StoreError::TooLarge`] for a limit out of bounds.
    async fn work_items(&self, page: WorkItemPage) -> Result<Vec<WorkItem>, StoreError>;

    /// Some tasks, without their payloads, in order of their ids.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Invalid`] or [`StoreError::TooLarge`] for a limit out of bounds.
    async fn tasks(&self, page: TaskPage) -> Result<Vec<Task>, StoreError>;

    /// A checkpoint. A damaged or erased payload is told in it, not by an error.
    ///
    /// # Errors
    /// [`StoreError`]; a read changes nothing.
    async fn checkpoint(&self, id: CheckpointId) -> Result<Option<Checkpoint>, StoreError>;

    /// Some checkpoints of a task. A page ends at its limit or at
    /// [`PAGE_BYTES_MAX`](crate::limits::PAGE_BYTES_MAX); an empty one means there are no more.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Invalid`] or [`StoreError::TooLarge`] for a limit out of bounds.
    async fn checkpoints(&self, task: &TaskId, page: CheckpointPage) -> Result<Vec<Checkpoint>, StoreError>;

    /// An operation, with its output.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Corrupt`] when the output does not match its digest.
    async fn operation(&self, key: &OperationKey) -> Result<Option<OperationRecord>, StoreError>;

    /// Some operations of a task, without outputs, in order of their keys.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Invalid`] or [`StoreError::TooLarge`] for a limit out of bounds.
    async fn operations(
        &self,
        task: &TaskId,
        page: OperationPage,
    ) -> Result<Vec<crate::record::Operation>, StoreError>;

    /// Counts and clocks. Reads whole indexes: for monitoring, not for hot paths.
    ///
    /// # Errors
    /// [`StoreError`]; a read changes nothing.
    async fn health(&self) -> Result<Health, StoreError>;

    /// Everything that is asked of a store in operation. Reads whole tables: once a minute, not in a loop.
    ///
    /// # Errors
    /// [`StoreError`]; a read changes nothing.
    async fn monitoring(&self) -> Result<Monitoring, StoreError>;

    /// Where the store stands. Take it *before* the read whose staleness you want to hear of.
    fn change_stamp(&self) -> ChangeStamp;

    /// Ends when something was committed after `seen` was taken, by this process or another one, or after `limit`.
    /// May end without a change; never misses one. Nothing is promised about which change it was.
    async fn changed(&self, seen: ChangeStamp, limit: Duration) -> ChangeStamp;

    /// The environment that the store was opened with, for those built on top of it.
    fn env(&self) -> &Env;
}
