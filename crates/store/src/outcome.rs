//! What a commit answers: outcomes of what was applied, or the precondition that did not hold. Both are values; only
//! trouble with the storage itself is an error.
//! Long because each stands beside what it is for and an example of it.

use crate::batch::Handle;
use crate::command::TypedCommand;
use crate::digest::Digest;
use crate::id::{CheckpointId, OperationToken, TaskId, WorkItemId};
use crate::record::{Fence, Guard, OperationStatus, SequenceNumber, Status, WorkItem};
use crate::time::StoreTime;

/// A task is there: made now, or an equal one before.
///
/// [`Handle`] has an example of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskCreated;

/// A task has ended.
///
/// ```
/// use steadfast_store::{Status, TaskFinished};
///
/// let finished = TaskFinished { status: Status::Succeeded };
/// assert!(finished.status.is_terminal());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFinished {
    /// Where it stands now.
    pub status: Status,
}

/// A work item is there: made now, or an equal one before.
///
/// The command has an example: [`Enqueue`](crate::Enqueue).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enqueued;

/// Items that were claimed, in claim order; empty when none was available.
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
/// for item in &claimed.items {
///     println!("{} under fence {}", item.id, item.fence);
/// }
/// # let _ = guard;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claimed {
    /// The items, as they stand under their new leases.
    pub items: Vec<WorkItem>,
}

impl WorkItem {
    /// The guard of its current fence.
    pub fn guard(&self) -> Guard {
        Guard { item: self.id.clone(), fence: self.fence }
    }
}

/// A lease was renewed.
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
/// let renewed = store.renew(Renew { guard, term }).await?;
/// println!("until {} ms of the store's time", renewed.expires_at.as_millis());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// When it may be reclaimed.
    pub expires_at: StoreTime,
}

/// A lease was ended.
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
/// use steadfast_store::Status;
///
/// let settle = SettleItem { guard, settle: Settle::Succeeded, detail: String::new() };
/// assert_eq!(store.settle(settle).await?.status, Status::Succeeded);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Where the item stands now: a retry without attempts left ends as [`Status::Failed`].
    pub status: Status,
    /// When it may be claimed again, if it is pending.
    pub available_at: StoreTime,
}

/// An item is called off: now, or it was before.
///
/// The command has an example: [`CancelItem`](crate::CancelItem).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemCancelled;

/// An item is available again.
///
/// The command has an example: [`Requeue`](crate::Requeue).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requeued {
    /// From when on it may be claimed.
    pub available_at: StoreTime,
}

/// A checkpoint is in its chain.
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
/// # let append = AppendCheckpoint {
/// #     checkpoint: CheckpointId::generate(store.env()), task: task.clone(), kind: kind.clone(), work_item: None,
/// #     expected_head: None, payload: SealedPayload::seal("state", store.env())?, evidence: Payload::empty(), copy_of: None,
/// # };
/// # let checkpoint = append.checkpoint;
/// # let appended = store.append_checkpoint(append).await?;
/// println!("checkpoint {} with link {}", appended.sequence, appended.link);
/// assert_eq!(appended.sequence.0, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Its place.
    pub sequence: SequenceNumber,
    /// Its link.
    pub link: Digest,
}

/// A verdict was recorded.
///
/// The command has an example: [`RecordVerification`](crate::RecordVerification).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationRecorded;

/// A lease that was reclaimed.
///
/// [`Swept`] has an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reclaimed {
    /// The item.
    pub item: WorkItemId,
    /// Its task.
    pub task: TaskId,
    /// The fence that is stale from now on.
    pub stale: Fence,
    /// Where the item stands now.
    pub status: Status,
    /// The `error_boundary` checkpoint that tells of it, if its task takes any.
    pub checkpoint: Option<CheckpointId>,
}

/// What one sweep page reclaimed, in order of the item ids.
///
/// ```
/// use steadfast_store::Swept;
///
/// fn tell(swept: &Swept) {
///     for reclaimed in &swept.reclaimed {
///         println!("{} of {} is {} again", reclaimed.item, reclaimed.task, reclaimed.status);
///     }
/// }
/// tell(&Swept::default());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    /// The items.
    pub reclaimed: Vec<Reclaimed>,
}

/// The beginning of a chain was removed.
///
/// ```
/// use steadfast_store::{Pruned, SequenceNumber};
///
/// let page = Pruned { removed: 200, through: SequenceNumber(200), is_more: true };
/// if page.is_more {
///     println!("removed up to checkpoint {}: submit the command again", page.through);
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// Checkpoints removed now.
    pub removed: u32,
    /// All checkpoints up to this one are gone.
    pub through: SequenceNumber,
    /// Whether another page is left to remove.
    pub is_more: bool,
}

/// A payload is gone for good.
///
/// The command has an example: [`EraseCheckpoint`](crate::EraseCheckpoint).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// Checkpoints whose payload was removed now: the one named, and its copies.
    pub erased: u32,
}

/// Finished operations were removed.
///
/// ```
/// use steadfast_store::Purged;
///
/// /// Whether a page of so many rows was the last one.
/// fn is_last(page: &Purged, limit: u32) -> bool {
///     page.removed < limit
/// }
/// assert!(is_last(&Purged { removed: 17 }, 200));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purged {
    /// How many, now.
    pub removed: u32,
}

/// A finished operation is not there any more.
///
/// The command has an example: [`InvalidateOperation`](crate::InvalidateOperation).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalidated {
    /// Whether it was there.
    pub was_there: bool,
}

/// An operation's intent is recorded, and the caller owns it.
///
/// ```
/// use steadfast_store::{OperationBegun, StoreTime};
///
/// let begun = OperationBegun { expires_at: StoreTime::from_millis(60_000), attempt: 2 };
/// if begun.attempt > 1 {
///     println!("whoever began it before has vanished, and it was declared free to be run again");
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationBegun {
    /// When somebody else may take it over.
    pub expires_at: StoreTime,
    /// 1 for the first attempt.
    pub attempt: u32,
}

/// An operation has ended.
///
/// ```
/// use steadfast_store::{OperationFinished, OperationStatus};
///
/// fn is_settled(finished: &OperationFinished) -> bool {
///     matches!(finished.status, OperationStatus::Succeeded | OperationStatus::Failed)
/// }
/// assert!(!is_settled(&OperationFinished { status: OperationStatus::InDoubt }));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationFinished {
    /// Where it stands now.
    pub status: OperationStatus,
}

/// The outcome of any command.
///
/// ```
/// use steadfast_store::{Applied, Outcome};
///
/// /// For who has no handles: what a batch of unknown commands did to work items.
/// fn items_claimed(applied: &Applied) -> usize {
///     let claimed = applied.outcomes().iter().map(|outcome| match outcome {
///         Outcome::Claimed(claimed) => claimed.items.len(),
///         _ => 0,
///     });
///     claimed.sum()
/// }
/// # let _ = items_claimed;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // each variant is named for the type it holds
pub enum Outcome {
    TaskCreated(TaskCreated),
    TaskFinished(TaskFinished),
    Enqueued(Enqueued),
    Claimed(Claimed),
    Renewed(Renewed),
    Settled(Settled),
    ItemCancelled(ItemCancelled),
    Requeued(Requeued),
    Appended(Appended),
    VerificationRecorded(VerificationRecorded),
    Swept(Swept),
    Pruned(Pruned),
    Erased(Erased),
    Purged(Purged),
    Invalidated(Invalidated),
    OperationBegun(OperationBegun),
    OperationFinished(OperationFinished),
    /// The batch had been applied before, and later commands have changed what this one did.
    Superseded,
}

/// The batch had been applied before, and later commands have changed what this command did since: nothing was
/// applied again, and its first outcome can no longer be told.
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
/// let mut batch = Batch::durable();
/// let created = batch.add(create);
/// let Committed::Applied(applied) = store.commit(batch).await? else { unreachable!("nothing stands against it") };
/// match applied.get(created) {
///     Ok(outcome) => println!("{outcome:?}"),
///     Err(superseded) => println!("applied before: {superseded}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this command was applied before and later ones have changed its rows since: read them afresh")]
pub struct Superseded;

/// A precondition that did not hold.
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
/// let other = CreateTask { task, kind: Label::new("mail")?, input: Payload::empty() };
/// let error = store.create_task(other).await.unwrap_err();
/// match error.reason() {
///     Some(reason) => println!("nothing was changed: {reason}"),
///     None => println!("trouble with the storage: {error}"),
/// }
/// # assert!(error.reason().is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// No such task.
    #[error("there is no task {task}: create it first")]
    NoSuchTask {
        /// The id asked for.
        task: TaskId,
    },
    /// A task of this id is there with another kind or input.
    #[error("task {task} exists with another kind or input: choose another id")]
    TaskExists {
        /// The id.
        task: TaskId,
    },
    /// The task has ended.
    #[error("task {task} has ended as {status}: nothing can be added to it")]
    TaskEnded {
        /// The task.
        task: TaskId,
        /// How it ended.
        status: Status,
    },
    /// No such work item.
    #[error("there is no work item {item}")]
    NoSuchWorkItem {
        /// The id asked for.
        item: WorkItemId,
    },
    /// An item of this id is there with another task, kind, priority or number of attempts.
    #[error("work item {item} exists and differs: choose another id")]
    WorkItemExists {
        /// The id.
        item: WorkItemId,
    },
    /// Somebody else has claimed or reclaimed the item since.
    #[error(
        "fence {shown} of {item} is stale, the current one is {current}: stop working on it, somebody else may hold it"
    )]
    StaleFence {
        /// The item.
        item: WorkItemId,
        /// The fence shown.
        shown: Fence,
        /// The current fence.
        current: Fence,
    },
    /// The lease with this fence was ended before, in another manner or by its holder's settlement.
    #[error("the lease {fence} of {item} has ended, the item is {status}: claim it anew")]
    NotLeased {
        /// The item.
        item: WorkItemId,
        /// The fence shown.
        fence: Fence,
        /// Where the item stands.
        status: Status,
    },
    /// The item has ended, and not as the command would have it.
    #[error("work item {item} has ended as {status}: it cannot be called off any more")]
    WorkItemEnded {
        /// The item.
        item: WorkItemId,
        /// How it ended.
        status: Status,
    },
    /// The item is still available, or somebody works on it.
    #[error(
        "work item {item} is {status}: only one that has failed, was called off or needs attention is requeued"
    )]
    NotRequeuable {
        /// The item.
        item: WorkItemId,
        /// Where it stands.
        status: Status,
    },
    /// The newest checkpoint is not the one that was expected.
    #[error("task {task} stands at checkpoint {head}, not at {expected}: read it and decide anew")]
    WrongParent {
        /// The task.
        task: TaskId,
        /// The sequence number expected.
        expected: SequenceNumber,
        /// The sequence number of the newest checkpoint.
        head: SequenceNumber,
    },
    /// A checkpoint of this id is there and differs.
    #[error("checkpoint {checkpoint} exists and differs: make a new id for every checkpoint")]
    CheckpointExists {
        /// The id.
        checkpoint: CheckpointId,
    },
    /// The payload is not that of the checkpoint it is said to be a copy of.
    #[error("checkpoint {origin} has another payload, or it was erased: copy the payload with its salt")]
    NoCopy {
        /// The checkpoint named as the origin.
        origin: CheckpointId,
    },
    /// No such checkpoint.
    #[error("there is no checkpoint {checkpoint}")]
    NoSuchCheckpoint {
        /// The id asked for.
        checkpoint: CheckpointId,
    },
    /// The key was used with another fingerprint.
    #[error(
        "this key belongs to an operation with fingerprint {stored}: the same key must mean the same call"
    )]
    FingerprintConflict {
        /// The fingerprint stored.
        stored: Digest,
    },
    /// Somebody else owns the operation.
    #[error("the operation is under way until {expires_at:?}: wait for its outcome")]
    OperationInFlight {
        /// When it may be taken over.
        expires_at: StoreTime,
    },
    /// The operation was begun by somebody who vanished, and may not be run again unasked.
    #[error("the operation is in doubt: find out whether it happened, then finish it with token {token}")]
    OperationInDoubt {
        /// The token with which it can be finished.
        token: OperationToken,
    },
    /// The operation has finished.
    #[error("the operation has ended as {status}: read its output")]
    OperationEnded {
        /// How it ended.
        status: OperationStatus,
    },
    /// The operation has not finished.
    #[error("the operation is {status}: only a finished one can be invalidated")]
    OperationUnfinished {
        /// Where it stands.
        status: OperationStatus,
    },
    /// The token is not the operation's newest.
    #[error("the operation was taken over by another attempt: discard this result or keep it as evidence")]
    StaleToken,
    /// The identity was used by another command: of this batch, or of one applied before.
    #[error("this command's identity was used before: give each command its own")]
    RepeatedIdentity,
    /// No operation has this key.
    #[error("there is no operation with this key: begin it first")]
    NoSuchOperation,
    /// The operation's owner still holds it.
    #[error("the operation is still owned, until {expires_at:?}: it cannot be in doubt yet")]
    OperationOwned {
        /// When its owner's term ends.
        expires_at: StoreTime,
    },
}

/// A batch of which one precondition did not hold; nothing of it was applied.
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
/// let mut batch = Batch::durable();
/// batch.add(CreateTask { task: TaskId::new("other")?, kind: kind.clone(), input: Payload::empty() });
/// batch.add(CreateTask { task, kind: Label::new("mail")?, input: Payload::empty() });
/// let Committed::Rejected(rejection) = store.commit(batch).await? else { unreachable!("the kind differs") };
/// assert_eq!(rejection.index, 1, "and nothing of the first one either");
/// assert!(store.task(&TaskId::new("other")?).await?.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("command {index} of the batch was rejected: {reason}")]
pub struct Rejection {
    /// Which command, counted from 0.
    pub index: usize,
    /// What did not hold.
    #[source]
    pub reason: Reason,
}

/// The outcomes of a batch that was applied, now or when it was submitted before.
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
/// let mut batch = Batch::durable();
/// let created = batch.add(create);
/// if let Committed::Applied(applied) = store.commit(batch).await? {
///     applied.get(created)?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    outcomes: Vec<Outcome>,
    replayed: bool,
}

impl Applied {
    /// For backends: the outcomes in the order of the commands; `replayed` when the batch had been applied before.
    pub fn new(outcomes: Vec<Outcome>, replayed: bool) -> Self {
        Self { outcomes, replayed }
    }

    /// The outcome of the command that `handle` stands for.
    ///
    /// # Errors
    /// [`Superseded`] when the batch had been applied before and later commands have changed the rows since.
    ///
    /// # Panics
    /// When `handle` comes from another batch: a mistake in the calling code, not in its data.
    #[track_caller]
    pub fn get<C: TypedCommand>(&self, handle: Handle<C>) -> Result<&C::Outcome, Superseded> {
        match self.outcomes.get(handle.index()) {
            Some(Outcome::Superseded) => Err(Superseded),
            Some(outcome) => Ok(C::outcome(outcome).unwrap_or_else(|| foreign_handle())),
            None => foreign_handle(),
        }
    }

    /// All outcomes, in the order of the commands.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Whether the batch was recognised as applied before, and nothing was written now.
    pub fn is_replayed(&self) -> bool {
        self.replayed
    }
}

#[track_caller]
fn foreign_handle() -> ! {
    panic!("this handle belongs to another batch")
}

/// What became of a batch.
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
/// let mut batch = Batch::durable();
/// batch.add(create);
/// match store.commit(batch).await? {
///     Committed::Applied(_) => println!("all of it"),
///     Committed::Rejected(rejection) => println!("nothing of it: {rejection}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a rejected batch changed nothing"]
pub enum Committed {
    /// Every command was applied, and has reached the durability class of the batch.
    Applied(Applied),
    /// Some precondition did not hold: nothing was applied.
    Rejected(Rejection),
}

impl Committed {
    /// The outcomes, or the rejection.
    ///
    /// # Errors
    /// The rejection, when there was one.
    pub fn into_applied(self) -> Result<Applied, Rejection> {
        match self {
            Self::Applied(applied) => Ok(applied),
            Self::Rejected(rejection) => Err(rejection),
        }
    }
}
