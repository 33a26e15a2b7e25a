//! Waking waiters: at once for commits of this process, by polling `PRAGMA data_version` for those of others.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use crate::env::Env;
use crate::sqlite::closing::StillOpen;
use crate::sqlite::sql;
use crate::store::ChangeStamp;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, Notify, sleep_thread, spawn_thread, within};

/// Time between two looks while anybody waits. A look costs single microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Watch {
    changes: AtomicU64,
    changed: Notify,
    poll: Mutex<Poll>,
    wanted: Condvar,
}

#[derive(Debug, Default)]
struct Poll {
    waiters: usize,
    closed: bool,
}

/// A watch and its polling thread, which sleeps while nobody waits and ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watching(Arc<Watch>);

impl Watching {
    /// Starts the thread. `look` tells a number that differs once somebody has committed, and `open` is kept until it
    /// is dropped.
    pub(super) fn start(
        mut look: impl FnMut() -> Option<i64> + Send + 'static,
        open: StillOpen,
    ) -> std::io::Result<Self> {
        let watch = Arc::new(Watch::default());
        let polling = Arc::clone(&watch);
        spawn_thread("steadfast-watch", move || {
            polling.poll(&mut look);
            drop(look);
            drop(open);
        })?;
        Ok(Self(watch))
    }

    /// The watch, for the writer to tell of its commits.
    pub(super) fn shared(&self) -> Arc<Watch> {
        Arc::clone(&self.0)
    }
}

impl std::ops::Deref for Watching {
    type Target = Watch;

    fn deref(&self) -> &Watch {
        &self.0
    }
}

/// Looks at what SQLite counts: the commits of all other connections, in whatever process.
pub(super) fn data_version(connection: Connection) -> impl FnMut() -> Option<i64> + Send + 'static {
    move || {
        connection
            .prepare_cached(sql::connection::DATA_VERSION)
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .ok()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.poll.lock().closed = true;
        self.0.wanted.notify_one();
    }
}

impl Watch {
    fn poll(&self, look: &mut impl FnMut() -> Option<i64>) {
        let mut last = None;
        loop {
            {
                let mut poll = self.poll.lock();
                while poll.waiters == 0 && !poll.closed {
                    self.wanted.wait(&mut poll);
                }
                if poll.closed {
                    return;
                }
            }
            let seen = look();
            // A look that failed counts as a change: to wake somebody for nothing harms nobody.
            if seen.is_none() || seen != last {
                last = seen;
                self.bump();
            }
            sleep_thread(LOOK_EVERY);
        }
    }

    /// Something was committed.
    pub(super) fn bump(&self) {
        #[cfg(steadfast_shuttle)]
        if crate::schedules::Planted::WokenBeforeCounted.is_in() {
            self.changed.notify_waiters();
            self.changes.fetch_add(1, Ordering::SeqCst);
            return;
        }
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    pub(super) fn stamp(&self) -> ChangeStamp {
        ChangeStamp(self.changes.load(Ordering::SeqCst))
    }

    pub(super) async fn changed(&self, env: &Env, seen: ChangeStamp, limit: Duration) -> ChangeStamp {
        let wait = async {
            let _waiting = self.wait();
            loop {
                let mut notified = std::pin::pin!(self.changed.notified());
                // The waiter must be in the list before the counter is read, or a change between the two is missed.
                notified.as_mut().enable();
                if self.stamp() != seen {
                    return;
                }
                notified.await;
            }
        };
        within(env, limit, wait).await;
        self.stamp()
    }

    fn wait(&self) -> Waiting<'_> {
        self.poll.lock().waiters += 1;
        self.wanted.notify_one();
        Waiting(self)
    }
}

/// Somebody waits for as long as this lives.
struct Waiting<'a>(&'a Watch);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.poll.lock().waiters -= 1;
    }
}
