//! Cases about attempts: which claims count, and how an item becomes a dead letter.

use crate::command::{Enqueue, Settle};
use crate::conformance::commands::{claim, create, delay, enqueue, ms, settle};
use crate::conformance::failure::{Outcome, check_eq};
use crate::conformance::world::World;
use crate::outcome::Settled;
use crate::record::{Fence, Settlement, Status};
use crate::time::Delay;

/// A task with an item `a` that may be claimed twice.
async fn two_attempts(world: &mut World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    world.apply(Enqueue { max_attempts: 2, ..enqueue("a", "t") }).await?;
    Ok(())
}

async fn check_no_claim(world: &mut World<'_>, number: u64, when: &str) -> Outcome {
    check_eq!(world.apply(claim(number, 10)).await?.items, [], "what a claim takes {when}");
    Ok(())
}

pub(super) async fn a_retried_item_waits_and_is_a_dead_letter_when_its_attempts_are_used_up(
    mut world: World<'_>,
) -> Outcome {
    two_attempts(&mut world).await?;
    let first = world.claim_one(1).await?;
    world.advance(ms(40));
    let now = world.store().health().await?.store_time;
    let settled = world.apply(settle(&first.guard(), Settle::Retry(delay(ms(500))))).await?;
    let expected = Settled { status: Status::Pending, available_at: now.plus(ms(500)) };
    check_eq!(settled, expected, "the answer to the first retry");
    let item = world.item("a").await?;
    check_eq!((item.status, item.available_at), (Status::Pending, now.plus(ms(500))), "the item after it");
    check_eq!(item.settled, Some((Fence(1), Settlement::Retried)), "its last settlement");

    world.advance(ms(499));
    check_no_claim(&mut world, 2, "a millisecond before the delay is over").await?;
    world.advance(ms(1));
    let second = world.claim_one(3).await?;
    check_eq!(second.attempt, 2, "the attempt after a retry");
    let settled = world.apply(settle(&second.guard(), Settle::Retry(Delay::ZERO))).await?;
    check_eq!(settled.status, Status::Failed, "the answer to a retry without attempts left");
    check_eq!(world.item("a").await?.status, Status::Failed, "the item without attempts left");
    world.advance(ms(86_400_000));
    check_no_claim(&mut world, 4, "of a dead letter").await
}

pub(super) async fn a_released_item_does_not_count_the_attempt(mut world: World<'_>) -> Outcome {
    two_attempts(&mut world).await?;
    for round in 1..=5 {
        let claimed = world.claim_one(round).await?;
        check_eq!((claimed.attempt, claimed.fence), (1, Fence(round)), "attempt and fence of claim {round}");
        let settled = world.apply(settle(&claimed.guard(), Settle::Released)).await?;
        check_eq!(settled.status, Status::Pending, "the answer to release {round}");
        check_eq!(world.item("a").await?.attempt, 0, "the attempts counted after release {round}");
    }
    Ok(())
}

pub(super) async fn a_reclaimed_item_is_a_dead_letter_when_its_attempts_are_used_up(
    mut world: World<'_>,
) -> Outcome {
    two_attempts(&mut world).await?;
    world.claim_one(1).await?;
    let reclaimed = world.lose_leases(2).await?;
    let told: Vec<_> = reclaimed.iter().map(|reclaimed| reclaimed.status).collect();
    check_eq!(told, [Status::Pending], "where the first sweep leaves the item");
    let item = world.item("a").await?;
    check_eq!((item.attempt, item.lease), (1, None), "attempt and lease after the first sweep");
    let now = world.store().health().await?.store_time;
    check_eq!(item.available_at, now, "when it may be claimed again");

    check_eq!(world.claim_one(3).await?.attempt, 2, "the attempt after a reclaim");
    let reclaimed = world.lose_leases(4).await?;
    let told: Vec<_> = reclaimed.iter().map(|reclaimed| reclaimed.status).collect();
    check_eq!(told, [Status::Failed], "where the second sweep leaves the item");
    check_eq!(world.item("a").await?.status, Status::Failed, "the item without attempts left");
    check_no_claim(&mut world, 5, "of a dead letter").await?;
    let last = world.chain("t").await?.len();
    check_eq!(last, 2, "the checkpoints that the two sweeps left");
    Ok(())
}

pub(super) async fn an_item_given_up_is_a_dead_letter_whatever_attempts_are_left(
    mut world: World<'_>,
) -> Outcome {
    two_attempts(&mut world).await?;
    let held = world.claim_one(1).await?.guard();
    check_eq!(
        world.apply(settle(&held, Settle::Failed)).await?.status,
        Status::Failed,
        "the answer to giving up"
    );
    let item = world.item("a").await?;
    check_eq!((item.status, item.attempt), (Status::Failed, 1), "the item given up");
    check_eq!(item.settled, Some((Fence(1), Settlement::Failed)), "its last settlement");
    check_no_claim(&mut world, 2, "of a dead letter").await
}
