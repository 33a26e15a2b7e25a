//! Producers in a closed loop: so many tasks, each of which puts a row in, waits until it is durable, and puts in the
//! next. Whatever takes rows is driven by the same tasks, so that only what is behind them differs.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{PAYLOAD_BYTES, TASKS};
use crate::case::{CaseError, Deadline};

/// Random bytes that payloads are cut from.
const POOL_BYTES: usize = 1 << 20;

/// Takes rows from many tasks at once.
pub(super) trait Sink: Send + Sync + 'static {
    /// Ends when the row is durable. `task` counts from 0.
    fn put(&self, task: usize, payload: Bytes) -> impl Future<Output = Result<(), CaseError>> + Send;
}

/// Bytes to write: cut from one pool without a copy, so that making them costs neither side anything.
#[derive(Debug, Clone)]
pub(super) struct Pool(Bytes);

impl Pool {
    pub(super) fn new(mut rng: fastrand::Rng) -> Self {
        let mut bytes = vec![0; POOL_BYTES];
        rng.fill(&mut bytes);
        Self(bytes.into())
    }

    /// Some bytes of the pool.
    pub(super) fn cut(&self, rng: &mut fastrand::Rng, len: usize) -> Bytes {
        let start = rng.usize(..=self.0.len().saturating_sub(len));
        self.0.slice(start..(start + len).min(self.0.len()))
    }
}

/// One run of a closed loop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Tasks that put rows in.
    pub(super) producers: usize,
    /// Rows in all.
    pub(super) rows: usize,
    /// Distinct tasks of the store that the rows belong to, in turn.
    pub(super) tasks: usize,
}

impl Load {
    /// That many producers for [`TASKS`] tasks, or for as many tasks as there are producers.
    pub(super) fn new(producers: usize, rows: usize) -> Self {
        Self { producers, rows, tasks: TASKS.max(producers) }
    }
}

/// What a run gave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drive {
    /// Rows, all of them durable, in a second.
    pub(super) rows_per_second: f64,
    /// The longest that any producer waited for an answer.
    pub(super) longest: Duration,
}

/// Drives `sink` with a load. To be called inside a runtime.
///
/// # Errors
/// The first that a producer met, or that the time is over.
#[allow(clippy::cast_precision_loss, reason = "nobody inserts 2^53 rows")]
pub(super) async fn drive<S: Sink>(
    sink: &Arc<S>,
    load: Load,
    pool: &Pool,
    deadline: Deadline,
) -> Result<Drive, CaseError> {
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut producers = Vec::with_capacity(load.producers);
    for producer in 0..load.producers {
        let (sink, next, pool) = (Arc::clone(sink), Arc::clone(&next), pool.clone());
        let rng = fastrand::Rng::with_seed(producer as u64);
        producers.push(tokio::spawn(async move { produce(&*sink, load, &next, &pool, rng, deadline).await }));
    }
    let mut longest = Duration::ZERO;
    for producer in producers {
        longest = longest.max(producer.await.map_err(|broken| CaseError::broken("a producer", &broken))??);
    }
    Ok(Drive { rows_per_second: load.rows as f64 / began.elapsed().as_secs_f64(), longest })
}

async fn produce<S: Sink>(
    sink: &S,
    load: Load,
    next: &AtomicUsize,
    pool: &Pool,
    mut rng: fastrand::Rng,
    deadline: Deadline,
) -> Result<Duration, CaseError> {
    let mut longest = Duration::ZERO;
    loop {
        let row = next.fetch_add(1, Ordering::Relaxed);
        if row >= load.rows {
            return Ok(longest);
        }
        if deadline.left().is_zero() {
            return Err(CaseError::TimedOut { what: "the producers".to_owned() });
        }
        let payload = pool.cut(&mut rng, PAYLOAD_BYTES);
        let began = Instant::now();
        sink.put(row % load.tasks, payload).await?;
        longest = longest.max(began.elapsed());
    }
}
