//! Cases about batches: whole or not at all, in order, each command over what the ones before it left.

use crate::batch::{Batch, Durability};
use crate::command::{AppendCheckpoint, BeginOperation, Settle, TaskEnd};
use crate::conformance::commands::{
    BatchExt, TERM, append, begin, claim, create, enqueue, finish, guard, ms, named, one, renew, settle,
    succeed, sweep, verify,
};
use crate::conformance::failure::{Outcome, check, check_eq};
use crate::conformance::text::Described;
use crate::conformance::world::World;
use crate::limits::BATCH_COMMANDS_MAX;
use crate::outcome::{Committed, Reason, Rejection};
use crate::record::{Fence, OperationStatus, SequenceNumber, Status, Verdict};

/// A store in which every kind of command has something to do: item `held` under a lease, item `lost` under one past
/// its term, item `free` in the queue, checkpoint 1, operation `k` under way.
async fn furnish(world: &mut World<'_>) -> Outcome {
    world.queue("t", &["lost"]).await?;
    world.claim_one(1).await?;
    world.advance(TERM);
    world.apply(enqueue("held", "t")).await?;
    world.claim_one(2).await?;
    world.applied(&one(enqueue("free", "t")).with(append(1, "t")).with(begin("k", 1))).await?;
    Ok(())
}

/// One batch for each kind of command, each of which can be applied to the furnished store.
fn every_command() -> [Batch; 11] {
    let held = guard("held", 1);
    [
        one(create("new")),
        one(finish("t", TaskEnd::Succeeded)),
        one(enqueue("new", "t")),
        one(claim(3, 1)),
        one(renew(&held, TERM * 2)),
        one(settle(&held, Settle::Succeeded)),
        one(append(2, "t")),
        one(verify(1, Verdict::Failed, "gone")),
        one(sweep(4, 1)),
        one(begin("new", 2)),
        one(succeed("k", 1, "output")),
    ]
}

pub(super) async fn a_rejection_at_the_last_command_leaves_nothing_of_the_first(
    mut world: World<'_>,
) -> Outcome {
    furnish(&mut world).await?;
    for first in every_command() {
        let batch = first.clone().with(append(99, "missing"));
        let rejection = world.rejected(&batch).await?;
        let reason = Reason::NoSuchTask { task: named("missing") };
        check_eq!(rejection, Rejection { index: 1, reason }, "{} and what cannot be", Described(&first));
    }
    let stale = Batch::durable()
        .with(create("u"))
        .with(append(2, "u"))
        .with_guarded(&guard("held", 7), append(3, "t"));
    check_eq!(
        world.rejected(&stale).await?.index,
        2,
        "the command that a batch with a stale guard is rejected for"
    );
    // Each of them can be applied, and so had something to leave behind.
    for batch in every_command() {
        let mut world = world.another(world.seed()).await?;
        furnish(&mut world).await?;
        let before = world.look().await?;
        world.applied(&batch).await?;
        check!(
            before.difference(&world.look().await?).is_some(),
            "{} was applied and changed nothing",
            Described(&batch)
        );
    }
    Ok(())
}

pub(super) async fn a_rejection_names_the_first_command_that_does_not_hold(mut world: World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    let batch =
        one(append(1, "t")).with(append(2, "gone")).with(append(3, "lost")).with(enqueue("a", "gone"));
    let reason = Reason::NoSuchTask { task: named("gone") };
    check_eq!(world.rejected(&batch).await?, Rejection { index: 1, reason }, "two commands that do not hold");
    Ok(())
}

pub(super) async fn each_command_sees_the_ones_before_it(mut world: World<'_>) -> Outcome {
    let held = guard("a", 1);
    let mut batch = Batch::durable();
    batch.add(create("t"));
    batch.add(enqueue("a", "t"));
    let claimed = batch.add(claim(1, 5));
    let first = batch.add_guarded(held.clone(), append(1, "t"));
    let on_first = AppendCheckpoint { expected_head: Some(SequenceNumber(1)), ..append(2, "t") };
    let second = batch.add_guarded(held.clone(), on_first);
    batch.add(verify(2, Verdict::Verified, ""));
    let under = BeginOperation { task: Some(named("t")), lease: Some(held.clone()), ..begin("k", 1) };
    let begun = batch.add_guarded(held.clone(), under);
    let finished = batch.add_guarded(held.clone(), succeed("k", 1, "output"));
    let renewed = batch.add(renew(&held, TERM * 2));
    let settled = batch.add(settle(&held, Settle::Succeeded));
    let ended = batch.add(finish("t", TaskEnd::Succeeded));
    let applied = world.applied(&batch).await?;

    let items = &applied.get(claimed)?.items;
    let told: Vec<_> = items.iter().map(|item| (item.id.as_str(), item.fence, item.status)).collect();
    check_eq!(told, [("a", Fence(1), Status::InProgress)], "the claim of an item enqueued in its batch");
    let sequences = (applied.get(first)?.sequence.0, applied.get(second)?.sequence.0);
    check_eq!(sequences, (1, 2), "two appends in a batch");
    check_eq!(applied.get(begun)?.attempt, 1, "the beginning of the operation");
    check_eq!(applied.get(finished)?.status, OperationStatus::Succeeded, "its end");
    let now = world.store().health().await?.store_time;
    check_eq!(applied.get(renewed)?.expires_at, now.plus(TERM * 2), "the renewal");
    check_eq!(applied.get(settled)?.status, Status::Succeeded, "the settlement");
    check_eq!(applied.get(ended)?.status, Status::Succeeded, "the task's end");

    check_eq!(world.chain("t").await?.len(), 2, "the checkpoints afterwards");
    check_eq!(world.item("a").await?.status, Status::Succeeded, "the item afterwards");
    check_eq!(world.task("t").await?.status, Status::Succeeded, "the task afterwards");
    // And the other way round: what is not there yet is not seen.
    let early = one(append(3, "u")).with(create("u"));
    check_eq!(
        world.rejected(&early).await?.index,
        0,
        "an append before the task is created in the same batch"
    );
    let late = one(create("u")).with(finish("u", TaskEnd::Failed)).with(append(3, "u"));
    check_eq!(world.rejected(&late).await?.index, 2, "an append after the task has ended in the same batch");
    Ok(())
}

pub(super) async fn two_claims_in_a_batch_share_the_queue(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a", "b", "c"]).await?;
    let mut batch = Batch::durable();
    let first = batch.add(claim(1, 2));
    batch.add(settle(&guard("a", 1), Settle::Released));
    let second = batch.add(claim(2, 5));
    let applied = world.applied(&batch).await?;
    let told = |items: &[crate::record::WorkItem]| {
        items.iter().map(|item| (item.id.to_string(), item.fence.0)).collect::<Vec<_>>()
    };
    let expected = vec![("a".to_owned(), 1), ("b".to_owned(), 1)];
    check_eq!(told(&applied.get(first)?.items), expected, "the first claim");
    let expected = vec![("a".to_owned(), 2), ("c".to_owned(), 1)];
    check_eq!(told(&applied.get(second)?.items), expected, "the second claim, after one item was released");

    // Each has room for one: what the batch has claimed before must not fill it.
    world.queue("u", &["d", "e", "f"]).await?;
    let mut batch = Batch::durable();
    let single =
        [batch.add(claim(3, 1)), batch.add(claim(4, 1)), batch.add(claim(5, 1)), batch.add(claim(6, 1))];
    let applied = world.applied(&batch).await?;
    let mut names = Vec::new();
    for handle in single {
        names.push(told(&applied.get(handle)?.items));
    }
    let expected = [vec![("d".to_owned(), 1)], vec![("e".to_owned(), 1)], vec![("f".to_owned(), 1)], vec![]];
    check_eq!(names, expected, "four claims of one item each in a batch, of three items");
    Ok(())
}

pub(super) async fn a_batch_of_the_largest_size_is_applied_whole(mut world: World<'_>) -> Outcome {
    let mut batch = one(create("t"));
    for number in 1..BATCH_COMMANDS_MAX as u64 {
        batch.add(append(number, "t"));
    }
    let rejected = {
        let mut batch = one(create("t"));
        for number in 1..BATCH_COMMANDS_MAX as u64 - 1 {
            batch.add(append(number, "t"));
        }
        batch.with(append(5_000, "missing"))
    };
    check_eq!(
        world.rejected(&rejected).await?.index,
        BATCH_COMMANDS_MAX - 1,
        "the last of the most commands"
    );
    let applied = world.applied(&batch).await?;
    check_eq!(applied.outcomes().len(), BATCH_COMMANDS_MAX, "the outcomes of the most commands");
    check_eq!(world.chain("t").await?.len(), BATCH_COMMANDS_MAX - 1, "the checkpoints of one batch");
    Ok(())
}

pub(super) async fn both_durability_classes_are_applied_and_read(mut world: World<'_>) -> Outcome {
    for (number, durability) in (1..).zip([Durability::Relaxed, Durability::Durable, Durability::Relaxed]) {
        let name = format!("t{number}");
        let batch = Batch::new(durability).with(create(&name)).with(append(number, &name));
        check_eq!(batch.durability(), durability, "the class of the batch");
        world.applied(&batch).await?;
        check_eq!(world.chain(&name).await?.len(), 1, "the checkpoint of a {durability:?} batch");
        world.replayed(&batch).await?;
        let stale = Batch::new(durability).with(append(50 + number, &name)).with(append(99, "missing"));
        check_eq!(world.rejected(&stale).await?.index, 1, "a {durability:?} batch that does not hold");
    }
    Ok(())
}

pub(super) async fn an_empty_batch_is_applied_and_changes_nothing(mut world: World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    let before = world.look().await?;
    for batch in [Batch::durable(), Batch::relaxed(), Batch::durable().wait_at_most(ms(500))] {
        let answer = world.commit(&batch).await?;
        let outcomes = match answer {
            Committed::Applied(applied) => applied.outcomes().len(),
            Committed::Rejected(_) => usize::MAX,
        };
        check_eq!(outcomes, 0, "the outcomes of an empty batch");
    }
    before.check_same(&world.look().await?, "an empty batch changed the store")
}
