//! The model's items as rows of the store and back, so that every step is one of the store's own decisions; and the
//! flaws that can be built into the decisions, to see the model find what each of them breaks.

use std::time::Duration;

use steadfast_store::decide::{
    Decision, decide_claim, decide_guard, decide_reclaim, decide_renew, decide_settle,
};
use steadfast_store::{
    Claim, Delay, Digest, Fence, Guard, HolderId, InvalidId, InvalidSpan, Label, LeaseRecord, Now, Reason,
    Renew, SequenceNumber, Settle, SettleItem, Settlement, Status, StoreTime, Task, TaskId, Term,
    TransitionId, WallTime, WorkItem, WorkItemId,
};

use super::state::{Age, Held, ITEMS, Item, Promise, Tag};

/// One tick of the model's clock.
const TICK: Duration = Duration::from_secs(10);
/// Now: any instant, since the model counts from it.
const NOW: Now =
    Now { store: StoreTime::from_millis(1_000_000_000), wall: WallTime::from_millis(2_000_000_000) };
/// A sweep's identity; nobody in the model submits one again.
const SWEEP: TransitionId = TransitionId::from_bytes([0xff; 16]);
/// Ticks that an item waits before it is tried again.
const RETRY_TICKS: u32 = 1;

/// What is wrong with the decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Nothing: they are the store's.
    None,
    /// The guard always says yes, as long as anybody holds the item.
    NoFenceCheck,
    /// Only heartbeats are heard whatever their fence.
    UnfencedRenewal,
    /// A heartbeat moves no deadline.
    DeafRenewal,
    /// A heartbeat grows the fence, and its sender does not know.
    RenewalFences,
    /// A claim gives the fence out again that was there.
    ClaimKeepsFence,
    /// A claim takes what somebody holds.
    ClaimTakesHeld,
    /// A reclaim leaves the fence to the one who held it.
    ReclaimKeepsFence,
    /// The sweep takes leases one tick early.
    EarlySweep,
    /// The sweep takes nothing.
    NoSweep,
    /// A reclaim counts one more attempt.
    CountsTwice,
    /// A reclaim never gives up.
    NoCap,
    /// A reclaim puts the item where nobody looks.
    Misplaces,
}

impl Flaw {
    /// Every flaw, and the promise that it breaks.
    pub(super) const ALL: [(Self, Promise); 12] = [
        (Self::NoFenceCheck, Promise::NoStaleEffect),
        (Self::UnfencedRenewal, Promise::NoRevival),
        (Self::DeafRenewal, Promise::FullTerm),
        (Self::RenewalFences, Promise::HolderIsHeard),
        (Self::ClaimKeepsFence, Promise::FencesGrow),
        (Self::ClaimTakesHeld, Promise::OneHolder),
        (Self::ReclaimKeepsFence, Promise::FencesGrow),
        (Self::EarlySweep, Promise::FullTerm),
        (Self::NoSweep, Promise::CanFinish),
        (Self::CountsTwice, Promise::AttemptsOnce),
        (Self::NoCap, Promise::CapHolds),
        (Self::Misplaces, Promise::NothingLost),
    ];
}

/// How large the model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Ticks of a lease.
    pub(super) term: u8,
    /// Claims of an item that may count.
    pub(super) attempts: u8,
}

/// What the rows of the model have in common.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) size: Size,
    pub(super) flaw: Flaw,
    ids: [WorkItemId; ITEMS],
    task: Task,
    kind: Label,
    holder: HolderId,
    term: Term,
}

/// A name or a span that the store does not take.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error(transparent)]
    Id(#[from] InvalidId),
    #[error(transparent)]
    Span(#[from] InvalidSpan),
}

impl Rows {
    pub(super) fn new(size: Size, flaw: Flaw) -> Result<Self, Unusable> {
        let kind = Label::new("work")?;
        let task = Task {
            id: TaskId::new("task")?,
            kind: kind.clone(),
            status: Status::InProgress,
            input: Digest::ZERO,
            result: None,
            head: SequenceNumber(0),
            head_link: Digest::ZERO,
            pruned_through: SequenceNumber(0),
            created_at: NOW.wall,
            finished_at: None,
        };
        let ids = [WorkItemId::new("task/1")?, WorkItemId::new("task/2")?];
        let term = Term::new(TICK * u32::from(size.term))?;
        Ok(Self { size, flaw, ids, task, kind, holder: HolderId::new("worker")?, term })
    }

    /// The row of an item.
    pub(super) fn row(&self, index: u8, item: Item) -> WorkItem {
        let lease = item.lease.map(|left| LeaseRecord {
            holder: self.holder.clone(),
            acquired_at: NOW.store,
            expires_at: NOW.store.plus(TICK * u32::from(left)),
        });
        WorkItem {
            id: self.ids[usize::from(index)].clone(),
            task: self.task.id.clone(),
            kind: self.kind.clone(),
            status: item.status,
            priority: 0,
            available_at: NOW.store.plus(TICK * u32::from(item.waits)),
            fence: fence(Age::Newest),
            attempt: u32::from(item.attempt),
            max_attempts: u32::from(self.size.attempts),
            lease,
            transition: item.claimed_by.map(transition),
            settled: item.settled.map(|(age, settlement)| (fence(age), settlement)),
            detail: String::new(),
            created_at: NOW.wall,
        }
    }

    /// What the model keeps of a row that was decided; `before` is the item that it was decided from.
    pub(super) fn item(before: Item, row: &WorkItem) -> Item {
        let ticks = |at: StoreTime| {
            u8::try_from(at.since(NOW.store).as_millis().div_ceil(TICK.as_millis())).unwrap_or(u8::MAX)
        };
        // A fence that has grown makes the one before it an older one.
        let grew = row.fence > fence(Age::Newest);
        let age = |at: Fence| match (at == row.fence, grew) {
            (true, _) => Age::Newest,
            (false, _) if at == fence(Age::Settled) || at == fence(Age::Newest) => Age::Settled,
            (false, _) => Age::Older,
        };
        Item {
            status: row.status,
            attempt: u8::try_from(row.attempt).unwrap_or(u8::MAX),
            lease: row.lease.as_ref().map(|lease| ticks(lease.expires_at)),
            waits: ticks(row.available_at),
            settled: row.settled.map(|(at, settlement)| (age(at), settlement)),
            claimed_by: row.transition.and_then(tag),
            ..before
        }
    }

    /// `decide_claim`.
    pub(super) fn claim(&self, row: &WorkItem, claim: Tag) -> Option<WorkItem> {
        let command = Claim {
            claim: transition(claim),
            holder: self.holder.clone(),
            term: self.term,
            limit: 1,
            kinds: Vec::new(),
            task: None,
        };
        let free = WorkItem { status: Status::Pending, ..row.clone() };
        let asked = if self.flaw == Flaw::ClaimTakesHeld && row.lease.is_some() { &free } else { row };
        let mut claimed = decide_claim(asked, &command, NOW)?;
        if self.flaw == Flaw::ClaimKeepsFence {
            claimed.fence = row.fence;
        }
        Some(claimed)
    }

    /// `decide_guard`.
    pub(super) fn write(&self, row: &WorkItem, held: Held) -> Result<(), Reason> {
        decide_guard(Some(row), &self.guard(row, held, false))
    }

    /// `decide_renew`.
    pub(super) fn renew(&self, row: &WorkItem, held: Held) -> Option<WorkItem> {
        let guard = self.guard(row, held, self.flaw == Flaw::UnfencedRenewal);
        match decide_renew(Some(row), &Renew { guard, term: self.term }, NOW) {
            Decision::Apply(_, _) if self.flaw == Flaw::DeafRenewal => Some(row.clone()),
            Decision::Apply(renewed, _) if self.flaw == Flaw::RenewalFences => {
                Some(WorkItem { fence: Fence(row.fence.0 + 1), ..renewed })
            }
            Decision::Apply(renewed, _) => Some(renewed),
            Decision::Replayed(_) | Decision::Superseded | Decision::Rejected(_) => None,
        }
    }

    /// `decide_settle`; without a row when the settlement was applied before or is rejected.
    pub(super) fn settle(&self, row: &WorkItem, held: Held, settlement: Settlement) -> Option<WorkItem> {
        let settle = match settlement {
            Settlement::Succeeded => Settle::Succeeded,
            Settlement::Failed => Settle::Failed,
            Settlement::Released => Settle::Released,
            // Every other one is to be tried again.
            _ => Settle::Retry(Delay::new(TICK * RETRY_TICKS).unwrap_or(Delay::ZERO)),
        };
        let command = SettleItem { guard: self.guard(row, held, false), settle, detail: String::new() };
        match decide_settle(Some(row), &command, NOW) {
            Decision::Apply(settled, _) => Some(settled),
            Decision::Replayed(_) | Decision::Superseded | Decision::Rejected(_) => None,
        }
    }

    /// `decide_reclaim`.
    pub(super) fn reclaim(&self, row: &WorkItem) -> Option<WorkItem> {
        let mut now = NOW;
        if self.flaw == Flaw::EarlySweep {
            now.store = now.store.plus(TICK);
        }
        let mut reclaimed = decide_reclaim(row, Some(&self.task), SWEEP, now)?;
        match self.flaw {
            Flaw::EarlySweep => reclaimed.available_at = NOW.store,
            Flaw::ReclaimKeepsFence => reclaimed.fence = row.fence,
            Flaw::CountsTwice => reclaimed.attempt += 1,
            Flaw::NoCap => reclaimed.status = Status::Pending,
            Flaw::Misplaces => reclaimed.status = Status::Waiting,
            Flaw::NoSweep => return None,
            _ => {}
        }
        Some(reclaimed)
    }

    fn guard(&self, row: &WorkItem, held: Held, unfenced: bool) -> Guard {
        if unfenced || self.flaw == Flaw::NoFenceCheck {
            return row.guard();
        }
        Guard { item: row.id.clone(), fence: fence(held.fence) }
    }
}

/// The fence that stands for an age. A decided row may have a larger one than all of them.
pub(super) const fn fence(age: Age) -> Fence {
    Fence(match age {
        Age::Older => 10,
        Age::Settled => 11,
        Age::Newest => 12,
    })
}

const fn transition(claim: Tag) -> TransitionId {
    TransitionId::from_bytes([claim; 16])
}

fn tag(transition: TransitionId) -> Option<Tag> {
    (transition != SWEEP).then(|| transition.as_bytes()[0])
}
