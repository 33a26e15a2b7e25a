//! The decisions' view of the file inside one write transaction, and the changes they ask for.

use std::collections::BTreeSet;

use rusqlite::{CachedStatement, Connection, Params, params};

use crate::command::{Claim, PurgeOperations};
use crate::decide::{Rows, StoredCheckpoint, Write, claim_order, is_asked_for};
use crate::id::{CheckpointId, Label, OperationKey, TaskId, TransitionId, WorkItemId};
use crate::payload::Payload;
use crate::record::{CheckpointHeader, Operation, SequenceNumber, Task, WorkItem};
use crate::sqlite::failure::Trouble;
use crate::sqlite::heads::Heads;
use crate::sqlite::recent::Recent;
use crate::sqlite::text_time::TextTime;
use crate::sqlite::{map, sql};
use crate::time::{StoreTime, WallTime};

/// Priorities that a claim walks one by one, before it reads through the rest in one go.
const PRIORITIES_WALKED_MAX: usize = 64;

/// An open write transaction.
pub(super) struct Transaction<'a> {
    connection: &'a Connection,
    heads: &'a mut Heads,
    recent: &'a mut Recent,
    /// A group is mostly appends: their statement is taken from the cache of statements once.
    append: Option<CachedStatement<'a>>,
}

impl<'a> Transaction<'a> {
    /// The transaction that is open on `connection`.
    pub(super) fn new(connection: &'a Connection, heads: &'a mut Heads, recent: &'a mut Recent) -> Self {
        Self { connection, heads, recent, append: None }
    }

    fn statement(&self, sql: &'static str) -> Result<CachedStatement<'_>, Trouble> {
        Ok(self.connection.prepare_cached(sql)?)
    }

    fn row<T>(
        &self,
        sql: &'static str,
        params: impl Params,
        map: impl FnOnce(&rusqlite::Row<'_>) -> Result<T, Trouble>,
    ) -> Result<Option<T>, Trouble> {
        let mut statement = self.statement(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(map).transpose()
    }

    fn rows<T>(
        &self,
        sql: &'static str,
        params: impl Params,
        map: impl Fn(&rusqlite::Row<'_>) -> Result<T, Trouble>,
    ) -> Result<Vec<T>, Trouble> {
        let mut statement = self.statement(sql)?;
        let mut rows = statement.query(params)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(map(row)?);
        }
        Ok(found)
    }

    fn execute(&self, sql: &'static str, params: impl Params) -> Result<usize, Trouble> {
        Ok(self.statement(sql)?.execute(params)?)
    }

    /// For statements whose WHERE asserts an invariant: a row that is not there means the invariant was broken.
    fn execute_one(&self, sql: &'static str, params: impl Params, what: &str) -> Result<(), Trouble> {
        match self.execute(sql, params)? {
            1 => Ok(()),
            _ => Err(Trouble::impossible(what)),
        }
    }

    fn task_row(&mut self, id: &TaskId) -> Result<i64, Trouble> {
        if let Some(row) = self.heads.row(id) {
            return Ok(row);
        }
        self.task(id)?;
        self.heads.row(id).ok_or_else(|| Trouble::impossible(format!("the row of task {id}")))
    }

    /// Makes one decided change.
    pub(super) fn write(&mut self, write: Write) -> Result<(), Trouble> {
        match write {
            Write::InsertTask(task, input) => self.insert_task(task, &input),
            Write::MoveHead(task) => {
                self.heads.update(task);
                Ok(())
            }
            Write::FinishTask(task, result) => self.finish_task(task, &result),
            Write::InsertItem(item) => self.insert_item(&item),
            Write::UpdateItem(item) => self.update_item(&item),
            Write::RenewLease(item) => self.renew_lease(&item),
            Write::EndItem(item) => self.end_item(&item),
            Write::InsertCheckpoint(stored) => self.insert_checkpoint(&stored),
            Write::RecordVerification(id, verification) => self
                .execute(
                    sql::checkpoint::RECORD_VERIFICATION,
                    params![
                        id.as_bytes(),
                        verification.verdict.as_str(),
                        verification.detail,
                        TextTime::from(verification.at)
                    ],
                )
                .map(drop),
            Write::InsertOperation(operation) => self.insert_operation(&operation),
            Write::UpdateOperation(operation, output) => self.update_operation(&operation, output.as_ref()),
            Write::RenewOperation(operation) => self.renew_operation(&operation),
            Write::DeleteOperation(key) => {
                self.execute_one(sql::operation::DELETE, [key.as_str()], "a finished operation to be removed")
            }
            Write::Prune(task) => {
                let row = self.task_row(&task.id)?;
                self.execute(sql::checkpoint::PRUNE, params![row, task.pruned_through.0])?;
                self.heads.update(task);
                Ok(())
            }
            Write::Erase(ids, at) => ids.iter().try_for_each(|id| {
                let params = params![id.as_bytes(), TextTime::from(at)];
                self.execute_one(sql::checkpoint::ERASE, params, "a checkpoint to be erased")
            }),
        }
    }

    fn insert_task(&mut self, task: Task, input: &Payload) -> Result<(), Trouble> {
        self.execute(
            sql::task::INSERT,
            params![
                task.id.as_str(),
                task.kind.as_str(),
                task.status.as_str(),
                task.input.as_bytes(),
                task.head_link.as_bytes(),
                TextTime::from(task.created_at)
            ],
        )?;
        let row = self.connection.last_insert_rowid();
        self.execute(sql::task::INSERT_INPUT, params![row, input.bytes().as_ref()])?;
        self.heads.learn(row, task);
        Ok(())
    }

    fn finish_task(&mut self, task: Task, result: &Payload) -> Result<(), Trouble> {
        let row = self.task_row(&task.id)?;
        let finished_at = task.finished_at.map(TextTime::from);
        let digest = task.result.as_ref().map(crate::digest::Digest::as_bytes);
        self.execute_one(
            sql::task::FINISH,
            params![row, task.status.as_str(), digest, finished_at],
            "the row of a task that ends",
        )?;
        self.execute_one(
            sql::task::SET_RESULT,
            params![row, result.bytes().as_ref()],
            "the payload row of a task that ends",
        )?;
        self.heads.update(task);
        Ok(())
    }

    fn insert_item(&mut self, item: &WorkItem) -> Result<(), Trouble> {
        let task = self.task_row(&item.task)?;
        self.execute(
            sql::item::INSERT,
            params![
                item.id.as_str(),
                task,
                item.kind.as_str(),
                item.status.as_str(),
                item.priority,
                TextTime::from(item.available_at),
                item.max_attempts,
                TextTime::from(item.created_at)
            ],
        )
        .map(drop)
    }

    fn update_item(&mut self, item: &WorkItem) -> Result<(), Trouble> {
        if let Some(transition) = item.transition {
            self.recent.transitions.insert(transition);
        }
        let lease = item.lease.as_ref();
        self.execute_one(
            sql::item::UPDATE,
            params![
                item.id.as_str(),
                item.status.as_str(),
                TextTime::from(item.available_at),
                item.fence.0,
                item.attempt,
                lease.map(|lease| lease.holder.as_str()),
                lease.map(|lease| TextTime::from(lease.acquired_at)),
                lease.map(|lease| TextTime::from(lease.expires_at)),
                item.transition.as_ref().map(TransitionId::as_bytes),
                item.settled.map(|(fence, _)| fence.0),
                item.settled.map(|(_, settlement)| settlement.as_str()),
                item.detail,
            ],
            "the fence of a work item, which did not grow",
        )
    }

    fn renew_lease(&self, item: &WorkItem) -> Result<(), Trouble> {
        let expires_at = item.lease.as_ref().map(|lease| TextTime::from(lease.expires_at));
        self.execute_one(
            sql::item::RENEW,
            params![item.id.as_str(), item.fence.0, expires_at],
            "a work item under its lease",
        )
    }

    fn end_item(&self, item: &WorkItem) -> Result<(), Trouble> {
        let (fence, settlement) =
            item.settled.ok_or_else(|| Trouble::impossible("the settlement of an item that was settled"))?;
        self.execute_one(
            sql::item::END,
            params![item.id.as_str(), fence.0, item.status.as_str(), settlement.as_str(), item.detail],
            "a work item under the lease that settles it",
        )
    }

    fn insert_checkpoint(&mut self, stored: &StoredCheckpoint) -> Result<(), Trouble> {
        let header = &stored.header;
        let task = self.task_row(&header.task)?;
        let append = match &mut self.append {
            Some(append) => append,
            none => none.insert(self.connection.prepare_cached(sql::checkpoint::INSERT)?),
        };
        append.execute(params![
            header.id.as_bytes(),
            task,
            header.sequence.0,
            header.work_item.as_ref().map(WorkItemId::as_str),
            header.kind.as_str(),
            TextTime::from(header.created_at),
            stored.payload.salt(),
            header.payload.as_bytes(),
            header.evidence.as_bytes(),
            header.parent_link.as_bytes(),
            header.link.as_bytes(),
            stored.evidence.bytes().as_ref(),
            stored.payload.bytes().as_ref(),
            header.copy_of.as_ref().map(CheckpointId::as_bytes),
        ])?;
        self.recent.checkpoints.insert(header.id);
        Ok(())
    }

    fn insert_operation(&self, operation: &Operation) -> Result<(), Trouble> {
        let lease = operation.owner.lease.as_ref();
        self.execute(
            sql::operation::INSERT,
            params![
                operation.key.as_str(),
                operation.task.as_ref().map(TaskId::as_str),
                operation.fingerprint.as_bytes(),
                operation.status.as_str(),
                operation.abandonment.as_str(),
                operation.owner.token.as_bytes(),
                lease.map(|lease| lease.item.as_str()),
                lease.map(|lease| lease.fence.0),
                TextTime::from(operation.owner.expires_at),
                operation.attempt,
                TextTime::from(operation.created_at),
            ],
        )
        .map(drop)
    }

    fn update_operation(&self, operation: &Operation, output: Option<&Payload>) -> Result<(), Trouble> {
        let lease = operation.owner.lease.as_ref();
        self.execute_one(
            sql::operation::UPDATE,
            params![
                operation.key.as_str(),
                operation.status.as_str(),
                operation.abandonment.as_str(),
                operation.owner.token.as_bytes(),
                lease.map(|lease| lease.item.as_str()),
                lease.map(|lease| lease.fence.0),
                TextTime::from(operation.owner.expires_at),
                operation.attempt,
                operation.finished_at.map(TextTime::from),
                operation.output.as_ref().map(crate::digest::Digest::as_bytes),
                output.map(|output| output.bytes().as_ref()),
            ],
            "an operation that had ended",
        )
    }
}

impl Transaction<'_> {
    fn renew_operation(&self, operation: &Operation) -> Result<(), Trouble> {
        let lease = operation.owner.lease.as_ref();
        self.execute_one(
            sql::operation::RENEW,
            params![
                operation.key.as_str(),
                operation.status.as_str(),
                operation.abandonment.as_str(),
                operation.owner.token.as_bytes(),
                lease.map(|lease| lease.item.as_str()),
                lease.map(|lease| lease.fence.0),
                TextTime::from(operation.owner.expires_at),
                operation.attempt,
                TextTime::from(operation.created_at),
            ],
            "an operation that had not ended",
        )
    }

    /// Available items in claim order, walking the priorities from the top.
    fn walk(
        &self,
        walk: sql::item::Walk,
        kind: Option<&Label>,
        now: StoreTime,
        limit: usize,
    ) -> Result<Vec<WorkItem>, Trouble> {
        let mut found = Vec::new();
        let mut above = i64::MAX;
        for _ in 0..PRIORITIES_WALKED_MAX {
            if found.len() >= limit {
                return Ok(found);
            }
            let level = self.available(walk.at_next, above, kind, now, limit - found.len())?;
            above = match level.last() {
                Some(item) => i64::from(item.priority),
                // Whoever is at the next priority waits for his time, or there is none.
                None => match self.next_priority(walk, above, kind)? {
                    Some(priority) => priority,
                    None => return Ok(found),
                },
            };
            found.extend(level);
        }
        found.extend(self.available(walk.below, above, kind, now, limit.saturating_sub(found.len()))?);
        Ok(found)
    }

    fn next_priority(
        &self,
        walk: sql::item::Walk,
        below: i64,
        kind: Option<&Label>,
    ) -> Result<Option<i64>, Trouble> {
        let mut statement = self.statement(walk.next_priority)?;
        statement.raw_bind_parameter(1, below)?;
        bind_kind(&mut statement, kind)?;
        let mut rows = statement.raw_query();
        Ok(rows.next()?.map_or(Ok(None), |row| row.get(0))?)
    }

    fn available(
        &self,
        sql: &'static str,
        priority: i64,
        kind: Option<&Label>,
        now: StoreTime,
        limit: usize,
    ) -> Result<Vec<WorkItem>, Trouble> {
        let mut statement = self.statement(sql)?;
        statement.raw_bind_parameter(1, priority)?;
        statement.raw_bind_parameter(2, TextTime::from(now))?;
        statement.raw_bind_parameter(3, i64::try_from(limit).unwrap_or(i64::MAX))?;
        bind_kind(&mut statement, kind)?;
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(map::item(row)?);
        }
        Ok(found)
    }

    fn available_of_task(
        &self,
        claim: &Claim,
        task: &TaskId,
        now: StoreTime,
        limit: usize,
    ) -> Result<Vec<WorkItem>, Trouble> {
        let mut statement = self.statement(sql::item::OF_TASK)?;
        let mut rows = statement.query(params![task.as_str(), TextTime::from(now)])?;
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(row) = rows.next()?
        {
            let item = map::item(row)?;
            if is_asked_for(&item, claim) {
                found.push(item);
            }
        }
        Ok(found)
    }
}

fn bind_kind(statement: &mut CachedStatement<'_>, kind: Option<&Label>) -> Result<(), Trouble> {
    if let Some(kind) = kind {
        statement.raw_bind_parameter(4, kind.as_str())?;
    }
    Ok(())
}

impl Rows for Transaction<'_> {
    type Error = Trouble;

    fn task(&mut self, id: &TaskId) -> Result<Option<Task>, Trouble> {
        if let Some(task) = self.heads.task(id) {
            return Ok(Some(task.clone()));
        }
        let found = self.row(sql::task::BY_KEY, [id.as_str()], map::task)?;
        Ok(found.map(|(task, row)| {
            self.heads.learn(row, task.clone());
            task
        }))
    }

    fn is_over(&mut self, id: &TaskId) -> Result<bool, Trouble> {
        let known = self.heads.task(id).map(|task| task.status.is_terminal());
        known.map_or_else(|| Ok(self.task(id)?.is_none_or(|task| task.status.is_terminal())), Ok)
    }

    fn item(&mut self, id: &WorkItemId) -> Result<Option<WorkItem>, Trouble> {
        self.row(sql::item::BY_ID, [id.as_str()], map::item)
    }

    fn claimable(&mut self, claim: &Claim, now: StoreTime, limit: usize) -> Result<Vec<WorkItem>, Trouble> {
        if let Some(task) = &claim.task {
            return self.available_of_task(claim, task, now, limit);
        }
        if claim.kinds.is_empty() {
            return self.walk(sql::item::ANY, None, now, limit);
        }
        let mut found = Vec::new();
        let kinds: BTreeSet<&Label> = claim.kinds.iter().collect();
        for kind in kinds {
            found.extend(self.walk(sql::item::OF_KIND, Some(kind), now, limit)?);
        }
        found.sort_by_key(claim_order);
        found.truncate(limit);
        Ok(found)
    }

    fn expired(&mut self, now: StoreTime, limit: usize) -> Result<Vec<WorkItem>, Trouble> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.rows(sql::item::EXPIRED, params![TextTime::from(now), limit], map::item)
    }

    fn moved_by(&mut self, transition: TransitionId) -> Result<Vec<WorkItem>, Trouble> {
        let largest = || {
            let mut statement = self.connection.prepare_cached(sql::item::LARGEST_TRANSITION)?;
            let mut rows = statement.query([])?;
            rows.next()?.map_or(Ok(None), map::largest_transition)
        };
        if !self.recent.transitions.may_be_there(transition, largest)? {
            return Ok(Vec::new());
        }
        self.rows(sql::item::MOVED_BY, [transition.as_bytes()], map::item)
    }

    fn checkpoint(&mut self, id: CheckpointId) -> Result<Option<CheckpointHeader>, Trouble> {
        let largest = || {
            let mut statement = self.connection.prepare_cached(sql::checkpoint::LARGEST_ID)?;
            let mut rows = statement.query([])?;
            rows.next()?.map_or(Ok(None), map::largest_id)
        };
        if !self.recent.checkpoints.may_be_there(id, largest)? {
            return Ok(None);
        }
        self.row(sql::checkpoint::HEADER, [id.as_bytes()], map::header)
    }

    fn newest_verified(&mut self, task: &TaskId) -> Result<Option<SequenceNumber>, Trouble> {
        self.row(sql::checkpoint::NEWEST_VERIFIED, [task.as_str()], |row| Ok(SequenceNumber(row.get(0)?)))
    }

    fn with_copies(&mut self, id: CheckpointId) -> Result<Vec<CheckpointId>, Trouble> {
        let origin = Rows::checkpoint(self, id)?.and_then(|header| header.copy_of).unwrap_or(id);
        self.rows(sql::checkpoint::WITH_COPIES, [origin.as_bytes()], map::checkpoint_id)
    }

    fn stale(&mut self, purge: &PurgeOperations, now: WallTime) -> Result<Vec<OperationKey>, Trouble> {
        let until = now.minus(purge.older_than);
        let params = params![TextTime::from(until), purge.prefix, purge.limit];
        self.rows(sql::operation::STALE, params, map::operation_key)
    }

    fn operation(&mut self, key: &OperationKey) -> Result<Option<Operation>, Trouble> {
        self.row(sql::operation::BY_KEY, [key.as_str()], map::operation)
    }
}
