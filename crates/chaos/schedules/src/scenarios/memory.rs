//! Waiters of the memory store.

use std::sync::Arc;
use std::time::Duration;

use shuttle::future::{block_on, spawn};
use steadfast_store::{MemoryStore, Store, TaskPage};

use crate::books::batch;
use crate::met::Met;
use crate::world::environment;

const WAITERS: usize = 2;
const COMMITTERS: u32 = 3;
/// Long: time stands, so the limit is never reached.
const LIMIT: Duration = Duration::from_secs(3_600);

pub(super) fn wake_ups() {
    let store = Arc::new(MemoryStore::new(environment(Met::ChangeAwaited)));
    let waiters = (0..WAITERS).map(|_| {
        let store = Arc::clone(&store);
        spawn(async move {
            loop {
                let seen = store.change_stamp();
                let there = store.tasks(TaskPage { status: None, after: None, limit: 10 }).await;
                if there.is_ok_and(|tasks| tasks.len() == COMMITTERS as usize) {
                    return;
                }
                store.changed(seen, LIMIT).await;
            }
        })
    });
    let waiters: Vec<_> = waiters.collect();
    let committers = (0..COMMITTERS).map(|number| {
        let store = store.peer();
        spawn(async move {
            let answer = store.commit(batch(number, 0)).await;
            assert!(answer.is_ok(), "batch {number} was refused: {answer:?}");
        })
    });
    let committers: Vec<_> = committers.collect();
    block_on(async {
        for ended in committers.into_iter().chain(waiters) {
            drop(ended.await);
        }
    });
}
