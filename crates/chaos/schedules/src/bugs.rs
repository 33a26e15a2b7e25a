//! The bugs that can be planted, each with the scenario that must find it: those of the store's own use of locks and
//! channels, and those of what the scenarios put in its place.

use std::sync::atomic::{AtomicU8, Ordering};

use steadfast_store::schedules::Planted;

/// The [`Outside`] bug that is planted, as its number from 1.
static OUTSIDE: AtomicU8 = AtomicU8::new(0);

/// A bug beside the store's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Outside {
    /// The core answers, and syncs after the answers have gone out.
    AnsweredBeforeSync = 1,
    /// Each caller has a store of his own.
    NothingShared,
    /// The end of a winner that vanished is written by a future that is never run.
    EndUntold,
}

impl Outside {
    pub(crate) fn is_in(self) -> bool {
        OUTSIDE.load(Ordering::Relaxed) == self as u8
    }
}

/// Where it is built in.
#[derive(Debug, Clone, Copy)]
enum Place {
    Store(Planted),
    Outside(Outside),
}

/// A bug to plant.
#[derive(Debug)]
pub(crate) struct Bug {
    pub(crate) name: &'static str,
    /// Which scenario must find it.
    pub(crate) scenario: &'static str,
    place: Place,
}

impl Bug {
    /// Builds it in, for the rest of this process.
    pub(crate) fn plant(&self) {
        match self.place {
            Place::Store(planted) => planted.plant(),
            Place::Outside(outside) => OUTSIDE.store(outside as u8, Ordering::Relaxed),
        }
    }
}

const fn store(name: &'static str, scenario: &'static str, planted: Planted) -> Bug {
    Bug { name, scenario, place: Place::Store(planted) }
}

const fn outside(name: &'static str, scenario: &'static str, bug: Outside) -> Bug {
    Bug { name, scenario, place: Place::Outside(bug) }
}

/// Every one of them.
pub(crate) const BUGS: &[Bug] = &[
    outside("answered-before-sync", "answers", Outside::AnsweredBeforeSync),
    store("answers-swapped", "answers", Planted::AnswersSwapped),
    store("room-kept", "answers", Planted::RoomKept),
    store("overdue-committed", "patience", Planted::OverdueCommitted),
    store("gone-left-out", "closing", Planted::GoneLeftOut),
    store("queue-cut", "closing", Planted::QueueCut),
    store("listed-late", "wake-ups", Planted::ListedLate),
    store("woken-before-counted", "wake-ups", Planted::WokenBeforeCounted),
    store("woken-before-commit", "wake-ups", Planted::WokenBeforeCommit),
    store("poll-not-told", "wake-ups", Planted::PollNotTold),
    store("listed-late", "memory", Planted::ListedLate),
    store("answers-swapped", "sqlite", Planted::AnswersSwapped),
    outside("nothing-shared", "cache", Outside::NothingShared),
    outside("nothing-shared", "ledger", Outside::NothingShared),
    outside("end-untold", "cache-winner-gone", Outside::EndUntold),
    outside("end-untold", "ledger-winner-gone", Outside::EndUntold),
];
