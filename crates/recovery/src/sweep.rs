//! One pass over all expired leases, in bounded pages.

use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use steadfast_store::{
    Batch, Committed, RESOLVE_PATIENCE, Status, Store, StoreError, SweepExpired, Swept, TransitionId,
    commit_resolved,
};
use tracing::Instrument;

use crate::housekeeping::Housekeeping;
use crate::telemetry;

/// Most pages of one pass: terms so short that leases expire as fast as they are swept must not keep it for ever.
const PAGES_MAX: u32 = 100_000;
/// Failed pages in a row after which a pass gives up.
const ERRORS_MAX: u32 = 3;
/// The pause after a failed page.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// How a sweeper works.
///
/// ```
/// use steadfast_recovery::SweepOptions;
///
/// let options = SweepOptions { page: 100, ..SweepOptions::default() };
/// assert_eq!(options.housekeeping.keep_checkpoints, Some(100));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepOptions {
    /// Most leases reclaimed in one commit: 1 to [`PAGE_ROWS_MAX`](steadfast_store::limits::PAGE_ROWS_MAX). Larger
    /// is faster; smaller lets other commits in between earlier.
    pub page: u32,
    /// What a sweep in the background lets go of on the way.
    pub housekeeping: Housekeeping,
}

impl Default for SweepOptions {
    /// Pages of 256, and the usual housekeeping.
    fn default() -> Self {
        Self { page: 256, housekeeping: Housekeeping::default() }
    }
}

/// What a pass did.
///
/// ```
/// use steadfast_recovery::SweepStats;
///
/// fn look_at(stats: &SweepStats) {
///     println!("{} reclaimed in {} ms", stats.expired_found, stats.scan_duration_ms);
///     if stats.errors > 0 {
///         println!("the next pass finds what is left: {}", stats.last_error);
///     }
/// }
///
/// let mut total = SweepStats { expired_found: 3, recovered: 2, failed: 1, ..SweepStats::default() };
/// total += &SweepStats { expired_found: 1, recovered: 1, ..SweepStats::default() };
/// look_at(&total);
/// assert_eq!((total.expired_found, total.recovered, total.failed), (4, 3, 1));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SweepStats {
    /// Expired leases that this pass reclaimed.
    pub expired_found: u64,
    /// Of them, items that may be claimed again.
    pub recovered: u64,
    /// Of them, items whose attempts are used up: dead letters now. The rest was cancelled, as its task had ended.
    pub failed: u64,
    /// Pages that could not be swept, or whose fate is unknown; the next pass finds what they left.
    pub errors: u64,
    /// What the last of these errors said; empty without one.
    pub last_error: String,
    /// How long the pass took, in milliseconds.
    pub scan_duration_ms: u64,
    /// `error_boundary` checkpoints written, each in the commit that reclaimed its item.
    pub checkpoints_created: u64,
}

impl SweepStats {
    fn count(&mut self, swept: &Swept) {
        for reclaimed in &swept.reclaimed {
            self.expired_found += 1;
            self.recovered += u64::from(reclaimed.status == Status::Pending);
            self.failed += u64::from(reclaimed.status == Status::Failed);
            self.checkpoints_created += u64::from(reclaimed.checkpoint.is_some());
        }
    }
}

impl AddAssign<&Self> for SweepStats {
    /// Adds another pass: counts and durations as sums, the error as the later one's.
    fn add_assign(&mut self, later: &Self) {
        self.expired_found += later.expired_found;
        self.recovered += later.recovered;
        self.failed += later.failed;
        self.errors += later.errors;
        self.scan_duration_ms += later.scan_duration_ms;
        self.checkpoints_created += later.checkpoints_created;
        if !later.last_error.is_empty() {
            self.last_error.clone_from(&later.last_error);
        }
    }
}

/// Reclaims expired leases: their items become available again, or dead letters when their attempts are used up.
/// Cloning is cheap. Any number may run at once, in any number of processes: each lease is reclaimed, and its
/// attempt counted, once. A lease that was renewed a moment before is never taken.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use steadfast_recovery::{SweepOptions, Sweeper};
/// # use steadfast_store::env::{Env, ManualClock};
/// # use steadfast_store::{
/// #     Claim, CreateTask, Delay, Enqueue, HolderId, Label, MemoryStore, Payload, Store, StoreExt, TaskId, Term,
/// #     TransitionId, WorkItemId,
/// # };
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let clock = Arc::new(ManualClock::new());
/// # let store = Arc::new(MemoryStore::new(Env::system().with_clock(clock.clone())));
/// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// # store.create_task(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() }).await?;
/// # let (item, term) = (WorkItemId::new("report/1")?, Term::new(Duration::from_secs(300))?);
/// # store.enqueue(Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 3 }).await?;
/// # let (claim, holder) = (TransitionId::generate(store.env()), HolderId::new("worker-1")?);
/// # store.claim(Claim { claim, holder, term, limit: 1, kinds: Vec::new(), task: None }).await?;
/// let sweeper = Sweeper::new(store, SweepOptions::default());
/// assert_eq!(sweeper.run_once().await.expired_found, 0);
/// // The holder says nothing for a whole term.
/// clock.advance(Duration::from_secs(300));
/// let stats = sweeper.run_once().await;
/// assert_eq!((stats.expired_found, stats.recovered, stats.errors), (1, 1, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Sweeper {
    store: Arc<dyn Store>,
    options: SweepOptions,
}

impl Sweeper {
    /// A sweeper over `store`.
    pub fn new(store: Arc<dyn Store>, options: SweepOptions) -> Self {
        telemetry::register();
        Self { store, options }
    }

    pub(crate) fn housekeeping(&self) -> &Housekeeping {
        &self.options.housekeeping
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Sweeps page after page until one comes back short. Each page is one commit, durable before the next begins;
    /// an unknown answer is resolved by submitting the same page again. Dropping the future ends the pass; a page
    /// under way is still committed.
    ///
    /// Trouble with the storage does not end the pass at once: a failed page is tried again, and counted in the
    /// [`errors`](SweepStats::errors) of the stats.
    pub async fn run_once(&self) -> SweepStats {
        self.pass().instrument(telemetry::sweep(self.options.page)).await
    }

    async fn pass(&self) -> SweepStats {
        let env = self.store.env();
        let began = env.clock().monotonic();
        let mut stats = SweepStats::default();
        let mut errors_in_a_row = 0;
        for _ in 0..PAGES_MAX {
            match self.page().await {
                Ok(Page::Swept(swept)) => {
                    errors_in_a_row = 0;
                    stats.count(&swept);
                    if swept.reclaimed.len() < self.options.page as usize {
                        break;
                    }
                }
                // Its items have been claimed since. They were reclaimed, and can no longer be counted.
                Ok(Page::MovedOn) => errors_in_a_row = 0,
                Err(error) => {
                    stats.errors += 1;
                    stats.last_error = error.to_string();
                    errors_in_a_row += 1;
                    let lasts = !matches!(error, StoreError::Failed { .. } | StoreError::Overloaded { .. });
                    if lasts || errors_in_a_row == ERRORS_MAX {
                        break;
                    }
                    env.sleep(ERROR_PAUSE).await;
                }
            }
        }
        let took = env.clock().monotonic().saturating_sub(began);
        stats.scan_duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        telemetry::swept(&stats);
        stats
    }

    async fn page(&self) -> Result<Page, StoreError> {
        let mut batch = Batch::durable();
        let sweep = TransitionId::generate(self.store.env());
        let handle = batch.add(SweepExpired { sweep, limit: self.options.page });
        match commit_resolved(&*self.store, batch, RESOLVE_PATIENCE).await? {
            Committed::Applied(applied) => {
                Ok(applied.get(handle).map_or(Page::MovedOn, |swept| Page::Swept(swept.clone())))
            }
            Committed::Rejected(rejection) => Err(StoreError::Failed { source: rejection.into() }),
        }
    }
}

/// What became of one page.
enum Page {
    Swept(Swept),
    MovedOn,
}
