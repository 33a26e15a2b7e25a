//! What the model keeps of the world: two items, three workers, one call that may still be under way. Everything is
//! *relative*, so that the states are finitely many although time passes and fences grow for ever: spans are counted
//! from now, fences from the newest, and whoever cannot be told apart by any decision is one and the same.

use steadfast_store::{Settlement, Status};

/// Items of the model.
pub(super) const ITEMS: usize = 2;
/// Workers of the model.
pub(super) const WORKERS: usize = 3;

/// Names a claim that its worker may submit again.
pub(super) type Tag = u8;

/// One state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) items: [Item; ITEMS],
    pub(super) workers: [Worker; WORKERS],
    /// A call whose sender was told `Unknown`, or has died, and which may still reach the store.
    pub(super) stray: Option<Call>,
    /// The promise that the step into this state broke.
    pub(super) broken: Option<Promise>,
}

/// An item: its row as the decisions see it, and beside it what the model itself knows of its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Item {
    pub(super) status: Status,
    pub(super) attempt: u8,
    /// Ticks until its lease has ended; none without a lease.
    pub(super) lease: Option<u8>,
    /// Ticks until it may be claimed.
    pub(super) waits: u8,
    /// The last settlement, while somebody may still ask for it.
    pub(super) settled: Option<(Age, Settlement)>,
    /// The claim that last moved it, while somebody may still submit that again.
    pub(super) claimed_by: Option<Tag>,
    /// Not from the row: ticks that its holder was promised; none when nobody holds it.
    pub(super) promised: Option<u8>,
    /// Not from the row: claims that count.
    pub(super) counted: u8,
}

/// How a fence stands to the newest one of its item. Fences are compared for equality only and new ones are larger
/// than all, so all that are neither the newest nor that of the last settlement are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Age {
    /// Neither of the two below.
    Older,
    /// That of the last settlement, and not the newest.
    Settled,
    /// The newest.
    Newest,
}

/// What a worker was given by a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Held {
    pub(super) item: u8,
    pub(super) fence: Age,
    /// Not from any row: whether this lease has neither been settled nor reclaimed.
    pub(super) holds: bool,
}

/// What is asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Call {
    /// An item, whichever.
    Claim(Tag),
    /// A heartbeat.
    Renew(Held),
    /// Any effect under the guard of the lease.
    Write(Held),
    /// The end of the lease.
    Settle(Held, Settlement),
}

/// A worker. One that takes no step is paused: nothing here bounds for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Worker {
    /// Without an item; a worker that crashed starts again here.
    Idle,
    /// Does not know whether this claim was applied.
    ClaimUnknown(Tag),
    /// Works on an item. An unknown heartbeat or effect leaves it here: it sends the next one.
    Works(Held),
    /// Does not know whether this settlement was applied.
    SettleUnknown(Held, Settlement),
}

/// What must hold in every state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Promise {
    FencesGrow,
    OneHolder,
    NoStaleEffect,
    NoRevival,
    HolderIsHeard,
    FullTerm,
    AttemptsOnce,
    CapHolds,
    NothingLost,
    CanFinish,
}

impl Promise {
    #[cfg(test)]
    pub(super) const ALL: [Self; 10] = [
        Self::FencesGrow,
        Self::OneHolder,
        Self::NoStaleEffect,
        Self::NoRevival,
        Self::HolderIsHeard,
        Self::FullTerm,
        Self::AttemptsOnce,
        Self::CapHolds,
        Self::NothingLost,
        Self::CanFinish,
    ];

    /// As it is printed.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::FencesGrow => "fences only grow",
            Self::OneHolder => "one holder per fence",
            Self::NoStaleEffect => "no effect under a stale fence",
            Self::NoRevival => "a heartbeat revives no lease",
            Self::HolderIsHeard => "who holds is never turned away",
            Self::FullTerm => "nothing reclaimed before its term",
            Self::AttemptsOnce => "attempts counted once",
            Self::CapHolds => "the cap on attempts holds",
            Self::NothingLost => "nothing lost or unended",
            Self::CanFinish => "every item can still finish",
        }
    }
}

impl Call {
    pub(super) fn held(self) -> Option<Held> {
        match self {
            Self::Claim(_) => None,
            Self::Renew(held) | Self::Write(held) | Self::Settle(held, _) => Some(held),
        }
    }

    fn held_mut(&mut self) -> Option<&mut Held> {
        match self {
            Self::Claim(_) => None,
            Self::Renew(held) | Self::Write(held) | Self::Settle(held, _) => Some(held),
        }
    }

    fn tag_mut(&mut self) -> Option<&mut Tag> {
        if let Self::Claim(tag) = self { Some(tag) } else { None }
    }
}

impl Worker {
    pub(super) fn held(self) -> Option<Held> {
        match self {
            Self::Idle | Self::ClaimUnknown(_) => None,
            Self::Works(held) | Self::SettleUnknown(held, _) => Some(held),
        }
    }

    fn held_mut(&mut self) -> Option<&mut Held> {
        match self {
            Self::Idle | Self::ClaimUnknown(_) => None,
            Self::Works(held) | Self::SettleUnknown(held, _) => Some(held),
        }
    }

    fn tag_mut(&mut self) -> Option<&mut Tag> {
        if let Self::ClaimUnknown(tag) = self { Some(tag) } else { None }
    }
}

impl State {
    /// Both items waiting, nobody at work.
    pub(super) fn first() -> Self {
        let item = Item {
            status: Status::Pending,
            attempt: 0,
            lease: None,
            waits: 0,
            settled: None,
            claimed_by: None,
            promised: None,
            counted: 0,
        };
        Self { items: [item; ITEMS], workers: [Worker::Idle; WORKERS], stray: None, broken: None }
    }

    /// Every lease that anybody believes to hold, or has a call under way for.
    pub(super) fn held(&self) -> impl Iterator<Item = Held> + '_ {
        self.workers.iter().filter_map(|worker| worker.held()).chain(self.stray.and_then(Call::held))
    }

    pub(super) fn each_held(&mut self, mut change: impl FnMut(&mut Held)) {
        self.workers.iter_mut().filter_map(Worker::held_mut).for_each(&mut change);
        self.stray.as_mut().and_then(Call::held_mut).into_iter().for_each(change);
    }

    fn each_tag(&mut self, mut change: impl FnMut(&mut Tag)) {
        self.workers.iter_mut().filter_map(Worker::tag_mut).for_each(&mut change);
        self.stray.as_mut().and_then(Call::tag_mut).into_iter().for_each(change);
    }

    fn tags(&self) -> impl Iterator<Item = Tag> + '_ {
        let of_worker = |worker: &Worker| match worker {
            Worker::ClaimUnknown(tag) => Some(*tag),
            _ => None,
        };
        let of_stray = match self.stray {
            Some(Call::Claim(tag)) => Some(tag),
            _ => None,
        };
        self.workers.iter().filter_map(of_worker).chain(of_stray)
    }

    /// A name for a claim that nobody knows yet.
    pub(super) fn fresh_tag(&self) -> Tag {
        let used = self.tags().fold(0_u8, |used, tag| used | 1 << tag);
        u8::try_from((!used).trailing_zeros()).unwrap_or(Tag::MAX)
    }

    /// Forgets what nobody can ask for any more.
    pub(super) fn tidied(mut self) -> Self {
        for index in 0..ITEMS {
            let held = |age| self.held().any(|held| usize::from(held.item) == index && held.fence == age);
            let item = self.items[index];
            let settled = item.settled.filter(|(age, _)| held(*age));
            let claimed_by = item.claimed_by.filter(|tag| self.tags().any(|known| known == *tag));
            self.items[index] = Item { settled, claimed_by, ..item };
            if settled.is_none_or(|(age, _)| age != Age::Settled) {
                self.each_held(|held| {
                    if usize::from(held.item) == index && held.fence == Age::Settled {
                        held.fence = Age::Older;
                    }
                });
            }
        }
        self
    }

    /// The same state with workers and items in a fixed order, since none of them differs from the others but by its
    /// state: twelve states become one. Two orders of equal claims may remain; that costs states and no soundness.
    pub(super) fn canonical(self) -> Self {
        let mut swapped = self.clone();
        swapped.items.swap(0, 1);
        swapped.each_held(|held| held.item = 1 - held.item);
        let (one, other) = (self.ordered(), swapped.ordered());
        if one.key() <= other.key() { one } else { other }
    }

    fn key(&self) -> ([Item; ITEMS], [Worker; WORKERS], Option<Call>) {
        (self.items, self.workers, self.stray)
    }

    fn ordered(mut self) -> Self {
        // First by what stands behind the tags, then the tags by their place.
        let (items, stray) = (self.items, self.stray);
        let meaning = |tag: Tag| {
            let item = items.iter().position(|item| item.claimed_by == Some(tag)).map_or(0, |at| at + 1);
            (item, stray == Some(Call::Claim(tag)))
        };
        self.workers.sort_by_key(|worker| match worker {
            Worker::ClaimUnknown(tag) => (Worker::ClaimUnknown(0), meaning(*tag)),
            worker => (*worker, (0, false)),
        });
        let mut names = [None; WORKERS + 1];
        let mut next = 0;
        self.each_tag(|tag| {
            *tag = *names[usize::from(*tag)].get_or_insert_with(|| {
                next += 1;
                next - 1
            });
        });
        for item in &mut self.items {
            item.claimed_by = item.claimed_by.and_then(|tag| names[usize::from(tag)]);
        }
        self
    }
}
