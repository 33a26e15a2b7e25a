//! Cases about callers that go away: dropping a commit loses its answer, never half of its batch.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::batch::Batch;
use crate::conformance::commands::{BatchExt, append, begin, create, enqueue, named, one};
use crate::conformance::failure::{Outcome, check, check_eq};
use crate::conformance::world::World;
use crate::outcome::Committed;
use crate::store::Store;

/// A batch that names its number in every table.
fn everywhere(number: u64) -> Batch {
    let name = format!("n{number}");
    one(append(number, "t")).with(create(&name)).with(enqueue(&name, &name)).with(begin(&name, number))
}

/// Polls a commit once and drops it.
fn drop_after_one_poll(store: &dyn Store, batch: Batch) -> Poll<()> {
    let mut commit = pin!(store.commit(batch));
    commit.as_mut().poll(&mut Context::from_waker(Waker::noop())).map(drop)
}

/// Submits the batch again, which waits for the dropped commit if that is still under way, and looks for all of it.
async fn check_whole(world: &mut World<'_>, number: u64) -> Outcome {
    let batch = everywhere(number);
    let answer = world.commit(&batch).await?;
    check!(
        matches!(answer, Committed::Applied(_)),
        "a batch dropped before, submitted again, answers {answer:?}"
    );
    let name = format!("n{number}");
    let store = world.store();
    let there = [
        store.task(&named(&name)).await?.is_some(),
        store.work_item(&named(&name)).await?.is_some(),
        store.operation(&named(&name)).await?.is_some(),
        store.checkpoint(crate::conformance::commands::checkpoint(number)).await?.is_some(),
    ];
    check_eq!(there, [true; 4], "whether task, item, operation and checkpoint of batch {number} are there");
    Ok(())
}

pub(super) async fn a_dropped_commit_is_applied_whole_or_not_at_all(mut world: World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    for number in 1..=20 {
        let _ = drop_after_one_poll(&*world.store(), everywhere(number));
        if number % 2 == 0 {
            world.env().runtime().yield_now().await;
        }
        check_whole(&mut world, number).await?;
    }
    check_eq!(world.chain("t").await?.len(), 20, "the checkpoints, each once");
    let before = world.look().await?;
    world.reopen().await?;
    before
        .check_same(&world.look().await?, "the store changed when it was opened again after dropped commits")
}

pub(super) async fn a_burst_of_dropped_commits_tears_nothing(mut world: World<'_>) -> Outcome {
    const COUNT: u64 = 200;
    world.apply(create("t")).await?;
    let dropping: Vec<_> = (1..=COUNT)
        .map(|number| {
            let store = world.store();
            world.start(async move {
                let _ = drop_after_one_poll(&*store, everywhere(number));
                Ok(())
            })
        })
        .collect();
    for dropped in dropping {
        dropped.await?;
    }
    // The store works on, in the middle of whatever the burst has left it to do.
    world.apply(create("after")).await?;
    for number in 1..=COUNT {
        check_whole(&mut world, number).await?;
    }
    let chain = world.chain("t").await?;
    check_eq!(chain.len() as u64, COUNT, "the checkpoints, each once");
    let health = world.store().health().await?;
    let count = |counts: &[(crate::record::Status, u64)]| counts.iter().map(|(_, count)| count).sum::<u64>();
    check_eq!(
        (count(&health.tasks), count(&health.work_items)),
        (COUNT + 2, COUNT),
        "the tasks and the items"
    );
    Ok(())
}
