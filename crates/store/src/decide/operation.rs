//! Beginning and ending operations: one owner at a time, one outcome for ever, and doubt where neither is known.

use crate::command::{BeginOperation, FinishOperation, OperationEnd};
use crate::decide::{Decision, decide_guard};
use crate::outcome::{OperationBegun, OperationFinished, Reason};
use crate::record::{Abandonment, Operation, OperationStatus, Ownership, Task, WorkItem};
use crate::time::Now;

/// Whether the owner of a pending operation still has it. Under a lease, the lease alone decides: its holder may
/// renew it for as long as the call takes. Without one, the term does. `item` is the one that the lease names.
pub fn is_owned(operation: &Operation, item: Option<&WorkItem>, now: Now) -> bool {
    operation.status == OperationStatus::Pending
        && match &operation.owner.lease {
            Some(lease) => decide_guard(item, lease).is_ok(),
            None => now.store < operation.owner.expires_at,
        }
}

/// One owner at a time; a finished operation is never begun again; an abandoned one only if it was declared so.
/// `task` is the one that the command names, `item` the one that the *existing* owner's lease names.
pub fn decide_begin(
    existing: Option<&Operation>,
    task: Option<&Task>,
    item: Option<&WorkItem>,
    command: &BeginOperation,
    now: Now,
) -> Decision<Operation, OperationBegun> {
    let expires_at = now.store.plus(command.term.get());
    let owner = Ownership { token: command.token, lease: command.lease.clone(), expires_at };
    // What is done for a task that has ended is done for nobody, and its outcomes may have been purged already.
    let is_for_nobody = match (&command.task, task) {
        (Some(missing), None) => Some(Reason::NoSuchTask { task: missing.clone() }),
        (Some(_), Some(task)) if task.status.is_terminal() => {
            Some(Reason::TaskEnded { task: task.id.clone(), status: task.status })
        }
        _ => None,
    };
    let Some(operation) = existing else {
        if let Some(reason) = is_for_nobody {
            return Decision::Rejected(reason);
        }
        let operation = Operation {
            key: command.key.clone(),
            task: command.task.clone(),
            fingerprint: command.fingerprint,
            status: OperationStatus::Pending,
            abandonment: command.abandonment,
            owner,
            output: None,
            attempt: 1,
            created_at: now.wall,
            finished_at: None,
        };
        return Decision::Apply(operation, OperationBegun { expires_at, attempt: 1 });
    };
    let is_stale = |operation: &Operation| {
        let finished_at = operation.finished_at.zip(command.fresh_for);
        finished_at.is_some_and(|(finished_at, fresh_for)| finished_at.plus(fresh_for) <= now.wall)
    };
    if operation.fingerprint != command.fingerprint {
        return Decision::Rejected(Reason::FingerprintConflict { stored: operation.fingerprint });
    }
    if operation.owner.token == command.token {
        // Its owner is told only while it is his: under a lost lease, or after his term, he may not call any more.
        return if is_owned(operation, item, now) {
            let (expires_at, attempt) = (operation.owner.expires_at, operation.attempt);
            Decision::Replayed(OperationBegun { expires_at, attempt })
        } else {
            Decision::Superseded
        };
    }
    match operation.status {
        OperationStatus::Succeeded | OperationStatus::Failed
            if is_stale(operation) && is_for_nobody.is_none() =>
        {
            let attempt = operation.attempt + 1;
            let renewed = Operation {
                status: OperationStatus::Pending,
                abandonment: command.abandonment,
                owner,
                output: None,
                attempt,
                created_at: now.wall,
                finished_at: None,
                ..operation.clone()
            };
            Decision::Apply(renewed, OperationBegun { expires_at, attempt })
        }
        OperationStatus::Succeeded | OperationStatus::Failed => {
            Decision::Rejected(Reason::OperationEnded { status: operation.status })
        }
        OperationStatus::InDoubt => {
            Decision::Rejected(Reason::OperationInDoubt { token: operation.owner.token })
        }
        OperationStatus::Pending if is_owned(operation, item, now) => {
            Decision::Rejected(Reason::OperationInFlight { expires_at: operation.owner.expires_at })
        }
        OperationStatus::Pending if operation.abandonment == Abandonment::Doubt => {
            Decision::Rejected(Reason::OperationInDoubt { token: operation.owner.token })
        }
        OperationStatus::Pending => {
            if let Some(reason) = is_for_nobody {
                return Decision::Rejected(reason);
            }
            let attempt = operation.attempt + 1;
            let retaken = Operation { owner, attempt, abandonment: command.abandonment, ..operation.clone() };
            Decision::Apply(retaken, OperationBegun { expires_at, attempt })
        }
    }
}

/// Only the newest attempt ends an operation; a result also settles a doubt; an end never changes. One that did not
/// happen is nobody's, and free to be begun, and so is one that its owner lets go of, unless it was declared doubtful.
/// `item` is the one that the owner's lease names.
pub fn decide_finish_operation(
    existing: Option<&Operation>,
    item: Option<&WorkItem>,
    command: &FinishOperation,
    now: Now,
) -> Decision<Operation, OperationFinished> {
    let Some(operation) = existing else {
        return Decision::Rejected(Reason::NoSuchOperation);
    };
    if operation.owner.token != command.token {
        return Decision::Rejected(Reason::StaleToken);
    }
    let (status, output) = match &command.end {
        OperationEnd::Succeeded(output) => (OperationStatus::Succeeded, Some(output.digest())),
        OperationEnd::Failed(output) => (OperationStatus::Failed, Some(output.digest())),
        OperationEnd::InDoubt => (OperationStatus::InDoubt, None),
        OperationEnd::Abandoned
            if operation.abandonment == Abandonment::Doubt
                || operation.status == OperationStatus::InDoubt =>
        {
            (OperationStatus::InDoubt, None)
        }
        OperationEnd::Abandoned | OperationEnd::DidNotHappen => (OperationStatus::Pending, None),
    };
    if status == OperationStatus::Pending {
        return free(operation, command, now);
    }
    let is_said_by_others = matches!(command.end, OperationEnd::InDoubt);
    match operation.status {
        OperationStatus::Pending if is_said_by_others && is_owned(operation, item, now) => {
            Decision::Rejected(Reason::OperationOwned { expires_at: operation.owner.expires_at })
        }
        OperationStatus::InDoubt if status == OperationStatus::InDoubt => {
            Decision::Replayed(OperationFinished { status })
        }
        OperationStatus::Pending | OperationStatus::InDoubt => {
            let finished_at = output.map(|_| now.wall);
            let ended = Operation { status, output, finished_at, ..operation.clone() };
            Decision::Apply(ended, OperationFinished { status })
        }
        ended if ended == status && operation.output == output => {
            Decision::Replayed(OperationFinished { status })
        }
        ended => Decision::Rejected(Reason::OperationEnded { status: ended }),
    }
}

/// Nobody's, and free to be begun. What was in doubt is only freed by the word that it did not happen.
fn free(
    operation: &Operation,
    command: &FinishOperation,
    now: Now,
) -> Decision<Operation, OperationFinished> {
    match operation.status {
        OperationStatus::Pending | OperationStatus::InDoubt => {
            let status = OperationStatus::Pending;
            let owner = Ownership { token: command.token, lease: None, expires_at: now.store };
            let freed = Operation { status, owner, abandonment: Abandonment::Retake, ..operation.clone() };
            Decision::Apply(freed, OperationFinished { status })
        }
        ended => Decision::Rejected(Reason::OperationEnded { status: ended }),
    }
}
