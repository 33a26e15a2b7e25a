//! Cases about batches that are submitted again: recognised by the identities in them, applied at most once.

use crate::batch::Batch;
use crate::command::{AppendCheckpoint, BeginOperation, Enqueue, OperationEnd, Settle, TaskEnd};
use crate::conformance::commands::{
    BatchExt, TERM, append, begin, begin_once, cancel, claim, create, delay, doubt, end, enqueue, finish,
    guard, ms, named, one, payload, renew, settle, succeed, sweep, verify,
};
use crate::conformance::failure::{Outcome, check_eq, check_matches};
use crate::conformance::text::Described;
use crate::conformance::world::World;
use crate::outcome::{self, Applied, Reason, Rejection};
use crate::record::{Guard, SequenceNumber, Status, Verdict};

/// Commits a batch and submits it again, twice, some time later: the same outcomes, and nothing applied twice.
async fn check_once(world: &mut World<'_>, batch: &Batch) -> Outcome<Applied> {
    let first = world.applied(batch).await?;
    for _ in 0..2 {
        world.advance(ms(7));
        let again = world.replayed(batch).await?;
        check_eq!(again.outcomes(), first.outcomes(), "the answer to {}, submitted again", Described(batch));
    }
    Ok(first)
}

pub(super) async fn an_applied_batch_submitted_again_answers_the_same_and_applies_nothing(
    mut world: World<'_>,
) -> Outcome {
    check_once(&mut world, &one(create("t"))).await?;
    check_once(&mut world, &one(enqueue("a", "t")).with(enqueue("b", "t")).with(enqueue("c", "t"))).await?;
    check_once(&mut world, &one(append(1, "t"))).await?;
    check_once(&mut world, &one(append(2, "t")).with(append(3, "t"))).await?;
    check_once(&mut world, &one(claim(1, 2))).await?;
    check_once(&mut world, &one(begin("k", 1))).await?;
    check_once(&mut world, &one(succeed("k", 1, "output"))).await?;
    check_once(&mut world, &one(begin("l", 2))).await?;
    check_once(&mut world, &one(end("l", 2, OperationEnd::Failed(payload("error"))))).await?;
    check_once(&mut world, &one(settle(&guard("a", 1), Settle::Retry(delay(ms(60_000)))))).await?;
    check_once(&mut world, &one(begin_once("m", 3))).await?;
    world.advance(TERM);
    check_once(&mut world, &one(doubt("m", 3))).await?;
    check_once(&mut world, &one(sweep(2, 10))).await?;
    check_once(&mut world, &one(finish("t", TaskEnd::Succeeded))).await?;
    Ok(())
}

pub(super) async fn every_settlement_submitted_again_answers_the_same(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a", "b", "c", "d"]).await?;
    let held = world.apply(claim(1, 10)).await?.items;
    let settlements = [Settle::Succeeded, Settle::Failed, Settle::Released, Settle::Retry(delay(ms(500)))];
    for (item, how) in held.iter().zip(settlements) {
        check_once(&mut world, &one(settle(&item.guard(), how))).await?;
        // In another manner it is another settlement, and too late.
        let other = if how == Settle::Failed { Settle::Succeeded } else { Settle::Failed };
        check_matches!(
            world.reason(settle(&item.guard(), other)).await?,
            Reason::NotLeased { .. },
            "settling it otherwise"
        );
    }
    Ok(())
}

pub(super) async fn a_batch_whose_rows_moved_on_since_is_superseded(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    let claimed = one(claim(1, 1));
    world.applied(&claimed).await?;
    let settled = one(settle(&guard("a", 1), Settle::Released));
    world.applied(&settled).await?;
    check_superseded(&mut world, &claimed, "a claim whose item was settled").await?;
    world.apply(claim(2, 1)).await?;
    check_superseded(&mut world, &settled, "a settlement whose item was claimed again").await?;

    let begun = one(begin("k", 1));
    world.applied(&begun).await?;
    world.apply(succeed("k", 1, "output")).await?;
    check_superseded(&mut world, &begun, "an intent whose operation has ended").await?;
    let begun = one(begin_once("l", 2));
    world.applied(&begun).await?;
    world.advance(TERM);
    world.apply(doubt("l", 2)).await?;
    check_superseded(&mut world, &begun, "an intent whose operation is in doubt").await
}

async fn check_superseded(world: &mut World<'_>, batch: &Batch, what: &str) -> Outcome {
    let again = world.replayed(batch).await?;
    check_eq!(again.outcomes(), [outcome::Outcome::Superseded], "the answer to {what}, submitted again");
    Ok(())
}

pub(super) async fn a_settlement_is_recognised_until_the_next_one(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    let first = one(settle(&guard("a", 1), Settle::Released));
    world.claim_one(1).await?;
    world.applied(&first).await?;
    world.claim_one(2).await?;
    check_superseded(&mut world, &first, "a settlement after the next claim").await?;
    world.apply(settle(&guard("a", 2), Settle::Released)).await?;
    let reason = world.rejected(&first).await?.reason;
    check_matches!(
        reason,
        Reason::StaleFence { .. },
        "a settlement submitted again after the next settlement"
    );
    Ok(())
}

pub(super) async fn a_claim_submitted_again_names_the_items_it_still_holds(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a", "c"]).await?;
    world.apply(Enqueue { priority: 5, ..enqueue("b", "t") }).await?;
    let claimed = one(claim(1, 2));
    let first = world.applied(&claimed).await?;
    check_eq!(
        world.replayed(&claimed).await?.outcomes(),
        first.outcomes(),
        "the claim submitted again at once"
    );
    let renewed = world.apply(renew(&guard("b", 1), TERM * 2)).await?.expires_at;
    world.apply(settle(&guard("a", 1), Settle::Succeeded)).await?;
    let again = world.replayed(&claimed).await?;
    let held: Vec<_> = match again.outcomes() {
        [outcome::Outcome::Claimed(claimed)] => claimed
            .items
            .iter()
            .map(|item| (item.id.as_str(), item.lease.as_ref().map(|lease| lease.expires_at)))
            .collect(),
        _ => Vec::new(),
    };
    check_eq!(held, [("b", Some(renewed))], "the items of the claim, after one was settled and one renewed");
    Ok(())
}

pub(super) async fn a_claim_or_sweep_whose_items_all_moved_on_is_evaluated_anew(
    mut world: World<'_>,
) -> Outcome {
    world.queue("t", &["a"]).await?;
    let (claimed, swept) = (one(claim(1, 1)), one(sweep(2, 1)));
    world.applied(&claimed).await?;
    world.advance(TERM);
    world.applied(&swept).await?;
    world.replayed(&swept).await?;
    // The sweep was the last to move the item, so the claim finds nothing of its own and takes the item anew.
    world.applied(&claimed).await?;
    check_eq!(world.item("a").await?.fence.0, 3, "the fence after the claim was evaluated anew");
    let again = world.applied(&swept).await?;
    check_eq!(
        again.outcomes(),
        [outcome::Outcome::Swept(outcome::Swept::default())],
        "the sweep evaluated anew"
    );
    Ok(())
}

pub(super) async fn a_sweep_submitted_again_tells_nothing_of_what_was_called_off_since(
    mut world: World<'_>,
) -> Outcome {
    world.queue("t", &["a", "b"]).await?;
    world.apply(claim(1, 2)).await?;
    world.advance(TERM);
    let swept = one(sweep(2, 10));
    let told = world.apply(sweep(2, 10)).await?.reclaimed;
    check_eq!(told.len(), 2, "the items that the sweep takes");
    world.apply(cancel("a")).await?;
    let rest = outcome::Swept { reclaimed: told[1..].to_vec() };
    check_eq!(
        world.replayed(&swept).await?.outcomes(),
        [outcome::Outcome::Swept(rest)],
        "the sweep of two items, after one was called off"
    );
    world.apply(cancel("b")).await?;
    let superseded = [outcome::Outcome::Superseded];
    check_eq!(world.replayed(&swept).await?.outcomes(), superseded, "the sweep, after all were called off");
    // The end of the task does not make it look like a reclaim of its own.
    world.apply(finish("t", TaskEnd::Succeeded)).await?;
    check_eq!(world.replayed(&swept).await?.outcomes(), superseded, "the sweep, after its task ended too");
    Ok(())
}

pub(super) async fn a_batch_that_was_not_applied_is_evaluated_anew(mut world: World<'_>) -> Outcome {
    let batch = one(append(1, "t")).with(begin("k", 1)).with(enqueue("a", "t")).with(claim(1, 1));
    check_eq!(world.rejected(&batch).await?.index, 0, "a batch for a task that is not there");
    check_eq!(world.rejected(&batch).await?.index, 0, "the same again");
    world.apply(create("t")).await?;
    world.applied(&batch).await?;
    world.replayed(&batch).await?;

    let wrong = AppendCheckpoint { expected_head: Some(SequenceNumber(2)), ..append(3, "t") };
    world.rejected(&one(wrong.clone())).await?;
    world.apply(append(2, "t")).await?;
    world.applied(&one(wrong)).await?;
    Ok(())
}

pub(super) async fn a_repeated_identity_inside_one_batch_is_rejected(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a", "b"]).await?;
    world.claim_one(1).await?;
    world.apply(begin("k", 1)).await?;
    let repeated = [
        one(append(1, "t")).with(append(1, "t")),
        one(claim(2, 1)).with(claim(2, 1)),
        one(begin("l", 2)).with(begin("l", 2)),
    ];
    for batch in &repeated {
        let expected = Rejection { index: 1, reason: Reason::RepeatedIdentity };
        check_eq!(world.rejected(batch).await?, expected, "{}", Described(batch));
    }
    world.advance(TERM);
    let batch = one(append(2, "t")).with(sweep(3, 1)).with(sweep(3, 1));
    let expected = Rejection { index: 2, reason: Reason::RepeatedIdentity };
    check_eq!(world.rejected(&batch).await?, expected, "a batch with one sweep twice");
    // Saying the same thing twice of what has one name for all is no repeated identity: two callers may well do so.
    world
        .applied(&one(create("u")).with(create("u")).with(enqueue("c", "u")).with(enqueue("c", "u")))
        .await?;
    world.applied(&one(succeed("k", 1, "output")).with(succeed("k", 1, "output"))).await?;
    Ok(())
}

/// The commit that ends a step: checkpoint, result and settlement, under the lease.
fn last_commit(held: &Guard) -> Batch {
    Batch::durable()
        .with_guarded(held, append(1, "t"))
        .with_guarded(held, succeed("k", 1, "output"))
        .with(settle(held, Settle::Retry(delay(ms(5)))))
}

pub(super) async fn the_commit_of_checkpoint_result_and_settlement_is_recognised_whole(
    mut world: World<'_>,
) -> Outcome {
    world.queue("t", &["a"]).await?;
    let held = world.claim_one(1).await?.guard();
    let under = BeginOperation { lease: Some(held.clone()), task: Some(named("t")), ..begin_once("k", 1) };
    world.apply_guarded(&held, under).await?;
    let batch = last_commit(&held);
    let first = check_once(&mut world, &batch).await?;

    // The guards no longer hold, the item has moved on: it is still the batch that was applied.
    world.advance(ms(50));
    let next = world.claim_one(2).await?;
    let told = world.replayed(&batch).await?;
    check_eq!(
        told.outcomes()[..2],
        first.outcomes()[..2],
        "checkpoint and result, while the next holder works"
    );
    check_eq!(
        told.outcomes()[2],
        outcome::Outcome::Superseded,
        "the settlement, while the next holder works"
    );
    world.apply_guarded(&next.guard(), append(2, "t")).await?;
    world.apply(settle(&next.guard(), Settle::Succeeded)).await?;
    world.apply(finish("t", TaskEnd::Succeeded)).await?;
    let told = world.replayed(&batch).await?;
    check_eq!(told.outcomes()[..2], first.outcomes()[..2], "checkpoint and result, at the end of the task");
    check_eq!(world.chain("t").await?.len(), 2, "the checkpoints of the task");
    Ok(())
}

pub(super) async fn the_commit_of_a_fenced_off_holder_is_rejected_whole_every_time(
    mut world: World<'_>,
) -> Outcome {
    world.queue("t", &["a"]).await?;
    let held = world.claim_one(1).await?.guard();
    let under = BeginOperation { lease: Some(held.clone()), ..begin_once("k", 1) };
    world.apply_guarded(&held, under).await?;
    world.lose_leases(2).await?;
    for _ in 0..2 {
        let rejection = world.rejected(&last_commit(&held)).await?;
        check_eq!(rejection.index, 0, "the command that the commit is rejected for");
        check_matches!(rejection.reason, Reason::StaleFence { .. }, "why the commit is rejected");
    }
    Ok(())
}

pub(super) async fn a_creation_that_is_there_already_says_nothing_of_the_rest(
    mut world: World<'_>,
) -> Outcome {
    world.queue("t", &["a"]).await?;
    let batch = one(create("t")).with(enqueue("a", "t")).with(append(1, "t")).with(enqueue("b", "t"));
    let applied = world.applied(&batch).await?;
    check_eq!(applied.outcomes().len(), 4, "the outcomes of a batch that finds half of it there");
    check_eq!(world.chain("t").await?.len(), 1, "the checkpoints that it appended");
    check_eq!(world.item("b").await?.status, Status::Pending, "the item that it enqueued");
    world.replayed(&batch).await?;
    Ok(())
}

pub(super) async fn commands_without_an_identity_are_recognised_by_the_others(
    mut world: World<'_>,
) -> Outcome {
    world.queue("t", &["a"]).await?;
    let held = world.claim_one(1).await?.guard();
    let batch = one(append(1, "t")).with(renew(&held, TERM * 2)).with(verify(1, Verdict::Verified, ""));
    let first = world.applied(&batch).await?;
    world.apply(verify(1, Verdict::Failed, "gone")).await?;
    world.advance(ms(500));
    let again = world.replayed(&batch).await?;
    check_eq!(again.outcomes(), first.outcomes(), "renewal and verdict in a batch applied before");
    world.apply(settle(&held, Settle::Released)).await?;
    for (number, when) in (2..).zip(["settled", "settled and given to somebody else"]) {
        let again = world.replayed(&batch).await?;
        check_eq!(again.outcomes()[0], first.outcomes()[0], "the checkpoint, after the lease was {when}");
        check_eq!(
            again.outcomes()[1],
            outcome::Outcome::Superseded,
            "the renewal, after the lease was {when}"
        );
        world.apply(claim(number, 1)).await?;
    }
    Ok(())
}

pub(super) async fn a_result_recorded_alone_may_be_named_again_beside_a_new_checkpoint(
    mut world: World<'_>,
) -> Outcome {
    world.queue("t", &["a"]).await?;
    let held = world.claim_one(1).await?.guard();
    world.apply_guarded(&held, begin("k", 1)).await?;
    world.apply(succeed("k", 1, "output")).await?;
    let step = Batch::durable()
        .with_guarded(&held, append(1, "t"))
        .with(succeed("k", 1, "output"))
        .with(settle(&held, Settle::Succeeded));
    check_once(&mut world, &step).await?;
    check_eq!(world.task("t").await?.head, SequenceNumber(1), "the head after the step");
    Ok(())
}

pub(super) async fn a_stale_batch_is_not_taken_for_applied_because_its_result_was_recorded(
    mut world: World<'_>,
) -> Outcome {
    world.queue("t", &["a"]).await?;
    let held = world.claim_one(1).await?.guard();
    world.apply_guarded(&held, begin("k", 1)).await?;
    world.apply(succeed("k", 1, "output")).await?;
    world.apply(settle(&held, Settle::Retry(delay(ms(0))))).await?;
    world.claim_one(2).await?;
    let step = Batch::durable()
        .with_guarded(&held, append(1, "t"))
        .with(succeed("k", 1, "output"))
        .with(settle(&held, Settle::Retry(delay(ms(0)))));
    let Rejection { index, reason } = world.rejected(&step).await?;
    check_eq!(index, 0, "the command that was rejected");
    check_matches!(reason, Reason::StaleFence { .. }, "a step under a lease that was given back");
    Ok(())
}

pub(super) async fn a_beginning_submitted_again_after_its_lease_or_term_ended_gives_no_right_to_call(
    mut world: World<'_>,
) -> Outcome {
    world.queue("t", &["a"]).await?;
    let lease = world.claim_one(1).await?.guard();
    let held = BeginOperation { lease: Some(lease.clone()), ..begin_once("held", 1) };
    let held = Batch::durable().with_guarded(&lease, held);
    let unheld = one(begin("unheld", 2));
    for begun in [&held, &unheld] {
        check_once(&mut world, begun).await?;
    }
    world.lose_leases(2).await?;
    check_superseded(&mut world, &held, "an intent under a lease that was lost").await?;
    check_superseded(&mut world, &unheld, "an intent whose term has ended").await?;
    // Whoever looked into it says that it did not happen: the former owner still may not call.
    world.apply(end("held", 1, OperationEnd::DidNotHappen)).await?;
    check_superseded(&mut world, &held, "an intent that was settled as not happened").await
}

pub(super) async fn a_result_recorded_alone_does_not_make_what_stands_beside_it_look_applied(
    mut world: World<'_>,
) -> Outcome {
    world.queue("t", &["a", "b"]).await?;
    let lease = world.claim_one(1).await?.guard();
    world.apply(begin("k", 1)).await?;
    world.apply_guarded(&lease, succeed("k", 1, "output")).await?;
    let together = Batch::durable()
        .with(succeed("k", 1, "output"))
        .with_guarded(&lease, finish("t", TaskEnd::Succeeded))
        .with(settle(&lease, Settle::Succeeded));
    world.lose_leases(2).await?;
    check_matches!(
        world.rejected(&together).await?.reason,
        Reason::StaleFence { .. },
        "the end of the task under a lost lease"
    );
    let lease = world.claim_one(3).await?.guard();
    world.apply(settle(&lease, Settle::Succeeded)).await?;
    let beside = one(settle(&lease, Settle::Succeeded)).with(enqueue("c", "u"));
    check_matches!(
        world.rejected(&beside).await?.reason,
        Reason::NoSuchTask { .. },
        "an item of a task that is not there"
    );
    Ok(())
}

pub(super) async fn a_guarded_batch_of_which_everything_stands_is_recognised_after_the_lease_was_lost(
    mut world: World<'_>,
) -> Outcome {
    world.queue("t", &["a"]).await?;
    let lease = world.claim_one(1).await?.guard();
    let enqueued = Batch::durable().with_guarded(&lease, enqueue("b", "t"));
    let finished = Batch::durable().with_guarded(&lease, finish("t", TaskEnd::Succeeded));
    for batch in [&enqueued, &finished] {
        check_once(&mut world, batch).await?;
    }
    world.lose_leases(2).await?;
    for batch in [&enqueued, &finished] {
        let again = world.replayed(batch).await?;
        check_eq!(again.is_replayed(), true, "the answer to {}, submitted again", Described(batch));
    }
    let other = Batch::durable().with_guarded(&lease, finish("t", TaskEnd::Failed));
    check_matches!(
        world.rejected(&other).await?.reason,
        Reason::StaleFence { .. },
        "another end of the task"
    );
    Ok(())
}
