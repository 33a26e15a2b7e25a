//! From columns to records. A value that no column can hold by our own hand is damage, and is named.

use bytes::Bytes;
use rusqlite::Row;
use rusqlite::types::FromSql;

use crate::digest::Digest;
use crate::id::{
    CheckpointId, HolderId, InvalidId, Label, OperationKey, OperationToken, TaskId, TransitionId,
};
use crate::payload::{NoPayload, Payload, SealedPayload};
use crate::record::{
    Abandonment, Checkpoint, CheckpointHeader, Fence, Guard, LeaseRecord, Operation, OperationRecord,
    OperationStatus, Ownership, SequenceNumber, Settlement, Status, Task, TaskRecord, Verdict, Verification,
    WorkItem,
};
use crate::sqlite::failure::Trouble;
use crate::sqlite::text_time;
use crate::time::{StoreTime, WallTime};

/// The column of a checkpoint's payload and evidence bytes.
pub(super) const CHECKPOINT_BYTES: usize = 13;

type Mapped<T> = Result<T, Trouble>;

fn bytes<const N: usize>(row: &Row<'_>, column: usize) -> Mapped<[u8; N]> {
    row.get::<_, [u8; N]>(column).map_err(|_| damaged(row, column))
}

fn damaged(row: &Row<'_>, column: usize) -> Trouble {
    let name = row.as_ref().column_name(column).unwrap_or("?").to_owned();
    Trouble::impossible(format!("a value of column {name}"))
}

fn get<T: FromSql>(row: &Row<'_>, column: usize) -> Mapped<T> {
    row.get(column).map_err(|error| match error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..) => damaged(row, column),
        other => other.into(),
    })
}

fn text<T: std::str::FromStr<Err = InvalidId>>(row: &Row<'_>, column: usize) -> Mapped<T> {
    value(row, column, |text| text.parse().ok())
}

fn value<T>(row: &Row<'_>, column: usize, parse: impl FnOnce(&str) -> Option<T>) -> Mapped<T> {
    let value = row.get_ref(column)?;
    value.as_str().ok().and_then(parse).ok_or_else(|| damaged(row, column))
}

fn digest(row: &Row<'_>, column: usize) -> Mapped<Digest> {
    Ok(Digest::from_bytes(bytes(row, column)?))
}

fn optional<T>(
    row: &Row<'_>,
    column: usize,
    read: impl FnOnce(&Row<'_>, usize) -> Mapped<T>,
) -> Mapped<Option<T>> {
    if row.get_ref(column)? == rusqlite::types::ValueRef::Null {
        Ok(None)
    } else {
        read(row, column).map(Some)
    }
}

/// A number that only ever grew by one at a time: anything near its end is damage.
fn grown<T: FromSql + PartialOrd + Copy>(row: &Row<'_>, column: usize, limit: T) -> Mapped<T> {
    let number: T = get(row, column)?;
    if number < limit { Ok(number) } else { Err(damaged(row, column)) }
}

fn fence(row: &Row<'_>, column: usize) -> Mapped<Fence> {
    grown(row, column, 1 << 62).map(Fence)
}

fn attempts(row: &Row<'_>, column: usize) -> Mapped<u32> {
    grown(row, column, u32::MAX / 2)
}

fn wall(row: &Row<'_>, column: usize) -> Mapped<WallTime> {
    value(row, column, text_time::parse).map(WallTime::from_millis)
}

fn store(row: &Row<'_>, column: usize) -> Mapped<StoreTime> {
    value(row, column, text_time::parse).map(StoreTime::from_millis)
}

/// A task and its integer.
pub(super) fn task(row: &Row<'_>) -> Mapped<(Task, i64)> {
    let task = Task {
        id: text(row, 0)?,
        kind: text(row, 1)?,
        status: value(row, 2, Status::from_text)?,
        input: digest(row, 3)?,
        result: optional(row, 4, digest)?,
        head: SequenceNumber(grown(row, 5, 1 << 62)?),
        head_link: digest(row, 6)?,
        pruned_through: SequenceNumber(get(row, 7)?),
        created_at: wall(row, 8)?,
        finished_at: optional(row, 9, wall)?,
    };
    Ok((task, get(row, 10)?))
}

/// Bytes that were left out because they are over the budget of the read.
#[derive(Debug, Clone, Copy)]
pub(super) struct OverBudget;

fn within_budget(row: &Row<'_>, length: usize, budget: usize) -> Mapped<Result<(), OverBudget>> {
    let length: usize = get(row, length)?;
    Ok(if length > budget { Err(OverBudget) } else { Ok(()) })
}

fn blob(row: &Row<'_>, column: usize) -> Mapped<Bytes> {
    let value = row.get_ref(column)?;
    value.as_blob().map(Bytes::copy_from_slice).map_err(|_| damaged(row, column))
}

/// A task with its payloads, checked.
pub(super) fn task_record(row: &Row<'_>, budget: usize) -> Mapped<Result<TaskRecord, OverBudget>> {
    let (task, _) = task(row)?;
    if let Err(over) = within_budget(row, 11, budget)? {
        return Ok(Err(over));
    }
    let name = |what: &str| format!("the {what} of task {}", task.id);
    let input = Payload::open(blob(row, 12)?, task.input)
        .map_err(|damage| Trouble::Damaged { what: name("input"), damage })?;
    let result = match task.result {
        None => None,
        Some(stored) => Some(
            Payload::open(blob(row, 13)?, stored)
                .map_err(|damage| Trouble::Damaged { what: name("result"), damage })?,
        ),
    };
    Ok(Ok(TaskRecord { task, input, result }))
}

/// A work item.
pub(super) fn item(row: &Row<'_>) -> Mapped<WorkItem> {
    let lease = match optional(row, 9, text)? {
        None => None,
        Some(holder) => {
            Some(LeaseRecord { holder, acquired_at: store(row, 10)?, expires_at: store(row, 11)? })
        }
    };
    let settled = match optional(row, 13, get::<u64>)? {
        None => None,
        Some(fence) => Some((Fence(fence), value(row, 14, Settlement::from_text)?)),
    };
    Ok(WorkItem {
        id: text(row, 0)?,
        task: text(row, 1)?,
        kind: text(row, 2)?,
        status: value(row, 3, Status::from_text)?,
        priority: get(row, 4)?,
        available_at: store(row, 5)?,
        fence: fence(row, 6)?,
        attempt: attempts(row, 7)?,
        max_attempts: attempts(row, 8)?,
        lease,
        transition: optional(row, 12, |row, column| bytes(row, column).map(TransitionId::from_bytes))?,
        settled,
        created_at: wall(row, 15)?,
        detail: get(row, 16)?,
    })
}

/// The largest checkpoint id, of a table that may be empty.
pub(super) fn largest_id(row: &Row<'_>) -> Mapped<Option<CheckpointId>> {
    optional(row, 0, |row, column| bytes(row, column).map(CheckpointId::from_bytes))
}

/// The largest transition that moved an item, if any did.
pub(super) fn largest_transition(row: &Row<'_>) -> Mapped<Option<TransitionId>> {
    optional(row, 0, |row, column| bytes(row, column).map(TransitionId::from_bytes))
}

/// The id of a checkpoint.
pub(super) fn checkpoint_id(row: &Row<'_>) -> Mapped<CheckpointId> {
    bytes(row, 0).map(CheckpointId::from_bytes)
}

/// The key of an operation.
pub(super) fn operation_key(row: &Row<'_>) -> Mapped<OperationKey> {
    text(row, 0)
}

/// A label.
pub(super) fn label(row: &Row<'_>, column: usize) -> Mapped<Label> {
    text(row, column)
}

/// A number of something.
pub(super) fn number(row: &Row<'_>, column: usize) -> Mapped<u64> {
    get(row, column)
}

/// The name of a holder.
pub(super) fn holder(row: &Row<'_>, column: usize) -> Mapped<HolderId> {
    text(row, column)
}

/// The caller's name of a task.
pub(super) fn task_id(row: &Row<'_>, column: usize) -> Mapped<TaskId> {
    text(row, column)
}

/// A day, as its first ten characters, and a count.
pub(super) fn day(row: &Row<'_>) -> Mapped<(WallTime, u64)> {
    let midnight = value(row, 0, |day| text_time::parse(&format!("{day} 00:00:00.000")))?;
    Ok((WallTime::from_millis(midnight), get(row, 1)?))
}

/// A checkpoint without its bytes.
pub(super) fn header(row: &Row<'_>) -> Mapped<CheckpointHeader> {
    Ok(CheckpointHeader {
        id: CheckpointId::from_bytes(bytes(row, 0)?),
        task: text(row, 1)?,
        sequence: SequenceNumber(get(row, 2)?),
        kind: text(row, 3)?,
        work_item: optional(row, 4, text)?,
        parent_link: digest(row, 5)?,
        link: digest(row, 6)?,
        payload: digest(row, 7)?,
        evidence: digest(row, 8)?,
        created_at: wall(row, 9)?,
        copy_of: optional(row, 10, |row, column| bytes(row, column).map(CheckpointId::from_bytes))?,
        erased_at: optional(row, 11, wall)?,
    })
}

/// A checkpoint with its bytes; damage is told in it.
pub(super) fn checkpoint(row: &Row<'_>, budget: usize) -> Mapped<Result<Checkpoint, OverBudget>> {
    let header = header(row)?;
    if let Err(over) = within_budget(row, CHECKPOINT_BYTES, budget)? {
        return Ok(Err(over));
    }
    let payload = match header.erased_at {
        Some(_) => Err(NoPayload::Erased),
        None => SealedPayload::open(blob(row, 14)?, bytes(row, 12)?, header.payload).map_err(NoPayload::from),
    };
    let evidence = Payload::open(blob(row, 15)?, header.evidence);
    let verification = match optional(row, 16, |row, column| value(row, column, Verdict::from_text))? {
        None => None,
        Some(verdict) => Some(Verification { verdict, detail: get(row, 17)?, at: wall(row, 18)? }),
    };
    Ok(Ok(Checkpoint { header, payload, evidence, verification }))
}

/// An operation without its output.
pub(super) fn operation(row: &Row<'_>) -> Mapped<Operation> {
    let lease = match optional(row, 6, text)? {
        None => None,
        Some(item) => Some(Guard { item, fence: fence(row, 7)? }),
    };
    Ok(Operation {
        key: text(row, 0)?,
        task: optional(row, 1, text)?,
        fingerprint: digest(row, 2)?,
        status: value(row, 3, OperationStatus::from_text)?,
        abandonment: value(row, 4, Abandonment::from_text)?,
        owner: Ownership {
            token: OperationToken::from_bytes(bytes(row, 5)?),
            lease,
            expires_at: store(row, 8)?,
        },
        attempt: attempts(row, 9)?,
        created_at: wall(row, 10)?,
        finished_at: optional(row, 11, wall)?,
        output: optional(row, 12, digest)?,
    })
}

/// An operation with its output, checked.
pub(super) fn operation_record(row: &Row<'_>, budget: usize) -> Mapped<Result<OperationRecord, OverBudget>> {
    let operation = operation(row)?;
    if let Err(over) = within_budget(row, 13, budget)? {
        return Ok(Err(over));
    }
    let output = match operation.output {
        None => None,
        Some(stored) => Some(Payload::open(blob(row, 14)?, stored).map_err(|damage| Trouble::Damaged {
            what: format!("the output of operation {}", operation.key),
            damage,
        })?),
    };
    Ok(Ok(OperationRecord { operation, output }))
}
