//! What the store keeps: tasks, work items, checkpoints, operations, as the reads hand them out and as the
//! decisions see them.
//! Long because each stands beside what it is for and an example of it.

use std::fmt;

use crate::digest::{Digest, Link, LinkContents};
use crate::id::{
    CheckpointId, HolderId, Label, OperationKey, OperationToken, TaskId, TransitionId, WorkItemId,
};
use crate::payload::{DamagedPayload, NoPayload, Payload, SealedPayload};
use crate::time::{StoreTime, WallTime};

/// A number that grows with every claim and every reclaim of an item, for ever. Whoever shows the current one
/// holds the item; every older one is stale.
///
/// Source: fencing tokens as in M. Kleppmann, "How to do distributed locking", 2016.
///
/// ```
/// use steadfast_store::Fence;
///
/// // Every claim and every reclaim of an item gives a larger one.
/// assert!(Fence(2) > Fence(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fence(pub u64);

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of a checkpoint in its task: 1, 2, 3 … without a gap. 0 stands for "before the first".
///
/// ```
/// use steadfast_store::SequenceNumber;
///
/// let head = SequenceNumber(7);
/// assert_eq!(head.next(), SequenceNumber(8));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SequenceNumber(pub u64);

impl SequenceNumber {
    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! stored_text {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The text in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value of a text from the database.
            pub fn from_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

stored_text! {
    /// Where a task or a work item stands.
    ///
    /// ```
    /// use steadfast_store::Status;
    ///
    /// let ended: Vec<_> = Status::ALL.iter().filter(|status| status.is_terminal()).collect();
    /// assert_eq!(ended.len(), 3);
    /// assert_eq!(Status::from_text("in_progress"), Some(Status::InProgress));
    /// ```
    Status {
        /// May be claimed, now or after its delay.
        Pending = "pending",
        /// Under a lease.
        InProgress = "in_progress",
        /// Waits for a timer or a signal.
        Waiting = "waiting",
        /// Waits for a person's decision.
        NeedsAttention = "needs_attention",
        /// Ended well.
        Succeeded = "succeeded",
        /// Ended badly; for a work item: a dead letter.
        Failed = "failed",
        /// Called off.
        Cancelled = "cancelled",
    }
}

impl Status {
    /// Whether nothing more can happen to it by itself.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

stored_text! {
    /// How a holder gave a work item back.
    ///
    /// ```
    /// # use steadfast_store::Settlement;
    /// assert_eq!(Settlement::Retried.to_string(), "retried", "as `work_items.settlement` has it");
    /// ```
    Settlement {
        /// Done.
        Succeeded = "succeeded",
        /// To be tried again, while attempts are left.
        Retried = "retried",
        /// Given up: a dead letter.
        Failed = "failed",
        /// Handed back untouched; the attempt is not counted.
        Released = "released",
    }
}

stored_text! {
    /// Where an operation stands.
    ///
    /// ```
    /// # use steadfast_store::OperationStatus;
    /// assert_eq!(OperationStatus::InDoubt.as_str(), "in_doubt", "as `idempotency_keys.status` has it");
    /// ```
    OperationStatus {
        /// Begun; its effect may or may not have happened.
        Pending = "pending",
        /// Finished, with an output.
        Succeeded = "succeeded",
        /// Finished, with an error as its output.
        Failed = "failed",
        /// Its owner vanished between the intent and the result: nobody may run it again unasked.
        InDoubt = "in_doubt",
    }
}

stored_text! {
    /// What may happen to an operation whose owner vanished.
    ///
    /// ```
    /// use steadfast_store::Abandonment;
    ///
    /// /// What to declare of a tool.
    /// fn of(may_be_repeated: bool) -> Abandonment {
    ///     if may_be_repeated { Abandonment::Retake } else { Abandonment::Doubt }
    /// }
    /// assert_eq!(of(false), Abandonment::Doubt);
    /// ```
    Abandonment {
        /// The next caller runs it again.
        Retake = "retake",
        /// It stays in doubt until its late result or a person settles it.
        Doubt = "doubt",
    }
}

stored_text! {
    /// What a look at a checkpoint's evidence found.
    ///
    /// ```
    /// # use steadfast_store::Verdict;
    /// assert_eq!(Verdict::from_text("verified"), Some(Verdict::Verified));
    /// ```
    Verdict {
        /// Every piece that the rule asks for held.
        Verified = "verified",
        /// Some piece did not.
        Failed = "failed",
    }
}

/// A task.
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
/// let found = store.task(&task).await?.ok_or("it is there")?;
/// assert_eq!((found.kind, found.head.0), (kind, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// What kind of task it is.
    pub kind: Label,
    /// Where it stands.
    pub status: Status,
    /// Digest of its input.
    pub input: Digest,
    /// Digest of its result, once finished.
    pub result: Option<Digest>,
    /// The sequence number of its newest checkpoint; 0 without one.
    pub head: SequenceNumber,
    /// The link digest of its newest checkpoint; [`Digest::ZERO`] without one.
    pub head_link: Digest,
    /// All checkpoints up to this one were pruned on purpose; 0 when none was.
    pub pruned_through: SequenceNumber,
    /// When it was created.
    pub created_at: WallTime,
    /// When it was finished.
    pub finished_at: Option<WallTime>,
}

/// A task with its payloads.
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
/// let record = store.task_record(&task).await?.ok_or("it is there")?;
/// assert_eq!(record.input, Payload::empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRecord {
    /// The task.
    pub task: Task,
    /// What it was submitted with.
    pub input: Payload,
    /// What it ended with.
    pub result: Option<Payload>,
}

/// A lease on a work item.
///
/// ```
/// use std::time::Duration;
/// use steadfast_store::{HolderId, LeaseRecord, StoreTime};
///
/// /// How much is left of it, by the store's time as `Store::health` tells it.
/// fn left(lease: &LeaseRecord, now: StoreTime) -> Duration {
///     lease.expires_at.since(now)
/// }
/// # let at = StoreTime::from_millis;
/// # let holder = HolderId::new("worker-1")?;
/// let lease = LeaseRecord { holder, acquired_at: at(0), expires_at: at(300_000) };
/// assert_eq!(left(&lease, at(200_000)), Duration::from_secs(100));
/// assert_eq!(left(&lease, at(300_001)), Duration::ZERO, "whoever sweeps may reclaim it");
/// # Ok::<(), steadfast_store::InvalidId>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Who holds it, for people.
    pub holder: HolderId,
    /// When it was claimed.
    pub acquired_at: StoreTime,
    /// When it may be reclaimed.
    pub expires_at: StoreTime,
}

/// A work item.
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
/// let held = store.work_item(&item).await?.ok_or("it is there")?;
/// println!("{} is {}, attempt {} of {}", held.id, held.status, held.attempt, held.max_attempts);
/// assert_eq!(held.guard(), guard);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkItem {
    /// Its id.
    pub id: WorkItemId,
    /// The task it belongs to.
    pub task: TaskId,
    /// What kind of work it is.
    pub kind: Label,
    /// Where it stands.
    pub status: Status,
    /// Larger is claimed earlier.
    pub priority: i32,
    /// Not to be claimed before.
    pub available_at: StoreTime,
    /// The newest fence.
    pub fence: Fence,
    /// Claims that count, so far.
    pub attempt: u32,
    /// Claims that may count before it becomes a dead letter.
    pub max_attempts: u32,
    /// The lease, while in progress.
    pub lease: Option<LeaseRecord>,
    /// The claim or sweep that last moved it.
    pub transition: Option<TransitionId>,
    /// The fence and manner of its last settlement.
    pub settled: Option<(Fence, Settlement)>,
    /// Why it was last settled, or reclaimed: for people. Empty when nobody said.
    pub detail: String,
    /// When it was enqueued.
    pub created_at: WallTime,
}

/// A checkpoint without its bytes.
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
/// let found = store.checkpoint(checkpoint).await?.ok_or("it is there")?;
/// // Whoever changed a field did not change the link with it.
/// assert_eq!(found.header.computed_link(), found.header.link);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointHeader {
    /// Its id.
    pub id: CheckpointId,
    /// Its task.
    pub task: TaskId,
    /// Its place in the task.
    pub sequence: SequenceNumber,
    /// Its type, such as `step` or `error_boundary`.
    pub kind: Label,
    /// The work item it was made under.
    pub work_item: Option<WorkItemId>,
    /// The link of the checkpoint before it.
    pub parent_link: Digest,
    /// Its own link.
    pub link: Digest,
    /// Salted digest of its payload.
    pub payload: Digest,
    /// Digest of its evidence.
    pub evidence: Digest,
    /// The checkpoint whose payload this one was copied from, if it is a copy: the first of them, not a copy itself.
    /// Not covered by the link.
    pub copy_of: Option<CheckpointId>,
    /// When its payload was erased, if it was.
    pub erased_at: Option<WallTime>,
    /// When it was made.
    pub created_at: WallTime,
}

impl CheckpointHeader {
    /// The link that its fields give. It differs from [`link`](Self::link) when a field was changed.
    pub fn computed_link(&self) -> Digest {
        let contents = LinkContents {
            task: &self.task,
            id: self.id,
            kind: &self.kind,
            work_item: self.work_item.as_ref(),
            payload: self.payload,
            evidence: self.evidence,
        };
        Link { parent: self.parent_link, sequence: self.sequence.0, contents }.digest()
    }
}

/// The outcome of the last look at a checkpoint's evidence. It speaks of then; *verified* means verified now.
///
/// ```
/// use steadfast_store::{Verdict, Verification};
///
/// fn tell(verification: &Verification) {
///     if verification.verdict == Verdict::Failed {
///         println!("at {} ms: {}", verification.at.as_millis(), verification.detail);
///     }
/// }
/// # tell(&Verification { verdict: Verdict::Failed, detail: "gone".to_owned(), at: Default::default() });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// What was found.
    pub verdict: Verdict,
    /// Which piece failed and why; empty when none did.
    pub detail: String,
    /// When.
    pub at: WallTime,
}

/// A checkpoint as read: its bytes have been held against their digests.
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
/// let found = store.checkpoint(checkpoint).await?.ok_or("it is there")?;
/// assert_eq!(found.header.sequence, appended.sequence);
/// assert_eq!(found.payload.map(|payload| payload.bytes().len()).ok(), Some(5));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// All but the bytes.
    pub header: CheckpointHeader,
    /// Its payload, or why there is none to trust.
    pub payload: Result<SealedPayload, NoPayload>,
    /// Its evidence, or why there is none to trust.
    pub evidence: Result<Payload, DamagedPayload>,
    /// The last recorded look at its evidence.
    pub verification: Option<Verification>,
}

/// Who may end an operation, and until when nobody else may take it over.
///
/// ```
/// use steadfast_store::{OperationToken, Ownership, StoreTime};
///
/// /// Whether its term alone decides when others may take it over.
/// fn goes_by_term(owner: &Ownership) -> bool {
///     owner.lease.is_none()
/// }
/// # let token = OperationToken::from_bytes([1; 16]);
/// # assert!(goes_by_term(&Ownership { token, lease: None, expires_at: StoreTime::from_millis(0) }));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// This attempt.
    pub token: OperationToken,
    /// The lease it runs under: when that is lost, so is the operation.
    pub lease: Option<Guard>,
    /// When it may be taken over whatever the lease says.
    pub expires_at: StoreTime,
}

/// An operation without its bytes.
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
/// use steadfast_store::OperationPage;
///
/// # store.begin_operation(begin).await?;
/// let page = OperationPage { after: None, status: None, limit: 100 };
/// for operation in store.operations(&task, page).await? {
///     println!("{} is {}", operation.key, operation.status);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its key.
    pub key: OperationKey,
    /// The task it was begun for.
    pub task: Option<TaskId>,
    /// Digest of everything that makes it this operation and no other.
    pub fingerprint: Digest,
    /// Where it stands.
    pub status: OperationStatus,
    /// What may happen when its owner vanishes.
    pub abandonment: Abandonment,
    /// Its owner, or its last one.
    pub owner: Ownership,
    /// Digest of its output, once finished.
    pub output: Option<Digest>,
    /// How many times it was begun.
    pub attempt: u32,
    /// When it was begun first.
    pub created_at: WallTime,
    /// When it finished.
    pub finished_at: Option<WallTime>,
}

/// An operation with its output.
///
/// ```
/// use steadfast_store::{OperationRecord, OperationStatus, Payload};
///
/// /// What every later caller gets in place of a second call.
/// fn replay(record: &OperationRecord) -> Option<&Payload> {
///     match record.operation.status {
///         OperationStatus::Succeeded | OperationStatus::Failed => record.output.as_ref(),
///         _ => None,
///     }
/// }
/// # let _ = replay;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRecord {
    /// The operation.
    pub operation: Operation,
    /// Its output, once finished; checked against its digest.
    pub output: Option<Payload>,
}

/// Proof of holding an item: any command may carry it, and is rejected with the whole batch when it is stale.
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
/// // A batch under a guard is applied only while the lease is held: the effect and the check are one.
/// let mut batch = Batch::durable();
/// let end = SettleItem { guard: guard.clone(), settle: Settle::Succeeded, detail: String::new() };
/// batch.add_guarded(guard, end);
/// assert!(matches!(store.commit(batch).await?, Committed::Applied(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guard {
    /// The item.
    pub item: WorkItemId,
    /// The fence that the claim returned.
    pub fence: Fence,
}

/// Which checkpoints of a task a page holds.
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
/// let newest = CheckpointPage::NewestFirst { before: None, limit: 10 };
/// assert!(store.checkpoints(&task, newest).await?.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointPage {
    /// The newest ones below `before` (all, when `None`), newest first.
    NewestFirst {
        /// Where the page before ended.
        before: Option<SequenceNumber>,
        /// Most rows, up to [`PAGE_ROWS_MAX`](crate::limits::PAGE_ROWS_MAX).
        limit: u32,
    },
    /// The oldest ones above `after`, oldest first.
    OldestFirst {
        /// Where the page before ended; 0 for the beginning.
        after: SequenceNumber,
        /// Most rows, up to [`PAGE_ROWS_MAX`](crate::limits::PAGE_ROWS_MAX).
        limit: u32,
    },
}

/// Which work items a page holds, in order of their ids.
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
/// let page = WorkItemPage { task: Some(task), status: None, after: None, limit: 100 };
/// let items = store.work_items(page).await?;
/// assert_eq!(items.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkItemPage {
    /// Only those of this task.
    pub task: Option<TaskId>,
    /// Only those that stand so.
    pub status: Option<Status>,
    /// Where the page before ended.
    pub after: Option<WorkItemId>,
    /// Most rows, up to [`PAGE_ROWS_MAX`](crate::limits::PAGE_ROWS_MAX).
    pub limit: u32,
}

/// Which tasks a page holds, in order of their ids.
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
/// let tasks = store.tasks(TaskPage { status: None, after: None, limit: 100 }).await?;
/// assert_eq!(tasks.last().map(|last| &last.id), Some(&task));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskPage {
    /// Only those that stand so.
    pub status: Option<Status>,
    /// Where the page before ended.
    pub after: Option<TaskId>,
    /// Most rows, up to [`PAGE_ROWS_MAX`](crate::limits::PAGE_ROWS_MAX).
    pub limit: u32,
}

/// Which operations of a task a page holds, in order of their keys.
///
/// ```
/// use steadfast_store::{Operation, OperationPage, OperationStatus};
///
/// /// The page that follows one whose last operation this is.
/// fn next(last: &Operation) -> OperationPage {
///     let status = Some(OperationStatus::InDoubt);
///     OperationPage { after: Some(last.key.clone()), status, limit: 100 }
/// }
/// # let _ = next;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationPage {
    /// Where the page before ended.
    pub after: Option<OperationKey>,
    /// Only those in this state.
    pub status: Option<OperationStatus>,
    /// Most rows, up to [`PAGE_ROWS_MAX`](crate::limits::PAGE_ROWS_MAX).
    pub limit: u32,
}

/// One look at the whole store, from one snapshot.
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
/// let health = store.health().await?;
/// assert_eq!((health.expired_leases, health.checkpoints), (0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// The store's time at the look. Only commits keep time from running backwards over a restart of the machine: what
    /// an idle store reports here may be reported again after one.
    pub store_time: StoreTime,
    /// The wall clock at the look. The distance of the two tells how far the wall clock was stepped.
    pub wall_time: WallTime,
    /// Work items by status; statuses without one are left out.
    pub work_items: Vec<(Status, u64)>,
    /// Leases past their term that no sweep has reclaimed yet.
    pub expired_leases: u64,
    /// Tasks by status; statuses without one are left out.
    pub tasks: Vec<(Status, u64)>,
    /// Operations by status; statuses without one are left out.
    pub operations: Vec<(OperationStatus, u64)>,
    /// Checkpoints kept.
    pub checkpoints: u64,
}

impl Health {
    /// Wall time less store time, in milliseconds: how far the wall clock was stepped since this boot.
    pub fn clock_distance_ms(&self) -> i64 {
        self.wall_time.as_millis().saturating_sub(self.store_time.as_millis())
    }
}
