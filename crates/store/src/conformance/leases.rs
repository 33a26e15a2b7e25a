//! Cases about leases: the fence decides who may do anything, the term decides when it may be taken away.

use crate::batch::Batch;
use crate::command::{BeginOperation, Settle, TaskEnd};
use crate::conformance::commands::{
    ALMOST_TERM, BatchExt, TERM, append, begin, claim, create, enqueue, finish, guard, ms, named, one, renew,
    settle, succeed, sweep,
};
use crate::conformance::failure::{Failure, Outcome, check, check_eq, check_matches};
use crate::conformance::world::World;
use crate::outcome::{Reason, Rejection};
use crate::record::{Fence, Guard, Status, WorkItem};
use crate::time::Delay;

fn stale(shown: u64, current: u64) -> Reason {
    Reason::StaleFence { item: named("a"), shown: Fence(shown), current: Fence(current) }
}

pub(super) async fn a_stale_fence_is_rejected_with_every_effect_it_guards(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    let old = world.claim_one(1).await?.guard();
    world.apply_guarded(&old, begin("k", 1)).await?;
    world.lose_leases(2).await?;
    check_stale(&mut world, &old, 2).await?;
    let new = world.claim_one(3).await?.guard();
    check_stale(&mut world, &old, 3).await?;
    world.apply_guarded(&new, append(9, "t")).await?;
    Ok(())
}

/// Whatever is done under the guard of an item whose fence has grown to `current` is rejected, and leaves nothing.
async fn check_stale(world: &mut World<'_>, old: &Guard, current: u64) -> Outcome {
    let stale = stale(old.fence.0, current);
    check_eq!(world.reason(renew(old, TERM)).await?, stale, "a renewal under a stale fence");
    for how in [Settle::Succeeded, Settle::Failed, Settle::Released, Settle::Retry(Delay::ZERO)] {
        check_eq!(world.reason(settle(old, how)).await?, stale, "a settlement under a stale fence");
    }
    let intent = BeginOperation { lease: Some(old.clone()), ..begin("third", 3) };
    check_eq!(world.reason(intent).await?, stale, "an intent under a stale lease, without a guard");
    let guarded = [
        Batch::durable().with_guarded(old, append(1, "t")),
        Batch::durable().with_guarded(old, create("u")),
        Batch::durable().with_guarded(old, enqueue("b", "t")),
        Batch::durable().with_guarded(old, finish("t", TaskEnd::Succeeded)),
        Batch::durable().with_guarded(old, claim(77, 1)),
        Batch::durable().with_guarded(old, sweep(78, 1)),
        Batch::durable().with_guarded(old, begin("other", 2)),
        Batch::durable().with_guarded(old, succeed("k", 1, "late")),
    ];
    for batch in &guarded {
        let rejection = world.rejected(batch).await?;
        check_eq!(rejection, Rejection { index: 0, reason: stale.clone() }, "a command under a stale fence");
    }
    let last = Batch::durable().with(create("u")).with(append(1, "t")).with_guarded(old, append(2, "t"));
    let rejection = world.rejected(&last).await?;
    check_eq!(
        rejection,
        Rejection { index: 2, reason: stale },
        "a batch whose last command is under a stale fence"
    );
    Ok(())
}

pub(super) async fn a_guard_without_its_lease_is_rejected(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    let missing = Reason::NoSuchWorkItem { item: named("nothing") };
    check_reason(&mut world, &guard("nothing", 1), &missing).await?;
    let pending = Reason::NotLeased { item: named("a"), fence: Fence(0), status: Status::Pending };
    check_reason(&mut world, &guard("a", 0), &pending).await?;
    check_reason(&mut world, &guard("a", 1), &stale(1, 0)).await?;
    world.claim_one(1).await?;
    check_reason(&mut world, &guard("a", 0), &stale(0, 1)).await?;
    check_reason(&mut world, &guard("a", 2), &stale(2, 1)).await?;
    check_reason(&mut world, &guard("a", u64::from(u32::MAX)), &stale(u64::from(u32::MAX), 1)).await
}

/// A renewal, a settlement and a guarded command are all rejected for this reason.
async fn check_reason(world: &mut World<'_>, shown: &Guard, expected: &Reason) -> Outcome {
    check_eq!(&world.reason(renew(shown, TERM)).await?, expected, "a renewal under {shown:?}");
    check_eq!(
        &world.reason(settle(shown, Settle::Succeeded)).await?,
        expected,
        "a settlement under {shown:?}"
    );
    let rejection = world.rejected(&Batch::durable().with_guarded(shown, append(1, "t"))).await?;
    check_eq!(&rejection.reason, expected, "an append under {shown:?}");
    Ok(())
}

pub(super) async fn every_claim_and_every_reclaim_grows_the_fence(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    let claimed = world.claim_one(1).await?.fence;
    check_eq!(claimed, Fence(1), "the fence of the first claim");
    let reclaimed = world.lose_leases(2).await?;
    let told: Vec<_> = reclaimed.iter().map(|reclaimed| reclaimed.stale).collect();
    check_eq!(told, [Fence(1)], "the stale fence that the sweep tells");
    check_eq!(world.item("a").await?.fence, Fence(2), "the fence after the reclaim");
    let again = world.claim_one(3).await?;
    check_eq!(again.fence, Fence(3), "the fence of the second claim");
    // A settlement ends the lease; the fence stays, and the next claim grows it.
    world.apply(settle(&again.guard(), Settle::Released)).await?;
    check_eq!(world.item("a").await?.fence, Fence(3), "the fence after a settlement");
    check_eq!(world.claim_one(4).await?.fence, Fence(4), "the fence of the third claim");
    Ok(())
}

pub(super) async fn a_heartbeat_never_revives_a_reclaimed_lease(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    let held = world.claim_one(1).await?.guard();
    world.lose_leases(2).await?;
    check_eq!(world.reason(renew(&held, TERM)).await?, stale(1, 2), "a heartbeat after the reclaim");
    // Not even under the fence that the reclaim gave the item: nobody holds that.
    let pending = Reason::NotLeased { item: named("a"), fence: Fence(2), status: Status::Pending };
    check_eq!(
        world.reason(renew(&guard("a", 2), TERM)).await?,
        pending,
        "a heartbeat under the sweep's fence"
    );
    let item = world.item("a").await?;
    check_eq!((item.status, item.lease), (Status::Pending, None), "the item after the late heartbeats");
    Ok(())
}

pub(super) async fn a_lease_is_reclaimed_at_its_term_and_not_a_millisecond_before(
    mut world: World<'_>,
) -> Outcome {
    world.queue("t", &["a"]).await?;
    let held = world.claim_one(1).await?.guard();
    world.advance(ALMOST_TERM);
    let swept = world.apply(sweep(2, 10)).await?;
    check_eq!(swept.reclaimed, [], "what a sweep finds a millisecond before the term ends");
    world.apply_guarded(&held, append(1, "t")).await?;
    world.advance(ms(1));
    let swept = world.apply(sweep(3, 10)).await?;
    check_eq!(swept.reclaimed.len(), 1, "the leases that a sweep finds at the end of the term");
    check_eq!(world.reason(renew(&held, TERM)).await?, stale(1, 2), "a heartbeat after that");
    Ok(())
}

pub(super) async fn a_lease_past_its_term_holds_until_it_is_reclaimed(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a", "b"]).await?;
    let (held, other) = (world.claim_one(1).await?.guard(), world.claim_one(2).await?.guard());
    world.advance(TERM * 3);
    world.apply_guarded(&held, append(1, "t")).await?;
    world.apply(settle(&other, Settle::Succeeded)).await?;
    world.apply(renew(&held, TERM)).await?;
    let swept = world.apply(sweep(3, 10)).await?;
    check_eq!(swept.reclaimed, [], "what a sweep finds after one was renewed and the other settled");
    world.apply_guarded(&held, append(2, "t")).await?;
    Ok(())
}

pub(super) async fn a_renewal_moves_the_deadline_and_never_shortens_it(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    let held = world.claim_one(1).await?.guard();
    let begun = world.store().health().await?.store_time;
    world.advance(ms(10_000));
    let renewed = world.apply(renew(&held, TERM)).await?.expires_at;
    check_eq!(renewed, begun.plus(ms(10_000)).plus(TERM), "the deadline one term from now");
    let shorter = world.apply(renew(&held, ms(20))).await?.expires_at;
    check_eq!(shorter, renewed, "the deadline after a renewal by a shorter term");
    let item = world.item("a").await?;
    let lease = item.lease.as_ref().map(|lease| (lease.acquired_at, lease.expires_at));
    check_eq!(lease, Some((begun, renewed)), "begin and end of the lease as read");
    check_eq!((item.fence, item.attempt), (Fence(1), 1), "fence and attempt after renewals");
    world.advance(ALMOST_TERM);
    check_eq!(
        world.apply(sweep(2, 10)).await?.reclaimed,
        [],
        "what a sweep finds before the renewed term ends"
    );
    world.advance(ms(1));
    check_eq!(world.apply(sweep(3, 10)).await?.reclaimed.len(), 1, "the leases found when it has ended");
    Ok(())
}

pub(super) async fn a_step_of_the_wall_clock_moves_no_lease(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    let held = world.claim_one(1).await?.guard();
    let before = world.store().health().await?;
    world.clock().step_wall(7 * 86_400_000);
    check_eq!(
        world.apply(sweep(2, 10)).await?.reclaimed,
        [],
        "what a sweep finds after a week's step forwards"
    );
    world.clock().step_wall(-14 * 86_400_000);
    world.apply(renew(&held, TERM)).await?;
    let after = world.store().health().await?;
    check_eq!(after.store_time, before.store_time, "the store's time after the steps");
    check_eq!(
        after.clock_distance_ms() - before.clock_distance_ms(),
        -7 * 86_400_000,
        "how far the wall clock was stepped"
    );
    world.advance(TERM);
    check_eq!(
        world.apply(sweep(3, 10)).await?.reclaimed.len(),
        1,
        "the leases found after the term, by the store's clock"
    );
    Ok(())
}

pub(super) async fn a_settled_lease_is_over(mut world: World<'_>) -> Outcome {
    let settlements = [
        ("succeeded", Settle::Succeeded, Status::Succeeded),
        ("failed", Settle::Failed, Status::Failed),
        ("released", Settle::Released, Status::Pending),
        ("retried", Settle::Retry(Delay::ZERO), Status::Pending),
    ];
    for (number, (name, how, status)) in (1_u64..).zip(settlements) {
        let item = format!("{name} item");
        world.queue(name, &[&item]).await?;
        let claimed = world.apply(claim(number, 1_000)).await?;
        let held = claimed.items.iter().find(|found| found.id.as_str() == item).map(WorkItem::guard);
        let held = held.ok_or_else(|| Failure::new(format_args!("{item} was not claimed")))?;
        check_eq!(world.apply(settle(&held, how)).await?.status, status, "the answer to settling as {name}");
        let read = world.item(&item).await?;
        check_eq!((read.status, read.lease.is_some()), (status, false), "the item settled as {name}");
        let over = Reason::NotLeased { item: held.item.clone(), fence: held.fence, status };
        check_eq!(world.reason(renew(&held, TERM)).await?, over, "a renewal after settling as {name}");
        let guarded = Batch::durable().with_guarded(&held, append(number, name));
        check_eq!(world.rejected(&guarded).await?.reason, over, "an append after settling as {name}");
        world.advance(TERM * 2);
        let swept = world.apply(sweep(100 + number, 1_000)).await?;
        check!(
            swept.reclaimed.iter().all(|found| found.item != held.item),
            "a sweep reclaimed {item}, settled as {name}"
        );
    }
    Ok(())
}

pub(super) async fn a_guard_ends_with_the_settlement_in_its_own_batch(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    let held = world.claim_one(1).await?.guard();
    let late = Batch::durable()
        .with_guarded(&held, append(1, "t"))
        .with_guarded(&held, settle(&held, Settle::Succeeded))
        .with_guarded(&held, append(2, "t"));
    let rejection = world.rejected(&late).await?;
    check_eq!(rejection.index, 2, "the command that the batch is rejected for");
    check_matches!(rejection.reason, Reason::NotLeased { status: Status::Succeeded, .. }, "why");
    world.applied(&one(settle(&held, Settle::Succeeded))).await?;
    Ok(())
}
