//! Cases about closing and opening again: what was acknowledged is there, and goes on from where it stood.

use crate::batch::Batch;
use crate::command::{BeginOperation, Enqueue, Settle, TaskEnd};
use crate::conformance::commands::{
    ALMOST_TERM, BatchExt, TERM, append, begin, begin_once, claim, create, delay, doubt, enqueue, finish,
    guard, ms, named, one, renew, settle, succeed, sweep, verify,
};
use crate::conformance::failure::{Failure, Outcome, check, check_eq, check_matches};
use crate::conformance::world::World;
use crate::outcome::Reason;
use crate::record::{Fence, SequenceNumber, Status, Verdict};

/// Opens the data again; it must read as before.
async fn reopen_same(world: &mut World<'_>, sentence: &str) -> Outcome {
    let before = world.look().await?;
    world.reopen().await?;
    before.check_same(&world.look().await?, sentence)
}

pub(super) async fn what_was_acknowledged_is_there_after_reopening(mut world: World<'_>) -> Outcome {
    world.queue("t", &["settled", "lost"]).await?;
    world.apply(claim(1, 2)).await?;
    world.lose_leases(2).await?;
    world.apply(claim(3, 1)).await?;
    let held = world.item("lost").await?.guard();
    let under =
        BeginOperation { task: Some(named("t")), lease: Some(held.clone()), ..begin_once("under", 1) };
    world.apply_guarded(&held, under).await?;
    world.apply(enqueue("open", "t")).await?;
    world.apply(Enqueue { delay: delay(ms(5_000)), priority: -3, ..enqueue("later", "t") }).await?;
    let last = one(append(1, "t")).with(begin("k", 2)).with(succeed("k", 2, "output")).with(verify(
        1,
        Verdict::Failed,
        "gone",
    ));
    world.applied(&last).await?;
    world.apply(begin_once("doubtful", 3)).await?;
    world.applied(&one(create("u")).with(finish("u", TaskEnd::Failed))).await?;
    world.advance(TERM);
    world.apply(doubt("doubtful", 3)).await?;
    world.apply(renew(&held, TERM)).await?;
    reopen_same(&mut world, "the store changed when it was opened again").await?;
    reopen_same(&mut world, "the store changed when it was opened a second time").await?;
    check_eq!(world.item("lost").await?.status, Status::InProgress, "the item under a lease, afterwards");
    Ok(())
}

pub(super) async fn a_relaxed_commit_is_there_after_reopening(mut world: World<'_>) -> Outcome {
    for number in 1..=5 {
        let name = format!("t{number}");
        world.applied(&Batch::relaxed().with(create(&name)).with(append(number, &name))).await?;
        reopen_same(&mut world, "a relaxed commit went with its process").await?;
    }
    Ok(())
}

pub(super) async fn a_commit_right_before_reopening_is_there(mut world: World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    for number in 1..=10 {
        let sequence = world.apply(append(number, "t")).await?.sequence;
        world.reopen().await?;
        let head = world.task("t").await?.head;
        check_eq!(
            (head, sequence),
            (SequenceNumber(number), SequenceNumber(number)),
            "the head and the last answer"
        );
    }
    check_eq!(world.chain("t").await?.len(), 10, "the checkpoints");
    Ok(())
}

pub(super) async fn fences_keep_growing_over_a_reopening(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    let mut last = Fence(0);
    for round in 1..=4 {
        let claimed = world.claim_one(10 * round).await?;
        check!(claimed.fence > last, "claim {round} got fence {}, after {last}", claimed.fence);
        world.reopen().await?;
        world.apply(renew(&claimed.guard(), TERM)).await?;
        if round % 2 == 0 {
            world.apply(settle(&claimed.guard(), Settle::Released)).await?;
        } else {
            check_eq!(
                world.lose_leases(10 * round + 1).await?.len(),
                1,
                "the leases reclaimed after reopening"
            );
        }
        world.reopen().await?;
        let stale = world.reason(renew(&claimed.guard(), TERM)).await?;
        check_matches!(
            stale,
            Reason::StaleFence { .. } | Reason::NotLeased { .. },
            "a lease that ended before reopening"
        );
        last = world.item("a").await?.fence;
        check!(last >= claimed.fence, "the fence shrank to {last}");
    }
    Ok(())
}

pub(super) async fn chains_go_on_over_a_reopening(mut world: World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    for round in 0..5 {
        for number in 1..=3 {
            let appended = world.apply(append(10 * round + number, "t")).await?;
            check_eq!(appended.sequence.0, 3 * round + number, "the sequence number in round {round}");
        }
        world.reopen().await?;
        check_eq!(
            world.chain("t").await?.len() as u64,
            3 * (round + 1),
            "the checkpoints after round {round}"
        );
    }
    Ok(())
}

pub(super) async fn a_batch_is_recognised_after_reopening(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a", "b"]).await?;
    let held = guard("a", 1);
    let batches = [
        one(claim(1, 1)),
        one(append(1, "t")),
        one(begin("k", 1)),
        Batch::durable()
            .with_guarded(&held, append(2, "t"))
            .with_guarded(&held, succeed("k", 1, "output"))
            .with(settle(&held, Settle::Succeeded)),
    ];
    for batch in &batches {
        let first = world.applied(batch).await?;
        world.reopen().await?;
        check_eq!(world.replayed(batch).await?.outcomes(), first.outcomes(), "the answer after reopening");
    }
    let expired = one(sweep(3, 1));
    world.claim_one(2).await?;
    world.advance(TERM);
    let first = world.applied(&expired).await?;
    world.reopen().await?;
    check_eq!(world.replayed(&expired).await?.outcomes(), first.outcomes(), "a sweep after reopening");
    Ok(())
}

pub(super) async fn time_goes_on_over_a_reopening(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    let held = world.claim_one(1).await?.guard();
    world.apply(Enqueue { delay: delay(TERM), priority: 1, ..enqueue("later", "t") }).await?;
    world.advance(ALMOST_TERM);
    let before = world.store().health().await?;
    world.reopen().await?;
    check_eq!(
        world.store().health().await?.store_time,
        before.store_time,
        "the store's time after reopening"
    );
    world.clock().step_wall(-86_400_000);
    world.reopen().await?;
    check_eq!(
        world.store().health().await?.store_time,
        before.store_time,
        "the same after a step of the wall clock"
    );
    check_eq!(world.apply(sweep(2, 10)).await?.reclaimed, [], "what a sweep finds before the term ends");
    check_eq!(world.apply(claim(3, 10)).await?.items, [], "what a claim takes before the delay is over");
    world.advance(ms(1));
    let reclaimed = world.apply(sweep(4, 10)).await?.reclaimed;
    check_eq!(reclaimed.len(), 1, "the leases that a sweep finds when the term has ended");
    let later = world.claim_one(5).await?;
    check_eq!(later.id, named("later"), "the item whose delay is over");
    check!(world.item("a").await?.fence > held.fence, "the reclaim did not move the fence");
    Ok(())
}

pub(super) async fn a_peer_sees_what_was_there_before_it(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    world.apply(append(1, "t")).await?;
    world.reopen().await?;
    let peer = world.peer().await?;
    let (own, other) = (world.look().await?, world.look_through(&*peer).await?);
    own.check_same(&other, "a handle opened later reads differently")?;
    let missing = || Failure::new("the task is not there for the handle opened later");
    let task = peer.task(&named("t")).await?.ok_or_else(missing)?;
    check_eq!(task.head, SequenceNumber(1), "the head that the handle opened later sees");
    Ok(())
}
