//! Cases about tasks: created once, ended once, and what may be added in between.

use crate::command::{CreateTask, FinishTask, TaskEnd};
use crate::conformance::commands::{append, create, enqueue, finish, named, one, payload};
use crate::conformance::failure::{Outcome, check_eq};
use crate::conformance::world::World;
use crate::digest::Digest;
use crate::outcome::Reason;
use crate::record::{SequenceNumber, Status, Task};

pub(super) async fn a_created_task_is_read_back_whole(mut world: World<'_>) -> Outcome {
    let command = create("t");
    world.apply(command.clone()).await?;
    let expected = Task {
        id: named("t"),
        kind: command.kind.clone(),
        status: Status::Pending,
        input: command.input.digest(),
        result: None,
        head: SequenceNumber(0),
        head_link: Digest::ZERO,
        pruned_through: SequenceNumber(0),
        created_at: world.env().clock().wall(),
        finished_at: None,
    };
    check_eq!(world.task("t").await?, expected, "the task as created");
    let record = world.store().task_record(&named("t")).await?;
    let input = record.as_ref().map(|record| (&record.input, &record.result));
    check_eq!(input, Some((&command.input, &None)), "input and result of a new task");
    check_eq!(world.store().task(&named("other")).await?, None, "a task that was never created");
    check_eq!(
        world.store().task_record(&named("other")).await?,
        None,
        "a task that was never created, whole"
    );
    Ok(())
}

pub(super) async fn a_task_id_means_one_kind_and_one_input(mut world: World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    let exists = Reason::TaskExists { task: named("t") };
    let other_kind = CreateTask { kind: named("review"), ..create("t") };
    check_eq!(world.reason(other_kind).await?, exists, "creating it with another kind");
    let other_input = CreateTask { input: payload("other"), ..create("t") };
    check_eq!(world.reason(other_input).await?, exists, "creating it with another input");
    world.replayed(&one(create("t"))).await?;
    world.apply(finish("t", TaskEnd::Succeeded)).await?;
    world.replayed(&one(create("t"))).await?;
    Ok(())
}

pub(super) async fn a_finished_task_keeps_its_end_and_its_result(mut world: World<'_>) -> Outcome {
    let ends = [
        ("a", TaskEnd::Succeeded, Status::Succeeded),
        ("b", TaskEnd::Failed, Status::Failed),
        ("c", TaskEnd::Cancelled, Status::Cancelled),
    ];
    for (name, end, status) in ends {
        world.apply(create(name)).await?;
        world.advance(std::time::Duration::from_secs(1));
        let ended_at = world.env().clock().wall();
        let answer = world.apply(finish(name, end)).await?;
        check_eq!(answer.status, status, "the answer to ending {name}");
        let task = world.task(name).await?;
        check_eq!((task.status, task.finished_at), (status, Some(ended_at)), "task {name} after its end");
        let record = world.store().task_record(&named(name)).await?;
        let result = record.and_then(|record| record.result);
        check_eq!(result, Some(finish(name, end).result), "the result of {name}");

        world.advance(std::time::Duration::from_secs(1));
        world.replayed(&one(finish(name, end))).await?;
        let ended = Reason::TaskEnded { task: named(name), status };
        for (_, other, _) in ends.iter().filter(|(_, other, _)| *other != end) {
            check_eq!(world.reason(finish(name, *other)).await?, ended, "ending {name} otherwise");
        }
        let other_result = FinishTask { result: payload("other"), ..finish(name, end) };
        check_eq!(world.reason(other_result).await?, ended, "ending {name} with another result");
    }
    Ok(())
}

pub(super) async fn nothing_is_added_to_a_task_that_is_not_there_or_has_ended(
    mut world: World<'_>,
) -> Outcome {
    let missing = Reason::NoSuchTask { task: named("t") };
    check_eq!(world.reason(finish("t", TaskEnd::Failed)).await?, missing, "ending a task that is not there");
    check_eq!(world.reason(enqueue("a", "t")).await?, missing, "an item for a task that is not there");
    check_eq!(world.reason(append(1, "t")).await?, missing, "a checkpoint for a task that is not there");

    world.queue("t", &["a"]).await?;
    world.apply(append(1, "t")).await?;
    world.apply(finish("t", TaskEnd::Failed)).await?;
    let ended = Reason::TaskEnded { task: named("t"), status: Status::Failed };
    check_eq!(world.reason(enqueue("b", "t")).await?, ended, "an item for a task that has ended");
    check_eq!(world.reason(append(2, "t")).await?, ended, "a checkpoint for a task that has ended");
    // What was added before stays what it is.
    world.replayed(&one(enqueue("a", "t"))).await?;
    world.replayed(&one(append(1, "t"))).await?;
    Ok(())
}
