//! A lease as its holder sees it: until when it may go on by its own clock, and how it ended. Once ended it stays so.

use std::sync::Arc;
use std::time::Duration;

use steadfast_store::{Batch, Committed, Guard, Reason, Rejection, Renew, Store, StoreError, Term, within};

use crate::lease::RenewError;
use crate::sync::watch;
use crate::telemetry;

/// Why a holder must stop.
///
/// ```
/// use steadfast_leases::{Lease, Loss};
///
/// /// Works until the lease is lost, then says why.
/// async fn work(lease: &Lease, work: impl Future<Output = ()>) -> Option<Loss> {
///     tokio::select! {
///         loss = lease.lost() => Some(loss),
///         () = work => None,
///     }
/// }
/// assert!(Loss::DeadlinePassed.to_string().contains("stop"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// No renewal was acknowledged in time: by the holder's own clock, somebody else may have the item from now on.
    #[error("the lease was not renewed within its term: stop, somebody else may hold the item")]
    DeadlinePassed,
    /// The store refused a renewal.
    #[error("the lease could not be renewed: {0}")]
    Rejected(#[source] Reason),
    /// Its holder settled or dropped it.
    #[error("the lease was given up by its holder: claim the item anew to work on it")]
    GivenUp,
}

/// What changes while a lease lives.
#[derive(Debug, Clone)]
struct Standing {
    /// On the monotonic clock: the newest acknowledged renewal (or the claim) was *sent* one term before.
    deadline: Duration,
    ended: Option<Loss>,
    /// Its holder has made the command that ends it: an item found settled at his fence means that this was applied.
    settling: bool,
}

impl Standing {
    /// Ends the lease when its deadline has passed. True when that changed anything.
    fn expire(&mut self, now: Duration) -> bool {
        let passed = self.ended.is_none() && now >= self.deadline;
        if passed {
            self.ended = Some(Loss::DeadlinePassed);
        }
        passed
    }

    /// Takes note of a renewal that was sent at `sent` and is known to be applied at `now`. One that comes to be
    /// known after the deadline helps nobody: the holder has been told to stop.
    fn renewed(&mut self, sent: Duration, now: Duration, term: Duration) {
        self.expire(now);
        if self.ended.is_none() {
            self.deadline = self.deadline.max(whole(sent) + whole(term));
        }
    }

    fn end(&mut self, loss: Loss) -> bool {
        let first = self.ended.is_none();
        self.ended.get_or_insert(loss);
        first
    }
}

/// Without the part of a millisecond: the store counts whole ones, and the holder must not count more.
fn whole(span: Duration) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// One lease, shared by its holder, its heartbeat and whoever waits for its loss.
#[derive(Debug)]
pub(crate) struct Hold {
    store: Arc<dyn Store>,
    guard: Guard,
    term: Term,
    standing: watch::Sender<Standing>,
}

impl Hold {
    /// A lease whose claim was sent at `sent` on the monotonic clock.
    pub(crate) fn new(store: Arc<dyn Store>, guard: Guard, term: Term, sent: Duration) -> Self {
        let standing = Standing { deadline: whole(sent) + whole(term.get()), ended: None, settling: false };
        Self { store, guard, term, standing: watch::Sender::new(standing) }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(crate) fn term(&self) -> Duration {
        self.term.get()
    }

    fn now(&self) -> Duration {
        self.store.env().clock().monotonic()
    }

    /// How the lease has ended by now, if it has.
    pub(crate) fn look(&self) -> Option<Loss> {
        let now = self.now();
        if self.standing.send_if_modified(|standing| standing.expire(now)) {
            telemetry::ended(&self.guard, &Loss::DeadlinePassed);
        }
        self.standing.borrow().ended.clone()
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.standing.borrow().deadline
    }

    /// Time until the deadline; zero once the lease has ended.
    pub(crate) fn remaining(&self) -> Duration {
        if self.look().is_some() { Duration::ZERO } else { self.deadline().saturating_sub(self.now()) }
    }

    /// Waits until the lease has ended.
    pub(crate) async fn ended(&self) -> Loss {
        let mut changes = self.standing.subscribe();
        loop {
            if let Some(loss) = self.look() {
                return loss;
            }
            // A renewal moves the deadline while we sleep towards the old one; then we look and sleep again.
            within(self.store.env(), self.remaining(), changes.changed()).await;
        }
    }

    /// Ends the lease, unless it has ended before.
    pub(crate) fn end(&self, loss: Loss) {
        let told = loss.clone();
        if self.standing.send_if_modified(|standing| standing.end(loss)) {
            telemetry::ended(&self.guard, &told);
        }
    }

    /// From now on a refused renewal may be the holder's own settlement.
    pub(crate) fn settling(&self) {
        self.standing.send_if_modified(|standing| {
            standing.settling = true;
            false
        });
    }

    /// Sends one renewal, waits for its answer no longer than the lease lasts.
    pub(crate) async fn renew(&self) -> Result<(), RenewError> {
        if let Some(loss) = self.look() {
            return Err(RenewError::Lost(loss));
        }
        let sent = self.now();
        let remaining = self.remaining();
        let mut batch = Batch::relaxed().wait_at_most(remaining);
        batch.add(Renew { guard: self.guard.clone(), term: self.term });
        let answer = within(self.store.env(), remaining, self.store.commit(batch)).await;
        match answer {
            None => self.end(Loss::DeadlinePassed),
            Some(Ok(Committed::Applied(_))) => {
                let (now, term) = (self.now(), self.term.get());
                self.standing.send_modify(|standing| standing.renewed(sent, now, term));
                telemetry::renewed();
            }
            Some(Ok(Committed::Rejected(rejection))) => return Err(self.refused(rejection)),
            Some(Err(error)) => return Err(RenewError::Store(error)),
        }
        self.look().map_or(Ok(()), |loss| Err(RenewError::Lost(loss)))
    }

    /// Ends the lease, unless the refusal is the work of the holder's own settlement, whose answer then tells: nothing
    /// else leaves an item at his fence without a lease. A cancellation or a takeover moves the fence.
    fn refused(&self, Rejection { reason, .. }: Rejection) -> RenewError {
        let is_settled = matches!(&reason, Reason::NotLeased { fence, .. } if *fence == self.guard.fence);
        if !(is_settled && self.standing.borrow().settling) {
            self.end(Loss::Rejected(reason.clone()));
        }
        RenewError::Lost(Loss::Rejected(reason))
    }
}

impl RenewError {
    /// Whether the same renewal may succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Store(error) if !matches!(error, StoreError::Closed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Duration = Duration::from_secs(10);

    fn standing() -> Standing {
        Standing { deadline: TERM, ended: None, settling: false }
    }

    #[test]
    fn a_renewal_counts_from_when_it_was_sent() {
        let mut standing = standing();
        standing.renewed(Duration::from_secs(3), Duration::from_secs(9), TERM);
        assert_eq!(standing.deadline, Duration::from_secs(13));
    }

    #[test]
    fn a_deadline_never_comes_nearer() {
        let mut standing = standing();
        standing.renewed(Duration::from_secs(5), Duration::from_secs(6), TERM);
        standing.renewed(Duration::from_secs(3), Duration::from_secs(7), TERM);
        assert_eq!(standing.deadline, Duration::from_secs(15));
    }

    #[test]
    fn a_renewal_known_after_the_deadline_does_not_revive_the_lease() {
        let mut standing = standing();
        standing.renewed(Duration::from_secs(9), Duration::from_secs(10), TERM);
        assert_eq!(standing.ended, Some(Loss::DeadlinePassed));
        standing.renewed(Duration::from_secs(10), Duration::from_secs(11), TERM);
        assert_eq!((standing.ended, standing.deadline), (Some(Loss::DeadlinePassed), TERM));
    }

    #[test]
    fn the_first_end_is_the_one_that_stays() {
        let mut standing = standing();
        assert!(standing.end(Loss::GivenUp));
        assert!(!standing.end(Loss::DeadlinePassed));
        assert!(!standing.expire(TERM * 2));
        assert_eq!(standing.ended, Some(Loss::GivenUp));
    }
}
