//! Claiming: takes items under leases, and waits for them when there are none.

use std::sync::Arc;
use std::time::Duration;

use steadfast_store::limits::COMMIT_WAIT_DEFAULT;
use steadfast_store::{
    Batch, Claim, Committed, Durability, Guard, HolderId, InvalidSpan, Label, Settle, SettleItem, Store,
    StoreError, TaskId, Term, TransitionId, WorkItem, commit_one_resolved, commit_resolved,
};
use tracing::Instrument;

use crate::hold::Hold;
use crate::lease::Lease;
use crate::retry::RetryPolicy;
use crate::sync::oneshot;
use crate::telemetry;

/// How long a lease lasts without renewal, when the options do not say otherwise.
pub const TERM_DEFAULT: Duration = Duration::from_mins(5);
/// How often [`LeaseManager::wait_for_work`] looks although nothing was committed: a delayed item becomes available
/// without a change.
pub const WORK_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// A waiter that was woken in vain looks again no sooner than this after, doubled each time, so that a busy store is
/// not asked by every waiter after every commit.
const VAIN_PAUSE_FIRST: Duration = Duration::from_millis(1);
/// The longest such pause.
const VAIN_PAUSE_MAX: Duration = Duration::from_millis(16);

/// How a manager claims.
///
/// ```
/// use std::time::Duration;
/// use steadfast_leases::LeaseOptions;
/// use steadfast_store::HolderId;
///
/// let holder = HolderId::new("worker-1")?;
/// let options = LeaseOptions { term: Duration::from_secs(30), ..LeaseOptions::new(holder) };
/// assert!(options.heartbeat);
/// # Ok::<(), steadfast_store::InvalidId>(())
/// ```
#[derive(Debug, Clone)]
pub struct LeaseOptions {
    /// Who claims, for people to read; the fence decides, not this name.
    pub holder: HolderId,
    /// How long a lease lasts without renewal: [`TERM_DEFAULT`] unless set, within the bounds of [`Term`].
    pub term: Duration,
    /// Whether leases renew themselves in the background: on unless switched off.
    pub heartbeat: bool,
    /// Only items of these kinds are claimed; of any when empty. At most
    /// [`KINDS_MAX`](steadfast_store::limits::KINDS_MAX).
    pub kinds: Vec<Label>,
    /// Only items of this task are claimed.
    pub task: Option<TaskId>,
    /// When [`Lease::retry`] has an item tried again.
    pub retry: RetryPolicy,
}

impl LeaseOptions {
    /// The defaults for this holder: any item, a term of [`TERM_DEFAULT`], with heartbeat.
    pub fn new(holder: HolderId) -> Self {
        let (kinds, task, retry) = (Vec::new(), None, RetryPolicy::default());
        Self { holder, term: TERM_DEFAULT, heartbeat: true, kinds, task, retry }
    }
}

/// Claims work items under leases. Cloning is cheap. The [crate](crate) has an example of the work under a lease; this is
/// a worker that takes up to eight items at once and waits for the next ones.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use steadfast_store::{
/// #     CreateTask, Delay, Enqueue, HolderId, Label, MemoryStore, Payload, Settle, StoreExt, TaskId, WorkItemId, env::Env,
/// # };
/// use steadfast_leases::{LeaseManager, LeaseOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Arc::new(MemoryStore::new(Env::system()));
/// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// # store.create_task(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() }).await?;
/// # for item in ["report/collect", "report/draft"] {
/// #     let (item, task, kind) = (WorkItemId::new(item)?, task.clone(), kind.clone());
/// #     store.enqueue(Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 3 }).await?;
/// # }
/// let options = LeaseOptions { kinds: vec![kind], ..LeaseOptions::new(HolderId::new("worker-1")?) };
/// let leases = LeaseManager::new(store, options)?;
/// for lease in leases.claim_many(8).await? {
///     println!("{} under fence {}", lease.item().id, lease.guard().fence);
///     lease.finish(Settle::Succeeded).await?;
/// }
/// assert!(leases.wait_for_work(Duration::from_millis(1)).await?.is_none(), "both are done");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct LeaseManager {
    pub(crate) store: Arc<dyn Store>,
    term: Term,
    options: Arc<LeaseOptions>,
}

impl LeaseManager {
    /// A manager over `store`.
    ///
    /// # Errors
    /// [`InvalidSpan`] for a term out of bounds.
    pub fn new(store: Arc<dyn Store>, options: LeaseOptions) -> Result<Self, InvalidSpan> {
        let term = Term::new(options.term)?;
        telemetry::register();
        Ok(Self { store, term, options: Arc::new(options) })
    }

    /// Claims the next available item: by priority, then by the time from which it is available. `None` when there
    /// is none. See [`claim_many`](Self::claim_many).
    ///
    /// # Errors
    /// [`StoreError`], as for [`claim_many`](Self::claim_many).
    pub async fn claim(&self) -> Result<Option<Lease>, StoreError> {
        Ok(self.claim_many(1).await?.pop())
    }

    /// Claims up to `limit` items in one commit, in claim order; fewer, or none, when no more are available. Durable
    /// on return: a fence that the world has seen is not given out again. An unknown answer is resolved by
    /// submitting the same claim again for up to one term.
    ///
    /// Dropping the future does not take back the claim: what it took is then released in the background, without
    /// counting as an attempt.
    ///
    /// # Errors
    /// [`StoreError`]: [`Invalid`](StoreError::Invalid) or [`TooLarge`](StoreError::TooLarge) for a limit out of
    /// bounds; [`Overloaded`](StoreError::Overloaded) when the store was busy for half a term; after
    /// [`Unknown`](StoreError::Unknown) items may be leased that nobody works on, until their term runs out.
    pub async fn claim_many(&self, limit: u32) -> Result<Vec<Lease>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let (taken, is_taken) = oneshot::channel();
        let manager = self.clone();
        let span = telemetry::claim(&self.options.holder, limit);
        let claiming = async move {
            let claimed = manager.claim_now(limit).await;
            let guards: Vec<Guard> = claimed.iter().flatten().map(Lease::guard).collect();
            // A refused answer and one that is dropped unread look alike: nobody says that it was taken.
            drop(answer.send(claimed));
            if is_taken.await.is_err() {
                manager.release(guards).await;
            }
        };
        self.store.env().runtime().spawn(Box::pin(claiming.instrument(span)));
        // No await between the two lines, so nothing can come between reading the answer and saying so.
        let claimed = answered.await.map_err(|_| StoreError::Closed)?;
        let _ = taken.send(());
        claimed
    }

    /// Claims the next available item, waiting for one until `limit` has passed; `None` when none came. Woken by
    /// commits of this and other processes; looks every [`WORK_POLL_INTERVAL`] for delayed items. Expired leases of
    /// others become available only by somebody's sweep.
    ///
    /// Dropping the future is as for [`claim_many`](Self::claim_many).
    ///
    /// # Errors
    /// [`StoreError`], as for [`claim_many`](Self::claim_many); the wait ends with it.
    pub async fn wait_for_work(&self, limit: Duration) -> Result<Option<Lease>, StoreError> {
        let env = self.store.env();
        let end = env.clock().monotonic().saturating_add(limit);
        let mut pause = Duration::ZERO;
        loop {
            // Before the look: what is committed after it must end the wait.
            let seen = self.store.change_stamp();
            if let Some(lease) = self.claim().await? {
                return Ok(Some(lease));
            }
            let left = end.saturating_sub(env.clock().monotonic());
            if left.is_zero() {
                return Ok(None);
            }
            if !pause.is_zero() {
                env.sleep(pause.min(left)).await;
            }
            let now = self.store.changed(seen, WORK_POLL_INTERVAL.min(left.saturating_sub(pause))).await;
            pause = if now == seen {
                Duration::ZERO
            } else {
                (pause * 2).clamp(VAIN_PAUSE_FIRST, VAIN_PAUSE_MAX)
            };
        }
    }

    async fn claim_now(&self, limit: u32) -> Result<Vec<Lease>, StoreError> {
        let env = self.store.env();
        let wait = COMMIT_WAIT_DEFAULT.min(self.term.get() / 2);
        let mut batch = Batch::durable().wait_at_most(wait);
        let claim = TransitionId::generate(env);
        let LeaseOptions { holder, kinds, task, .. } = &*self.options;
        let (holder, kinds, task) = (holder.clone(), kinds.clone(), task.clone());
        let handle = batch.add(Claim { claim, holder, term: self.term, limit, kinds, task });
        // Before the first submission: whichever of them is applied, it is applied later.
        let sent = env.clock().monotonic();
        let items = match commit_resolved(&*self.store, batch, self.term.get()).await? {
            // Superseded: applied, and every item has moved on since.
            Committed::Applied(applied) => {
                applied.get(handle).map_or_else(|_| Vec::new(), |claimed| claimed.items.clone())
            }
            Committed::Rejected(rejection) => return Err(StoreError::Failed { source: rejection.into() }),
        };
        telemetry::claimed(items.len(), env.clock().monotonic().saturating_sub(sent));
        Ok(items.into_iter().map(|item| self.lease(item, sent)).collect())
    }

    fn lease(&self, item: WorkItem, sent: Duration) -> Lease {
        let hold = Hold::new(Arc::clone(&self.store), item.guard(), self.term, sent);
        Lease::new(item, hold, self.options.heartbeat, self.options.retry)
    }

    /// Hands back what nobody wants. Each by itself: one that is stale must not keep the others.
    async fn release(&self, guards: Vec<Guard>) {
        for guard in guards {
            let released = SettleItem { guard, settle: Settle::Released, detail: String::new() };
            // What cannot be released comes back when its term has run out.
            let _ = commit_one_resolved(&*self.store, Durability::Durable, released).await;
        }
    }
}
