//! The tables of the in-memory store, with the orders that claims and sweeps need.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ops::Bound;

use crate::command::{Claim, PurgeOperations};
use crate::decide::{Rows, StoredCheckpoint, Write, can_be_gone_on_from, is_asked_for};
use crate::id::{CheckpointId, OperationKey, TaskId, TransitionId, WorkItemId};
use crate::limits::PAGE_BYTES_MAX;
use crate::payload::{NoPayload, Payload, SealedPayload};
use crate::record::{
    Checkpoint, CheckpointHeader, CheckpointPage, Health, Operation, OperationPage, OperationRecord,
    SequenceNumber, Status, Task, TaskPage, TaskRecord, Verdict, Verification, WorkItem, WorkItemPage,
};
use crate::time::{Now, StoreTime, WallTime};

/// Everything the store holds.
#[derive(Debug, Default)]
pub(super) struct Tables {
    tasks: BTreeMap<TaskId, TaskRecord>,
    pub(super) items: BTreeMap<WorkItemId, WorkItem>,
    pending: BTreeSet<(Reverse<i32>, StoreTime, WorkItemId)>,
    leased: BTreeSet<(StoreTime, WorkItemId)>,
    moved: BTreeMap<TransitionId, BTreeSet<WorkItemId>>,
    pub(super) checkpoints: BTreeMap<CheckpointId, StoredCheckpoint>,
    pub(super) sequence: BTreeMap<(TaskId, SequenceNumber), CheckpointId>,
    verifications: BTreeMap<CheckpointId, Verification>,
    pub(super) operations: BTreeMap<OperationKey, OperationRecord>,
}

impl Tables {
    /// Makes one decided change.
    pub(super) fn write(&mut self, write: Write) {
        match write {
            Write::InsertTask(task, input) => {
                self.tasks.insert(task.id.clone(), TaskRecord { task, input, result: None });
            }
            Write::MoveHead(task) => {
                if let Some(record) = self.tasks.get_mut(&task.id) {
                    record.task = task;
                }
            }
            Write::FinishTask(task, result) => {
                if let Some(record) = self.tasks.get_mut(&task.id) {
                    record.task = task;
                    record.result = Some(result);
                }
            }
            Write::InsertItem(item)
            | Write::UpdateItem(item)
            | Write::RenewLease(item)
            | Write::EndItem(item) => self.put_item(item),
            Write::InsertCheckpoint(stored) => {
                let place = (stored.header.task.clone(), stored.header.sequence);
                let previous = self.sequence.insert(place, stored.header.id);
                assert!(previous.is_none(), "a sequence number was given out twice");
                self.checkpoints.insert(stored.header.id, *stored);
            }
            Write::RecordVerification(id, verification) => {
                self.verifications.insert(id, verification);
            }
            Write::InsertOperation(operation) | Write::RenewOperation(operation) => {
                self.operations.insert(operation.key.clone(), OperationRecord { operation, output: None });
            }
            Write::DeleteOperation(key) => {
                self.operations.remove(&key);
            }
            Write::Prune(task) => self.prune(task),
            Write::Erase(ids, at) => {
                for id in ids {
                    if let Some(stored) = self.checkpoints.get_mut(&id) {
                        stored.header.erased_at = Some(at);
                        stored.payload = SealedPayload::erased();
                    }
                }
            }
            Write::UpdateOperation(operation, output) => {
                self.operations.insert(operation.key.clone(), OperationRecord { operation, output });
            }
        }
    }

    fn put_item(&mut self, item: WorkItem) {
        if let Some(old) = self.items.get(&item.id) {
            assert!(item.fence >= old.fence, "a fence shrank");
            self.pending.remove(&pending_place(old));
            if let Some(lease) = &old.lease {
                self.leased.remove(&(lease.expires_at, old.id.clone()));
            }
            if let Some(transition) = old.transition
                && let Some(ids) = self.moved.get_mut(&transition)
            {
                ids.remove(&old.id);
                if ids.is_empty() {
                    self.moved.remove(&transition);
                }
            }
        }
        if item.status == Status::Pending {
            self.pending.insert(pending_place(&item));
        }
        if let Some(lease) = &item.lease {
            self.leased.insert((lease.expires_at, item.id.clone()));
        }
        if let Some(transition) = item.transition {
            self.moved.entry(transition).or_default().insert(item.id.clone());
        }
        self.items.insert(item.id.clone(), item);
    }

    fn prune(&mut self, task: Task) {
        let place = |sequence| (task.id.clone(), SequenceNumber(sequence));
        let gone: Vec<_> = self
            .sequence
            .range(place(0)..=place(task.pruned_through.0))
            .map(|(place, id)| (place.clone(), *id))
            .collect();
        for (place, id) in gone {
            self.sequence.remove(&place);
            self.checkpoints.remove(&id);
            self.verifications.remove(&id);
        }
        if let Some(record) = self.tasks.get_mut(&task.id) {
            record.task = task;
        }
    }

    pub(super) fn work_items(&self, page: &WorkItemPage) -> Vec<WorkItem> {
        let start = page.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        self.items
            .range((start, Bound::Unbounded))
            .map(|(_, item)| item)
            .filter(|item| page.task.as_ref().is_none_or(|task| item.task == *task))
            .filter(|item| page.status.is_none_or(|status| item.status == status))
            .take(page.limit as usize)
            .cloned()
            .collect()
    }

    pub(super) fn tasks(&self, page: &TaskPage) -> Vec<Task> {
        let start = page.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        self.tasks
            .range((start, Bound::Unbounded))
            .map(|(_, record)| &record.task)
            .filter(|task| page.status.is_none_or(|status| task.status == status))
            .take(page.limit as usize)
            .cloned()
            .collect()
    }

    pub(super) fn task(&self, id: &TaskId) -> Option<Task> {
        self.tasks.get(id).map(|record| record.task.clone())
    }

    pub(super) fn task_record(&self, id: &TaskId) -> Option<TaskRecord> {
        self.tasks.get(id).cloned()
    }

    pub(super) fn item(&self, id: &WorkItemId) -> Option<WorkItem> {
        self.items.get(id).cloned()
    }

    pub(super) fn checkpoint(&self, id: CheckpointId) -> Option<Checkpoint> {
        self.checkpoints.get(&id).map(|stored| Checkpoint {
            header: stored.header.clone(),
            payload: match stored.header.erased_at {
                Some(_) => Err(NoPayload::Erased),
                None => Ok(stored.payload.clone()),
            },
            evidence: Ok(stored.evidence.clone()),
            verification: self.verifications.get(&id).cloned(),
        })
    }

    pub(super) fn checkpoints(&self, task: &TaskId, page: CheckpointPage) -> Vec<Checkpoint> {
        let place = |sequence| (task.clone(), SequenceNumber(sequence));
        match page {
            CheckpointPage::NewestFirst { before, limit } => {
                let end = before
                    .map_or(Bound::Included(place(u64::MAX)), |before| Bound::Excluded(place(before.0)));
                let range = self.sequence.range((Bound::Included(place(0)), end));
                self.page(range.rev().map(|(_, id)| *id), limit)
            }
            CheckpointPage::OldestFirst { after, limit } => {
                let range =
                    self.sequence.range((Bound::Excluded(place(after.0)), Bound::Included(place(u64::MAX))));
                self.page(range.map(|(_, id)| *id), limit)
            }
        }
    }

    fn page(&self, ids: impl Iterator<Item = CheckpointId>, limit: u32) -> Vec<Checkpoint> {
        let mut bytes = 0;
        let mut page = Vec::new();
        for checkpoint in ids.filter_map(|id| self.checkpoint(id)).take(limit as usize) {
            let length = |payload: Option<&bytes::Bytes>| payload.map_or(0, bytes::Bytes::len);
            bytes += length(checkpoint.payload.as_ref().ok().map(SealedPayload::bytes));
            bytes += length(checkpoint.evidence.as_ref().ok().map(Payload::bytes));
            page.push(checkpoint);
            if bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
        page
    }

    pub(super) fn operation(&self, key: &OperationKey) -> Option<OperationRecord> {
        self.operations.get(key).cloned()
    }

    pub(super) fn operations(&self, task: &TaskId, page: &OperationPage) -> Vec<Operation> {
        let start = page.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        self.operations
            .range((start, Bound::Unbounded))
            .map(|(_, record)| &record.operation)
            .filter(|operation| operation.task.as_ref() == Some(task))
            .filter(|operation| page.status.is_none_or(|status| operation.status == status))
            .take(page.limit as usize)
            .cloned()
            .collect()
    }

    pub(super) fn health(&self, now: Now) -> Health {
        Health {
            store_time: now.store,
            wall_time: now.wall,
            work_items: counted(self.items.values().map(|item| item.status)),
            expired_leases: self.leased.iter().take_while(|(deadline, _)| *deadline <= now.store).count()
                as u64,
            tasks: counted(self.tasks.values().map(|record| record.task.status)),
            operations: counted(self.operations.values().map(|record| record.operation.status)),
            checkpoints: self.checkpoints.len() as u64,
        }
    }
}

fn counted<S: Ord>(values: impl Iterator<Item = S>) -> Vec<(S, u64)> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts.into_iter().collect()
}

fn pending_place(item: &WorkItem) -> (Reverse<i32>, StoreTime, WorkItemId) {
    (Reverse(item.priority), item.available_at, item.id.clone())
}

impl Rows for Tables {
    type Error = Infallible;

    fn task(&mut self, id: &TaskId) -> Result<Option<Task>, Infallible> {
        Ok(Self::task(self, id))
    }

    fn item(&mut self, id: &WorkItemId) -> Result<Option<WorkItem>, Infallible> {
        Ok(Self::item(self, id))
    }

    fn claimable(
        &mut self,
        claim: &Claim,
        now: StoreTime,
        limit: usize,
    ) -> Result<Vec<WorkItem>, Infallible> {
        let available = self.pending.iter().filter(|(_, at, _)| *at <= now);
        let items = available.filter_map(|(_, _, id)| self.items.get(id));
        Ok(items.filter(|item| is_asked_for(item, claim)).take(limit).cloned().collect())
    }

    fn expired(&mut self, now: StoreTime, limit: usize) -> Result<Vec<WorkItem>, Infallible> {
        let expired = self.leased.iter().take_while(|(deadline, _)| *deadline <= now);
        Ok(expired.take(limit).filter_map(|(_, id)| self.items.get(id)).cloned().collect())
    }

    fn moved_by(&mut self, transition: TransitionId) -> Result<Vec<WorkItem>, Infallible> {
        let ids = self.moved.get(&transition).into_iter().flatten();
        Ok(ids.filter_map(|id| self.items.get(id)).cloned().collect())
    }

    fn checkpoint(&mut self, id: CheckpointId) -> Result<Option<CheckpointHeader>, Infallible> {
        Ok(self.checkpoints.get(&id).map(|stored| stored.header.clone()))
    }

    fn newest_verified(&mut self, task: &TaskId) -> Result<Option<SequenceNumber>, Infallible> {
        let place = |sequence| (task.clone(), SequenceNumber(sequence));
        let verified = |id: &CheckpointId| {
            self.verifications.get(id).is_some_and(|verification| verification.verdict == Verdict::Verified)
                && self.checkpoints.get(id).is_some_and(|stored| can_be_gone_on_from(&stored.header))
        };
        let mut newest_first = self.sequence.range(place(0)..=place(u64::MAX)).rev();
        Ok(newest_first.find(|(_, id)| verified(id)).map(|((_, sequence), _)| *sequence))
    }

    fn with_copies(&mut self, id: CheckpointId) -> Result<Vec<CheckpointId>, Infallible> {
        let origin = self.checkpoints.get(&id).and_then(|stored| stored.header.copy_of).unwrap_or(id);
        let headers = self.checkpoints.values().map(|stored| &stored.header);
        Ok(headers
            .filter(|header| header.id == origin || header.copy_of == Some(origin))
            .filter(|header| header.erased_at.is_none())
            .map(|header| header.id)
            .collect())
    }

    fn stale(&mut self, purge: &PurgeOperations, now: WallTime) -> Result<Vec<OperationKey>, Infallible> {
        let mut stale: Vec<_> = self
            .operations
            .iter()
            .filter(|(key, _)| key.as_str().starts_with(&purge.prefix))
            .filter(|(_, record)| {
                let task = record.operation.task.as_ref().and_then(|task| self.tasks.get(task));
                task.is_none_or(|task| task.task.status.is_terminal())
            })
            .filter_map(|(key, record)| Some((record.operation.finished_at?, key.clone())))
            .filter(|(finished_at, _)| *finished_at <= now.minus(purge.older_than))
            .collect();
        stale.sort();
        stale.truncate(purge.limit as usize);
        Ok(stale.into_iter().map(|(_, key)| key).collect())
    }

    fn operation(&mut self, key: &OperationKey) -> Result<Option<Operation>, Infallible> {
        Ok(self.operations.get(key).map(|record| record.operation.clone()))
    }
}
