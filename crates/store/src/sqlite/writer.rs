//! Group commit: one thread owns the write connection; whatever arrived while the last commit was in flight, and until
//! the next one is at its COMMIT, goes into that, without any artificial delay, and everybody is answered after COMMIT
//! has returned.

#[cfg(steadfast_shuttle)]
mod planted;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::env::{Env, Failpoint};
use crate::error::StoreError;
use crate::sqlite::closing::AllClosed;
use crate::sqlite::core::{Answer, SqliteCore};
use crate::sqlite::group::Group;
use crate::sqlite::telemetry::{self, LogAlarm};
use crate::sqlite::watch::Watch;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::queue::{Receiver, Sender, bounded};
use crate::sync::{OwnedSemaphorePermit, Semaphore, oneshot, spawn_thread, within};

/// Batches in the queue at most; few where schedules are explored, so that a few callers fill it.
const QUEUE_BATCHES_MAX: usize = if cfg!(steadfast_shuttle) { 4 } else { 4_096 };
/// Room in the queue, in units of 1 KiB of payload.
const QUEUE_UNITS: usize = if cfg!(steadfast_shuttle) { 4 } else { 65_536 };
/// Units that the smallest batch takes, so that the queue's length is bounded too.
const UNITS_MIN: usize = QUEUE_UNITS / QUEUE_BATCHES_MAX;
/// Batches in one group at most; fewer than the queue holds where schedules are explored, and so with the bytes.
pub(super) const GROUP_BATCHES_MAX: usize = if cfg!(steadfast_shuttle) { 3 } else { 1_024 };
/// Payload bytes in one group at most; a single batch may be larger.
pub(super) const GROUP_BYTES_MAX: usize = if cfg!(steadfast_shuttle) { 2 * 1_024 } else { 8 * 1024 * 1024 };

/// What the thread needs of a core.
pub(super) trait GroupCommit: Send + 'static {
    /// Applies at least one of the batches, and answers for those that it has taken, in their order.
    fn apply_some(&mut self, group: &mut dyn Group, wait: Duration) -> Vec<Answer>;
    /// Whether anything may have changed since the last call.
    fn take_changed(&mut self) -> bool;
    /// Folds the write-ahead log into the file when it has grown enough.
    fn fold_log_if_due(&mut self);
    /// Pages in the write-ahead log.
    fn log_pages(&self) -> u32;
    /// Pages at which the log is folded.
    fn fold_every(&self) -> u32;
}

impl GroupCommit for SqliteCore {
    fn apply_some(&mut self, group: &mut dyn Group, wait: Duration) -> Vec<Answer> {
        Self::apply_some(self, group, wait)
    }

    fn take_changed(&mut self) -> bool {
        Self::take_changed(self)
    }

    fn fold_log_if_due(&mut self) {
        Self::fold_log_if_due(self);
    }

    fn log_pages(&self) -> u32 {
        Self::log_pages(self)
    }

    fn fold_every(&self) -> u32 {
        Self::fold_every(self)
    }
}

/// A batch on its way to the writer.
struct Request {
    batch: Batch,
    answer: oneshot::Sender<Reply>,
    submitted: Duration,
    payload_bytes: usize,
    /// Held until the batch is answered.
    _room: OwnedSemaphorePermit,
}

/// An answer, and the batch for its caller to free: the writer is the one thread that all wait for.
struct Reply {
    answer: Answer,
    _spent: Batch,
}

impl Request {
    /// How long it has waited, `now` by the monotonic clock.
    fn waited(&self, now: Duration) -> Duration {
        now.saturating_sub(self.submitted)
    }

    /// Whether it has waited too long to be begun. A wait of nothing still means one try.
    fn is_overdue(&self, now: Duration) -> bool {
        let wait = self.batch.wait();
        !wait.is_zero() && self.waited(now) > wait
    }

    fn reply(self, answer: Answer) {
        let reply = Reply { answer, _spent: self.batch };
        // The caller may have dropped its future: the write stands, only its answer is lost.
        drop(self.answer.send(reply));
    }
}

/// The sending end of the writer's queue. The thread ends when it is dropped and the queue is empty.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Sender<Request>,
    room: Arc<Semaphore>,
    log_pages: Arc<AtomicU32>,
    ended: oneshot::Receiver<()>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        core: impl GroupCommit,
        env: Env,
        watch: Arc<Watch>,
        others: AllClosed,
    ) -> std::io::Result<Self> {
        telemetry::register();
        let (queue, requests) = bounded(QUEUE_BATCHES_MAX);
        let log_pages = Arc::new(AtomicU32::new(0));
        let (end, ended) = oneshot::channel();
        let mut thread = Thread {
            core,
            env,
            watch,
            requests,
            pending: VecDeque::new(),
            log_pages: Arc::clone(&log_pages),
            log_alarm: LogAlarm::default(),
        };
        spawn_thread("steadfast-writer", move || {
            thread.run();
            others.wait();
            drop(thread);
            drop(end);
        })?;
        Ok(Self { queue, room: Arc::new(Semaphore::new(QUEUE_UNITS)), log_pages, ended })
    }

    /// Sends a batch through the queue and waits for its answer.
    pub(super) async fn commit(&self, env: &Env, batch: Batch) -> Answer {
        let submitted = env.clock().monotonic();
        let payload_bytes = batch.payload_bytes();
        let units = UNITS_MIN.max(payload_bytes.div_ceil(1_024));
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let room = match Arc::clone(&self.room).try_acquire_many_owned(units) {
            Ok(room) => room,
            Err(_) => match within(env, batch.wait(), Arc::clone(&self.room).acquire_many_owned(units)).await
            {
                Some(Ok(room)) => room,
                Some(Err(_)) => return Err(StoreError::Closed),
                None => {
                    return Err(StoreError::Overloaded {
                        waited: batch.wait(),
                        held_by: "the writer's full queue",
                    });
                }
            },
        };
        let (answer, answered) = oneshot::channel();
        let request = Request { batch, answer, submitted, payload_bytes, _room: room };
        if self.queue.try_send(request).is_err() {
            return Err(StoreError::Closed);
        }
        match answered.await {
            Ok(reply) => reply.answer,
            Err(_) => Err(StoreError::Unknown { source: "the writer ended before it answered".into() }),
        }
    }

    /// Pages in the write-ahead log.
    pub(super) fn log_pages(&self) -> u32 {
        self.log_pages.load(Ordering::Relaxed)
    }

    /// Lets the thread finish what is queued, and waits until it has closed its connection.
    pub(super) async fn close(self) {
        drop(self.queue);
        // An error is what the end looks like.
        drop(self.ended.await);
    }
}

/// The first of those that wait, and whoever comes while they are applied.
struct OpenGroup<'a> {
    env: &'a Env,
    requests: &'a Receiver<Request>,
    pending: &'a mut VecDeque<Request>,
    length: usize,
    bytes: usize,
}

impl Group for OpenGroup<'_> {
    fn len(&self) -> usize {
        self.length
    }

    fn at(&self, place: usize) -> &Batch {
        &self.pending[place].batch
    }

    fn join(&mut self, fits: &dyn Fn(&Batch) -> bool) -> bool {
        #[cfg(steadfast_shuttle)]
        if let Some(joins) = self.join_wrongly(fits) {
            return joins;
        }
        // Whoever was left out by what a group may hold comes first next time.
        if self.pending.len() > self.length || self.length >= GROUP_BATCHES_MAX {
            return false;
        }
        let Ok(request) = self.requests.try_recv() else { return false };
        let bytes = self.bytes + request.payload_bytes;
        // The lock may have been waited for since the overdue were turned away.
        let joins = fits(&request.batch)
            && bytes <= GROUP_BYTES_MAX
            && !request.is_overdue(self.env.clock().monotonic());
        self.pending.push_back(request);
        if joins {
            (self.length, self.bytes) = (self.length + 1, bytes);
        }
        joins
    }
}

struct Thread<C> {
    core: C,
    env: Env,
    watch: Arc<Watch>,
    requests: Receiver<Request>,
    pending: VecDeque<Request>,
    log_pages: Arc<AtomicU32>,
    log_alarm: LogAlarm,
}

impl<C: GroupCommit> Thread<C> {
    fn run(&mut self) {
        loop {
            if self.pending.is_empty() {
                match self.requests.recv() {
                    Ok(request) => self.pending.push_back(request),
                    Err(_) => return,
                }
            }
            let length = self.gather();
            if length > 0 {
                self.commit(length);
                self.core.fold_log_if_due();
            }
        }
    }

    /// Fills the next group from the queue, turns away those who waited too long, and says how many fit.
    fn gather(&mut self) -> usize {
        while self.pending.len() < GROUP_BATCHES_MAX {
            match self.requests.try_recv() {
                Ok(request) => self.pending.push_back(request),
                Err(_) => break,
            }
        }
        let now = self.env.clock().monotonic();
        if self.pending.iter().any(|request| request.is_overdue(now)) {
            self.turn_away_overdue(now);
        }
        let mut bytes = 0;
        let fitting = self.pending.iter().take_while(|request| {
            bytes += request.payload_bytes;
            bytes <= GROUP_BYTES_MAX
        });
        fitting.count().max(usize::from(!self.pending.is_empty()))
    }

    fn turn_away_overdue(&mut self, now: Duration) {
        for request in std::mem::take(&mut self.pending) {
            if request.is_overdue(now) {
                let waited = request.waited(now);
                request.reply(Err(StoreError::Overloaded { waited, held_by: "the batches before it" }));
            } else {
                self.pending.push_back(request);
            }
        }
    }

    fn commit(&mut self, length: usize) {
        #[cfg(steadfast_shuttle)]
        if self.commit_wrongly(length) {
            return;
        }
        let now = self.env.clock().monotonic();
        let left = |request: &Request| request.batch.wait().saturating_sub(request.waited(now));
        let wait = self.pending.iter().take(length).map(left).min().unwrap_or_default();
        let bytes = self.pending.iter().take(length).map(|request| request.payload_bytes).sum();
        let Self { core, env, requests, pending, .. } = self;
        let answers = core.apply_some(&mut OpenGroup { env, requests, pending, length, bytes }, wait);
        let pages = self.core.log_pages();
        self.log_pages.store(pages, Ordering::Relaxed);
        telemetry::group(&answers, pages);
        self.log_alarm.look(pages, self.core.fold_every());
        if self.core.take_changed() {
            self.watch.bump();
        }
        let mut again = Vec::new();
        for answer in answers {
            let Some(request) = self.pending.pop_front() else { break };
            match answer {
                // The lock was waited for as long as the least patient of the group would.
                Err(StoreError::Overloaded { held_by, .. }) => {
                    let waited = request.waited(self.env.clock().monotonic());
                    if waited < request.batch.wait() {
                        again.push(request);
                    } else {
                        // In the queue, too.
                        request.reply(Err(StoreError::Overloaded { waited, held_by }));
                    }
                }
                answer => request.reply(answer),
            }
        }
        for request in again.into_iter().rev() {
            self.pending.push_front(request);
        }
        self.env.reach(Failpoint::ANSWER_AFTER);
    }
}
