//! Cases about waiting for changes: a waiter is woken by every commit, and misses none.

use std::sync::Arc;
use std::time::Duration;

use crate::conformance::commands::{create, ms, named};
use crate::conformance::failure::{Outcome, check};
use crate::conformance::world::{PATIENCE, World};
use crate::ext::StoreExt;
use crate::store::Store;

/// Far beyond the patience of any case: a waiter that ends was woken.
const LONG: Duration = PATIENCE.saturating_mul(100);

/// Waits for a task to be there, as a worker waits for work: looks, and when there is nothing, waits for a change.
async fn await_task(store: Arc<dyn Store>, name: String) -> Outcome {
    loop {
        let seen = store.change_stamp();
        if store.task(&named(&name)).await?.is_some() {
            return Ok(());
        }
        store.changed(seen, LONG).await;
    }
}

/// Commits through `writer` while somebody waits on the store, at different distances from the beginning of the wait.
async fn check_woken(world: &World<'_>, writer: &Arc<dyn Store>, who: &str, rounds: u64) -> Outcome {
    for round in 0..rounds {
        let name = format!("{who} {round}");
        let waiting = world.start(await_task(world.store(), name.clone()));
        match round % 4 {
            0 => {}
            1 => world.env().runtime().yield_now().await,
            2 => world.env().sleep(ms(1)).await,
            _ => world.env().sleep(ms(5)).await,
        }
        writer.create_task(create(&name)).await?;
        world.soon(&format!("the wake-up of round {round} by {who}"), waiting).await??;
    }
    Ok(())
}

pub(super) async fn a_commit_wakes_a_waiter(world: World<'_>) -> Outcome {
    check_woken(&world, &world.store(), "the same handle", 100).await
}

pub(super) async fn a_peers_commit_wakes_a_waiter(world: World<'_>) -> Outcome {
    let peer = world.peer().await?;
    check_woken(&world, &peer, "a peer", 40).await
}

pub(super) async fn no_wake_up_is_lost_between_stamp_and_wait(mut world: World<'_>) -> Outcome {
    let peer = world.peer().await?;
    for round in 0..60 {
        let store = world.store();
        let seen = store.change_stamp();
        let name = format!("t{round}");
        if round % 3 == 0 {
            peer.create_task(create(&name)).await?;
        } else {
            store.create_task(create(&name)).await?;
        }
        // The change is there before the wait begins: it must end all the same.
        world
            .soon(&format!("the end of wait {round} for a change before it"), store.changed(seen, LONG))
            .await?;
    }
    world.apply(create("last")).await.map(drop)
}

pub(super) async fn many_waiters_are_all_woken(world: World<'_>) -> Outcome {
    let peer = world.peer().await?;
    let mut waiting = Vec::new();
    for number in 0..50 {
        let store = if number % 2 == 0 { world.store() } else { Arc::clone(&peer) };
        waiting.push(world.start(await_task(store, "t".to_owned())));
    }
    world.env().sleep(ms(2)).await;
    world.store().create_task(create("t")).await?;
    for waiter in waiting {
        world.soon("the wake-up of every waiter", waiter).await??;
    }
    Ok(())
}

pub(super) async fn a_wait_ends_at_its_limit(world: World<'_>) -> Outcome {
    let store = world.store();
    for limit in [Duration::ZERO, ms(1), ms(30)] {
        let seen = store.change_stamp();
        let stamp =
            world.soon(&format!("the end of a wait of {limit:?}"), store.changed(seen, limit)).await?;
        check!(stamp >= seen, "a wait of {limit:?} from {seen:?} ended at the earlier {stamp:?}");
    }
    Ok(())
}
