//! Cases about work items in the queue: enqueued once, claimed in order, when their time has come.

use crate::command::{Claim, Enqueue, Requeue, Settle, SettleItem, TaskEnd};
use crate::conformance::commands::{
    BatchExt, TERM, cancel, claim, create, delay, enqueue, finish, ms, named, one, requeue, settle, term,
    transition,
};
use crate::conformance::failure::{Outcome, check, check_eq};
use crate::conformance::world::World;
use crate::error::StoreError;
use crate::limits::DETAIL_BYTES_MAX;
use crate::outcome::{Reason, Requeued};
use crate::record::{Fence, LeaseRecord, Status, WorkItem};

/// The names of the items that a claim takes, in the order of its answer.
async fn claimed(world: &mut World<'_>, number: u64, limit: u32) -> Outcome<Vec<String>> {
    let claimed = world.apply(claim(number, limit)).await?;
    Ok(claimed.items.iter().map(|item| item.id.to_string()).collect())
}

pub(super) async fn an_enqueued_item_is_read_back_whole(mut world: World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    let command = Enqueue { priority: -7, delay: delay(ms(1_500)), max_attempts: 9, ..enqueue("a", "t") };
    world.apply(command).await?;
    let now = world.store().health().await?;
    let expected = WorkItem {
        id: named("a"),
        task: named("t"),
        kind: named("step"),
        status: Status::Pending,
        priority: -7,
        available_at: now.store_time.plus(ms(1_500)),
        fence: Fence(0),
        attempt: 0,
        max_attempts: 9,
        lease: None,
        transition: None,
        settled: None,
        detail: String::new(),
        created_at: now.wall_time,
    };
    check_eq!(world.item("a").await?, expected, "the item as enqueued");
    check_eq!(world.store().work_item(&named("other")).await?, None, "an item that was never enqueued");
    Ok(())
}

pub(super) async fn an_item_id_means_one_task_kind_priority_and_number_of_attempts(
    mut world: World<'_>,
) -> Outcome {
    world.queue("t", &["a"]).await?;
    world.apply(create("u")).await?;
    let exists = Reason::WorkItemExists { item: named("a") };
    let others = [
        Enqueue { task: named("u"), ..enqueue("a", "t") },
        Enqueue { kind: named("other"), ..enqueue("a", "t") },
        Enqueue { priority: 1, ..enqueue("a", "t") },
        Enqueue { max_attempts: 4, ..enqueue("a", "t") },
    ];
    for other in others {
        check_eq!(world.reason(other.clone()).await?, exists, "enqueueing a as {other:?}");
    }
    world.replayed(&one(enqueue("a", "t"))).await?;
    world.replayed(&one(Enqueue { delay: delay(ms(5)), ..enqueue("a", "t") })).await?;
    world.claim_one(1).await?;
    world.replayed(&one(enqueue("a", "t"))).await?;
    Ok(())
}

pub(super) async fn items_are_claimed_by_priority_then_time_then_id(mut world: World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    // Enqueued in an order that none of the three would give.
    let queue = [
        ("é", 0, 0),
        ("b", 0, 0),
        ("lowest", i32::MIN, 0),
        ("later", 0, 20),
        ("B", 0, 0),
        ("below", -1, 0),
        ("sooner", 0, 10),
        ("highest", i32::MAX, 30),
        ("a", 0, 0),
        ("a2", 0, 0),
        ("above", 1, 40),
        ("\u{10000}", 0, 0),
        ("\u{ffff}", 0, 0),
    ];
    for (item, priority, wait) in queue {
        world.apply(Enqueue { priority, delay: delay(ms(wait)), ..enqueue(item, "t") }).await?;
    }
    world.advance(ms(100));
    let order = [
        "highest",
        "above",
        "B",
        "a",
        "a2",
        "b",
        "é",
        "\u{ffff}",
        "\u{10000}",
        "sooner",
        "later",
        "below",
        "lowest",
    ];
    check_eq!(claimed(&mut world, 1, 5).await?, order[..5], "the first five (ids go by their bytes)");
    check_eq!(claimed(&mut world, 2, 100).await?, order[5..], "the others");
    Ok(())
}

pub(super) async fn a_delayed_item_is_claimed_when_its_time_has_come_and_not_before(
    mut world: World<'_>,
) -> Outcome {
    world.apply(create("t")).await?;
    world.apply(Enqueue { delay: delay(ms(1_000)), priority: 9, ..enqueue("later", "t") }).await?;
    world.apply(enqueue("now", "t")).await?;
    check_eq!(claimed(&mut world, 1, 10).await?, ["now"], "what is available at first");
    world.advance(ms(999));
    check_eq!(claimed(&mut world, 2, 10).await?, [""; 0], "a millisecond before the delay is over");
    world.advance(ms(1));
    check_eq!(claimed(&mut world, 3, 10).await?, ["later"], "when the delay is over");
    Ok(())
}

pub(super) async fn a_claim_takes_no_more_than_its_limit(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a", "b", "c", "d", "e"]).await?;
    check_eq!(claimed(&mut world, 1, 2).await?, ["a", "b"], "a claim of two");
    check_eq!(claimed(&mut world, 2, 1).await?, ["c"], "a claim of one");
    check_eq!(claimed(&mut world, 3, 1_000).await?, ["d", "e"], "a claim of more than there are");
    Ok(())
}

pub(super) async fn a_claim_that_takes_nothing_is_applied_and_leaves_no_trace(
    mut world: World<'_>,
) -> Outcome {
    world.apply(create("t")).await?;
    let before = world.look().await?;
    check_eq!(claimed(&mut world, 1, 5).await?, [""; 0], "a claim from an empty queue");
    before.check_same(&world.look().await?, "a claim that took nothing changed the store")?;
    world.apply(enqueue("a", "t")).await?;
    check_eq!(claimed(&mut world, 1, 5).await?, ["a"], "the same claim, once there is an item");
    Ok(())
}

pub(super) async fn a_claimed_item_shows_its_lease_and_counts_the_attempt(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    world.advance(ms(250));
    let before = world.item("a").await?;
    let now = world.store().health().await?.store_time;
    let command = Claim {
        claim: transition(7),
        holder: named("someone"),
        term: term(ms(1_234)),
        limit: 1,
        kinds: Vec::new(),
        task: None,
    };
    let claimed = world.apply(command).await?;
    let expected = WorkItem {
        status: Status::InProgress,
        fence: Fence(1),
        attempt: 1,
        lease: Some(LeaseRecord {
            holder: named("someone"),
            acquired_at: now,
            expires_at: now.plus(ms(1_234)),
        }),
        transition: Some(transition(7)),
        ..before
    };
    check_eq!(claimed.items, std::slice::from_ref(&expected), "the item as the claim answers it");
    check_eq!(world.item("a").await?, expected, "the item as it is read");
    Ok(())
}

pub(super) async fn a_claimed_item_is_not_claimed_again(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    check_eq!(claimed(&mut world, 1, 1).await?, ["a"], "the first claim");
    check_eq!(claimed(&mut world, 2, 1).await?, [""; 0], "the second claim");
    // Past its term it is still held: only a sweep takes it away.
    world.advance(TERM * 2);
    check_eq!(claimed(&mut world, 3, 1).await?, [""; 0], "a claim after the term, before any sweep");
    check!(world.item("a").await?.fence == Fence(1), "a claim that took nothing moved the fence");
    Ok(())
}

pub(super) async fn a_claim_takes_only_the_kinds_and_the_task_it_asks_for(mut world: World<'_>) -> Outcome {
    world.applied(&one(create("t")).with(create("u"))).await?;
    // Priorities against the alphabet, and items of other kinds and times in between.
    for (item, task, kind, priority) in [
        ("a", "t", "mail", 0),
        ("b", "u", "mail", 2),
        ("c", "t", "search", 1),
        ("d", "u", "search", 3),
        ("e", "t", "step", 9),
        ("f", "u", "mail", 1),
    ] {
        world.apply(Enqueue { kind: named(kind), priority, ..enqueue(item, task) }).await?;
    }
    let later = Enqueue { kind: named("mail"), priority: 5, delay: delay(ms(100)), ..enqueue("z", "t") };
    world.apply(later).await?;
    let of = |number, limit, kinds: &[&str], task: Option<&str>| Claim {
        kinds: kinds.iter().map(|kind| named(kind)).collect(),
        task: task.map(named),
        ..claim(number, limit)
    };
    for (command, expected) in [
        (of(1, 10, &["nothing"], None), vec![]),
        (of(2, 10, &["mail"], Some("t")), vec!["a"]),
        (of(3, 2, &["mail", "search", "mail"], None), vec!["d", "b"]),
        (of(4, 1, &[], Some("t")), vec!["e"]),
        (of(5, 10, &["search", "mail"], None), vec!["c", "f"]),
        (of(6, 10, &["mail"], None), vec![]),
    ] {
        let claimed = world.apply(command.clone()).await?;
        let taken: Vec<_> = claimed.items.iter().map(|item| item.id.as_str().to_owned()).collect();
        check_eq!(taken, expected, "what {command:?} takes");
    }
    world.advance(ms(100));
    check_eq!(world.apply(of(7, 10, &["mail"], None)).await?.items.len(), 1, "the delayed one, in its time");
    let many = of(8, 1, &["kind"; 33], None);
    let error = world.failed(&one(many)).await?;
    check!(matches!(error, StoreError::TooLarge { limit: 32, .. }), "33 kinds were answered {error:?}");
    Ok(())
}

pub(super) async fn a_cancelled_item_fences_its_holder_off(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a", "b"]).await?;
    let held = world.claim_one(1).await?.guard();
    world.applied(&one(cancel("a")).with(cancel("b"))).await?;
    for item in ["a", "b"] {
        check_eq!(world.item(item).await?.status, Status::Cancelled, "item {item}");
        check_eq!(world.item(item).await?.lease, None, "the lease of {item}");
    }
    let stale = Reason::StaleFence { item: named("a"), shown: held.fence, current: Fence(held.fence.0 + 1) };
    check_eq!(world.reason(settle(&held, Settle::Succeeded)).await?, stale, "the holder's settlement");
    world.replayed(&one(cancel("a"))).await?;
    check_eq!(world.apply(claim(2, 10)).await?.items, [], "what can be claimed");
    world.apply(enqueue("c", "t")).await?;
    let done = world.claim_one(3).await?.guard();
    world.apply(settle(&done, Settle::Succeeded)).await?;
    let ended = Reason::WorkItemEnded { item: named("c"), status: Status::Succeeded };
    check_eq!(world.reason(cancel("c")).await?, ended, "cancelling what has ended");
    check_eq!(
        world.reason(cancel("nothing")).await?,
        Reason::NoSuchWorkItem { item: named("nothing") },
        "cancelling what is not there"
    );
    Ok(())
}

pub(super) async fn a_dead_letter_is_requeued_with_all_its_attempts(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    let refused = Reason::NotRequeuable { item: named("a"), status: Status::Pending };
    check_eq!(world.reason(requeue(9, "a")).await?, refused, "requeueing what is available");
    let held = world.claim_one(1).await?.guard();
    world.apply(settle(&held, Settle::Failed)).await?;
    let command = Requeue { delay: delay(ms(50)), ..requeue(9, "a") };
    let requeued = world.apply(command.clone()).await?;
    let now = world.store().health().await?.store_time;
    check_eq!(requeued, Requeued { available_at: now.plus(ms(50)) }, "the answer");
    let item = world.item("a").await?;
    check_eq!((item.status, item.attempt, item.fence), (Status::Pending, 0, Fence(2)), "the item");
    world.replayed(&one(command)).await?;
    check_eq!(world.apply(claim(2, 10)).await?.items, [], "a claim before its time");
    world.advance(ms(50));
    let again = world.claim_one(3).await?;
    check_eq!((again.attempt, again.fence), (1, Fence(3)), "the next claim");
    check_eq!(
        world.reason(requeue(10, "nothing")).await?,
        Reason::NoSuchWorkItem { item: named("nothing") },
        "requeueing what is not there"
    );
    Ok(())
}

pub(super) async fn the_reason_of_a_settlement_is_kept_up_to_its_limit(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    for (number, (said, kept)) in (1..).zip([
        ("no answer".to_owned(), "no answer".to_owned()),
        ("x".repeat(DETAIL_BYTES_MAX), "x".repeat(DETAIL_BYTES_MAX)),
        ("x".repeat(DETAIL_BYTES_MAX + 1), "x".repeat(DETAIL_BYTES_MAX)),
        (format!("{}é", "x".repeat(DETAIL_BYTES_MAX - 1)), "x".repeat(DETAIL_BYTES_MAX - 1)),
        (String::new(), String::new()),
    ]) {
        let held = world.claim_one(number).await?.guard();
        world.apply(SettleItem { detail: said, ..settle(&held, Settle::Released) }).await?;
        check_eq!(world.item("a").await?.detail, kept, "the reason kept");
    }
    world.claim_one(20).await?;
    world.lose_leases(21).await?;
    let told = world.item("a").await?.detail;
    check!(told.contains("worker"), "a reclaim does not say whose lease it was: {told:?}");
    Ok(())
}

pub(super) async fn items_of_an_ended_task_are_called_off_and_never_claimed(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a", "b", "c"]).await?;
    world.queue("u", &["d", "e"]).await?;
    let held = world.claim_one(1).await?.guard();
    world.apply(finish("t", TaskEnd::Cancelled)).await?;
    let claimed = world.apply(claim(2, 2)).await?.items;
    check_eq!(claimed.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["d", "e"], "what is claimed");
    for item in ["b", "c"] {
        let item = world.item(item).await?;
        check_eq!(
            (item.status, item.fence.0, item.lease),
            (Status::Cancelled, 1, None),
            "an item of the ended task"
        );
    }
    // Its holder may hand it back; nobody gets it.
    world.apply(settle(&held, Settle::Released)).await?;
    check_eq!(world.apply(claim(3, 9)).await?.items, [], "a claim of what was handed back");
    check_eq!(world.item("a").await?.status, Status::Cancelled, "what was handed back");
    let ended = Reason::TaskEnded { task: named("t"), status: Status::Cancelled };
    check_eq!(world.reason(requeue(4, "b")).await?, ended, "requeueing an item of an ended task");
    Ok(())
}

pub(super) async fn a_claim_gets_past_any_number_of_items_of_ended_tasks(mut world: World<'_>) -> Outcome {
    let names: Vec<String> = (0..300).map(|number| format!("dead-{number:03}")).collect();
    for page in names.chunks(100) {
        let mut batch = one(create("t"));
        for name in page {
            batch.add(Enqueue { priority: 1, ..enqueue(name, "t") });
        }
        world.applied(&batch).await?;
    }
    world.queue("u", &["alive"]).await?;
    world.apply(finish("t", TaskEnd::Succeeded)).await?;
    let mut claims = 1;
    while world.apply(claim(claims, 1)).await?.items.is_empty() {
        claims += 1;
        check!(claims < 5, "the living item was not reached in {claims} claims");
    }
    check_eq!(world.item("alive").await?.status, Status::InProgress, "the living item");
    check_eq!(world.item("dead-299").await?.status, Status::Cancelled, "the last dead one");
    Ok(())
}
