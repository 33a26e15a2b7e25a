//! Cases about what is removed on purpose: old checkpoints, erased payloads, stale outcomes.

use crate::batch::Batch;
use crate::command::{AppendCheckpoint, BeginOperation, OperationEnd, RecordVerification, TaskEnd};
use crate::conformance::commands::{
    BatchExt, append, begin, begin_once, checkpoint, create, doubt, end, enqueue, erase, finish, invalidate,
    ms, named, one, payload, prune, purge, succeed, verify,
};
use crate::conformance::failure::{Failure, Outcome, check, check_eq};
use crate::conformance::world::World;
use crate::error::StoreError;
use crate::outcome::{Erased, Invalidated, Pruned, Purged, Reason};
use crate::payload::NoPayload;
use crate::record::{OperationStatus, SequenceNumber, Verdict};

/// A task with that many checkpoints, numbered from 1.
async fn chain_of(world: &mut World<'_>, length: u64) -> Outcome {
    world.apply(create("t")).await?;
    for number in 1..=length {
        world.apply(append(number, "t")).await?;
    }
    Ok(())
}

async fn kept(world: &World<'_>) -> Outcome<Vec<u64>> {
    Ok(world.chain("t").await?.iter().map(|checkpoint| checkpoint.header.sequence.0).collect())
}

fn pruned(removed: u32, through: u64, is_more: bool) -> Pruned {
    Pruned { removed, through: SequenceNumber(through), is_more }
}

pub(super) async fn pruning_keeps_the_newest_and_the_chain_says_so(mut world: World<'_>) -> Outcome {
    chain_of(&mut world, 7).await?;
    check_eq!(world.apply(prune("t", 3, 2)).await?, pruned(2, 2, true), "the first page of two");
    check_eq!(world.apply(prune("t", 3, 10)).await?, pruned(2, 4, false), "the rest");
    check_eq!(kept(&world).await?, [5, 6, 7], "the checkpoints that stay");
    check_eq!(world.task("t").await?.pruned_through, SequenceNumber(4), "what the task says of them");
    check_eq!(world.store().checkpoint(checkpoint(4)).await?, None, "a pruned one");
    let again = world.replayed(&one(prune("t", 3, 10))).await?;
    check!(again.is_replayed(), "nothing is left to prune");
    world.reopen().await?;
    check_eq!(world.apply(append(8, "t")).await?.sequence, SequenceNumber(8), "the next number");
    check_eq!(kept(&world).await?, [5, 6, 7, 8], "the chain goes on");
    check_eq!(
        world.reason(prune("nothing", 3, 10)).await?,
        Reason::NoSuchTask { task: named("nothing") },
        "pruning a task that is not there"
    );
    Ok(())
}

pub(super) async fn pruning_never_drops_the_newest_verified_checkpoint(mut world: World<'_>) -> Outcome {
    chain_of(&mut world, 6).await?;
    for (number, verdict) in [(2, Verdict::Verified), (3, Verdict::Verified), (5, Verdict::Failed)] {
        world.apply(verify(number, verdict, "")).await?;
    }
    check_eq!(world.apply(prune("t", 1, 10)).await?, pruned(2, 2, false), "the prune");
    check_eq!(kept(&world).await?, [3, 4, 5, 6], "the newest verified one and all after it");
    world.apply(verify(3, Verdict::Failed, "gone")).await?;
    check_eq!(
        world.apply(prune("t", 1, 10)).await?,
        pruned(3, 5, false),
        "once its newest verdict is another"
    );
    check_eq!(kept(&world).await?, [6], "the newest stays whatever its verdict");
    Ok(())
}

pub(super) async fn pruning_keeps_the_newest_verified_state_past_erased_ones_and_boundaries(
    mut world: World<'_>,
) -> Outcome {
    chain_of(&mut world, 3).await?;
    for number in [2, 3] {
        world.apply(verify(number, Verdict::Verified, "")).await?;
    }
    world.apply(erase(3)).await?;
    world.apply(enqueue("a", "t")).await?;
    world.claim_one(1).await?;
    let lost = world.lose_leases(2).await?;
    let boundary = lost.first().and_then(|reclaimed| reclaimed.checkpoint);
    let checkpoint = boundary.ok_or_else(|| Failure::new("the sweep left no boundary"))?;
    let verdict = Verdict::Verified;
    world.apply(RecordVerification { checkpoint, verdict, detail: String::new() }).await?;
    check_eq!(world.apply(prune("t", 1, 10)).await?, pruned(1, 1, false), "the prune");
    check_eq!(kept(&world).await?, [2, 3, 4], "the newest verified state and all after it");
    Ok(())
}

pub(super) async fn an_erased_payload_is_gone_with_its_copies_and_the_chain_still_verifies(
    mut world: World<'_>,
) -> Outcome {
    chain_of(&mut world, 2).await?;
    world.apply(create("fork")).await?;
    let copy = |number, origin, task| AppendCheckpoint {
        copy_of: Some(checkpoint(origin)),
        payload: append(1, "t").payload,
        ..append(number, task)
    };
    world.apply(copy(3, 1, "fork")).await?;
    world.apply(copy(4, 3, "t")).await?;
    let origin = world.store().checkpoint(checkpoint(4)).await?.and_then(|found| found.header.copy_of);
    check_eq!(origin, Some(checkpoint(1)), "a copy of a copy names the first");
    let other = AppendCheckpoint { payload: append(2, "t").payload, ..copy(5, 1, "t") };
    check_eq!(world.reason(other).await?, Reason::NoCopy { origin: checkpoint(1) }, "a copy that is none");

    check_eq!(world.apply(erase(3)).await?, Erased { erased: 3 }, "erasing a copy");
    for number in [1, 3, 4] {
        let found = world.store().checkpoint(checkpoint(number)).await?;
        let found = found.ok_or_else(|| Failure::new("an erased checkpoint is gone altogether"))?;
        check_eq!(found.payload, Err(NoPayload::Erased), "the payload of {number}");
        check_eq!(found.header.erased_at, Some(world.env().clock().wall()), "when {number} was erased");
        check_eq!(found.evidence, Ok(append(number, "t").evidence), "the evidence of {number}");
    }
    check_eq!(kept(&world).await?, [1, 2, 3], "the chain of t, links recomputed");
    world.replayed(&one(erase(1))).await?;
    check_eq!(
        world.reason(copy(6, 1, "t")).await?,
        Reason::NoCopy { origin: checkpoint(1) },
        "a copy of nothing"
    );
    check_eq!(
        world.reason(erase(99)).await?,
        Reason::NoSuchCheckpoint { checkpoint: checkpoint(99) },
        "erasing what is not there"
    );
    world.reopen().await?;
    check_eq!(kept(&world).await?, [1, 2, 3], "the chain after reopening");
    Ok(())
}

pub(super) async fn copies_are_erased_though_their_origin_was_pruned(mut world: World<'_>) -> Outcome {
    chain_of(&mut world, 1).await?;
    let copy =
        AppendCheckpoint { copy_of: Some(checkpoint(1)), payload: append(1, "t").payload, ..append(2, "t") };
    world.apply(copy).await?;
    world.apply(prune("t", 1, 10)).await?;
    check_eq!(world.apply(erase(1)).await?, Erased { erased: 1 }, "erasing by the name of the pruned origin");
    let found = world.store().checkpoint(checkpoint(2)).await?.map(|found| found.payload);
    check_eq!(found, Some(Err(NoPayload::Erased)), "the payload of the copy");
    Ok(())
}

pub(super) async fn only_finished_operations_are_purged_the_oldest_first(mut world: World<'_>) -> Outcome {
    for (number, key) in (1..).zip(["a:1", "a:2", "b:1"]) {
        world.apply(begin(key, number)).await?;
        world.apply(succeed(key, number, "output")).await?;
        world.advance(ms(1_000));
    }
    world.apply(begin("a:pending", 4)).await?;
    world.apply(begin_once("a:doubtful", 5)).await?;
    world.advance(ms(60_000));
    world.apply(doubt("a:doubtful", 5)).await?;
    let purged = |removed| Purged { removed };
    check_eq!(world.apply(purge("a:", ms(62_001), 10)).await?, purged(1), "those that are old enough");
    check!(world.store().operation(&named("a:1")).await?.is_none(), "the oldest is gone");
    check_eq!(world.apply(purge("", ms(0), 1)).await?, purged(1), "one page of one");
    check!(world.store().operation(&named("a:2")).await?.is_none(), "the older one went first");
    check_eq!(world.apply(purge("a:", ms(0), 10)).await?, purged(0), "what is pending or in doubt stays");
    check_eq!(world.apply(purge("", ms(0), 10)).await?, purged(1), "the rest of the finished ones");
    for key in ["a:pending", "a:doubtful"] {
        check!(world.store().operation(&named(key)).await?.is_some(), "{key} stays");
    }
    Ok(())
}

pub(super) async fn the_outcomes_of_a_task_that_goes_on_are_not_purged(mut world: World<'_>) -> Outcome {
    world.applied(&one(create("t")).with(create("u"))).await?;
    for (number, (key, task)) in (1..).zip([("1", Some("t")), ("2", Some("u")), ("3", None)]) {
        world.apply(BeginOperation { task: task.map(named), ..begin(key, number) }).await?;
        world.apply(succeed(key, number, "output")).await?;
    }
    world.apply(finish("u", TaskEnd::Failed)).await?;
    check_eq!(world.apply(purge("", ms(0), 10)).await?, Purged { removed: 2 }, "those that nobody asks for");
    check!(world.store().operation(&named("1")).await?.is_some(), "the outcome of the task that goes on");
    world.apply(finish("t", TaskEnd::Succeeded)).await?;
    check_eq!(world.apply(purge("", ms(0), 10)).await?, Purged { removed: 1 }, "once it has ended");
    Ok(())
}

pub(super) async fn an_invalidated_outcome_is_begun_anew(mut world: World<'_>) -> Outcome {
    world.apply(begin("k", 1)).await?;
    check_eq!(
        world.reason(invalidate("k")).await?,
        Reason::OperationUnfinished { status: OperationStatus::Pending },
        "invalidating what is under way"
    );
    world.apply(end("k", 1, OperationEnd::Failed(payload("error")))).await?;
    check_eq!(world.apply(invalidate("k")).await?, Invalidated { was_there: true }, "the invalidation");
    check!(world.store().operation(&named("k")).await?.is_none(), "the outcome is gone");
    world.replayed(&one(invalidate("k"))).await?;
    check_eq!(world.apply(begin("k", 2)).await?.attempt, 1, "the first attempt of the new one");
    Ok(())
}

pub(super) async fn an_outcome_past_its_freshness_is_begun_anew_in_its_place(
    mut world: World<'_>,
) -> Outcome {
    world.apply(begin("k", 1)).await?;
    world.apply(succeed("k", 1, "old")).await?;
    let fresh = |number| BeginOperation { fresh_for: Some(ms(5_000)), ..begin("k", number) };
    world.advance(ms(4_999));
    let ended = Reason::OperationEnded { status: OperationStatus::Succeeded };
    check_eq!(world.reason(fresh(2)).await?, ended, "a millisecond before");
    world.advance(ms(1));
    check_eq!(world.reason(begin("k", 2)).await?, ended, "when nobody asks for freshness");
    check_eq!(world.apply(fresh(2)).await?.attempt, 2, "the attempt that takes its place");
    let record = world.store().operation(&named("k")).await?;
    let record = record.ok_or_else(|| Failure::new("the operation is gone"))?;
    check_eq!(record.output, None, "the old output");
    check_eq!(record.operation.created_at, world.env().clock().wall(), "when it was begun");
    check_eq!(world.reason(succeed("k", 1, "late")).await?, Reason::StaleToken, "the old attempt's result");
    world.apply(succeed("k", 2, "new")).await?;
    let read = world.store().operation(&named("k")).await?.and_then(|record| record.output);
    check_eq!(read, Some(payload("new")), "the new output");
    Ok(())
}

pub(super) async fn a_removal_stands_alone_in_its_batch_and_within_bounds(mut world: World<'_>) -> Outcome {
    chain_of(&mut world, 2).await?;
    let refused: [Batch; 7] = [
        one(prune("t", 1, 10)).with(create("u")),
        one(create("u")).with(erase(1)),
        one(purge("", ms(0), 10)).with(invalidate("k")),
        one(prune("t", 0, 10)),
        one(prune("t", 1, 0)),
        one(purge("", ms(0), 0)),
        one(purge("", ms(0), 1_001)),
    ];
    for batch in &refused {
        let error = world.failed(batch).await?;
        check!(
            matches!(error, StoreError::Invalid { .. } | StoreError::TooLarge { .. }),
            "{batch:?} was answered {error:?}"
        );
    }
    Ok(())
}
