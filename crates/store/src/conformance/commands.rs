//! Commands as the cases use them: short to write, with fixed ids, so that a failure reads the same on every run.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;

use crate::batch::Batch;
use crate::command::{
    AppendCheckpoint, BeginOperation, CancelItem, Claim, CreateTask, Enqueue, EraseCheckpoint,
    FinishOperation, FinishTask, InvalidateOperation, OperationEnd, PruneCheckpoints, PurgeOperations,
    RecordVerification, Renew, Requeue, Settle, SettleItem, SweepExpired, TaskEnd, TypedCommand,
};
use crate::digest::Digest;
use crate::id::{CheckpointId, InvalidId, OperationToken, TransitionId};
use crate::payload::{Payload, SealedPayload};
use crate::record::{Abandonment, Fence, Guard, Verdict};
use crate::time::{Delay, Term};

/// The term of every lease and operation whose case does not ask for another.
pub(super) const TERM: Duration = Duration::from_secs(60);
/// A millisecond less than that.
pub(super) const ALMOST_TERM: Duration = Duration::from_millis(59_999);

/// A value of the suite's own, known to be valid.
fn known<T, E: Display>(made: Result<T, E>) -> T {
    match made {
        Ok(value) => value,
        Err(error) => panic!("the suite itself is wrong: {error}"),
    }
}

/// A text id.
pub(super) fn named<T: FromStr<Err = InvalidId>>(text: &str) -> T {
    known(text.parse())
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn term(span: Duration) -> Term {
    known(Term::new(span))
}

pub(super) fn delay(span: Duration) -> Delay {
    known(Delay::new(span))
}

fn numbered(number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes
}

pub(super) fn checkpoint(number: u64) -> CheckpointId {
    CheckpointId::from_bytes(numbered(number))
}

pub(super) fn transition(number: u64) -> TransitionId {
    TransitionId::from_bytes(numbered(number))
}

pub(super) fn token(number: u64) -> OperationToken {
    OperationToken::from_bytes(numbered(number))
}

pub(super) fn payload(bytes: impl Into<Bytes>) -> Payload {
    known(Payload::new(bytes))
}

/// A sealed payload whose salt follows from the bytes: the same again for the same bytes.
pub(super) fn sealed(bytes: impl Into<Bytes>) -> SealedPayload {
    let bytes = bytes.into();
    let mut salt = [0; 16];
    salt.copy_from_slice(&Digest::of(&bytes).as_bytes()[..16]);
    SealedPayload::with_salt(bytes, salt)
}

pub(super) fn guard(item: &str, fence: u64) -> Guard {
    Guard { item: named(item), fence: Fence(fence) }
}

pub(super) fn create(task: &str) -> CreateTask {
    CreateTask { task: named(task), kind: named("research"), input: payload(format!("input of {task}")) }
}

pub(super) fn finish(task: &str, end: TaskEnd) -> FinishTask {
    FinishTask { task: named(task), end, result: payload(format!("result of {task}")) }
}

/// An item of priority 0, without delay, with three attempts.
pub(super) fn enqueue(item: &str, task: &str) -> Enqueue {
    Enqueue {
        item: named(item),
        task: named(task),
        kind: named("step"),
        priority: 0,
        delay: Delay::ZERO,
        max_attempts: 3,
    }
}

pub(super) fn claim(number: u64, limit: u32) -> Claim {
    let claim = transition(number);
    Claim { claim, holder: named("worker"), term: term(TERM), limit, kinds: Vec::new(), task: None }
}

pub(super) fn cancel(item: &str) -> CancelItem {
    CancelItem { item: named(item) }
}

pub(super) fn requeue(number: u64, item: &str) -> Requeue {
    Requeue { requeue: transition(number), item: named(item), delay: Delay::ZERO }
}

pub(super) fn prune(task: &str, keep: u32, limit: u32) -> PruneCheckpoints {
    PruneCheckpoints { task: named(task), keep, limit }
}

pub(super) fn erase(number: u64) -> EraseCheckpoint {
    EraseCheckpoint { checkpoint: checkpoint(number) }
}

pub(super) fn purge(prefix: &str, older_than: Duration, limit: u32) -> PurgeOperations {
    PurgeOperations { prefix: prefix.to_owned(), older_than, limit }
}

pub(super) fn invalidate(key: &str) -> InvalidateOperation {
    InvalidateOperation { key: named(key) }
}

pub(super) fn sweep(number: u64, limit: u32) -> SweepExpired {
    SweepExpired { sweep: transition(number), limit }
}

pub(super) fn renew(guard: &Guard, span: Duration) -> Renew {
    Renew { guard: guard.clone(), term: term(span) }
}

pub(super) fn settle(guard: &Guard, settle: Settle) -> SettleItem {
    SettleItem { guard: guard.clone(), settle, detail: String::new() }
}

pub(super) fn append(number: u64, task: &str) -> AppendCheckpoint {
    AppendCheckpoint {
        checkpoint: checkpoint(number),
        task: named(task),
        kind: named("step"),
        work_item: None,
        expected_head: None,
        copy_of: None,
        payload: sealed(format!("state {number}")),
        evidence: payload(format!("evidence {number}")),
    }
}

pub(super) fn verify(number: u64, verdict: Verdict, detail: &str) -> RecordVerification {
    RecordVerification { checkpoint: checkpoint(number), verdict, detail: detail.to_owned() }
}

/// The intent of the operation whose fingerprint is that of its key, outside of any task and lease.
pub(super) fn begin(key: &str, number: u64) -> BeginOperation {
    BeginOperation {
        key: named(key),
        fingerprint: Digest::of(key.as_bytes()),
        token: token(number),
        task: None,
        lease: None,
        term: term(TERM),
        abandonment: Abandonment::Retake,
        fresh_for: None,
    }
}

/// The same, not to be run again when its owner vanishes.
pub(super) fn begin_once(key: &str, number: u64) -> BeginOperation {
    BeginOperation { abandonment: Abandonment::Doubt, ..begin(key, number) }
}

pub(super) fn end(key: &str, number: u64, end: OperationEnd) -> FinishOperation {
    FinishOperation { key: named(key), token: token(number), end }
}

pub(super) fn succeed(key: &str, number: u64, output: &str) -> FinishOperation {
    end(key, number, OperationEnd::Succeeded(payload(output.to_owned())))
}

pub(super) fn doubt(key: &str, number: u64) -> FinishOperation {
    end(key, number, OperationEnd::InDoubt)
}

/// A durable batch of one command.
pub(super) fn one<C: TypedCommand>(command: C) -> Batch {
    Batch::durable().with(command)
}

/// Building a batch in one expression, where nobody asks for the handles.
pub(super) trait BatchExt: Sized {
    fn with<C: TypedCommand>(self, command: C) -> Self;
    fn with_guarded<C: TypedCommand>(self, guard: &Guard, command: C) -> Self;
}

impl BatchExt for Batch {
    fn with<C: TypedCommand>(mut self, command: C) -> Self {
        self.add(command);
        self
    }

    fn with_guarded<C: TypedCommand>(mut self, guard: &Guard, command: C) -> Self {
        self.add_guarded(guard.clone(), command);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn almost_a_term_lacks_one_millisecond() {
        assert_eq!(ALMOST_TERM + ms(1), TERM);
    }
}
