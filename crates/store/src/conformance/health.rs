//! Cases about the health report: what it counts is what is there.

use crate::batch::Batch;
use crate::command::{AppendCheckpoint, Claim, OperationEnd, Settle, TaskEnd};
use crate::conformance::commands::{
    ALMOST_TERM, BatchExt, TERM, append, begin, begin_once, claim, create, doubt, end, enqueue, finish,
    guard, ms, named, one, payload, settle, succeed, sweep, term,
};
use crate::conformance::failure::{Outcome, check, check_eq};
use crate::conformance::world::World;
use crate::monitoring::{AgeCount, EntryCount, HolderLoad};
use crate::record::{Health, OperationStatus, Status, TaskPage, WorkItemPage};
use crate::time::WallTime;

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

pub(super) async fn pages_of_items_and_tasks_run_in_the_order_of_their_ids(mut world: World<'_>) -> Outcome {
    world.queue("u", &["d", "b"]).await?;
    world.queue("t", &["a", "c", "e"]).await?;
    let claimed = world.apply(claim(1, 2)).await?.items;
    for item in &claimed {
        world.apply(settle(&item.guard(), Settle::Failed)).await?;
    }
    let store = world.store();
    let items = async |task: Option<&str>, status, after: Option<&str>, limit| -> Outcome<String> {
        let page = WorkItemPage { task: task.map(named), status, after: after.map(named), limit };
        Ok(store.work_items(page).await?.iter().map(|item| item.id.to_string()).collect())
    };
    check_eq!(items(None, None, None, 3).await?, "abc", "the first page");
    check_eq!(items(None, None, Some("c"), 3).await?, "de", "the second");
    check_eq!(items(Some("t"), None, None, 9).await?, "ace", "those of a task");
    check_eq!(items(Some("u"), None, Some("b"), 9).await?, "d", "the second page of a task");
    check_eq!(items(None, Some(Status::Failed), None, 9).await?, "ab", "the dead letters");
    check_eq!(items(Some("t"), Some(Status::Failed), None, 9).await?, "a", "those of a task");
    check_eq!(items(None, Some(Status::Pending), Some("c"), 1).await?, "d", "those that are available");
    world.apply(finish("t", TaskEnd::Cancelled)).await?;
    let tasks = async |status, after: Option<&str>, limit| -> Outcome<String> {
        let page = TaskPage { status, after: after.map(named), limit };
        Ok(store.tasks(page).await?.iter().map(|task| task.id.to_string()).collect())
    };
    check_eq!(tasks(None, None, 9).await?, "tu", "all tasks");
    check_eq!(tasks(None, Some("t"), 9).await?, "u", "those after one");
    check_eq!(tasks(Some(Status::Cancelled), None, 9).await?, "t", "those that were called off");
    for limit in [0, 1_001] {
        check!(items(None, None, None, limit).await.is_err(), "a page of {limit} items");
        check!(tasks(None, None, limit).await.is_err(), "a page of {limit} tasks");
    }
    Ok(())
}

pub(super) async fn monitoring_answers_what_operators_ask(mut world: World<'_>) -> Outcome {
    const DAY_MS: u64 = 86_400_000;
    world.queue("t", &["a", "b"]).await?;
    world.apply(create("crowded")).await?;
    let started = world.env().clock().wall();
    for number in 1..=101 {
        world.apply(append(number, "crowded")).await?;
    }
    world.apply(AppendCheckpoint { kind: named("plan"), ..append(200, "t") }).await?;
    for (number, key) in (1..).zip(["llm-cache:a", "llm-cache:b", "tool-ledger:c", "other"]) {
        world.apply(begin(key, number)).await?;
    }
    world.apply(succeed("llm-cache:a", 1, "output")).await?;
    world.apply(end("llm-cache:b", 2, OperationEnd::Failed(payload("error")))).await?;
    world.advance(ms(2 * DAY_MS));
    world.apply(AppendCheckpoint { kind: named("plan"), ..append(201, "t") }).await?;
    world.apply(begin("tool-ledger:d", 5)).await?;
    world.apply(Claim { term: term(ms(30_000)), ..claim(1, 1) }).await?;
    world.apply(Claim { term: term(ms(90_000)), ..claim(2, 1) }).await?;

    let found = world.store().monitoring().await?;
    let midnight =
        |time: WallTime| WallTime::from_millis(time.as_millis() - time.as_millis().rem_euclid(86_400_000));
    let days = [(midnight(world.env().clock().wall()), 1), (midnight(started), 102)];
    check_eq!(found.checkpoints_by_day, days, "checkpoints by day, the newest first");
    let kinds: Vec<_> =
        found.checkpoint_kinds.iter().map(|kind| (kind.kind.as_str(), kind.checkpoints)).collect();
    check_eq!(kinds, [("plan", 2), ("step", 101)], "checkpoints by type");
    check!(
        found.checkpoint_kinds.iter().map(|kind| kind.average_sequence).eq([1.5, 51.0]),
        "their mean sequence numbers: {:?}",
        found.checkpoint_kinds
    );
    let load = HolderLoad { holder: named("worker"), leases: 2, average_span: ms(60_000) };
    check_eq!(found.holders, [load], "leases by holder");
    let answers = EntryCount { entries: 2, succeeded: 1, failed: 1, in_doubt: 0 };
    check_eq!(found.model_answers, answers, "cached answers");
    check_eq!(found.tool_calls, EntryCount { entries: 2, ..EntryCount::default() }, "tool calls");
    let ages = AgeCount { under_1_day: 1, under_7_days: 4, under_30_days: 0, older: 0 };
    check_eq!(found.operation_ages, ages, "operations by age");
    check_eq!(found.crowded_tasks, [(named("crowded"), 101)], "tasks with too many checkpoints");
    world.advance(ms(6 * DAY_MS));
    let found = world.store().monitoring().await?;
    check_eq!(found.checkpoints_by_day.len(), 1, "the days looked back");
    let ages = AgeCount { under_1_day: 0, under_7_days: 1, under_30_days: 4, older: 0 };
    check_eq!(found.operation_ages, ages, "operations by age, six days later");
    Ok(())
}
