//! What a backend must be able to read and write so that whole batches can be decided over it.

use crate::command::{Claim, PurgeOperations};
use crate::id::{CheckpointId, OperationKey, TaskId, TransitionId, WorkItemId};
use crate::payload::{Payload, SealedPayload};
use crate::record::{CheckpointHeader, Operation, SequenceNumber, Task, Verification, WorkItem};
use crate::time::{StoreTime, WallTime};

/// Reads inside one transaction. Rows come as they stand after all earlier batches of the transaction.
pub(crate) trait Rows {
    /// Trouble with the storage.
    type Error;
    /// A task.
    fn task(&mut self, id: &TaskId) -> Result<Option<Task>, Self::Error>;
    /// Whether nothing is left to do for a task: it has ended, or there is none. Each claimed item asks, so a backend
    /// that knows answers without a copy of the row.
    fn is_over(&mut self, id: &TaskId) -> Result<bool, Self::Error> {
        Ok(self.task(id)?.is_none_or(|task| task.status.is_terminal()))
    }
    /// An item.
    fn item(&mut self, id: &WorkItemId) -> Result<Option<WorkItem>, Self::Error>;
    /// Pending items that `claim` asks for and whose time has come, in claim order: priority descending,
    /// available-at, id. At most `limit`, whatever the claim's own.
    fn claimable(
        &mut self,
        claim: &Claim,
        now: StoreTime,
        limit: usize,
    ) -> Result<Vec<WorkItem>, Self::Error>;
    /// Items in progress past their term, by deadline, then id.
    fn expired(&mut self, now: StoreTime, limit: usize) -> Result<Vec<WorkItem>, Self::Error>;
    /// Items last moved by this claim or sweep, in any order.
    fn moved_by(&mut self, transition: TransitionId) -> Result<Vec<WorkItem>, Self::Error>;
    /// A checkpoint.
    fn checkpoint(&mut self, id: CheckpointId) -> Result<Option<CheckpointHeader>, Self::Error>;
    /// The place of the newest checkpoint of a task whose last recorded verdict is that it was verified.
    fn newest_verified(&mut self, task: &TaskId) -> Result<Option<SequenceNumber>, Self::Error>;
    /// A checkpoint that is not erased, and all such copies of it.
    fn with_copies(&mut self, id: CheckpointId) -> Result<Vec<CheckpointId>, Self::Error>;
    /// Finished operations that the command would remove, the oldest first, by key where they finished at once.
    fn stale(&mut self, purge: &PurgeOperations, now: WallTime) -> Result<Vec<OperationKey>, Self::Error>;
    /// An operation.
    fn operation(&mut self, key: &OperationKey) -> Result<Option<Operation>, Self::Error>;
}

/// A checkpoint to be stored.
#[derive(Debug, Clone)]
pub(crate) struct StoredCheckpoint {
    pub(crate) header: CheckpointHeader,
    pub(crate) payload: SealedPayload,
    pub(crate) evidence: Payload,
}

/// One change, decided. A batch's changes are made in order, after all of it was decided, so that a rejection never
/// has anything to undo.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    InsertTask(Task, Payload),
    /// The task's head moved.
    MoveHead(Task),
    FinishTask(Task, Payload),
    InsertItem(WorkItem),
    UpdateItem(WorkItem),
    /// The lease of an item has another deadline, and nothing else of it has changed.
    RenewLease(WorkItem),
    /// An item was settled under its lease for good: it keeps the place in the queue and the transition that it had.
    EndItem(WorkItem),
    InsertCheckpoint(Box<StoredCheckpoint>),
    RecordVerification(CheckpointId, Verification),
    InsertOperation(Operation),
    UpdateOperation(Operation, Option<Payload>),
    /// A finished operation is begun anew in its place.
    RenewOperation(Operation),
    DeleteOperation(OperationKey),
    /// The task with its new beginning: what lies before goes.
    Prune(Task),
    /// The payload of each goes.
    Erase(Vec<CheckpointId>, WallTime),
}
