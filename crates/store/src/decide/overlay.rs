//! A batch under decision: the rows as they would stand after the commands decided so far, and the changes that would
//! bring them there. Nothing reaches the backend before the whole batch is decided.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::command::{Claim, PurgeOperations};
use crate::decide::{Rows, Write, is_asked_for};
use crate::id::{CheckpointId, OperationKey, TaskId, TransitionId, WorkItemId};
use crate::record::{CheckpointHeader, Operation, SequenceNumber, Status, Task, WorkItem};
use crate::time::{StoreTime, WallTime};

/// See the module.
pub(crate) struct Overlay<'a, R: Rows> {
    pub(super) rows: &'a mut R,
    tasks: BTreeMap<TaskId, Task>,
    items: BTreeMap<WorkItemId, WorkItem>,
    checkpoints: BTreeMap<CheckpointId, CheckpointHeader>,
    operations: BTreeMap<OperationKey, Operation>,
    writes: Vec<Write>,
    /// The batch's last command is being decided.
    is_last: bool,
}

impl<'a, R: Rows> Overlay<'a, R> {
    pub(crate) fn new(rows: &'a mut R) -> Self {
        Self {
            rows,
            tasks: BTreeMap::new(),
            items: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            operations: BTreeMap::new(),
            writes: Vec::new(),
            is_last: false,
        }
    }

    /// The batch's last command comes next.
    pub(super) fn begin_last(&mut self) {
        self.is_last = true;
    }

    /// Records a change after which its command looks at nothing more. Of the last command nobody ever does, so that
    /// a batch of one command, as most are, copies no row.
    pub(super) fn write_finally(&mut self, write: Write) {
        if self.is_last {
            self.writes.push(write);
        } else {
            self.write(write);
        }
    }

    /// Records a change and what it makes of the rows.
    pub(crate) fn write(&mut self, write: Write) {
        match &write {
            Write::InsertTask(task, _)
            | Write::MoveHead(task)
            | Write::FinishTask(task, _)
            | Write::Prune(task) => {
                self.tasks.insert(task.id.clone(), task.clone());
            }
            Write::InsertItem(item)
            | Write::UpdateItem(item)
            | Write::RenewLease(item)
            | Write::EndItem(item) => {
                self.items.insert(item.id.clone(), item.clone());
            }
            Write::InsertCheckpoint(stored) => {
                self.checkpoints.insert(stored.header.id, stored.header.clone());
            }
            Write::InsertOperation(operation)
            | Write::UpdateOperation(operation, _)
            | Write::RenewOperation(operation) => {
                self.operations.insert(operation.key.clone(), operation.clone());
            }
            // Whoever removes stands alone in the batch: nobody looks again.
            Write::RecordVerification(..) | Write::DeleteOperation(_) | Write::Erase(..) => {}
        }
        self.writes.push(write);
    }

    pub(super) fn into_writes(self) -> Vec<Write> {
        self.writes
    }
}

/// The order in which items are claimed.
pub(crate) fn claim_order(item: &WorkItem) -> (Reverse<i32>, StoreTime, WorkItemId) {
    (Reverse(item.priority), item.available_at, item.id.clone())
}

/// The order in which leases are swept.
pub(crate) fn sweep_order(item: &WorkItem) -> (Option<StoreTime>, WorkItemId) {
    (item.lease.as_ref().map(|lease| lease.expires_at), item.id.clone())
}

impl<R: Rows> Overlay<'_, R> {
    /// The backend's answer without the items that this batch has changed, and those of the changed ones that fit.
    fn merged(&self, mut found: Vec<WorkItem>, fits: impl Fn(&WorkItem) -> bool) -> Vec<WorkItem> {
        found.retain(|item| !self.items.contains_key(&item.id));
        found.extend(self.items.values().filter(|item| fits(item)).cloned());
        found
    }
}

impl<R: Rows> Rows for Overlay<'_, R> {
    type Error = R::Error;

    fn task(&mut self, id: &TaskId) -> Result<Option<Task>, R::Error> {
        match self.tasks.get(id) {
            Some(task) => Ok(Some(task.clone())),
            None => self.rows.task(id),
        }
    }

    fn is_over(&mut self, id: &TaskId) -> Result<bool, R::Error> {
        match self.tasks.get(id) {
            Some(task) => Ok(task.status.is_terminal()),
            None => self.rows.is_over(id),
        }
    }

    fn item(&mut self, id: &WorkItemId) -> Result<Option<WorkItem>, R::Error> {
        match self.items.get(id) {
            Some(item) => Ok(Some(item.clone())),
            None => self.rows.item(id),
        }
    }

    fn claimable(&mut self, claim: &Claim, now: StoreTime, limit: usize) -> Result<Vec<WorkItem>, R::Error> {
        let found = self.rows.claimable(claim, now, limit + self.items.len())?;
        let mut merged = self.merged(found, |item| {
            item.status == Status::Pending && item.available_at <= now && is_asked_for(item, claim)
        });
        merged.sort_by_key(claim_order);
        merged.truncate(limit);
        Ok(merged)
    }

    fn expired(&mut self, now: StoreTime, limit: usize) -> Result<Vec<WorkItem>, R::Error> {
        let found = self.rows.expired(now, limit + self.items.len())?;
        let mut merged =
            self.merged(found, |item| item.lease.as_ref().is_some_and(|lease| lease.expires_at <= now));
        merged.sort_by_key(sweep_order);
        merged.truncate(limit);
        Ok(merged)
    }

    fn moved_by(&mut self, transition: TransitionId) -> Result<Vec<WorkItem>, R::Error> {
        let found = self.rows.moved_by(transition)?;
        Ok(self.merged(found, |item| item.transition == Some(transition)))
    }

    fn checkpoint(&mut self, id: CheckpointId) -> Result<Option<CheckpointHeader>, R::Error> {
        match self.checkpoints.get(&id) {
            Some(header) => Ok(Some(header.clone())),
            None => self.rows.checkpoint(id),
        }
    }

    fn newest_verified(&mut self, task: &TaskId) -> Result<Option<SequenceNumber>, R::Error> {
        self.rows.newest_verified(task)
    }

    fn with_copies(&mut self, id: CheckpointId) -> Result<Vec<CheckpointId>, R::Error> {
        self.rows.with_copies(id)
    }

    fn stale(&mut self, purge: &PurgeOperations, now: WallTime) -> Result<Vec<OperationKey>, R::Error> {
        self.rows.stale(purge, now)
    }

    fn operation(&mut self, key: &OperationKey) -> Result<Option<Operation>, R::Error> {
        match self.operations.get(key) {
            Some(operation) => Ok(Some(operation.clone())),
            None => self.rows.operation(key),
        }
    }
}
