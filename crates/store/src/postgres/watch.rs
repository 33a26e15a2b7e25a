//! Waking waiters: at once for commits of this process; for those of others by looking, while anybody waits, whether the
//! server's snapshot has moved: it does with every transaction that has written, here or elsewhere on the server. The
//! longer nothing has happened, the rarer the looks. Where notices are heard, looks are rare throughout.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::env::{BoxFuture, Env};
use crate::postgres::connection::Step;
use crate::postgres::notices::Notices;
use crate::postgres::pool::{Pool, Purpose};
use crate::postgres::sql;
use crate::store::ChangeStamp;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, Notify, within};

/// Time between two looks after something has happened.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(5);
/// Time between two looks when nothing has happened for long.
const LOOK_EVERY_MAX: Duration = Duration::from_millis(100);
/// Time between two looks while notices are heard: those of a process that was killed right after its commit are not.
const LOOK_EVERY_LISTENING: Duration = Duration::from_secs(1);
/// How soon a connection that listened and has ended is made again.
const LISTEN_AGAIN: Duration = Duration::from_secs(2);
/// How long a look may wait for a connection, and for its answer.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    changes: AtomicU64,
    changed: Notify,
    poll: Mutex<Poll>,
    pool: Weak<Pool>,
    notices: Option<Arc<Notices>>,
    /// 1 while notices are heard.
    listening: AtomicU64,
}

#[derive(Debug, Default)]
struct Poll {
    waiters: usize,
    is_running: bool,
    /// What the server said last; only the one task that looks has it.
    last: Option<String>,
}

impl Watch {
    pub(super) fn new(pool: &Arc<Pool>, notices: Option<Arc<Notices>>) -> Self {
        Self {
            changes: AtomicU64::new(0),
            changed: Notify::new(),
            poll: Mutex::new(Poll::default()),
            pool: Arc::downgrade(pool),
            notices,
            listening: AtomicU64::new(0),
        }
    }

    /// Something was committed by this process: told to the others, too, where they are to be told.
    pub(super) fn committed(&self) {
        self.bump();
        if let Some(notices) = &self.notices {
            notices.tell();
        }
    }

    /// Something was committed.
    fn bump(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    pub(super) fn stamp(&self) -> ChangeStamp {
        ChangeStamp(self.changes.load(Ordering::SeqCst))
    }

    pub(super) async fn changed(
        self: &Arc<Self>,
        env: &Env,
        seen: ChangeStamp,
        limit: Duration,
    ) -> ChangeStamp {
        let wait = async {
            let _waiting = self.wait(env);
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

    fn wait(self: &Arc<Self>, env: &Env) -> Waiting {
        let begins = {
            let mut poll = self.poll.lock();
            poll.waiters += 1;
            !std::mem::replace(&mut poll.is_running, true)
        };
        if begins {
            let looking = Looking { watch: Arc::clone(self), env: env.clone(), counts: true };
            env.runtime().spawn(Box::pin(async move { looking.run().await }));
        }
        Waiting(Arc::clone(self))
    }
}

/// Somebody waits for as long as this lives.
struct Waiting(Arc<Watch>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.poll.lock().waiters -= 1;
    }
}

/// The task that looks, while anybody waits.
struct Looking {
    watch: Arc<Watch>,
    env: Env,
    counts: bool,
}

/// However the task ends, the next waiter starts another.
impl Drop for Looking {
    fn drop(&mut self) {
        if self.counts {
            self.watch.poll.lock().is_running = false;
        }
        self.watch.listening.store(0, Ordering::SeqCst);
    }
}

impl Looking {
    async fn run(mut self) {
        let mut pause = LOOK_EVERY_MIN;
        let mut known = self.watch.stamp();
        let mut listening = self.listen(Duration::ZERO);
        loop {
            // Without the pool there is no store to wait on.
            let Some(open) = self.watch.pool.upgrade() else { return };
            let seen = look(&self.env, &open).await;
            drop(open);
            let is_new = {
                let mut poll = self.watch.poll.lock();
                // A look that failed counts as a change: to wake somebody for nothing harms nobody.
                let is_new = seen.is_none() || seen != poll.last;
                poll.last = seen;
                is_new
            };
            if is_new {
                self.watch.bump();
            }
            let stamp = self.watch.stamp();
            pause = if stamp == known { (pause * 3 / 2).min(LOOK_EVERY_MAX) } else { LOOK_EVERY_MIN };
            known = stamp;
            let hears = self.watch.listening.load(Ordering::SeqCst) == 1;
            let span = if hears { LOOK_EVERY_LISTENING } else { pause };
            if within(&self.env, span, listening.as_mut()).await.is_some() {
                // What was committed meanwhile was not heard of.
                self.watch.listening.store(0, Ordering::SeqCst);
                self.watch.bump();
                listening = self.listen(LISTEN_AGAIN);
            }
            if self.is_over() {
                return;
            }
        }
    }

    /// Hears notices, from then on and until the connection ends; for ever, where there are none.
    fn listen(&self, from: Duration) -> BoxFuture {
        let (watch, pause) = (Arc::clone(&self.watch), self.env.sleep(from));
        Box::pin(async move {
            let Some(notices) = &watch.notices else { return std::future::pending().await };
            pause.await;
            let heard = || {
                watch.listening.store(1, Ordering::SeqCst);
                watch.bump();
            };
            if let Err(trouble) = notices.listen(heard).await {
                tracing::debug!(%trouble, "notices are not heard");
            }
        })
    }

    /// Whether nobody waits any more. From the same moment on this task counts no more, and the next waiter starts
    /// another.
    fn is_over(&mut self) -> bool {
        let mut poll = self.watch.poll.lock();
        if poll.waiters == 0 {
            poll.is_running = false;
            self.counts = false;
        }
        !self.counts
    }
}

async fn look(env: &Env, pool: &Pool) -> Option<String> {
    let lease = pool.get(Purpose::Read, LOOK_MAX).await.ok()?;
    let steps = vec![Step::Query(sql::server::SNAPSHOT, Vec::new())];
    let rows = lease.held().connection.run(env, LOOK_MAX, steps).await.ok()?;
    lease.give_back();
    rows.first().and_then(|rows| rows.first()).and_then(|row| row.try_get(0).ok())
}
