//! Group commit: a few transactions at a time; whatever arrives while they are under way goes into the next one that
//! begins, without any artificial delay, and everybody is answered after COMMIT has returned.
//!
//! Commits run on tasks of their own, so that a caller who goes away takes its answer with it and not the write.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::command::Command;
use crate::env::{Env, Failpoint};
use crate::error::{StoreError, again};
use crate::outcome::Committed;
use crate::postgres::connection::Step;
use crate::postgres::failure::Trouble;
use crate::postgres::pace::Pace;
use crate::postgres::pool::{Lease, Pool, Purpose, jittered};
use crate::postgres::sql;
use crate::postgres::transaction::{self, Done, Limits, Lost};
use crate::postgres::watch::Watch;
use crate::sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore, oneshot, within};

/// Batches in the queue at most.
const QUEUE_BATCHES_MAX: usize = 4_096;
/// Room in the queue, in units of 1 KiB of payload.
const QUEUE_UNITS: usize = 65_536;
/// Units that the smallest batch takes, so that the queue's length is bounded too.
const UNITS_MIN: usize = QUEUE_UNITS / QUEUE_BATCHES_MAX;
/// Batches in one group at most: all wait for the locks of each.
const GROUP_BATCHES_MAX: usize = 256;
/// Payload bytes in one group at most; a single batch may be larger.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How often a group is tried as a whole before each of its batches is tried alone.
const GROUP_TRIES_MAX: u32 = 2;
/// How often a batch is tried that others come in between of.
const TRIES_MAX: u32 = 64;
/// The first pause before it is tried again; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// How long one statement may take.
const STATEMENT_MAX: Duration = Duration::from_secs(60);
/// How long the server may take to answer a round trip, beyond its locks and statements; and how long it keeps a
/// transaction of a process that sends nothing more.
const SILENCE_MAX: Duration = Duration::from_secs(75);

type Answer = Result<Committed, StoreError>;

/// A batch on its way.
struct Request {
    batch: Batch,
    answer: oneshot::Sender<Answer>,
    submitted: Duration,
    payload_bytes: usize,
    /// Held until the batch is answered.
    _room: OwnedSemaphorePermit,
}

impl Request {
    /// How long it may still wait, `now` by the monotonic clock.
    fn left(&self, now: Duration) -> Duration {
        self.batch.wait().saturating_sub(now.saturating_sub(self.submitted))
    }

    /// Whether it has waited too long to be begun. A wait of nothing still means one try.
    fn is_overdue(&self, now: Duration) -> bool {
        !self.batch.wait().is_zero() && self.left(now).is_zero()
    }

    fn reply(self, answer: Answer) {
        // The caller may have dropped its future: the write stands, only its answer is lost.
        drop(self.answer.send(answer));
    }
}

#[derive(Default)]
struct Queue {
    pending: VecDeque<Request>,
    running: usize,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Writer {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("at_once", &self.shared.at_once).finish_non_exhaustive()
    }
}

struct Shared {
    queue: Mutex<Queue>,
    ended: Notify,
    room: Arc<Semaphore>,
    at_once: usize,
    env: Env,
    pool: Arc<Pool>,
    watch: Arc<Watch>,
    pace: Pace,
}

impl Writer {
    pub(super) fn new(env: Env, pool: Arc<Pool>, watch: Arc<Watch>, pace: Pace, at_once: usize) -> Self {
        let room = Arc::new(Semaphore::new(QUEUE_UNITS));
        let (queue, ended) = (Mutex::new(Queue::default()), Notify::new());
        Self { shared: Arc::new(Shared { queue, ended, room, at_once, env, pool, watch, pace }) }
    }

    /// Sends a batch through the queue and waits for its answer.
    pub(super) async fn commit(&self, batch: Batch) -> Answer {
        let shared = &self.shared;
        let submitted = shared.env.clock().monotonic();
        let payload_bytes = batch.payload_bytes();
        let units = UNITS_MIN.max(payload_bytes.div_ceil(1_024));
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let wait = Arc::clone(&shared.room).acquire_many_owned(units);
        // The first poll takes what room there is, without waiting.
        let room = match within(&shared.env, batch.wait(), wait).await {
            Some(Ok(room)) => room,
            Some(Err(_)) => return Err(StoreError::Closed),
            None => {
                let held_by = "the writer's full queue";
                return Err(StoreError::Overloaded { waited: batch.wait(), held_by });
            }
        };
        let (answer, answered) = oneshot::channel();
        self.enqueue(Request { batch, answer, submitted, payload_bytes, _room: room });
        match answered.await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::Unknown { source: "the writer ended before it answered".into() }),
        }
    }

    fn enqueue(&self, request: Request) {
        let begins = {
            let mut queue = self.shared.queue.lock();
            queue.pending.push_back(request);
            let begins = queue.running < self.shared.at_once;
            queue.running += usize::from(begins);
            begins
        };
        if begins {
            let running = Running { shared: Arc::clone(&self.shared), counts: true };
            self.shared.env.runtime().spawn(Box::pin(async move { running.run().await }));
        }
    }

    /// Waits until nothing is queued or under way.
    pub(super) async fn finish(&self) {
        loop {
            let mut ended = std::pin::pin!(self.shared.ended.notified());
            ended.as_mut().enable();
            if self.shared.queue.lock().running == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// One of the tasks that commit. However it ends, another may begin in its place.
struct Running {
    shared: Arc<Shared>,
    counts: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.counts {
            self.shared.queue.lock().running -= 1;
        }
        self.shared.ended.notify_waiters();
    }
}

impl Running {
    async fn run(mut self) {
        while let Some(group) = self.next() {
            self.shared.serve(group).await;
            self.shared.env.reach(Failpoint::ANSWER_AFTER);
        }
    }

    /// The next group. When there is none this task counts no more, from the same moment on: whoever comes next sees
    /// that it is not at work.
    fn next(&mut self) -> Option<Vec<Request>> {
        let mut queue = self.shared.queue.lock();
        let group = take_group(&mut queue.pending);
        if group.is_empty() {
            queue.running -= 1;
            self.counts = false;
            return None;
        }
        Some(group)
    }
}

/// Whether a batch is to be by itself: what removes is decided by rows that its group may change, and a sweep waits for
/// many tasks.
fn is_solitary(batch: &Batch) -> bool {
    let is_one = |command: &Command| command.is_maintenance() || matches!(command, Command::SweepExpired(_));
    batch.entries().iter().any(|entry| is_one(&entry.command))
}

/// The next batches that go together.
fn take_group(pending: &mut VecDeque<Request>) -> Vec<Request> {
    let (mut group, mut bytes) = (Vec::new(), 0);
    while let Some(next) = pending.front() {
        bytes += next.payload_bytes;
        let is_alone = is_solitary(&next.batch);
        let is_full = group.len() >= GROUP_BATCHES_MAX || bytes > GROUP_BYTES_MAX || is_alone;
        if is_full && !group.is_empty() {
            break;
        }
        group.extend(pending.pop_front());
        if is_alone {
            break;
        }
    }
    group
}

/// Why some batches were not applied together, and whether each by itself would fare alike.
struct Refused {
    error: StoreError,
    of_all: bool,
}

impl Refused {
    /// The least patient of a group may have waited long enough; where there is no server, there is none for anybody.
    fn without_connection(error: StoreError) -> Self {
        let of_all = !matches!(error, StoreError::Overloaded { .. });
        Self { error, of_all }
    }
}

impl Shared {
    async fn serve(&self, group: Vec<Request>) {
        let now = self.env.clock().monotonic();
        let (overdue, group): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|request| request.is_overdue(now));
        for request in overdue {
            let (waited, held_by) = (request.batch.wait(), "the batches before it");
            request.reply(Err(StoreError::Overloaded { waited, held_by }));
        }
        if group.len() > 1 {
            match self.apply(&group, GROUP_TRIES_MAX).await {
                Ok(answers) => {
                    for (request, answer) in group.into_iter().zip(answers) {
                        request.reply(Ok(answer));
                    }
                    return;
                }
                Err(Refused { error, of_all: true }) => {
                    for request in group {
                        request.reply(Err(again(&error)));
                    }
                    return;
                }
                // Only the offender shall fail, and only the impatient be turned away.
                Err(Refused { of_all: false, .. }) => {}
            }
        }
        for request in group {
            let answer = match self.apply(std::slice::from_ref(&request), TRIES_MAX).await {
                Ok(mut answers) => answers
                    .pop()
                    .ok_or_else(|| StoreError::Failed { source: "a batch without an answer".into() }),
                Err(refused) => Err(refused.error),
            };
            request.reply(answer);
        }
    }

    /// Applies some batches together, again and again while others come in between.
    async fn apply(&self, group: &[Request], tries: u32) -> Result<Vec<Committed>, Refused> {
        let batches: Vec<&Batch> = group.iter().map(|request| &request.batch).collect();
        let mut pause = PAUSE_MIN;
        let mut left = tries;
        loop {
            left -= 1;
            let now = self.env.clock().monotonic();
            let wait = group.iter().map(|request| request.left(now)).min().unwrap_or_default();
            let lease = self.pool.get(Purpose::Commit, wait).await.map_err(Refused::without_connection)?;
            let held = lease.held();
            let limits = Limits {
                lock: wait.min(STATEMENT_MAX),
                statement: STATEMENT_MAX,
                silence: SILENCE_MAX,
                durable: held.durable,
                pace: &self.pace,
            };
            let trouble = match transaction::run(&held.connection, &self.env, &batches, limits).await {
                Ok(Done { answers, has_changed }) => {
                    lease.give_back();
                    if has_changed {
                        self.watch.committed();
                    }
                    return Ok(answers);
                }
                Err(Lost::Unknown(trouble)) => {
                    drop(lease);
                    self.pool.forget_idle();
                    // It may have been applied, and somebody may wait for that.
                    self.watch.committed();
                    return Err(Refused { error: trouble.unknown(), of_all: true });
                }
                Err(Lost::NotApplied(trouble)) => trouble,
            };
            if trouble.is_disconnected() {
                drop(lease);
                self.pool.forget_idle();
            } else {
                self.roll_back(lease).await;
            }
            let now = self.env.clock().monotonic();
            let waited = group.iter().map(|request| now.saturating_sub(request.submitted)).max();
            let waited = waited.unwrap_or_default();
            if !may_go_better(&trouble) || left == 0 || wait.saturating_sub(pause).is_zero() {
                let of_all = trouble.is_disconnected();
                return Err(Refused { error: trouble.not_applied(waited), of_all });
            }
            tracing::debug!(%trouble, "a transaction is tried again");
            self.env.sleep(jittered(&self.env, pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Ends the transaction that may be open, or the connection with it.
    async fn roll_back(&self, lease: Lease<'_>) {
        let steps = vec![Step::plain(sql::transaction::ROLLBACK)];
        if lease.held().connection.run(&self.env, SILENCE_MAX, steps).await.is_ok() {
            lease.give_back();
        }
    }
}

/// Whether the same batches may be applied after all: nothing was so far.
fn may_go_better(trouble: &Trouble) -> bool {
    trouble.is_conflict() || trouble.is_disconnected()
}
