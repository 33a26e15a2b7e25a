//! One lease in the hands of its holder.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use steadfast_store::{
    CommandError, Delay, Durability, Guard, Settle, SettleItem, Settled, StoreError, WorkItem,
    commit_one_resolved,
};
use tracing::Instrument;

use crate::heartbeat;
use crate::hold::{Hold, Loss};
use crate::retry::RetryPolicy;
use crate::sync::CancellationToken;
use crate::telemetry;

/// Why a lease could not be renewed.
///
/// ```
/// use steadfast_leases::{Lease, RenewError};
///
/// async fn renew(lease: &Lease) -> bool {
///     match lease.renew().await {
///         Ok(()) => true,
///         // It lasts until its deadline; the heartbeat tries again.
///         Err(RenewError::Store(error)) => { println!("busy: {error}"); true }
///         Err(lost) => { println!("stop: {lost}"); false }
///     }
/// }
/// # let _ = renew;
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenewError {
    /// The lease has ended.
    #[error(transparent)]
    Lost(Loss),
    /// Trouble with the storage; the lease lasts until its deadline, and a renewal may be tried again before.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A claimed work item. While it lives it is renewed in the background, if its manager's options say so; dropping it
/// stops that and settles nothing: the item stays leased until its term has run out.
///
/// The lease is lost once, for good: when its deadline passes by the holder's own clock, or when the store refuses a
/// renewal. The deadline is one term after the claim or the newest acknowledged renewal was *sent*, so it lies
/// before the moment from which the store lets somebody else have the item, however long the answer took.
///
/// To end it in one commit with other changes, take its commands:
///
/// ```
/// # use std::sync::Arc;
/// # use steadfast_leases::{LeaseManager, LeaseOptions};
/// # use steadfast_store::{
/// #     Batch, Committed, CreateTask, Delay, Enqueue, FinishTask, HolderId, Label, MemoryStore, Payload, Settle,
/// #     Store, StoreExt, TaskEnd, TaskId, WorkItemId, env::Env,
/// # };
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Arc::new(MemoryStore::new(Env::system()));
/// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// # store.create_task(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() }).await?;
/// # let item = WorkItemId::new("report/collect")?;
/// # store.enqueue(Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 3 }).await?;
/// # let leases = LeaseManager::new(store.clone(), LeaseOptions::new(HolderId::new("worker-1")?))?;
/// let lease = leases.claim().await?.expect("an item was enqueued");
/// let mut batch = Batch::durable();
/// let task = lease.item().task.clone();
/// let end = FinishTask { task, end: TaskEnd::Succeeded, result: Payload::new("done")? };
/// batch.add_guarded(lease.guard(), end);
/// batch.add(lease.settle(Settle::Succeeded));
/// assert!(matches!(store.commit(batch).await?, Committed::Applied(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping a lease stops its heartbeat"]
pub struct Lease {
    item: WorkItem,
    hold: Arc<Hold>,
    retry: RetryPolicy,
}

impl Lease {
    pub(crate) fn new(item: WorkItem, hold: Hold, heartbeat: bool, retry: RetryPolicy) -> Self {
        let hold = Arc::new(hold);
        if heartbeat {
            heartbeat::start(&hold);
        }
        Self { item, hold, retry }
    }

    /// The item, as it stood when it was claimed.
    pub fn item(&self) -> &WorkItem {
        &self.item
    }

    /// The proof of holding it, for [`Batch::add_guarded`](steadfast_store::Batch::add_guarded): a batch whose
    /// guard is stale is rejected whole.
    pub fn guard(&self) -> Guard {
        self.hold.guard().clone()
    }

    /// When the holder must have stopped unless a renewal comes first: a reading of
    /// [`Clock::monotonic`](steadfast_store::env::Clock::monotonic).
    pub fn deadline(&self) -> Duration {
        self.hold.deadline()
    }

    /// Time until the deadline; zero once the lease has ended.
    pub fn remaining(&self) -> Duration {
        self.hold.remaining()
    }

    /// Whether the holder must stop, by the clock of this very moment.
    pub fn is_lost(&self) -> bool {
        self.hold.look().is_some()
    }

    /// Why it must stop, if it must.
    pub fn loss(&self) -> Option<Loss> {
        self.hold.look()
    }

    /// Ends when the holder must stop, by its own clock if the store says nothing; at once when that is already so.
    /// It does not borrow the lease, and may be given to another task. Dropping it changes nothing.
    pub fn lost(&self) -> impl Future<Output = Loss> + Send + use<> {
        let hold = Arc::clone(&self.hold);
        async move { hold.ended().await }
    }

    /// A token that is cancelled when the holder must stop, for work that takes one. Started here, it watches the
    /// lease until that has ended.
    pub fn cancellation(&self) -> CancellationToken {
        let token = CancellationToken::new();
        let (cancel, lost) = (token.clone(), self.lost());
        self.hold.store().env().runtime().spawn(Box::pin(async move {
            lost.await;
            cancel.cancel();
        }));
        token
    }

    /// Renews now, beside the heartbeat. Relaxed: a renewal that is lost with the power shortens a lease that a new
    /// boot ends anyway. Dropping the future loses the answer only.
    ///
    /// # Errors
    /// [`RenewError`]; after [`RenewError::Store`] it may be tried again until the deadline.
    pub async fn renew(&self) -> Result<(), RenewError> {
        self.hold.renew().instrument(telemetry::renew(self.hold.guard(), false)).await
    }

    /// The command that ends this lease, to be committed together with what was done under it, after all guarded
    /// commands of the same batch. Drop the lease once it was applied.
    pub fn settle(&self, settle: Settle) -> SettleItem {
        self.hold.settling();
        SettleItem { guard: self.guard(), settle, detail: String::new() }
    }

    /// Has the item tried again by the manager's [`RetryPolicy`], and says why; after its last attempt it is a dead
    /// letter instead, as the answer tells. Otherwise as [`finish`](Self::finish).
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub async fn retry(&self, why: impl Into<String>) -> Result<Settled, CommandError> {
        let delay = self.retry.delay(self.item.attempt, self.hold.store().env().rng()).unwrap_or(Delay::ZERO);
        self.end(Settle::Retry(delay), why.into()).await
    }

    /// Gives the item up, and says why: a dead letter. Otherwise as [`finish`](Self::finish).
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub async fn fail(&self, why: impl Into<String>) -> Result<Settled, CommandError> {
        self.end(Settle::Failed, why.into()).await
    }

    /// Hands the item back untouched, at once available to others; the attempt does not count. Otherwise as
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub async fn release(&self) -> Result<Settled, CommandError> {
        self.end(Settle::Released, String::new()).await
    }

    /// Ends this lease in a commit of its own, durable on return. An unknown answer is resolved by submitting the
    /// same batch again. Dropping the future loses the answer, not the write; after an error it may be called again.
    ///
    /// # Errors
    /// [`CommandError`]: a [`Rejection`](steadfast_store::Rejection) when the lease had been lost.
    pub async fn finish(&self, settle: Settle) -> Result<Settled, CommandError> {
        self.end(settle, String::new()).await
    }

    async fn end(&self, settle: Settle, detail: String) -> Result<Settled, CommandError> {
        let span = telemetry::finish(self.hold.guard(), settle);
        self.commit_end(settle, detail).instrument(span).await
    }

    async fn commit_end(&self, settle: Settle, detail: String) -> Result<Settled, CommandError> {
        let how = settle;
        let settle = SettleItem { detail, ..self.settle(settle) };
        let settled = commit_one_resolved(self.hold.store(), Durability::Durable, settle).await?;
        self.hold.end(Loss::GivenUp);
        telemetry::settled(how, settled.status);
        Ok(settled)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.hold.end(Loss::GivenUp);
    }
}
