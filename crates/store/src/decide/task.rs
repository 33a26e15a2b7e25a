//! Creating and ending tasks.

use crate::command::{CreateTask, FinishTask, TaskEnd};
use crate::decide::Decision;
use crate::digest::Digest;
use crate::outcome::{Reason, TaskCreated, TaskFinished};
use crate::record::{SequenceNumber, Status, Task};
use crate::time::Now;

/// A task id means one kind and one input, for ever.
pub fn decide_create_task(
    existing: Option<&Task>,
    command: &CreateTask,
    now: Now,
) -> Decision<Task, TaskCreated> {
    match existing {
        Some(task) if task.kind == command.kind && task.input == command.input.digest() => {
            Decision::Replayed(TaskCreated)
        }
        Some(task) => Decision::Rejected(Reason::TaskExists { task: task.id.clone() }),
        None => {
            let task = Task {
                id: command.task.clone(),
                kind: command.kind.clone(),
                status: Status::Pending,
                input: command.input.digest(),
                result: None,
                head: SequenceNumber(0),
                head_link: Digest::ZERO,
                pruned_through: SequenceNumber(0),
                created_at: now.wall,
                finished_at: None,
            };
            Decision::Apply(task, TaskCreated)
        }
    }
}

/// A task ends once; its end and result never change.
pub fn decide_finish_task(
    existing: Option<&Task>,
    command: &FinishTask,
    now: Now,
) -> Decision<Task, TaskFinished> {
    let Some(task) = existing else {
        return Decision::Rejected(Reason::NoSuchTask { task: command.task.clone() });
    };
    let status = match command.end {
        TaskEnd::Succeeded => Status::Succeeded,
        TaskEnd::Failed => Status::Failed,
        TaskEnd::Cancelled => Status::Cancelled,
    };
    if task.status.is_terminal() {
        return if task.status == status && task.result == Some(command.result.digest()) {
            Decision::Replayed(TaskFinished { status })
        } else {
            Decision::Rejected(Reason::TaskEnded { task: task.id.clone(), status: task.status })
        };
    }
    let ended =
        Task { status, result: Some(command.result.digest()), finished_at: Some(now.wall), ..task.clone() };
    Decision::Apply(ended, TaskFinished { status })
}
