//! Tasks: created and ended once.

use steadfast_store::decide::{Decision, decide_create_task, decide_finish_task};
use steadfast_store::{
    CreateTask, Digest, FinishTask, Payload, Reason, SequenceNumber, Status, Task, TaskCreated, TaskEnd,
    TaskFinished,
};

use super::{NOW, label, task, task_id};

fn create() -> CreateTask {
    CreateTask { task: task_id("task"), kind: label("research"), input: Payload::new("input").unwrap() }
}

fn finish(end: TaskEnd, result: &'static str) -> FinishTask {
    FinishTask { task: task_id("task"), end, result: Payload::new(result).unwrap() }
}

#[test]
fn a_task_is_the_same_only_with_the_same_kind_and_input() {
    let there = task(Status::InProgress);
    let answer = |command: &CreateTask| decide_create_task(Some(&there), command, NOW);
    assert_eq!(answer(&create()), Decision::Replayed(TaskCreated));
    for other in [
        CreateTask { kind: label("other"), ..create() },
        CreateTask { input: Payload::new("other").unwrap(), ..create() },
    ] {
        let exists = Reason::TaskExists { task: task_id("task") };
        assert_eq!(answer(&other), Decision::Rejected(exists), "{other:?}");
    }
    let created = Task {
        head: SequenceNumber(0),
        head_link: Digest::ZERO,
        created_at: NOW.wall,
        ..task(Status::Pending)
    };
    assert_eq!(decide_create_task(None, &create(), NOW), Decision::Apply(created, TaskCreated));
}

#[test]
fn a_task_ends_once_and_its_end_and_result_never_change() {
    let answer = |task: &Task, command: &FinishTask| decide_finish_task(Some(task), command, NOW);
    for (end, status) in [
        (TaskEnd::Succeeded, Status::Succeeded),
        (TaskEnd::Failed, Status::Failed),
        (TaskEnd::Cancelled, Status::Cancelled),
    ] {
        let result = Some(Digest::of(b"result"));
        let ended = Task { status, result, finished_at: Some(NOW.wall), ..task(Status::InProgress) };
        let command = finish(end, "result");
        let told = TaskFinished { status };
        assert_eq!(answer(&task(Status::InProgress), &command), Decision::Apply(ended.clone(), told.clone()));
        assert_eq!(answer(&ended, &command), Decision::Replayed(told));
        let has_ended = Decision::Rejected(Reason::TaskEnded { task: task_id("task"), status });
        assert_eq!(answer(&ended, &finish(end, "another")), has_ended);
        let other = if end == TaskEnd::Failed { TaskEnd::Succeeded } else { TaskEnd::Failed };
        assert_eq!(answer(&ended, &finish(other, "result")), has_ended);
    }
    let missing = Decision::Rejected(Reason::NoSuchTask { task: task_id("task") });
    assert_eq!(decide_finish_task(None, &finish(TaskEnd::Failed, ""), NOW), missing);
}
