//! Typed shorthand for batches of one command, for every store alike: nobody can override it.

use async_trait::async_trait;

use crate::batch::{Batch, Durability};
use crate::command::{
    AppendCheckpoint, BeginOperation, CancelItem, Claim, CreateTask, Enqueue, EraseCheckpoint,
    FinishOperation, FinishTask, InvalidateOperation, PruneCheckpoints, PurgeOperations, RecordVerification,
    Renew, Requeue, SettleItem, SweepExpired, TypedCommand,
};
use crate::error::StoreError;
use crate::outcome::{
    Appended, Claimed, Committed, Enqueued, Erased, Invalidated, ItemCancelled, OperationBegun,
    OperationFinished, Pruned, Purged, Rejection, Renewed, Requeued, Settled, Superseded, Swept, TaskCreated,
    TaskFinished, VerificationRecorded,
};
use crate::store::Store;

/// Why a single command has no outcome.
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
/// # let item = WorkItemId::new("report/1")?;
/// # let enqueue = Enqueue {
/// #     item: item.clone(), task: task.clone(), kind: kind.clone(), priority: 0, delay: Delay::ZERO, max_attempts: 3,
/// # };
/// # store.enqueue(enqueue).await?;
/// # let (claim, holder) = (TransitionId::generate(store.env()), HolderId::new("worker-1")?);
/// # let term = Term::new(std::time::Duration::from_secs(300))?;
/// # let claimed = store.claim(Claim { claim, holder, term, limit: 1, kinds: Vec::new(), task: None }).await?;
/// # let guard = claimed.items[0].guard();
/// let late = SettleItem { guard: guard.clone(), settle: Settle::Succeeded, detail: String::new() };
/// # store.settle(SettleItem { settle: Settle::Released, ..late.clone() }).await?;
/// match store.settle(late).await {
///     Err(CommandError::Rejected(rejection)) => println!("too late: {rejection}"),
///     other => unreachable!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// A precondition did not hold.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It was applied before, and its rows have changed since.
    #[error(transparent)]
    Superseded(#[from] Superseded),
    /// Trouble with the storage.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CommandError {
    /// The precondition that did not hold, if that was it.
    pub fn reason(&self) -> Option<&crate::outcome::Reason> {
        match self {
            Self::Rejected(rejection) => Some(&rejection.reason),
            _ => None,
        }
    }
}

/// Commits `command` alone.
///
/// # Errors
/// [`CommandError`].
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
/// use steadfast_store::{Durability, commit_one};
///
/// commit_one(&store, Durability::Durable, create).await?;
/// assert!(store.task(&task).await?.is_some());
/// # Ok(())
/// # }
/// ```
pub async fn commit_one<C: TypedCommand>(
    store: &(impl Store + ?Sized),
    durability: Durability,
    command: C,
) -> Result<C::Outcome, CommandError>
where
    C::Outcome: Clone,
{
    let mut batch = Batch::new(durability);
    let handle = batch.add(command);
    match store.commit(batch).await? {
        Committed::Applied(applied) => Ok(applied.get(handle)?.clone()),
        Committed::Rejected(rejection) => Err(rejection.into()),
    }
}

macro_rules! shorthand {
    ($($(#[$doc:meta])* $method:ident($command:ident, $durability:ident) -> $outcome:ident;)+) => {
        /// Shorthand on every [`Store`].
        #[async_trait]
        pub trait StoreExt: Store {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`CommandError`]; only one that holds [`StoreError::Unknown`] may have been applied.
                async fn $method(&self, command: $command) -> Result<$outcome, CommandError> {
                    commit_one(self, Durability::$durability, command).await
                }
            )+
        }

        impl<S: Store + ?Sized> StoreExt for S {}
    };
}

shorthand! {
    /// Creates a task, durably.
    create_task(CreateTask, Durable) -> TaskCreated;
    /// Ends a task, durably.
    finish_task(FinishTask, Durable) -> TaskFinished;
    /// Adds a work item, durably.
    enqueue(Enqueue, Durable) -> Enqueued;
    /// Claims items, durably: a fence that was shown to the world outside must not be given out again.
    claim(Claim, Durable) -> Claimed;
    /// Renews a lease. Relaxed: a renewal lost with the power shortens a lease that a new boot ends anyway.
    renew(Renew, Relaxed) -> Renewed;
    /// Ends a lease, durably.
    settle(SettleItem, Durable) -> Settled;
    /// Calls an item off, durably.
    cancel_item(CancelItem, Durable) -> ItemCancelled;
    /// Makes a dead letter available again, durably.
    requeue(Requeue, Durable) -> Requeued;
    /// Appends a checkpoint, durably.
    append_checkpoint(AppendCheckpoint, Durable) -> Appended;
    /// Records a verdict. Relaxed: verified means verified now, so a lost record costs nothing but its history.
    record_verification(RecordVerification, Relaxed) -> VerificationRecorded;
    /// Sweeps one page, durably.
    sweep_expired(SweepExpired, Durable) -> Swept;
    /// Removes a page of old checkpoints, durably: what is gone must not come back.
    prune_checkpoints(PruneCheckpoints, Durable) -> Pruned;
    /// Erases a payload and its copies, durably.
    erase_checkpoint(EraseCheckpoint, Durable) -> Erased;
    /// Removes a page of old outcomes. Relaxed: those that come back are removed again.
    purge_operations(PurgeOperations, Relaxed) -> Purged;
    /// Removes one outcome, durably.
    invalidate_operation(InvalidateOperation, Durable) -> Invalidated;
    /// States an intent, durably.
    begin_operation(BeginOperation, Durable) -> OperationBegun;
    /// Ends an operation, durably.
    finish_operation(FinishOperation, Durable) -> OperationFinished;
}
