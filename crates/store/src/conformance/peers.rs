//! Cases about two handles on the same data: what one was told, the other sees.

use crate::command::{AppendCheckpoint, Settle, TaskEnd};
use crate::conformance::commands::{
    BatchExt, TERM, append, begin, claim, create, enqueue, finish, guard, one, renew, sealed, settle,
    succeed, sweep, verify,
};
use crate::conformance::failure::{Outcome, check_eq, check_matches};
use crate::conformance::text::Described;
use crate::conformance::world::World;
use crate::ext::StoreExt;
use crate::outcome::{Committed, Reason};
use crate::record::{Fence, SequenceNumber, Verdict};

pub(super) async fn a_peer_sees_what_was_acknowledged_at_once(mut world: World<'_>) -> Outcome {
    let (store, peer) = (world.store(), world.peer().await?);
    let batches = [
        one(create("t")).with(enqueue("a", "t")),
        one(claim(1, 1)),
        one(begin("k", 1)),
        one(append(1, "t")),
        one(renew(&guard("a", 1), TERM * 2)),
        one(verify(1, Verdict::Failed, "gone")),
        one(append(2, "t")),
        one(settle(&guard("a", 1), Settle::Released)),
        one(succeed("k", 1, "output")),
        one(claim(2, 1)),
        one(append(3, "t")),
        one(settle(&guard("a", 2), Settle::Succeeded)),
        one(finish("t", TaskEnd::Succeeded)),
    ];
    for batch in &batches {
        world.note(batch);
    }
    // Both read everything between any two commits, so that whatever they keep in memory is old.
    for (turn, batch) in batches.iter().enumerate() {
        let writer = if turn % 2 == 0 { &store } else { &peer };
        let before = (world.look().await?, world.look_through(&*peer).await?);
        before.0.check_same(&before.1, "two handles read differently")?;
        let answer = writer.commit(batch.clone()).await?;
        check_matches!(answer, Committed::Applied(applied) if !applied.is_replayed(), "the answer to {}", Described(batch));
        let after = (world.look().await?, world.look_through(&*peer).await?);
        after.0.check_same(&after.1, "a handle does not see what the other was told")?;
        check_eq!(
            before.0.difference(&after.0).is_some(),
            true,
            "whether {} is to be seen",
            Described(batch)
        );
    }
    Ok(())
}

pub(super) async fn a_peer_recognises_what_the_other_has_applied(mut world: World<'_>) -> Outcome {
    let peer = world.peer().await?;
    let batch = one(create("t")).with(append(1, "t")).with(begin("k", 1));
    let first = world.applied(&batch).await?;
    let again = peer.commit(batch).await?.into_applied()?;
    check_eq!(
        (again.is_replayed(), again.outcomes()),
        (true, first.outcomes()),
        "the answer of the other handle"
    );
    Ok(())
}

pub(super) async fn ids_made_early_and_appended_late_are_known_to_every_handle(
    mut world: World<'_>,
) -> Outcome {
    let peer = world.peer().await?;
    world.apply(create("t")).await?;
    // Each handle has seen the larger ids before the smaller one comes, through the other handle.
    world.apply(append(90, "t")).await?;
    peer.append_checkpoint(append(95, "t")).await?;
    for (number, through_peer) in [(50, true), (40, false), (96, true), (30, true), (97, false)] {
        let batch = one(append(number, "t"));
        world.note(&batch);
        let (store, own) = (world.store(), world.store());
        let (writer, other) = if through_peer { (&peer, &store) } else { (&store, &peer) };
        let first = writer.commit(batch.clone()).await?.into_applied()?;
        for handle in [other, &own, &peer] {
            let again = handle.commit(batch.clone()).await?.into_applied()?;
            let told = (again.is_replayed(), again.outcomes());
            check_eq!(told, (true, first.outcomes()), "append {number}, submitted again on some handle");
        }
        let differing = AppendCheckpoint { payload: sealed("other"), ..append(number, "t") };
        let refused = other.append_checkpoint(differing).await;
        let reason = refused.as_ref().err().and_then(|error| error.reason());
        check_matches!(
            reason,
            Some(Reason::CheckpointExists { .. }),
            "another checkpoint of id {number} on the other handle"
        );
    }
    drop(peer);
    world.reopen().await?;
    world.replayed(&one(append(30, "t"))).await?;
    check_eq!(world.chain("t").await?.len(), 7, "the checkpoints of both handles");
    Ok(())
}

pub(super) async fn a_fence_given_out_by_one_handle_counts_on_the_other(mut world: World<'_>) -> Outcome {
    let peer = world.peer().await?;
    world.queue("t", &["a"]).await?;
    let old = world.claim_one(1).await?.guard();
    peer.renew(renew(&old, TERM * 2)).await?;
    world.advance(TERM * 2);
    let reclaimed = peer.sweep_expired(sweep(2, 1)).await?.reclaimed;
    check_eq!(reclaimed.len(), 1, "what the other handle reclaims");
    let stale = Reason::StaleFence { item: old.item.clone(), shown: Fence(1), current: Fence(2) };
    check_eq!(world.reason(renew(&old, TERM)).await?, stale, "a heartbeat on the first handle");
    let new = peer.claim(claim(3, 1)).await?.items;
    let fences: Vec<_> = new.iter().map(|item| item.fence).collect();
    check_eq!(fences, [Fence(3)], "the fence that the other handle gives out");
    let late = peer.settle(settle(&old, Settle::Succeeded)).await;
    let reason = late.as_ref().err().and_then(|error| error.reason());
    check_matches!(reason, Some(Reason::StaleFence { .. }), "a late settlement on the other handle");
    Ok(())
}

pub(super) async fn two_handles_append_to_one_chain_in_turns(mut world: World<'_>) -> Outcome {
    let peer = world.peer().await?;
    world.apply(create("t")).await?;
    for head in 0..10 {
        let on = AppendCheckpoint { expected_head: Some(SequenceNumber(head)), ..append(head + 1, "t") };
        let late = AppendCheckpoint { expected_head: Some(SequenceNumber(head)), ..append(100 + head, "t") };
        let (first, second) = (world.store(), peer.clone());
        let (first, second) = if head % 3 == 0 { (second, first) } else { (first, second) };
        let appended = first.append_checkpoint(on).await?;
        check_eq!(appended.sequence, SequenceNumber(head + 1), "the place of an append in turn");
        let refused = second.append_checkpoint(late).await;
        let reason = refused.as_ref().err().and_then(|error| error.reason().cloned());
        let expected = SequenceNumber(head);
        check_matches!(reason, Some(Reason::WrongParent { head, .. }) if *head == expected.next(), "an append on the head before");
    }
    let chain = world.chain("t").await?;
    check_eq!(chain.len(), 10, "the checkpoints of both handles");
    world
        .look_through(&*peer)
        .await?
        .check_same(&world.look().await?, "two handles read one chain differently")
}

pub(super) async fn a_peer_that_closes_leaves_the_others_at_work(mut world: World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    for number in 1..=4 {
        let peer = world.peer().await?;
        peer.append_checkpoint(append(number, "t")).await?;
        drop(peer);
        world.apply(append(100 + number, "t")).await?;
    }
    check_eq!(world.chain("t").await?.len(), 8, "the checkpoints of all handles");
    Ok(())
}
