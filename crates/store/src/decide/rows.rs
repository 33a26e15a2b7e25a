//! What a backend must be able to read and write so that whole batches can be decided over it.

use crate::id::{CheckpointId, OperationKey, TaskId, TransitionId, WorkItemId};
use crate::payload::{Payload, SealedPayload};
use crate::record::{CheckpointHeader, Operation, Task, Verification, WorkItem};
use crate::time::StoreTime;

/// Reads inside one transaction. Rows come as they stand after all earlier batches of the transaction.
pub(crate) trait Rows {
    /// Trouble with the storage.
    type Error;
    /// A task.
    fn task(&mut self, id: &TaskId) -> Result<Option<Task>, Self::Error>;
    /// An item.
    fn item(&mut self, id: &WorkItemId) -> Result<Option<WorkItem>, Self::Error>;
    /// Pending items whose time has come, in claim order: priority descending, available-at, id.
    fn claimable(&mut self, now: StoreTime, limit: usize) -> Result<Vec<WorkItem>, Self::Error>;
    /// Items in progress past their term, by deadline, then id.
    fn expired(&mut self, now: StoreTime, limit: usize) -> Result<Vec<WorkItem>, Self::Error>;
    /// Items last moved by this claim or sweep, in any order.
    fn moved_by(&mut self, transition: TransitionId) -> Result<Vec<WorkItem>, Self::Error>;
    /// A checkpoint.
    fn checkpoint(&mut self, id: CheckpointId) -> Result<Option<CheckpointHeader>, Self::Error>;
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
    InsertCheckpoint(Box<StoredCheckpoint>),
    RecordVerification(CheckpointId, Verification),
    InsertOperation(Operation),
    UpdateOperation(Operation, Option<Payload>),
}
