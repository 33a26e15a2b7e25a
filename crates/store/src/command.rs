//! The commands: what a batch may ask for. Each says what must hold, what it changes, and by which identity it is
//! recognised when it is submitted again.
//! Long because each stands beside what it is for and an example of it.

use std::time::Duration;

use crate::digest::{Digest, LinkContents};
use crate::id::{
    CheckpointId, HolderId, Label, OperationKey, OperationToken, TaskId, TransitionId, WorkItemId,
};
use crate::outcome::{
    Appended, Claimed, Enqueued, Erased, Invalidated, ItemCancelled, OperationBegun, OperationFinished,
    Outcome, Pruned, Purged, Renewed, Requeued, Settled, Swept, TaskCreated, TaskFinished,
    VerificationRecorded,
};
use crate::payload::{Payload, SealedPayload};
use crate::record::{Abandonment, Guard, SequenceNumber, Verdict};
use crate::time::{Delay, Term};

/// Creates a task. Identity: its id. When a task of this id, kind and input is there already, answers as it did
/// then; with another kind or input it is rejected.
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
/// store.create_task(CreateTask { task: task.clone(), kind, input: Payload::new("crash recovery")? }).await?;
/// assert!(store.task(&task).await?.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTask {
    /// The new task's id.
    pub task: TaskId,
    /// What kind of task it is.
    pub kind: Label,
    /// What to do, for the worker to read.
    pub input: Payload,
}

/// How a task ends.
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
/// store.finish_task(FinishTask { task: task.clone(), end: TaskEnd::Failed, result: Payload::empty() }).await?;
/// // An end is an end: another one is rejected.
/// let other = FinishTask { task, end: TaskEnd::Succeeded, result: Payload::empty() };
/// assert!(store.finish_task(other).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskEnd {
    /// Well.
    Succeeded,
    /// Badly.
    Failed,
    /// Called off.
    Cancelled,
}

/// Ends a task. Identity: the task and its result. A finished task stays as it is. Its work items stay too:
/// who holds one may settle it; those that wait are called off by the claim that comes upon them, those whose leases
/// end by the sweep; and nothing more is begun for it.
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
/// let result = Payload::new("# Report")?;
/// store.finish_task(FinishTask { task: task.clone(), end: TaskEnd::Succeeded, result }).await?;
/// let ended = store.task(&task).await?.ok_or("it is there")?;
/// assert!(ended.status.is_terminal());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishTask {
    /// The task.
    pub task: TaskId,
    /// How it ends.
    pub end: TaskEnd,
    /// What came of it.
    pub result: Payload,
}

/// Adds a work item to a task. Identity: its id. When an item of this id, task, kind, priority and attempts is
/// there already, answers as it did then; otherwise it is rejected.
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
/// // In an hour at the earliest, before items of lower priority; after three attempts a dead letter.
/// let delay = Delay::new(std::time::Duration::from_secs(3_600))?;
/// store.enqueue(Enqueue { priority: 5, delay, ..enqueue }).await?;
/// assert!(store.work_item(&item).await?.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enqueue {
    /// The new item's id: also its unique key.
    pub item: WorkItemId,
    /// Its task, which must be there and not finished.
    pub task: TaskId,
    /// What kind of work it is.
    pub kind: Label,
    /// Larger is claimed earlier; may be negative.
    pub priority: i32,
    /// Not to be claimed before this much time has passed.
    pub delay: Delay,
    /// Claims that may count before the item becomes a dead letter: 1 to
    /// [`ATTEMPTS_MAX`](crate::limits::ATTEMPTS_MAX).
    pub max_attempts: u32,
}

/// Takes up to `limit` available items under a lease, in the order priority descending, available-at, id.
/// Identity: the claim id. A claim that took nothing, or whose items have all moved on since, leaves no trace and
/// is evaluated anew; otherwise it answers with those it still holds, as they stand now.
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
/// let claim = Claim {
///     claim: TransitionId::generate(store.env()),
///     holder: HolderId::new("worker-1")?,
///     term: Term::new(std::time::Duration::from_secs(300))?,
///     limit: 10,
///     kinds: vec![kind],
///     task: None,
/// };
/// let claimed = store.claim(claim).await?;
/// assert_eq!(claimed.items.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// This claim.
    pub claim: TransitionId,
    /// Who claims, for people to read.
    pub holder: HolderId,
    /// How long the lease lasts without renewal.
    pub term: Term,
    /// Most items: 1 to [`PAGE_ROWS_MAX`](crate::limits::PAGE_ROWS_MAX).
    pub limit: u32,
    /// Only items of these kinds; of any when empty. At most [`KINDS_MAX`](crate::limits::KINDS_MAX).
    pub kinds: Vec<Label>,
    /// Only items of this task.
    pub task: Option<TaskId>,
}

/// Moves the deadline of a lease to one term from now, never nearer. Submitted again it only moves the deadline
/// again. A lease past its term that nobody has reclaimed may still be renewed.
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
/// println!("{renewed:?}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renew {
    /// The lease.
    pub guard: Guard,
    /// How long it lasts from now on without renewal.
    pub term: Term,
}

/// How a holder gives an item back.
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
/// // Back to the others at once, without counting the attempt.
/// let settle = SettleItem { guard, settle: Settle::Released, detail: String::new() };
/// store.settle(settle).await?;
/// assert_eq!(store.work_item(&item).await?.map(|item| item.attempt), Some(0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// Done.
    Succeeded,
    /// To be tried again after a delay, while attempts are left; a dead letter otherwise.
    Retry(Delay),
    /// Given up: a dead letter.
    Failed,
    /// Handed back untouched; the attempt is not counted.
    Released,
}

/// Ends a lease. Identity: the fence. One whose item has been claimed again since is recognised while that later
/// claim has not been settled in its turn; after that it is rejected as stale.
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
/// let settle = SettleItem { guard: guard.clone(), settle: Settle::Succeeded, detail: String::new() };
/// store.settle(settle).await?;
/// // Whoever is late is told so, and changes nothing.
/// let late = SettleItem { guard, settle: Settle::Failed, detail: "too late".into() };
/// assert!(store.settle(late).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettleItem {
    /// The lease.
    pub guard: Guard,
    /// How.
    pub settle: Settle,
    /// Why, for people: kept with the item until its next settlement. At most
    /// [`DETAIL_BYTES_MAX`](crate::limits::DETAIL_BYTES_MAX) bytes are kept.
    pub detail: String,
}

/// Calls an item off. A holder is fenced off at once; what was called off before stays so. Rejected when the item has
/// ended otherwise.
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
/// use steadfast_store::CancelItem;
///
/// store.cancel_item(CancelItem { item }).await?;
/// // Its holder learns of it with the next thing it tries.
/// assert!(store.renew(Renew { guard, term }).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelItem {
    /// The item.
    pub item: WorkItemId,
}

/// Makes a dead letter, an item that needs attention or a cancelled one available again, with all its attempts. Its
/// fence grows. Identity: the requeue id, as for [`Claim`].
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
/// use steadfast_store::Requeue;
///
/// let settle = SettleItem { guard, settle: Settle::Failed, detail: "no such address".into() };
/// store.settle(settle).await?;
/// // Somebody has mended what was wrong: all attempts anew.
/// let requeue = TransitionId::generate(store.env());
/// store.requeue(Requeue { requeue, item, delay: Delay::ZERO }).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requeue {
    /// This requeueing.
    pub requeue: TransitionId,
    /// The item.
    pub item: WorkItemId,
    /// Not to be claimed before this much time has passed.
    pub delay: Delay,
}

/// Appends a checkpoint to a task; the store assigns the next sequence number and computes the link. Identity: the
/// checkpoint id.
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
/// let append = AppendCheckpoint {
///     checkpoint: CheckpointId::generate(store.env()),
///     task: task.clone(),
///     kind: Label::new("step")?,
///     work_item: None,
///     expected_head: None,
///     payload: SealedPayload::seal("sources collected", store.env())?,
///     evidence: Payload::empty(),
///     copy_of: None,
/// };
/// assert_eq!(store.append_checkpoint(append).await?.sequence.0, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendCheckpoint {
    /// The new checkpoint's id.
    pub checkpoint: CheckpointId,
    /// Its task, which must be there and not finished.
    pub task: TaskId,
    /// Its type.
    pub kind: Label,
    /// The work item it is made under. For the record: a lease is checked by a [`Guard`].
    pub work_item: Option<WorkItemId>,
    /// When given, the sequence number that the newest checkpoint must have: two writers cannot fork a task.
    pub expected_head: Option<SequenceNumber>,
    /// The checkpoint whose payload this is, salt included: when that one is erased, so is this copy of it.
    pub copy_of: Option<CheckpointId>,
    /// The state.
    pub payload: SealedPayload,
    /// What proves it, for the checkpoints crate to read.
    pub evidence: Payload,
}

impl AppendCheckpoint {
    /// What its link covers whatever its place in the chain.
    pub fn link_contents(&self) -> LinkContents<'_> {
        LinkContents {
            task: &self.task,
            id: self.checkpoint,
            kind: &self.kind,
            work_item: self.work_item.as_ref(),
            payload: self.payload.digest(),
            evidence: self.evidence.digest(),
        }
    }
}

/// Records what a look at a checkpoint's evidence found. The newest record counts.
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
/// use steadfast_store::{RecordVerification, Verdict};
///
/// let detail = "file \"notes.md\" failed: it is not there".to_owned();
/// store.record_verification(RecordVerification { checkpoint, verdict: Verdict::Failed, detail }).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordVerification {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// What was found.
    pub verdict: Verdict,
    /// Which piece failed and why: at most [`DETAIL_BYTES_MAX`](crate::limits::DETAIL_BYTES_MAX) bytes are kept.
    pub detail: String,
}

/// Reclaims leases past their term, in the order of their deadlines, then ids. An item with attempts left becomes
/// pending again, one without a dead letter, one of a finished task cancelled; the first two get an
/// `error_boundary` checkpoint on their task in the same commit. Identity: the sweep id, as for [`Claim`].
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
/// use steadfast_store::SweepExpired;
///
/// let sweep = SweepExpired { sweep: TransitionId::generate(store.env()), limit: 100 };
/// let swept = store.sweep_expired(sweep).await?;
/// assert!(swept.reclaimed.is_empty(), "no lease has ended");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepExpired {
    /// This page of this sweep.
    pub sweep: TransitionId,
    /// Most items: 1 to [`PAGE_ROWS_MAX`](crate::limits::PAGE_ROWS_MAX).
    pub limit: u32,
}

/// Removes the oldest checkpoints of a task, so that its newest `keep` stay, and the newest one whose last recorded
/// verdict is [`Verdict::Verified`] with all that follow it. The chain says from then on that its beginning was pruned.
/// Stands alone in its batch. Submitted again it removes the next page.
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
/// use steadfast_store::PruneCheckpoints;
///
/// let pruned = store.prune_checkpoints(PruneCheckpoints { task, keep: 100, limit: 1_000 }).await?;
/// assert_eq!((pruned.removed, pruned.is_more), (0, false));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneCheckpoints {
    /// The task.
    pub task: TaskId,
    /// Newest checkpoints that stay: at least 1.
    pub keep: u32,
    /// Most checkpoints removed at once: 1 to [`PAGE_ROWS_MAX`](crate::limits::PAGE_ROWS_MAX).
    pub limit: u32,
}

/// Removes salt and bytes of a checkpoint's payload, and of all copies of it. Its digest stays, so that the chain still
/// verifies; without the salt it gives nothing away. The evidence stays. Stands alone in its batch. Submitted again it
/// erases nothing more.
///
/// On SQLite the bytes have left the file and its log when the answer comes, unless a reader was in the way, or a
/// checkpoint of the log failed: then with the next commit that finds none. Copies in backups are beyond its reach.
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
/// use steadfast_store::{EraseCheckpoint, NoPayload};
///
/// store.erase_checkpoint(EraseCheckpoint { checkpoint }).await?;
/// let erased = store.checkpoint(checkpoint).await?.ok_or("its row stays, and with it the chain")?;
/// assert!(matches!(erased.payload, Err(NoPayload::Erased)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EraseCheckpoint {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
}

/// Removes finished operations whose key begins with `prefix`, the oldest first. Those that are pending or in doubt
/// stay, whatever their age, and so do those of a task that has not ended: it may ask for them again. Stands alone in its batch. Submitted again it removes the next page.
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
/// # use steadfast_store::{
/// #     Abandonment, BeginOperation, Digest, FinishOperation, InvalidateOperation, OperationEnd, OperationKey,
/// #     OperationToken, PurgeOperations,
/// # };
/// # let (key, token) = (OperationKey::new("tool-ledger:send-mail:report/1")?, OperationToken::from_bytes([1; 16]));
/// # let begin = BeginOperation {
/// #     key: key.clone(), fingerprint: Digest::of(b"to: all"), token, task: Some(task.clone()), lease: None,
/// #     term: Term::new(std::time::Duration::from_secs(60))?, abandonment: Abandonment::Doubt, fresh_for: None,
/// # };
/// let older_than = std::time::Duration::from_secs(30 * 24 * 3_600);
/// let purge = PurgeOperations { prefix: "tool-ledger:".into(), older_than, limit: 200 };
/// assert_eq!(store.purge_operations(purge).await?.removed, 0);
/// # let _ = (begin, key);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeOperations {
    /// What the keys begin with; all do when it is empty.
    pub prefix: String,
    /// Only those that finished at least this long ago by the wall clock.
    pub older_than: Duration,
    /// Most operations removed at once: 1 to [`PAGE_ROWS_MAX`](crate::limits::PAGE_ROWS_MAX).
    pub limit: u32,
}

/// Removes one finished operation, so that the next caller begins it anew. One that is not there counts as removed;
/// one that is pending or in doubt is rejected. Stands alone in its batch.
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
/// # use steadfast_store::{
/// #     Abandonment, BeginOperation, Digest, FinishOperation, InvalidateOperation, OperationEnd, OperationKey,
/// #     OperationToken, PurgeOperations,
/// # };
/// # let (key, token) = (OperationKey::new("tool-ledger:send-mail:report/1")?, OperationToken::from_bytes([1; 16]));
/// # let begin = BeginOperation {
/// #     key: key.clone(), fingerprint: Digest::of(b"to: all"), token, task: Some(task.clone()), lease: None,
/// #     term: Term::new(std::time::Duration::from_secs(60))?, abandonment: Abandonment::Doubt, fresh_for: None,
/// # };
/// let gone = store.invalidate_operation(InvalidateOperation { key }).await?;
/// assert!(!gone.was_there);
/// # let _ = begin;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidateOperation {
    /// The idempotency key.
    pub key: OperationKey,
}

/// States the intent of an operation. Rejected when the key belongs to another fingerprint, is owned by somebody
/// else, is in doubt, or is finished. Identity: the token.
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
/// # use steadfast_store::{
/// #     Abandonment, BeginOperation, Digest, FinishOperation, InvalidateOperation, OperationEnd, OperationKey,
/// #     OperationToken, PurgeOperations,
/// # };
/// # let (key, token) = (OperationKey::new("tool-ledger:send-mail:report/1")?, OperationToken::from_bytes([1; 16]));
/// # let begin = BeginOperation {
/// #     key: key.clone(), fingerprint: Digest::of(b"to: all"), token, task: Some(task.clone()), lease: None,
/// #     term: Term::new(std::time::Duration::from_secs(60))?, abandonment: Abandonment::Doubt, fresh_for: None,
/// # };
/// let begun = store.begin_operation(begin.clone()).await?;
/// assert_eq!(begun.attempt, 1);
/// // The same key for something else is a mistake, and is told as one.
/// let other = BeginOperation { fingerprint: Digest::of(b"to: nobody"), ..begin };
/// assert!(store.begin_operation(other).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginOperation {
    /// The idempotency key.
    pub key: OperationKey,
    /// Digest of everything that makes it this operation and no other.
    pub fingerprint: Digest,
    /// This attempt.
    pub token: OperationToken,
    /// The task it is done for, which must be there.
    pub task: Option<TaskId>,
    /// The lease it runs under, which must hold, as if it were the guard: when that is lost, so is the attempt.
    pub lease: Option<Guard>,
    /// How long nobody else may take it over.
    pub term: Term,
    /// What may happen when its owner vanishes.
    pub abandonment: Abandonment,
    /// When given, an outcome that is older than this by the wall clock counts as purged: the operation is begun anew
    /// in its place.
    pub fresh_for: Option<Duration>,
}

/// How an attempt at an operation ended.
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
/// # use steadfast_store::{
/// #     Abandonment, BeginOperation, Digest, FinishOperation, InvalidateOperation, OperationEnd, OperationKey,
/// #     OperationToken, PurgeOperations,
/// # };
/// # let (key, token) = (OperationKey::new("tool-ledger:send-mail:report/1")?, OperationToken::from_bytes([1; 16]));
/// # let begin = BeginOperation {
/// #     key: key.clone(), fingerprint: Digest::of(b"to: all"), token, task: Some(task.clone()), lease: None,
/// #     term: Term::new(std::time::Duration::from_secs(60))?, abandonment: Abandonment::Doubt, fresh_for: None,
/// # };
/// # store.begin_operation(begin).await?;
/// let end = OperationEnd::Succeeded(Payload::new("sent as 4711")?);
/// store.finish_operation(FinishOperation { key: key.clone(), token, end }).await?;
/// let record = store.operation(&key).await?.ok_or("it is there")?;
/// assert_eq!(record.output.map(|output| output.bytes().len()), Some(12));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationEnd {
    /// With an output, which every later caller gets.
    Succeeded(Payload),
    /// With an error, which every later caller gets.
    Failed(Payload),
    /// Its owner is gone and nobody knows. Allowed once the owner has lost it. Submitted again, it is recognised
    /// while the doubt lasts; once a result has settled it, it is rejected as ended.
    InDoubt,
    /// Its owner lets go of it and does not know: in doubt, or free to be begun at once, as it was declared. The
    /// owner's own word, so it counts while he still owns it.
    Abandoned,
    /// It surely did not happen: the next caller may begin it at once, whatever it was declared to be. Nothing is
    /// recorded of it but the number of attempts.
    DidNotHappen,
}

impl OperationEnd {
    /// The output, if it ended with one.
    pub fn output(&self) -> Option<&Payload> {
        match self {
            Self::Succeeded(output) | Self::Failed(output) => Some(output),
            Self::InDoubt | Self::Abandoned | Self::DidNotHappen => None,
        }
    }
}

/// Ends an operation. Identity: the token, which must be the newest of the key. A result for an operation in doubt
/// settles the doubt, and so does the word that it did not happen. A finished operation stays as it is.
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
/// # use steadfast_store::{
/// #     Abandonment, BeginOperation, Digest, FinishOperation, InvalidateOperation, OperationEnd, OperationKey,
/// #     OperationToken, PurgeOperations,
/// # };
/// # let (key, token) = (OperationKey::new("tool-ledger:send-mail:report/1")?, OperationToken::from_bytes([1; 16]));
/// # let begin = BeginOperation {
/// #     key: key.clone(), fingerprint: Digest::of(b"to: all"), token, task: Some(task.clone()), lease: None,
/// #     term: Term::new(std::time::Duration::from_secs(60))?, abandonment: Abandonment::Doubt, fresh_for: None,
/// # };
/// # store.begin_operation(begin).await?;
/// // Surely not: whoever asks next makes the call.
/// let finish = FinishOperation { key: key.clone(), token, end: OperationEnd::DidNotHappen };
/// store.finish_operation(finish).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishOperation {
    /// The idempotency key.
    pub key: OperationKey,
    /// The attempt that ends.
    pub token: OperationToken,
    /// How.
    pub end: OperationEnd,
}

/// A command with a known type of outcome.
pub trait TypedCommand: sealed::Sealed + Into<Command> {
    /// What it answers when it is applied.
    type Outcome;
    /// Finds that in the general outcome.
    #[doc(hidden)]
    fn outcome(outcome: &Outcome) -> Option<&Self::Outcome>;
}

mod sealed {
    /// Keeps the list of commands closed: a backend must know them all.
    pub trait Sealed {}
}

macro_rules! commands {
    ($($command:ident => $outcome:ident),+ $(,)?) => {
        /// Any command.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Command {
            $(#[doc = concat!("See [`", stringify!($command), "`].")] $command($command)),+
        }

        $(
            impl From<$command> for Command {
                fn from(command: $command) -> Self {
                    Self::$command(command)
                }
            }

            impl sealed::Sealed for $command {}

            impl TypedCommand for $command {
                type Outcome = $outcome;
                fn outcome(outcome: &Outcome) -> Option<&$outcome> {
                    match outcome {
                        Outcome::$outcome(outcome) => Some(outcome),
                        _ => None,
                    }
                }
            }
        )+
    };
}

commands! {
    CreateTask => TaskCreated,
    FinishTask => TaskFinished,
    Enqueue => Enqueued,
    Claim => Claimed,
    Renew => Renewed,
    SettleItem => Settled,
    CancelItem => ItemCancelled,
    Requeue => Requeued,
    AppendCheckpoint => Appended,
    RecordVerification => VerificationRecorded,
    SweepExpired => Swept,
    PruneCheckpoints => Pruned,
    EraseCheckpoint => Erased,
    PurgeOperations => Purged,
    InvalidateOperation => Invalidated,
    BeginOperation => OperationBegun,
    FinishOperation => OperationFinished,
}

impl Command {
    /// Whether it removes what other commands rest on: such a one stands alone in its batch, so that a batch that is
    /// submitted again can always be recognised by what it left.
    pub fn is_maintenance(&self) -> bool {
        matches!(
            self,
            Self::PruneCheckpoints(_)
                | Self::EraseCheckpoint(_)
                | Self::PurgeOperations(_)
                | Self::InvalidateOperation(_)
        )
    }

    /// Payload bytes it carries, texts of any length included.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Self::CreateTask(command) => command.input.bytes().len(),
            Self::FinishTask(command) => command.result.bytes().len(),
            Self::AppendCheckpoint(command) => command.payload.bytes().len() + command.evidence.bytes().len(),
            Self::RecordVerification(command) => command.detail.len(),
            Self::SettleItem(command) => command.detail.len(),
            Self::FinishOperation(command) => command.end.output().map_or(0, |output| output.bytes().len()),
            _ => 0,
        }
    }
}
