//! Cases in which many tasks on two handles want the same thing at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::batch::Batch;
use crate::command::Settle;
use crate::conformance::commands::{
    BatchExt, TERM, append, begin, checkpoint, claim, create, enqueue, guard, named, settle, sweep,
};
use crate::conformance::failure::{Outcome, check, check_eq};
use crate::conformance::world::World;
use crate::ext::{CommandError, StoreExt};
use crate::outcome::Reason;
use crate::record::{CheckpointPage, Fence, SequenceNumber, Status};
use crate::store::Store;

/// The store and its peer, as often as tasks are to share them.
async fn handles(world: &World<'_>, tasks: u64) -> Outcome<Vec<(u64, Arc<dyn Store>)>> {
    let both = [world.store(), world.peer().await?];
    Ok((0..2 * tasks).map(|number| (number, Arc::clone(&both[usize::from(number % 2 == 1)]))).collect())
}

pub(super) async fn two_peers_never_claim_the_same_item(mut world: World<'_>) -> Outcome {
    const ITEMS: usize = 50;
    world.apply(create("t")).await?;
    for number in 0..ITEMS {
        world.apply(enqueue(&format!("item {number}"), "t")).await?;
    }
    let mut claiming = Vec::new();
    for (task, store) in handles(&world, 8).await? {
        claiming.push(world.start(async move {
            let mut taken = Vec::new();
            for round in 0.. {
                let claimed = store.claim(claim(1_000 * (task + 1) + round, 3)).await?.items;
                if claimed.is_empty() {
                    break;
                }
                taken.extend(claimed);
            }
            Ok(taken)
        }));
    }
    let mut holders = BTreeMap::new();
    for claims in claiming {
        for item in claims.await? {
            check_eq!((item.fence, item.attempt), (Fence(1), 1), "fence and attempt of {}", item.id);
            let other = holders.insert(item.id.clone(), item.transition);
            check!(other.is_none(), "{} was claimed twice: by {other:?} and {:?}", item.id, item.transition);
            let read = world.item(item.id.as_str()).await?;
            check_eq!(read, item, "the item as read and as its claim answered it");
        }
    }
    check_eq!(holders.len(), ITEMS, "the items that were claimed");
    Ok(())
}

pub(super) async fn appends_of_two_peers_to_one_task_leave_a_dense_chain(mut world: World<'_>) -> Outcome {
    const EACH: u64 = 12;
    world.apply(create("t")).await?;
    let mut appending = Vec::new();
    for (task, store) in handles(&world, 8).await? {
        appending.push(world.start(async move {
            let mut answers = Vec::new();
            for round in 0..EACH {
                let number = 1_000 * task + round + 1;
                answers.push((number, store.append_checkpoint(append(number, "t")).await?));
            }
            Ok(answers)
        }));
    }
    let mut sequences = BTreeSet::new();
    let mut answers = Vec::new();
    for appends in appending {
        let told = appends.await?;
        check!(
            told.is_sorted_by_key(|(_, appended)| appended.sequence),
            "one task's appends are out of order: {told:?}"
        );
        answers.extend(told);
    }
    for (number, appended) in answers {
        check!(
            sequences.insert(appended.sequence),
            "sequence number {} was given out twice",
            appended.sequence
        );
        let read = world.store().checkpoint(checkpoint(number)).await?;
        let place = read.map(|read| (read.header.sequence, read.header.link));
        check_eq!(place, Some((appended.sequence, appended.link)), "the place of checkpoint {number}");
    }
    let all: BTreeSet<_> = (1..=16 * EACH).map(SequenceNumber).collect();
    check_eq!(sequences, all, "the sequence numbers given out");
    check_eq!(world.chain("t").await?.len() as u64, 16 * EACH, "the length of the chain");
    Ok(())
}

pub(super) async fn sweepers_on_two_peers_reclaim_each_lease_once(mut world: World<'_>) -> Outcome {
    const ITEMS: u64 = 40;
    world.apply(create("t")).await?;
    for number in 0..ITEMS {
        world.apply(enqueue(&format!("item {number}"), "t")).await?;
    }
    world.apply(claim(1, 1_000)).await?;
    world.advance(TERM);
    let mut sweeping = Vec::new();
    for (task, store) in handles(&world, 4).await? {
        sweeping.push(world.start(async move {
            let mut taken = Vec::new();
            for round in 0.. {
                let swept = store.sweep_expired(sweep(1_000 * (task + 1) + round, 3)).await?.reclaimed;
                if swept.is_empty() {
                    break;
                }
                taken.extend(swept);
            }
            Ok(taken)
        }));
    }
    let mut reclaimed = BTreeSet::new();
    for sweeps in sweeping {
        for found in sweeps.await? {
            check!(reclaimed.insert(found.item.clone()), "{} was reclaimed twice", found.item);
            let item = world.item(found.item.as_str()).await?;
            check_eq!((item.fence, item.attempt, item.status), (Fence(2), 1, Status::Pending), "{}", item.id);
        }
    }
    check_eq!(reclaimed.len() as u64, ITEMS, "the leases that were reclaimed");
    check_eq!(world.chain("t").await?.len() as u64, ITEMS, "the boundaries, one for each");
    Ok(())
}

pub(super) async fn an_operation_begun_by_many_at_once_has_one_owner(mut world: World<'_>) -> Outcome {
    for round in 1..=10_u64 {
        let key = format!("k{round}");
        let mut beginning = Vec::new();
        for (task, store) in handles(&world, 6).await? {
            let command = begin(&key, 100 * round + task);
            beginning.push(world.start(async move {
                match store.begin_operation(command).await {
                    Ok(begun) => Ok((true, begun.expires_at)),
                    Err(CommandError::Rejected(rejection)) => match rejection.reason {
                        Reason::OperationInFlight { expires_at } => Ok((false, expires_at)),
                        other => Err(crate::conformance::failure::Failure::new(other)),
                    },
                    Err(error) => Err(error.into()),
                }
            }));
        }
        let mut owners = 0;
        let mut deadlines = BTreeSet::new();
        for begun in beginning {
            let (owner, deadline) = begun.await?;
            owners += u32::from(owner);
            deadlines.insert(deadline);
        }
        check_eq!(
            (owners, deadlines.len()),
            (1, 1),
            "the owners, and the deadlines they were told, of {key}"
        );
        let operation = world.store().operation(&named(&key)).await?.map(|record| record.operation.attempt);
        check_eq!(operation, Some(1), "the attempts at {key}");
    }
    world.apply(create("t")).await.map(drop)
}

pub(super) async fn a_settlement_and_a_sweep_at_the_same_time_have_one_winner(
    mut world: World<'_>,
) -> Outcome {
    let peer = world.peer().await?;
    world.apply(create("t")).await?;
    for round in 1..=20_u64 {
        let name = format!("item {round}");
        world.apply(enqueue(&name, "t")).await?;
        let claimed = world.apply(claim(round, 1_000)).await?.items;
        check!(claimed.iter().any(|item| item.id.as_str() == name), "{name} was not claimed");
        world.advance(TERM);
        let (store, sweeper, held) = (world.store(), Arc::clone(&peer), guard(&name, 1));
        let settling = world.start(async move { Ok(store.settle(settle(&held, Settle::Succeeded)).await) });
        let sweeping =
            world.start(async move { Ok(sweeper.sweep_expired(sweep(1_000 + round, 1_000)).await?) });
        let (settled, swept) = (settling.await?, sweeping.await?);
        let reclaimed = swept.reclaimed.iter().any(|found| found.item.as_str() == name);
        let item = world.item(&name).await?;
        match settled {
            Ok(_) => check_eq!(
                (reclaimed, item.status, item.fence),
                (false, Status::Succeeded, Fence(1)),
                "{name}, settled"
            ),
            Err(error) => {
                let stale = matches!(error.reason(), Some(Reason::StaleFence { .. }));
                check!(stale, "the settlement of {name} failed otherwise: {error}");
                check_eq!(
                    (reclaimed, item.status, item.fence),
                    (true, Status::Pending, Fence(2)),
                    "{name}, reclaimed"
                );
            }
        }
    }
    world.chain("t").await.map(drop)
}

pub(super) async fn a_reader_sees_all_of_a_batch_or_nothing(mut world: World<'_>) -> Outcome {
    const BATCHES: u64 = 40;
    world.apply(create("t")).await?;
    let (store, peer) = (world.store(), world.peer().await?);
    let writing = world.start(async move {
        for round in 0..BATCHES {
            let name = format!("n{round}");
            let numbers = 3 * round + 1..=3 * round + 3;
            let batch = numbers.fold(Batch::durable(), |batch, number| batch.with(append(number, "t")));
            store.commit(batch.with(create(&name)).with(enqueue(&name, &name))).await?.into_applied()?;
        }
        Ok(())
    });
    let mut reading = Vec::new();
    for store in [world.store(), Arc::clone(&peer), world.store(), peer] {
        reading.push(world.start(read_until(store, 3 * BATCHES)));
    }
    writing.await?;
    for reader in reading {
        world.soon("the end of a reader", reader).await??;
    }
    Ok(())
}

/// Reads until there are `last` checkpoints. Each read by itself shows whole batches of three, a task and an item, and
/// never less than the one before it.
async fn read_until(store: Arc<dyn Store>, last: u64) -> Outcome {
    let mut seen = 0;
    loop {
        let page = CheckpointPage::NewestFirst { before: None, limit: 1_000 };
        let listed = store.checkpoints(&named("t"), page).await?.len() as u64;
        let head = store.task(&named("t")).await?.map_or(0, |task| task.head.0);
        let health = store.health().await?;
        let tasks: u64 = health.tasks.iter().map(|(_, count)| count).sum();
        let items: u64 = health.work_items.iter().map(|(_, count)| count).sum();
        check_eq!(
            (listed % 3, head % 3),
            (0, 0),
            "what is over of {listed} checkpoints and head {head}, in batches of 3"
        );
        check_eq!(
            (health.checkpoints, tasks),
            (3 * items, items + 1),
            "the checkpoints and tasks beside {items} items"
        );
        check!(
            seen <= listed && listed <= head && head <= health.checkpoints,
            "reads went back: {seen}, {listed}, {head}, {health:?}"
        );
        if listed == last {
            return Ok(());
        }
        seen = listed;
        store.env().runtime().yield_now().await;
    }
}
