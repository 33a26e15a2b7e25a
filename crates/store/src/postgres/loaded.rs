//! The rows that a transaction has read, as the decisions see them. Whatever was not read is named, so that it can be
//! read too and the group decided again: the decisions are pure, and nothing was written yet.

use std::collections::{BTreeMap, HashMap};

use tokio_postgres::Row;

use crate::command::{Claim, PurgeOperations};
use crate::decide::Rows;
use crate::id::{CheckpointId, OperationKey, TaskId, TransitionId, WorkItemId};
use crate::postgres::failure::Trouble;
use crate::postgres::map;
use crate::postgres::needs::{Asked, Hold, Needs, Question};
use crate::record::{CheckpointHeader, Operation, SequenceNumber, Task, WorkItem};
use crate::time::{Now, StoreTime, WallTime};

/// A row, or a list of rows, that was asked for and had not been read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Missing(Question);

impl Missing {
    /// The need for it.
    pub(super) fn into_needs(self) -> Needs {
        let mut needs = Needs::default();
        match self.0 {
            Question::Items(hold, items) => needs.items.extend(items.into_iter().map(|item| (item, hold))),
            Question::Operations(keys) => needs.operations.extend(keys),
            Question::Tasks(hold, tasks) => needs.tasks.extend(tasks.into_iter().map(|task| (task, hold))),
            Question::Checkpoints(hold, ids) => {
                needs.checkpoints.extend(ids.into_iter().map(|id| (id, hold)));
            }
            Question::WithCopies(id) => needs.with_copies = Some(id),
            Question::Claimable(asked, limit) => drop(needs.claimable.insert(asked, limit)),
            Question::Expired(limit) => needs.expired = limit,
            Question::Stale(purge) => needs.stale = Some(purge),
            Question::MovedBy(transitions) => needs.moved_by.extend(transitions),
            Question::NewestVerified(task) => needs.newest_verified = Some(task),
            Question::Identities(_) | Question::Clock => {}
        }
        needs
    }
}

/// Some rows in an order, and how many were asked for.
#[derive(Debug)]
struct Listed<T> {
    limit: usize,
    rows: Vec<T>,
}

impl<T: Clone> Listed<T> {
    /// The first of them that fit, if they are enough to tell.
    fn first(&self, limit: usize, fits: impl Fn(&T) -> bool) -> Option<Vec<T>> {
        let is_enough = limit <= self.limit || self.rows.len() < self.limit;
        is_enough.then(|| self.rows.iter().filter(|row| fits(row)).take(limit).cloned().collect())
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    now: Option<Now>,
    /// The server's clock is not believed for now: no lease counts as expired.
    holds_off: bool,
    tasks: HashMap<TaskId, (Hold, Option<Task>)>,
    /// Of tasks that came with their items.
    over: HashMap<TaskId, bool>,
    items: HashMap<WorkItemId, (Hold, Option<WorkItem>)>,
    operations: HashMap<OperationKey, Option<Operation>>,
    checkpoints: HashMap<CheckpointId, (Hold, Option<CheckpointHeader>)>,
    claimable: BTreeMap<Asked, Listed<WorkItem>>,
    expired: Option<Listed<WorkItem>>,
    moved_by: HashMap<TransitionId, Vec<WorkItem>>,
    newest_verified: HashMap<TaskId, Option<SequenceNumber>>,
    with_copies: HashMap<CheckpointId, Vec<CheckpointId>>,
    copies_moved: bool,
    stale: Option<(PurgeOperations, Vec<OperationKey>)>,
}

impl Loaded {
    /// The time when nothing was waited for any more.
    pub(super) fn now(&self) -> Result<Now, Trouble> {
        self.now.ok_or_else(|| Trouble::impossible("the clock, which was not read,"))
    }

    /// Whether the server's clock may be gone by where somebody's lease is to be ended.
    pub(super) fn may_sweep(&mut self, may: bool) {
        self.holds_off = !may;
    }

    /// Takes the answer to a question.
    pub(super) fn take(&mut self, question: Question, rows: &[Row]) -> Result<(), Trouble> {
        match question {
            Question::Identities(_) => {}
            Question::Items(hold, asked) => {
                self.items.extend(asked.into_iter().map(|item| (item, (hold, None))));
                for row in rows {
                    let item = map::item(row)?;
                    self.items.insert(item.id.clone(), (hold, Some(item)));
                }
            }
            Question::Operations(asked) => {
                self.operations.extend(asked.into_iter().map(|key| (key, None)));
                for row in rows {
                    let operation = map::operation(row)?;
                    self.operations.insert(operation.key.clone(), Some(operation));
                }
            }
            Question::Tasks(hold, asked) => {
                self.tasks.extend(asked.into_iter().map(|task| (task, (hold, None))));
                for row in rows {
                    let task = map::task(row)?;
                    self.tasks.insert(task.id.clone(), (hold, Some(task)));
                }
            }
            Question::Checkpoints(hold, asked) => {
                self.checkpoints.extend(asked.into_iter().map(|id| (id, (hold, None))));
                for row in rows {
                    let header = map::header(row)?;
                    self.checkpoints.insert(header.id, (hold, Some(header)));
                }
            }
            Question::WithCopies(id) => {
                let found = rows.iter().map(map::checkpoint_id).collect::<Result<Vec<_>, _>>()?;
                let before = self.with_copies.insert(id, found.clone());
                self.copies_moved = before.is_some_and(|before| before != found);
            }
            Question::Claimable(asked, limit) => {
                let rows = self.items_of(rows)?;
                self.claimable.insert(asked, Listed { limit, rows });
            }
            Question::Expired(limit) => {
                let rows = rows.iter().map(map::item).collect::<Result<_, _>>()?;
                self.expired = Some(Listed { limit, rows });
            }
            Question::Stale(purge) => {
                let keys = rows.iter().map(|row| map::text(row, 0)).collect::<Result<_, _>>()?;
                self.stale = Some((purge, keys));
            }
            Question::MovedBy(asked) => {
                self.moved_by.extend(asked.into_iter().map(|transition| (transition, Vec::new())));
                for row in rows {
                    let item = map::item(row)?;
                    if let Some(transition) = item.transition {
                        self.moved_by.entry(transition).or_default().push(item);
                    }
                }
            }
            Question::NewestVerified(task) => {
                let newest = rows.first().map(map::sequence).transpose()?;
                self.newest_verified.insert(task, newest);
            }
            Question::Clock => self.now = rows.first().map(map::now).transpose()?,
        }
        Ok(())
    }

    fn items_of(&mut self, rows: &[Row]) -> Result<Vec<WorkItem>, Trouble> {
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let (item, is_over) = map::item_and_end(row)?;
            self.over.insert(item.task.clone(), is_over);
            items.push(item);
        }
        Ok(items)
    }

    /// What the rows read so far name, and surely will be asked for.
    pub(super) fn named(&self) -> Needs {
        let mut needs = Needs::default();
        for item in self.expired.iter().flat_map(|listed| &listed.rows) {
            if self.tasks.get(&item.task).is_none_or(|(hold, _)| *hold < Hold::Write) {
                needs.chain(&item.task);
            }
        }
        let leases = self.operations.values().flatten().filter_map(|found| found.owner.lease.as_ref());
        for lease in leases {
            if !self.items.contains_key(&lease.item) {
                needs.lease(&lease.item);
            }
        }
        if self.copies_moved {
            needs.with_copies = self.with_copies.keys().next().copied();
        }
        needs
    }

    /// The rows that were to be held and were not there. What is not there cannot be held, and may have come while a row
    /// behind it was waited for.
    pub(super) fn absent(&self) -> Needs {
        fn of<K: Clone, T>((name, (hold, row)): (&K, &(Hold, Option<T>))) -> Option<(K, Hold)> {
            (row.is_none() && *hold > Hold::Look).then(|| (name.clone(), *hold))
        }
        let operations = self.operations.iter().filter(|(_, row)| row.is_none());
        Needs {
            items: self.items.iter().filter_map(of).collect(),
            operations: operations.map(|(key, _)| key.clone()).collect(),
            tasks: self.tasks.iter().filter_map(of).collect(),
            checkpoints: self.checkpoints.iter().filter_map(of).collect(),
            ..Needs::default()
        }
    }

    fn found<T: Clone>(found: Option<&T>, question: impl FnOnce() -> Question) -> Result<T, Missing> {
        found.cloned().ok_or_else(|| Missing(question()))
    }
}

impl Rows for Loaded {
    type Error = Missing;

    fn task(&mut self, id: &TaskId) -> Result<Option<Task>, Missing> {
        let found = self.tasks.get(id).map(|(_, task)| task);
        Self::found(found, || Question::Tasks(Hold::Keep, vec![id.clone()]))
    }

    fn is_over(&mut self, id: &TaskId) -> Result<bool, Missing> {
        match (self.tasks.get(id), self.over.get(id)) {
            (Some((_, task)), _) => Ok(task.as_ref().is_none_or(|task| task.status.is_terminal())),
            (None, Some(is_over)) => Ok(*is_over),
            (None, None) => Err(Missing(Question::Tasks(Hold::Look, vec![id.clone()]))),
        }
    }

    fn item(&mut self, id: &WorkItemId) -> Result<Option<WorkItem>, Missing> {
        let found = self.items.get(id).map(|(_, item)| item);
        Self::found(found, || Question::Items(Hold::Look, vec![id.clone()]))
    }

    fn claimable(&mut self, claim: &Claim, now: StoreTime, limit: usize) -> Result<Vec<WorkItem>, Missing> {
        let asked = Asked::from(claim);
        let listed = self.claimable.get(&asked);
        let found = listed.and_then(|listed| listed.first(limit, |item| item.available_at <= now));
        found.ok_or(Missing(Question::Claimable(asked, limit)))
    }

    fn expired(&mut self, now: StoreTime, limit: usize) -> Result<Vec<WorkItem>, Missing> {
        if self.holds_off {
            return Ok(Vec::new());
        }
        let is_past = |item: &WorkItem| item.lease.as_ref().is_some_and(|lease| lease.expires_at <= now);
        let found = self.expired.as_ref().and_then(|listed| listed.first(limit, is_past));
        found.ok_or(Missing(Question::Expired(limit)))
    }

    fn moved_by(&mut self, transition: TransitionId) -> Result<Vec<WorkItem>, Missing> {
        Self::found(self.moved_by.get(&transition), || Question::MovedBy(vec![transition]))
    }

    fn checkpoint(&mut self, id: CheckpointId) -> Result<Option<CheckpointHeader>, Missing> {
        let found = self.checkpoints.get(&id).map(|(_, header)| header);
        Self::found(found, || Question::Checkpoints(Hold::Look, vec![id]))
    }

    fn newest_verified(&mut self, task: &TaskId) -> Result<Option<SequenceNumber>, Missing> {
        Self::found(self.newest_verified.get(task), || Question::NewestVerified(task.clone()))
    }

    fn with_copies(&mut self, id: CheckpointId) -> Result<Vec<CheckpointId>, Missing> {
        Self::found(self.with_copies.get(&id), || Question::WithCopies(id))
    }

    fn stale(&mut self, purge: &PurgeOperations, _: WallTime) -> Result<Vec<OperationKey>, Missing> {
        let keys = self.stale.as_ref().filter(|(asked, _)| asked == purge).map(|(_, keys)| keys);
        Self::found(keys, || Question::Stale(purge.clone()))
    }

    fn operation(&mut self, key: &OperationKey) -> Result<Option<Operation>, Missing> {
        Self::found(self.operations.get(key), || Question::Operations(vec![key.clone()]))
    }
}
