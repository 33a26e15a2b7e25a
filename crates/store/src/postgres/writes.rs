//! The changes of a group, folded: each row is written once, as the group leaves it, in one statement for each table.
//! Within a table the rows are in the order of their names, as they were locked.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use crate::batch::Batch;
use crate::command::Command;
use crate::decide::{StoredCheckpoint, Write};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::id::{CheckpointId, HolderId, OperationKey, TaskId, TransitionId, WorkItemId};
use crate::payload::Payload;
use crate::postgres::connection::Step;
use crate::postgres::sql;
use crate::postgres::wire::{Blob, Id, Param, Time, ids, number, param, text, texts};
use crate::record::{Operation, OperationStatus, Task, Verification, WorkItem};
use crate::time::WallTime;

/// Refuses what PostgreSQL cannot hold, before anything is sent.
///
/// # Errors
/// [`StoreError::Invalid`] for a NUL in a text; names have none.
pub(super) fn check(batch: &Batch) -> Result<(), StoreError> {
    let has_nul = batch.entries().iter().any(|entry| match &entry.command {
        Command::SettleItem(command) => command.detail.contains('\0'),
        Command::RecordVerification(command) => command.detail.contains('\0'),
        Command::PurgeOperations(command) => command.prefix.contains('\0'),
        _ => false,
    });
    if has_nul {
        let what = "text with a NUL character, which PostgreSQL cannot store: remove or encode it";
        return Err(StoreError::Invalid { what });
    }
    Ok(())
}

/// What the database holds of a row before the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// An operation that has not ended, or any other row.
    Open,
    /// An operation that has ended.
    Finished,
}

#[derive(Debug)]
struct TaskChange {
    before: Before,
    task: Task,
    input: Option<Payload>,
    result: Option<Payload>,
}

#[derive(Debug)]
struct ItemChange {
    before: Before,
    item: WorkItem,
}

#[derive(Debug)]
struct OperationChange {
    before: Before,
    operation: Operation,
    output: Option<Payload>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Writes {
    tasks: BTreeMap<TaskId, TaskChange>,
    items: BTreeMap<WorkItemId, ItemChange>,
    checkpoints: Vec<StoredCheckpoint>,
    verifications: BTreeMap<CheckpointId, Verification>,
    operations: BTreeMap<OperationKey, OperationChange>,
    deleted: Vec<OperationKey>,
    pruned: Option<Task>,
    erased: Option<(Vec<CheckpointId>, WallTime)>,
}

impl Writes {
    /// Adds a change behind all earlier ones.
    pub(super) fn add(&mut self, write: Write) {
        match write {
            Write::InsertTask(task, input) => self.task(Before::Nothing, task, Some(input), None),
            Write::MoveHead(task) => self.task(Before::Open, task, None, None),
            Write::FinishTask(task, result) => self.task(Before::Open, task, None, Some(result)),
            Write::InsertItem(item) => self.item(Before::Nothing, item),
            Write::UpdateItem(item) | Write::RenewLease(item) | Write::EndItem(item) => {
                self.item(Before::Open, item);
            }
            Write::InsertCheckpoint(stored) => self.checkpoints.push(*stored),
            Write::RecordVerification(id, verification) => {
                self.verifications.insert(id, verification);
            }
            Write::InsertOperation(operation) => self.operation(Before::Nothing, operation, None),
            Write::UpdateOperation(operation, output) => self.operation(Before::Open, operation, output),
            Write::RenewOperation(operation) => self.operation(Before::Finished, operation, None),
            Write::DeleteOperation(key) => self.deleted.push(key),
            Write::Prune(task) => {
                self.pruned = Some(task.clone());
                self.task(Before::Open, task, None, None);
            }
            Write::Erase(ids, at) => self.erased = Some((ids, at)),
        }
    }

    fn task(&mut self, before: Before, task: Task, input: Option<Payload>, result: Option<Payload>) {
        if let Some(change) = self.tasks.get_mut(&task.id) {
            change.task = task;
            change.input = input.or(change.input.take());
            change.result = result.or(change.result.take());
        } else {
            self.tasks.insert(task.id.clone(), TaskChange { before, task, input, result });
        }
    }

    fn item(&mut self, before: Before, item: WorkItem) {
        match self.items.get_mut(&item.id) {
            Some(change) => change.item = item,
            None => drop(self.items.insert(item.id.clone(), ItemChange { before, item })),
        }
    }

    fn operation(&mut self, before: Before, operation: Operation, output: Option<Payload>) {
        if let Some(change) = self.operations.get_mut(&operation.key) {
            change.operation = operation;
            change.output = output;
        } else {
            let key = operation.key.clone();
            self.operations.insert(key, OperationChange { before, operation, output });
        }
    }

    /// The statements that make the changes, in the order that the references between the tables ask for.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        self.task_steps(&mut steps);
        self.item_steps(&mut steps);
        if !self.checkpoints.is_empty() {
            steps.push(insert_checkpoints(&self.checkpoints));
        }
        if !self.verifications.is_empty() {
            steps.push(record_verifications(&self.verifications));
        }
        self.operation_steps(&mut steps);
        if !self.deleted.is_empty() {
            let keys = texts(self.deleted.iter().map(OperationKey::as_str));
            steps.push(Step::Query(sql::operation::DELETE, vec![keys]));
        }
        if let Some(task) = &self.pruned {
            let params = vec![text(task.id.as_str()), number(task.pruned_through.0)];
            steps.push(Step::Query(sql::checkpoint::PRUNE, params));
        }
        if let Some((erased, at)) = &self.erased {
            let at = param(Type::TIMESTAMPTZ, Time::from(*at));
            let params = vec![ids(erased.iter().map(CheckpointId::as_bytes)), at];
            steps.push(Step::Query(sql::checkpoint::ERASE, params));
        }
        steps
    }

    fn task_steps(&self, steps: &mut Vec<Step>) {
        let of = |before| self.tasks.values().filter(move |change| change.before == before);
        let new: Vec<_> = of(Before::Nothing).collect();
        if !new.is_empty() {
            steps.push(insert_tasks(&new));
            steps.push(insert_payloads(&new));
        }
        let changed: Vec<_> = of(Before::Open).collect();
        if !changed.is_empty() {
            steps.push(update_tasks(&changed));
        }
        let ended: Vec<_> = changed.into_iter().filter(|change| change.result.is_some()).collect();
        if !ended.is_empty() {
            let results = ended.iter().map(|change| change.result.as_ref().map(blob));
            let names = texts(ended.iter().map(|change| change.task.id.as_str()));
            steps.push(Step::Query(sql::task::SET_RESULTS, vec![names, blobs(results)]));
        }
    }

    fn item_steps(&self, steps: &mut Vec<Step>) {
        let of = |before| self.items.values().filter(move |change| change.before == before);
        let new: Vec<_> = of(Before::Nothing).map(|change| &change.item).collect();
        if !new.is_empty() {
            let mut params = item_params(&new);
            params.extend([
                texts(new.iter().map(|item| item.task.as_str())),
                texts(new.iter().map(|item| item.kind.as_str())),
                param(Type::INT4_ARRAY, new.iter().map(|item| item.priority).collect::<Vec<_>>()),
                numbers(new.iter().map(|item| Some(item.max_attempts.into()))),
                times(new.iter().map(|item| Some(item.created_at.into()))),
            ]);
            steps.push(Step::Query(sql::item::INSERT, params));
        }
        let changed: Vec<_> = of(Before::Open).map(|change| &change.item).collect();
        if !changed.is_empty() {
            steps.push(Step::Query(sql::item::UPDATE, item_params(&changed)));
        }
    }

    fn operation_steps(&self, steps: &mut Vec<Step>) {
        let (new, changed): (Vec<_>, Vec<_>) =
            self.operations.values().partition(|change| change.before == Before::Nothing);
        if !new.is_empty() {
            let mut params = operation_params(&new);
            let tasks = new.iter().map(|change| change.operation.task.as_ref().map(TaskId::as_str));
            params.push(optional_texts(tasks));
            params.push(digests(new.iter().map(|change| Some(change.operation.fingerprint))));
            steps.push(Step::Query(sql::operation::INSERT, params));
        }
        if !changed.is_empty() {
            let mut params = operation_params(&changed);
            let finished = changed.iter().map(|change| change.before == Before::Finished);
            params.push(param(Type::BOOL_ARRAY, finished.collect::<Vec<_>>()));
            steps.push(Step::Query(sql::operation::UPDATE, params));
        }
    }
}

fn insert_tasks(new: &[&TaskChange]) -> Step {
    let tasks = || new.iter().map(|change| &change.task);
    Step::Query(
        sql::task::INSERT,
        vec![
            texts(tasks().map(|task| task.id.as_str())),
            texts(tasks().map(|task| task.kind.as_str())),
            texts(tasks().map(|task| task.status.as_str())),
            digests(tasks().map(|task| Some(task.input))),
            digests(tasks().map(|task| task.result)),
            numbers(tasks().map(|task| Some(task.head.0))),
            digests(tasks().map(|task| Some(task.head_link))),
            times(tasks().map(|task| Some(task.created_at.into()))),
            times(tasks().map(|task| task.finished_at.map(Time::from))),
        ],
    )
}

fn insert_payloads(new: &[&TaskChange]) -> Step {
    Step::Query(
        sql::task::INSERT_PAYLOADS,
        vec![
            texts(new.iter().map(|change| change.task.id.as_str())),
            blobs(new.iter().map(|change| change.input.as_ref().map(blob))),
            blobs(new.iter().map(|change| change.result.as_ref().map(blob))),
        ],
    )
}

fn update_tasks(changed: &[&TaskChange]) -> Step {
    let tasks = || changed.iter().map(|change| &change.task);
    Step::Query(
        sql::task::UPDATE,
        vec![
            texts(tasks().map(|task| task.id.as_str())),
            texts(tasks().map(|task| task.status.as_str())),
            digests(tasks().map(|task| task.result)),
            numbers(tasks().map(|task| Some(task.head.0))),
            digests(tasks().map(|task| Some(task.head_link))),
            numbers(tasks().map(|task| Some(task.pruned_through.0))),
            times(tasks().map(|task| task.finished_at.map(Time::from))),
        ],
    )
}

/// What may change of an item.
fn item_params(items: &[&WorkItem]) -> Vec<Param> {
    let each = || items.iter().copied();
    let leases = || each().map(|item| item.lease.as_ref());
    vec![
        texts(each().map(|item| item.id.as_str())),
        texts(each().map(|item| item.status.as_str())),
        times(each().map(|item| Some(item.available_at.into()))),
        numbers(each().map(|item| Some(item.fence.0))),
        numbers(each().map(|item| Some(item.attempt.into()))),
        optional_texts(leases().map(|lease| lease.map(|lease| HolderId::as_str(&lease.holder)))),
        times(leases().map(|lease| lease.map(|lease| lease.acquired_at.into()))),
        times(leases().map(|lease| lease.map(|lease| lease.expires_at.into()))),
        optional_ids(each().map(|item| item.transition.as_ref().map(TransitionId::as_bytes))),
        numbers(each().map(|item| item.settled.map(|(fence, _)| fence.0))),
        optional_texts(each().map(|item| item.settled.map(|(_, settlement)| settlement.as_str()))),
        texts(each().map(|item| item.detail.as_str())),
    ]
}

fn insert_checkpoints(stored: &[StoredCheckpoint]) -> Step {
    let headers = || stored.iter().map(|stored| &stored.header);
    let params = vec![
        ids(headers().map(|header| header.id.as_bytes())),
        texts(headers().map(|header| header.task.as_str())),
        numbers(headers().map(|header| Some(header.sequence.0))),
        optional_texts(headers().map(|header| header.work_item.as_ref().map(WorkItemId::as_str))),
        texts(headers().map(|header| header.kind.as_str())),
        times(headers().map(|header| Some(header.created_at.into()))),
        blobs(stored.iter().map(|stored| Some(Blob::of(stored.payload.salt())))),
        digests(headers().map(|header| Some(header.payload))),
        digests(headers().map(|header| Some(header.evidence))),
        digests(headers().map(|header| Some(header.parent_link))),
        digests(headers().map(|header| Some(header.link))),
        blobs(stored.iter().map(|stored| Some(blob(&stored.evidence)))),
        blobs(stored.iter().map(|stored| Some(Blob(stored.payload.bytes().clone())))),
        optional_ids(headers().map(|header| header.copy_of.as_ref().map(CheckpointId::as_bytes))),
    ];
    Step::Query(sql::checkpoint::INSERT, params)
}

fn record_verifications(recorded: &BTreeMap<CheckpointId, Verification>) -> Step {
    let params = vec![
        ids(recorded.keys().map(CheckpointId::as_bytes)),
        texts(recorded.values().map(|verification| verification.verdict.as_str())),
        texts(recorded.values().map(|verification| verification.detail.as_str())),
        times(recorded.values().map(|verification| Some(verification.at.into()))),
    ];
    Step::Query(sql::checkpoint::RECORD_VERIFICATIONS, params)
}

/// What may change of an operation.
fn operation_params(changes: &[&OperationChange]) -> Vec<Param> {
    let each = || changes.iter().map(|change| &change.operation);
    let leases = || each().map(|operation| operation.owner.lease.as_ref());
    vec![
        texts(each().map(|operation| operation.key.as_str())),
        texts(each().map(|operation| OperationStatus::as_str(operation.status))),
        texts(each().map(|operation| operation.abandonment.as_str())),
        ids(each().map(|operation| operation.owner.token.as_bytes())),
        optional_texts(leases().map(|lease| lease.map(|lease| lease.item.as_str()))),
        numbers(leases().map(|lease| lease.map(|lease| lease.fence.0))),
        times(each().map(|operation| Some(operation.owner.expires_at.into()))),
        numbers(each().map(|operation| Some(operation.attempt.into()))),
        times(each().map(|operation| Some(operation.created_at.into()))),
        times(each().map(|operation| operation.finished_at.map(Time::from))),
        digests(each().map(|operation| operation.output)),
        blobs(changes.iter().map(|change| change.output.as_ref().map(blob))),
    ]
}

fn blob(payload: &Payload) -> Blob {
    Blob(payload.bytes().clone())
}

fn blobs(values: impl Iterator<Item = Option<Blob>>) -> Param {
    param(Type::BYTEA_ARRAY, values.collect::<Vec<_>>())
}

fn digests(values: impl Iterator<Item = Option<Digest>>) -> Param {
    blobs(values.map(|value| value.map(|digest| Blob::of(digest.as_bytes()))))
}

fn times(values: impl Iterator<Item = Option<Time>>) -> Param {
    param(Type::TIMESTAMPTZ_ARRAY, values.collect::<Vec<_>>())
}

/// Fences, attempts and places: they grew by one at a time and are far from the end of a `bigint`.
fn numbers(values: impl Iterator<Item = Option<u64>>) -> Param {
    let values = values.map(|value| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)));
    param(Type::INT8_ARRAY, values.collect::<Vec<_>>())
}

fn optional_texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> Param {
    param(Type::TEXT_ARRAY, values.map(|value| value.map(str::to_owned)).collect::<Vec<_>>())
}

fn optional_ids<'a>(values: impl Iterator<Item = Option<&'a [u8; 16]>>) -> Param {
    param(Type::UUID_ARRAY, values.map(|value| value.map(|bytes| Id(*bytes))).collect::<Vec<_>>())
}
