//! From columns to records. A value that no column can hold by our own hand is damage, and is named.

use bytes::Bytes;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::digest::Digest;
use crate::id::{CheckpointId, InvalidId, OperationToken, TransitionId};
use crate::payload::{NoPayload, Payload, SealedPayload};
use crate::postgres::failure::Trouble;
use crate::postgres::wire::{Id, Time};
use crate::record::{
    Abandonment, Checkpoint, CheckpointHeader, Fence, Guard, LeaseRecord, Operation, OperationRecord,
    OperationStatus, Ownership, SequenceNumber, Settlement, Status, Task, TaskRecord, Verdict, Verification,
    WorkItem,
};
use crate::time::{Now, StoreTime, WallTime};

type Mapped<T> = Result<T, Trouble>;

fn damaged(row: &Row, column: usize) -> Trouble {
    let name = row.columns().get(column).map_or("?", tokio_postgres::Column::name);
    Trouble::impossible(format!("a value of column {name}"))
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Mapped<T> {
    row.try_get(column).map_err(|_| damaged(row, column))
}

fn value<T>(row: &Row, column: usize, parse: impl FnOnce(&str) -> Option<T>) -> Mapped<T> {
    parse(get(row, column)?).ok_or_else(|| damaged(row, column))
}

/// A name.
pub(super) fn text<T: std::str::FromStr<Err = InvalidId>>(row: &Row, column: usize) -> Mapped<T> {
    value(row, column, |text| text.parse().ok())
}

fn optional<T>(row: &Row, column: usize, read: impl FnOnce(&Row, usize) -> Mapped<T>) -> Mapped<Option<T>> {
    // Whatever it is of, only its absence counts here.
    let is_there = row.try_get::<_, Option<Present>>(column).map_err(|_| damaged(row, column))?.is_some();
    is_there.then(|| read(row, column)).transpose()
}

/// Any value that is not NULL.
struct Present;

impl<'a> FromSql<'a> for Present {
    fn from_sql(
        _: &tokio_postgres::types::Type,
        _: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self)
    }

    fn accepts(_: &tokio_postgres::types::Type) -> bool {
        true
    }
}

fn bytes<const N: usize>(row: &Row, column: usize) -> Mapped<[u8; N]> {
    get::<&[u8]>(row, column)?.try_into().map_err(|_| damaged(row, column))
}

fn id(row: &Row, column: usize) -> Mapped<[u8; 16]> {
    Ok(get::<Id>(row, column)?.0)
}

fn digest(row: &Row, column: usize) -> Mapped<Digest> {
    Ok(Digest::from_bytes(bytes(row, column)?))
}

fn blob(row: &Row, column: usize) -> Mapped<Bytes> {
    Ok(Bytes::copy_from_slice(get(row, column)?))
}

/// A number of something, which is never negative.
pub(super) fn number(row: &Row, column: usize) -> Mapped<u64> {
    u64::try_from(get::<i64>(row, column)?).map_err(|_| damaged(row, column))
}

/// A number that only ever grew by one at a time: anything near its end is damage.
fn grown(row: &Row, column: usize) -> Mapped<u64> {
    let number = number(row, column)?;
    if number < 1 << 62 { Ok(number) } else { Err(damaged(row, column)) }
}

fn fence(row: &Row, column: usize) -> Mapped<Fence> {
    grown(row, column).map(Fence)
}

fn attempts(row: &Row, column: usize) -> Mapped<u32> {
    let number = number(row, column)?;
    u32::try_from(number).ok().filter(|number| *number < u32::MAX / 2).ok_or_else(|| damaged(row, column))
}

/// A date.
pub(super) fn wall(row: &Row, column: usize) -> Mapped<WallTime> {
    Ok(WallTime::from_millis(get::<Time>(row, column)?.0))
}

fn store(row: &Row, column: usize) -> Mapped<StoreTime> {
    Ok(StoreTime::from_millis(get::<Time>(row, column)?.0))
}

/// Both clocks.
pub(super) fn now(row: &Row) -> Mapped<Now> {
    Ok(Now { store: store(row, 0)?, wall: wall(row, 1)? })
}

/// A status of tasks and items.
pub(super) fn status(row: &Row, column: usize) -> Mapped<Status> {
    value(row, column, Status::from_text)
}

/// A status of operations.
pub(super) fn operation_status(row: &Row, column: usize) -> Mapped<OperationStatus> {
    value(row, column, OperationStatus::from_text)
}

/// A mean.
pub(super) fn mean(row: &Row, column: usize) -> Mapped<f64> {
    get(row, column)
}

/// A task.
pub(super) fn task(row: &Row) -> Mapped<Task> {
    Ok(Task {
        id: text(row, 0)?,
        kind: text(row, 1)?,
        status: status(row, 2)?,
        input: digest(row, 3)?,
        result: optional(row, 4, digest)?,
        head: SequenceNumber(grown(row, 5)?),
        head_link: digest(row, 6)?,
        pruned_through: SequenceNumber(number(row, 7)?),
        created_at: wall(row, 8)?,
        finished_at: optional(row, 9, wall)?,
    })
}

/// A task with its payloads, checked.
pub(super) fn task_record(row: &Row) -> Mapped<TaskRecord> {
    let task = task(row)?;
    let name = |what: &str| format!("the {what} of task {}", task.id);
    let input = Payload::open(blob(row, 10)?, task.input)
        .map_err(|damage| Trouble::Damaged { what: name("input"), damage })?;
    let result = match task.result {
        None => None,
        Some(stored) => Some(
            Payload::open(blob(row, 11)?, stored)
                .map_err(|damage| Trouble::Damaged { what: name("result"), damage })?,
        ),
    };
    Ok(TaskRecord { task, input, result })
}

/// A work item.
pub(super) fn item(row: &Row) -> Mapped<WorkItem> {
    let lease = match optional(row, 9, text)? {
        None => None,
        Some(holder) => {
            Some(LeaseRecord { holder, acquired_at: store(row, 10)?, expires_at: store(row, 11)? })
        }
    };
    let settled = match optional(row, 13, fence)? {
        None => None,
        Some(fence) => Some((fence, value(row, 14, Settlement::from_text)?)),
    };
    Ok(WorkItem {
        id: text(row, 0)?,
        task: text(row, 1)?,
        kind: text(row, 2)?,
        status: status(row, 3)?,
        priority: get(row, 4)?,
        available_at: store(row, 5)?,
        fence: fence(row, 6)?,
        attempt: attempts(row, 7)?,
        max_attempts: attempts(row, 8)?,
        lease,
        transition: optional(row, 12, |row, column| id(row, column).map(TransitionId::from_bytes))?,
        settled,
        created_at: wall(row, 15)?,
        detail: get(row, 16)?,
    })
}

/// An item and whether its task has ended.
pub(super) fn item_and_end(row: &Row) -> Mapped<(WorkItem, bool)> {
    Ok((item(row)?, status(row, 17)?.is_terminal()))
}

/// The id of a checkpoint.
pub(super) fn checkpoint_id(row: &Row) -> Mapped<CheckpointId> {
    id(row, 0).map(CheckpointId::from_bytes)
}

/// The place of a checkpoint.
pub(super) fn sequence(row: &Row) -> Mapped<SequenceNumber> {
    grown(row, 0).map(SequenceNumber)
}

/// A checkpoint without its bytes.
pub(super) fn header(row: &Row) -> Mapped<CheckpointHeader> {
    Ok(CheckpointHeader {
        id: checkpoint_id(row)?,
        task: text(row, 1)?,
        sequence: SequenceNumber(grown(row, 2)?),
        kind: text(row, 3)?,
        work_item: optional(row, 4, text)?,
        parent_link: digest(row, 5)?,
        link: digest(row, 6)?,
        payload: digest(row, 7)?,
        evidence: digest(row, 8)?,
        created_at: wall(row, 9)?,
        copy_of: optional(row, 10, |row, column| id(row, column).map(CheckpointId::from_bytes))?,
        erased_at: optional(row, 11, wall)?,
    })
}

/// A checkpoint with its bytes; damage is told in it.
pub(super) fn checkpoint(row: &Row) -> Mapped<Checkpoint> {
    let header = header(row)?;
    let payload = match header.erased_at {
        Some(_) => Err(NoPayload::Erased),
        None => SealedPayload::open(blob(row, 13)?, bytes(row, 12)?, header.payload).map_err(NoPayload::from),
    };
    let evidence = Payload::open(blob(row, 14)?, header.evidence);
    let verification = match optional(row, 15, |row, column| value(row, column, Verdict::from_text))? {
        None => None,
        Some(verdict) => Some(Verification { verdict, detail: get(row, 16)?, at: wall(row, 17)? }),
    };
    Ok(Checkpoint { header, payload, evidence, verification })
}

/// An operation without its output.
pub(super) fn operation(row: &Row) -> Mapped<Operation> {
    let lease = match optional(row, 6, text)? {
        None => None,
        Some(item) => Some(Guard { item, fence: fence(row, 7)? }),
    };
    Ok(Operation {
        key: text(row, 0)?,
        task: optional(row, 1, text)?,
        fingerprint: digest(row, 2)?,
        status: operation_status(row, 3)?,
        abandonment: value(row, 4, Abandonment::from_text)?,
        owner: Ownership {
            token: OperationToken::from_bytes(id(row, 5)?),
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
pub(super) fn operation_record(row: &Row) -> Mapped<OperationRecord> {
    let operation = operation(row)?;
    let output = match operation.output {
        None => None,
        Some(stored) => Some(Payload::open(blob(row, 13)?, stored).map_err(|damage| Trouble::Damaged {
            what: format!("the output of operation {}", operation.key),
            damage,
        })?),
    };
    Ok(OperationRecord { operation, output })
}
