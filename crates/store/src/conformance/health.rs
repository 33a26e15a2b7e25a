//! Cases about the health report: what it counts is what is there.

use crate::batch::Batch;
use crate::command::{OperationEnd, Settle, TaskEnd};
use crate::conformance::commands::{
    ALMOST_TERM, BatchExt, TERM, append, begin, begin_once, claim, create, doubt, end, enqueue, finish,
    guard, ms, one, payload, settle, succeed, sweep,
};
use crate::conformance::failure::{Outcome, check_eq};
use crate::conformance::world::World;
use crate::record::{Health, OperationStatus, Status};

/// No order is promised for the counts.
async fn health(world: &World<'_>) -> Outcome<Health> {
    let mut health = world.store().health().await?;
    health.work_items.sort_unstable();
    health.tasks.sort_unstable();
    health.operations.sort_unstable();
    Ok(health)
}

pub(super) async fn an_empty_store_counts_nothing(world: World<'_>) -> Outcome {
    let found = health(&world).await?;
    let expected =
        Health { store_time: found.store_time, wall_time: world.env().clock().wall(), ..Health::default() };
    check_eq!(found, expected, "the health of an empty store");
    check_eq!(found.clock_distance_ms(), 0, "how far its wall clock was stepped");
    Ok(())
}

pub(super) async fn health_counts_what_is_there(mut world: World<'_>) -> Outcome {
    let begun = health(&world).await?.store_time;
    world.queue("cancelled", &["of a finished task"]).await?;
    world.apply(claim(1, 1)).await?;
    world.apply(finish("cancelled", TaskEnd::Cancelled)).await?;
    world.advance(TERM);
    check_eq!(health(&world).await?.expired_leases, 1, "the leases past their term before a sweep");
    world.apply(sweep(2, 10)).await?;

    let tasks =
        one(create("failed")).with(create("open")).with(create("also open")).with(create("succeeded"));
    world.applied(&tasks).await?;
    world.apply(finish("failed", TaskEnd::Failed)).await?;
    world.apply(finish("succeeded", TaskEnd::Succeeded)).await?;
    let items = ["a", "b", "c", "d", "e"]
        .iter()
        .fold(Batch::durable(), |batch, item| batch.with(enqueue(item, "open")));
    world.applied(&items).await?;
    world.apply(claim(3, 4)).await?;
    world
        .applied(&one(settle(&guard("a", 1), Settle::Succeeded)).with(settle(&guard("b", 1), Settle::Failed)))
        .await?;
    for number in 1..=7 {
        world.apply(append(number, "open")).await?;
    }
    for (number, key) in (1..).zip(["pending", "succeeded", "failed", "doubtful"]) {
        world.apply(if key == "doubtful" { begin_once(key, number) } else { begin(key, number) }).await?;
    }
    world.apply(succeed("succeeded", 2, "output")).await?;
    world.apply(end("failed", 3, OperationEnd::Failed(payload("error")))).await?;
    world.advance(ALMOST_TERM);
    check_eq!(health(&world).await?.expired_leases, 0, "the leases past their term a millisecond before");
    world.advance(ms(1));
    world.apply(doubt("doubtful", 4)).await?;
    world.clock().step_wall(-90_000);

    let found = health(&world).await?;
    let expected = Health {
        store_time: begun.plus(TERM * 2),
        wall_time: world.env().clock().wall(),
        work_items: vec![
            (Status::Pending, 1),
            (Status::InProgress, 2),
            (Status::Succeeded, 1),
            (Status::Failed, 1),
            (Status::Cancelled, 1),
        ],
        expired_leases: 2,
        tasks: vec![
            (Status::Pending, 2),
            (Status::Succeeded, 1),
            (Status::Failed, 1),
            (Status::Cancelled, 1),
        ],
        operations: vec![
            (OperationStatus::Pending, 1),
            (OperationStatus::Succeeded, 1),
            (OperationStatus::Failed, 1),
            (OperationStatus::InDoubt, 1),
        ],
        checkpoints: 7,
    };
    check_eq!(found, expected, "the health of a store with something of everything");
    check_eq!(found.clock_distance_ms(), -90_000, "how far the wall clock was stepped");
    world.reopen().await?;
    check_eq!(health(&world).await?, expected, "the same after reopening");
    Ok(())
}

pub(super) async fn a_store_runs_in_the_environment_it_was_given(world: World<'_>) -> Outcome {
    for store in [world.store(), world.peer().await?] {
        let before = store.health().await?;
        world.advance(ms(12_345));
        let (shown, given) = (store.env().clock(), world.env().clock());
        let readings = (shown.monotonic(), shown.boot(), shown.wall());
        check_eq!(
            readings,
            (given.monotonic(), given.boot(), given.wall()),
            "the clocks that the store shows"
        );
        let after = store.health().await?;
        check_eq!(
            after.store_time,
            before.store_time.plus(ms(12_345)),
            "the store's time, after the clock was moved"
        );
        check_eq!(after.wall_time, given.wall(), "the wall time that the store reads");
    }
    Ok(())
}
