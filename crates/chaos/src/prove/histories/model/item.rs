//! A work item as anybody may understand the promises: what each call does to it, and which answers it allows. Written
//! anew from what the commands promise, not from the functions that decide them in the store.

use super::super::call::{ItemRow, ItemSetting, ItemStatus, Lease, LeaseRow, Settlement, Why};
use super::span::Span;

/// A lease. Of a claim without an answer nobody knows when it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Held {
    holder: u64,
    acquired: Span,
    expires: Span,
}

/// An item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct Item {
    number: usize,
    priority: i32,
    max_attempts: u32,
    pub(super) status: ItemStatus,
    pub(super) fence: u64,
    attempt: u32,
    available: Span,
    lease: Option<Held>,
    pub(super) transition: Option<u64>,
    settled: Option<(u64, Settlement)>,
}

/// An item after a call, and what is left of the moments at which that can have been.
pub(super) type After = Option<(Item, Span)>;

/// Where an item stands in the order of claims, the first the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) urgency: i64,
    pub(super) available: i64,
    pub(super) item: usize,
}

impl Item {
    pub(super) fn new(number: usize, setting: &ItemSetting, made: Span) -> Self {
        Self {
            number,
            priority: setting.priority,
            max_attempts: setting.max_attempts,
            status: ItemStatus::Pending,
            fence: 0,
            attempt: 0,
            available: made.plus(setting.delay),
            lease: None,
            transition: None,
            settled: None,
        }
    }

    /// Whether it looks like this; what was not known for certain is known then.
    pub(super) fn seen_as(&self, row: &ItemRow) -> Option<Self> {
        let mut seen = self.clone();
        seen.available = self.available.at(row.available)?;
        seen.lease = match (&self.lease, &row.lease) {
            (None, None) => None,
            (Some(held), Some(LeaseRow { holder, acquired, expires })) if held.holder == *holder => {
                Some(Held {
                    holder: *holder,
                    acquired: held.acquired.at(*acquired)?,
                    expires: held.expires.at(*expires)?,
                })
            }
            _ => return None,
        };
        let plain = (self.number, self.status, self.fence, self.attempt, self.transition, self.settled);
        (plain == (row.item, row.status, row.fence, row.attempt, row.transition, row.settled)).then_some(seen)
    }

    /// A fence is the lease as long as nothing else has happened to the item, whatever its term says.
    pub(super) fn guard(&self, fence: u64) -> Result<(), Why> {
        if self.fence != fence {
            Err(Why::StaleFence { current: self.fence })
        } else if self.status == ItemStatus::InProgress {
            Ok(())
        } else {
            Err(Why::NotLeased { status: self.status })
        }
    }

    /// Taken by a claim at some moment of `at`.
    pub(super) fn claimed(&self, id: u64, term: i64, at: Span) -> After {
        let at = at.from(self.available.low)?;
        let lease = Held { holder: id, acquired: at, expires: at.plus(term) };
        let claimed = Self {
            status: ItemStatus::InProgress,
            fence: self.fence + 1,
            attempt: self.attempt + 1,
            available: self.available.until(at.high)?,
            lease: Some(lease),
            transition: Some(id),
            ..self.clone()
        };
        (self.status == ItemStatus::Pending).then_some((claimed, at))
    }

    /// Not taken by a claim that had room for it or, when there is a `last`, took that one as the last.
    pub(super) fn left_by_claim(&self, last: Option<Place>, at: Span) -> Option<Span> {
        let (urgency, available) = (-i64::from(self.priority), self.available.high);
        let latest = Place { urgency, available, item: self.number };
        // Behind the others it may have been available.
        if self.status != ItemStatus::Pending || last.is_some_and(|last| last < latest) {
            return Some(at);
        }
        at.until(self.available.high - 1)
    }

    /// Whether the claim `id` still holds it.
    pub(super) fn is_held_by(&self, id: u64) -> bool {
        self.transition == Some(id) && self.status == ItemStatus::InProgress
    }

    pub(super) fn renewed(&self, fence: u64, term: i64, at: Span) -> After {
        self.guard(fence).ok()?;
        let held = self.lease.clone()?;
        let (later, earlier) = (at.plus(term), held.expires);
        let expires = Span::new(later.low.max(earlier.low), later.high.max(earlier.high))?;
        Some((Self { lease: Some(Held { expires, ..held }), ..self.clone() }, at))
    }

    /// The same, answered with this deadline: the old one, which was no earlier than one term from then, or one term from
    /// then.
    pub(super) fn renewed_until(&self, fence: u64, term: i64, until: i64, at: Span) -> After {
        let (renewed, _) = self.renewed(fence, term, at)?;
        let held = self.lease.clone()?;
        let kept = at.until(until - term).filter(|_| held.expires.has(until));
        let moved = at.at(until - term).filter(|_| held.expires.low <= until);
        let lease = Held { expires: Span::exactly(until), ..held };
        // What is kept says the least of when it was, and leaves the same behind.
        Some((Self { lease: Some(lease), ..renewed }, kept.or(moved)?))
    }

    pub(super) fn settled(&self, fence: u64, how: Settlement, delay: i64, at: Span) -> After {
        self.guard(fence).ok()?;
        let mut settled = Self { lease: None, settled: Some((fence, how)), ..self.clone() };
        match how {
            Settlement::Succeeded => settled.status = ItemStatus::Succeeded,
            Settlement::Failed => settled.status = ItemStatus::Failed,
            Settlement::Retried if self.attempt >= self.max_attempts => settled.status = ItemStatus::Failed,
            Settlement::Retried => {
                settled.status = ItemStatus::Pending;
                settled.available = at.plus(delay);
            }
            Settlement::Released => {
                settled.status = ItemStatus::Pending;
                settled.attempt = self.attempt.saturating_sub(1);
                settled.available = at;
            }
        }
        Some((settled, at))
    }

    /// The same, answered with where the item stands then.
    pub(super) fn settled_as(
        &self,
        (fence, how, delay): (u64, Settlement, i64),
        (status, available): (ItemStatus, i64),
        at: Span,
    ) -> After {
        let (mut settled, mut at) = self.settled(fence, how, delay, at)?;
        if settled.status == ItemStatus::Pending {
            let delay = if how == Settlement::Retried { delay } else { 0 };
            at = at.at(available - delay)?;
        }
        settled.available = settled.available.at(available)?;
        (settled.status == status).then_some((settled, at))
    }

    /// Whether this settlement was applied before, nothing has happened since, and it stands like this.
    pub(super) fn is_settled(&self, fence: u64, how: Settlement, status: ItemStatus, available: i64) -> bool {
        let is_this = self.settled == Some((fence, how)) && self.fence == fence;
        is_this && self.guard(fence).is_err() && self.status == status && self.available.has(available)
    }

    /// Whether this settlement was the last thing that happened to it.
    pub(super) fn is_untouched_since(&self, fence: u64, how: Settlement) -> bool {
        self.settled == Some((fence, how)) && self.fence == fence
    }

    /// Whether this settlement was applied before, and something has happened since.
    pub(super) fn is_settled_since(&self, fence: u64, how: Settlement) -> bool {
        self.settled == Some((fence, how)) && self.fence != fence
    }

    /// Why a settlement is refused.
    pub(super) fn refuses_settlement(&self, fence: u64, how: Settlement) -> Option<Why> {
        if self.settled == Some((fence, how)) { None } else { self.guard(fence).err() }
    }

    /// Called off, or why not.
    pub(super) fn cancelled(&self) -> Result<Self, Why> {
        match self.status {
            ItemStatus::Cancelled => Ok(self.clone()),
            ItemStatus::Succeeded | ItemStatus::Failed => Err(Why::ItemEnded { status: self.status }),
            ItemStatus::Pending | ItemStatus::InProgress => {
                Ok(Self { status: ItemStatus::Cancelled, fence: self.fence + 1, lease: None, ..self.clone() })
            }
        }
    }

    /// Available again with all its attempts, or why not.
    pub(super) fn requeued(&self, id: u64, delay: i64, at: Span) -> Result<(Self, Span), Why> {
        if !matches!(self.status, ItemStatus::Failed | ItemStatus::Cancelled) {
            return Err(Why::NotRequeuable { status: self.status });
        }
        let (status, available) = (ItemStatus::Pending, at.plus(delay));
        let (fence, transition) = (self.fence + 1, Some(id));
        Ok((Self { status, available, fence, attempt: 0, transition, ..self.clone() }, at))
    }

    /// The same, answered with when it is available.
    pub(super) fn requeued_for(&self, id: u64, delay: i64, available: i64, at: Span) -> After {
        let (requeued, at) = self.requeued(id, delay, at.at(available - delay)?).ok()?;
        Some((requeued, at))
    }

    /// Whether this requeueing was applied before, and for this moment.
    pub(super) fn is_requeued(&self, id: u64, available: i64) -> bool {
        self.transition == Some(id) && self.available.has(available)
    }

    /// Taken from its holder at some moment of `at`, none of which is before its term.
    pub(super) fn reclaimed(&self, id: u64, at: Span) -> After {
        let held = self.lease.as_ref().filter(|_| self.status == ItemStatus::InProgress)?;
        let at = at.from(held.expires.low)?;
        let is_dead = self.attempt >= self.max_attempts;
        let reclaimed = Self {
            status: if is_dead { ItemStatus::Failed } else { ItemStatus::Pending },
            fence: self.fence + 1,
            available: at,
            lease: None,
            transition: Some(id),
            ..self.clone()
        };
        Some((reclaimed, at))
    }

    /// Until when it is held, while it is.
    pub(super) fn deadline(&self) -> Option<Span> {
        self.lease.as_ref().map(|held| held.expires)
    }

    /// Not taken by a sweep that had room for it.
    pub(super) fn left_by_sweep(&self, at: Span) -> Option<Span> {
        match &self.lease {
            Some(held) if self.status == ItemStatus::InProgress => at.until(held.expires.high - 1),
            _ => Some(at),
        }
    }

    /// The lease that the sweep `id` took, if nothing has happened to the item since.
    pub(super) fn reclaimed_by(&self, id: u64) -> Option<Lease> {
        let is_untouched = matches!(self.status, ItemStatus::Pending | ItemStatus::Failed);
        (self.transition == Some(id) && is_untouched)
            .then(|| Lease { item: self.number, fence: self.fence - 1 })
    }
}
