//! Callers that drop their futures, and a store that is closed right after.

use std::sync::Arc;

use shuttle::future::{block_on, spawn};
use steadfast_store::schedules::ExploredStore;

use crate::books::{Books, WatcherOpen, batch};
use crate::core::BookCore;
use crate::met::Met;
use crate::world::{below, environment, poll_once, some_choices};

/// No more than the queue has room for: each is accepted by the first poll.
const CALLERS: u32 = 3;

pub(super) fn closing() {
    let books = Arc::new(Books::default());
    let open = WatcherOpen(Arc::clone(&books));
    let look = move || -> Option<i64> { panic!("nobody waits, and {open:?} is looked at") };
    let env = environment(Met::RoomAwaited);
    let store = ExploredStore::start(BookCore::sound(&books), look, env);
    let Ok(store) = store.map(Arc::new) else { panic!("no thread") };
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let (store, books) = (Arc::clone(&store), Arc::clone(&books));
            spawn(async move {
                let mut future = Box::pin(store.commit(batch(number, 0)));
                for _ in 0..=below(3) {
                    if let Some(answer) = poll_once(&mut future).await {
                        return books.tell(number, &answer);
                    }
                    some_choices().await;
                }
                Met::CallerGone.count();
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
    books.settle(&(0..CALLERS).collect::<Vec<_>>());
}
