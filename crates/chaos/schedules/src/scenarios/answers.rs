//! Callers at a full queue: whose answers they get, and when.

use std::sync::Arc;
use std::time::Duration;

use shuttle::future::{block_on, spawn};
use steadfast_store::schedules::ExploredStore;

use crate::books::{BookCore, Books, WatcherOpen, batch};
use crate::met::Met;
use crate::world::{Time, below, chance, environment};

/// Callers; the queue has room for three small batches.
const CALLERS: u32 = 4;
/// Batches of each, one after the other.
const BATCHES: u32 = 2;
/// Patience where time jumps.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn answers() {
    callers(Time::Stands);
}

pub(super) fn patience() {
    callers(Time::Jumps);
}

fn callers(time: Time) {
    let books = Arc::new(Books::default());
    let open = WatcherOpen(Arc::clone(&books));
    let look = move || -> Option<i64> { panic!("nobody waits, and {open:?} is looked at") };
    let store = ExploredStore::start(BookCore::new(&books, true), look, environment(time, Met::RoomAwaited));
    let Ok(store) = store.map(Arc::new) else { panic!("no thread") };
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (store, books) = (Arc::clone(&store), Arc::clone(&books));
            spawn(async move {
                for number in 0..BATCHES {
                    let number = caller * BATCHES + number;
                    let mut batch = batch(number, [0, 0, 2_048][below(3)]);
                    if time == Time::Jumps {
                        batch = batch.wait_at_most(if chance(20) { Duration::ZERO } else { PATIENCE });
                    }
                    books.tell(number, &store.commit(batch).await);
                }
            })
        })
        .collect();
    block_on(async {
        for caller in callers {
            drop(caller.await);
        }
        let Ok(store) = Arc::try_unwrap(store) else { panic!("every caller has ended") };
        store.close().await;
    });
    books.settle(&[]);
}
