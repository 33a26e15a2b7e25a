//! Waiters of the SQLite store's watch: callers commit, another process commits, and everybody who waits for it must
//! come to see it.

use std::sync::Arc;
use std::time::Duration;

use shuttle::future::{block_on, spawn};
use shuttle::sync::{Condvar, Mutex};
use steadfast_store::schedules::ExploredStore;

use crate::books::{Books, WatcherOpen, batch};
use crate::core::BookCore;
use crate::met::Met;
use crate::world::{below, environment, some_choices};

const WAITERS: usize = 2;
const COMMITTERS: u32 = 2;
/// Long: time stands, so the limit is never reached.
const LIMIT: Duration = Duration::from_secs(3_600);

/// Another process, as far as `PRAGMA data_version` tells of it.
#[derive(Debug, Default)]
struct Other {
    state: Mutex<OtherState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct OtherState {
    version: i64,
    seen: Option<i64>,
    is_over: bool,
}

impl Other {
    fn lock(&self) -> shuttle::sync::MutexGuard<'_, OtherState> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn version(&self) -> i64 {
        self.lock().version
    }

    fn commit(&self) {
        Met::OtherProcess.count();
        self.lock().version += 1;
        self.changed.notify_all();
    }

    fn end(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }

    /// A look that passes over the time in which every look would tell the same. Without it the polling thread would
    /// always have something to do, and a waiter that nobody wakes would be no deadlock.
    fn look(&self) -> i64 {
        let mut state = self.lock();
        while state.seen == Some(state.version) && !state.is_over {
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state.seen = Some(state.version);
        state.version
    }
}

pub(super) fn wake_ups() {
    let (books, other) = (Arc::new(Books::default()), Arc::new(Other::default()));
    let (open, looked_at) = (WatcherOpen(Arc::clone(&books)), Arc::clone(&other));
    let look = move || {
        let _ = &open;
        Some(looked_at.look())
    };
    let env = environment(Met::ChangeAwaited);
    let Ok(store) = ExploredStore::start(BookCore::sound(&books), look, env).map(Arc::new) else {
        panic!("no thread")
    };
    let foreign = i64::try_from(below(2)).unwrap_or(0);
    let waiters: Vec<_> = (0..WAITERS)
        .map(|_| {
            let (store, books, other) = (Arc::clone(&store), Arc::clone(&books), Arc::clone(&other));
            spawn(async move {
                loop {
                    let seen = store.change_stamp();
                    if books.synced() == COMMITTERS as usize && other.version() == foreign {
                        return;
                    }
                    store.changed(seen, LIMIT).await;
                }
            })
        })
        .collect();
    let committers: Vec<_> = (0..COMMITTERS)
        .map(|number| {
            let (store, books) = (Arc::clone(&store), Arc::clone(&books));
            spawn(async move { books.tell(number, &store.commit(batch(number, 0)).await) })
        })
        .collect();
    block_on(async {
        some_choices().await;
        (0..foreign).for_each(|_| other.commit());
        for ended in committers.into_iter().chain(waiters) {
            drop(ended.await);
        }
        other.end();
        let Ok(store) = Arc::try_unwrap(store) else { panic!("every caller has ended") };
        store.close().await;
    });
    books.settle(&[]);
}
