//! Callers at a full queue: whose answers they get, and when.

use std::sync::Arc;
use std::time::Duration;

use shuttle::future::{block_on, spawn};
use steadfast_store::schedules::{ExploredStore, GROUP_BYTES_MAX};

use crate::books::{Books, WatcherOpen, batch};
use crate::clock::{ExploredClock, Time};
use crate::core::BookCore;
use crate::met::Met;
use crate::world::{below, chance, environment_of};

/// Callers; the queue has room for four small batches.
const CALLERS: u32 = 4;
/// Batches of each, one after the other.
const BATCHES: u32 = 2;
/// Payloads: none, and what fills a group of explored schedules by half or whole.
const PAYLOAD_BYTES: [usize; 4] = [0, 0, GROUP_BYTES_MAX / 2, GROUP_BYTES_MAX];
/// Patience where time jumps.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn answers() {
    callers(Time::Stands);
}

pub(super) fn patience() {
    callers(Time::Jumps);
}

fn callers(time: Time) {
    let clock = Arc::new(ExploredClock::new(time));
    let books = Arc::new(Books::default());
    let open = WatcherOpen(Arc::clone(&books));
    let look = move || -> Option<i64> { panic!("nobody waits, and {open:?} is looked at") };
    let core = BookCore::troubled(&books, &clock);
    let store = ExploredStore::start(core, look, environment_of(Arc::clone(&clock), Met::RoomAwaited));
    let Ok(store) = store.map(Arc::new) else { panic!("no thread") };
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (store, books, clock) = (Arc::clone(&store), Arc::clone(&books), Arc::clone(&clock));
            spawn(async move {
                for number in 0..BATCHES {
                    let number = caller * BATCHES + number;
                    let mut batch = batch(number, PAYLOAD_BYTES[below(PAYLOAD_BYTES.len())]);
                    if time == Time::Jumps {
                        batch = batch.wait_at_most(if chance(20) { Duration::ZERO } else { PATIENCE });
                    }
                    clock.asks(number);
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
