//! Cases about the sweep: what it reclaims, in which order, and the checkpoint that tells of it.

use crate::batch::Batch;
use crate::command::{Settle, TaskEnd};
use crate::conformance::commands::{
    BatchExt, TERM, append, claim, create, enqueue, finish, ms, named, one, renew, settle, sweep, transition,
};
use crate::conformance::failure::{Failure, Outcome, check, check_eq};
use crate::conformance::world::World;
use crate::decide::error_boundary;
use crate::id::WorkItemId;
use crate::outcome::{self, Reclaimed};
use crate::record::{Fence, Status, WorkItem};

pub(super) async fn a_sweep_leaves_an_error_boundary_in_the_same_commit(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    world.apply(append(1, "t")).await?;
    world.claim_one(1).await?;
    let reclaimed = world.lose_leases(2).await?;
    let item = world.item("a").await?;
    let boundary = error_boundary(&item, transition(2), "worker").ok_or_else(|| {
        Failure::new(format_args!("a reclaimed item of a task under way stands as {}", item.status))
    })?;
    let told = Reclaimed {
        item: named("a"),
        task: named("t"),
        stale: Fence(1),
        status: Status::Pending,
        checkpoint: Some(boundary.id),
    };
    check_eq!(reclaimed, [told], "what the sweep tells");

    let chain = world.chain("t").await?;
    let last = chain.last().ok_or_else(|| Failure::new("the chain is empty after the sweep"))?;
    check_eq!(chain.len(), 2, "the length of the chain after the sweep");
    check_eq!(last.header.id, boundary.id, "the id of the boundary");
    check_eq!(last.header.kind.as_str(), "error_boundary", "the type of the boundary");
    check_eq!(last.header.work_item, Some(named("a")), "the item of the boundary");
    check_eq!(last.header.created_at, world.env().clock().wall(), "the time of the boundary");
    check_eq!(last.payload, Ok(boundary.payload), "the bytes of the boundary");
    check_eq!(last.evidence, Ok(boundary.evidence), "the evidence of the boundary");
    let text = last.payload.as_ref().map(|payload| String::from_utf8_lossy(payload.bytes()).into_owned());
    let names_both =
        text.as_ref().is_ok_and(|text| text.contains("worker") && text.contains("stale fence: 1"));
    check!(names_both, "the boundary names neither holder nor fence: {text:?}");
    // The next checkpoint stands on it.
    let appended = world.apply(append(3, "t")).await?;
    check_eq!(appended.sequence.0, 3, "the sequence number after the boundary");
    world.chain("t").await.map(drop)
}

pub(super) async fn a_sweep_cancels_the_items_of_a_finished_task(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    world.claim_one(1).await?;
    world.apply(finish("t", TaskEnd::Cancelled)).await?;
    let reclaimed = world.lose_leases(2).await?;
    let told: Vec<_> = reclaimed.iter().map(|found| (found.status, found.checkpoint, found.stale)).collect();
    check_eq!(
        told,
        [(Status::Cancelled, None, Fence(1))],
        "what the sweep tells of an item of a finished task"
    );
    let item = world.item("a").await?;
    check_eq!((item.status, item.fence, item.lease), (Status::Cancelled, Fence(2), None), "the item");
    check_eq!(world.chain("t").await?.len(), 0, "the checkpoints of a task that takes no more");
    check_eq!(world.apply(claim(3, 10)).await?.items, [], "what a claim takes of a cancelled item");
    Ok(())
}

pub(super) async fn a_sweep_takes_the_oldest_deadlines_first_and_keeps_to_its_page(
    mut world: World<'_>,
) -> Outcome {
    // Claimed in the order of their ids, renewed so that their deadlines run the other way; "b2" and "b1" share one.
    world.queue("t", &["a", "b1", "b2", "c"]).await?;
    let held = world.apply(claim(1, 10)).await?.items;
    for (item, span) in held.iter().zip([300, 200, 200, 100]) {
        world.apply(renew(&item.guard(), TERM + ms(span))).await?;
    }
    world.advance(TERM + ms(300));
    let mut pages = Vec::new();
    for page in 2..=5 {
        let batch = one(sweep(page, 2));
        let applied = world.applied(&batch).await?;
        let [outcome::Outcome::Swept(swept)] = applied.outcomes() else {
            return Err(Failure::new(format_args!("a sweep was answered by {:?}", applied.outcomes())));
        };
        pages.push(swept.reclaimed.iter().map(|found| found.item.to_string()).collect::<Vec<_>>());
        if !swept.reclaimed.is_empty() {
            let again = world.replayed(&batch).await?;
            check_eq!(again.outcomes(), applied.outcomes(), "a page of two items, submitted again");
        }
    }
    // A page tells its items in the order of their ids.
    let expected: [&[&str]; 4] = [&["b1", "c"], &["a", "b2"], &[], &[]];
    check_eq!(pages, expected, "the pages of a sweep of two items each");
    let boundaries = world.chain("t").await?;
    let items: Vec<_> = boundaries
        .iter()
        .filter_map(|found| found.header.work_item.as_ref())
        .map(WorkItemId::as_str)
        .collect();
    check_eq!(items, ["c", "b1", "b2", "a"], "the boundaries, in the order of the deadlines");
    Ok(())
}

pub(super) async fn a_sweep_sees_what_its_own_batch_did_before(mut world: World<'_>) -> Outcome {
    world.queue("t", &["kept", "done", "lost"]).await?;
    let held = world.apply(claim(1, 10)).await?.items;
    let of = |name: &str| held.iter().find(|item| item.id.as_str() == name).map(WorkItem::guard);
    let (Some(kept), Some(done)) = (of("kept"), of("done")) else {
        return Err(Failure::new(format_args!("a claim of three items took {held:?}")));
    };
    world.advance(TERM);
    let mut batch = Batch::durable();
    batch.add(renew(&kept, TERM));
    batch.add(settle(&done, Settle::Succeeded));
    // Its page has room for one: what the batch has dealt with must not fill it.
    let first = batch.add(sweep(2, 1));
    let second = batch.add(sweep(3, 1));
    let applied = world.applied(&batch).await?;
    let names: Vec<_> = applied.get(first)?.reclaimed.iter().map(|found| found.item.as_str()).collect();
    check_eq!(names, ["lost"], "what the sweep takes after a renewal and a settlement in its batch");
    check_eq!(applied.get(second)?.reclaimed, [], "what a second sweep in the batch takes");
    Ok(())
}

pub(super) async fn a_sweep_of_several_tasks_leaves_each_its_own_boundaries(mut world: World<'_>) -> Outcome {
    world.queue("t", &["t1", "t2"]).await?;
    world.queue("u", &["u1"]).await?;
    world.applied(&one(create("v")).with(enqueue("v1", "v"))).await?;
    world.apply(claim(1, 10)).await?;
    world.apply(finish("v", TaskEnd::Succeeded)).await?;
    let reclaimed = world.lose_leases(2).await?;
    check_eq!(reclaimed.len(), 4, "the leases reclaimed");
    for (task, count) in [("t", 2), ("u", 1), ("v", 0)] {
        let chain = world.chain(task).await?;
        check_eq!(chain.len(), count, "the boundaries on task {task}");
        for found in &reclaimed {
            let there = chain.iter().any(|checkpoint| Some(checkpoint.header.id) == found.checkpoint);
            let expected = found.task.as_str() == task && count > 0;
            check_eq!(there, expected, "whether the boundary of {} is on task {task}", found.item);
        }
    }
    Ok(())
}
