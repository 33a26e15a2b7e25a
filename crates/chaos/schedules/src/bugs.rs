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
    /// Words of what it must find: that it broke for any other reason shows nothing.
    pub(crate) breaks: &'static str,
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

const fn store(name: &'static str, scenario: &'static str, breaks: &'static str, planted: Planted) -> Bug {
    Bug { name, scenario, breaks, place: Place::Store(planted) }
}

const fn outside(name: &'static str, scenario: &'static str, breaks: &'static str, bug: Outside) -> Bug {
    Bug { name, scenario, breaks, place: Place::Outside(bug) }
}

/// Somebody waits for ever.
const DEADLOCK: &str = "deadlock!";
/// A caller got what was another's.
const ANOTHERS: &str = "was given";

/// Every one of them.
pub(crate) const BUGS: &[Bug] = &[
    outside(
        "answered-before-sync",
        "answers",
        "acknowledged before it was synced",
        Outside::AnsweredBeforeSync,
    ),
    store("answers-swapped", "answers", ANOTHERS, Planted::AnswersSwapped),
    store("room-kept", "answers", DEADLOCK, Planted::RoomKept),
    store("overdue-committed", "patience", "told that it surely is not", Planted::OverdueCommitted),
    store("overdue-joins", "patience", "though its patience was over", Planted::OverdueJoins),
    store("joins-past-limits", "answers", "more than a group may hold", Planted::JoinsPastLimits),
    store("joins-ahead", "answers", "joined in the place of another", Planted::JoinsAhead),
    store("unfit-forgotten", "answers", "answer of a batch is lost", Planted::UnfitForgotten),
    store("gone-left-out", "closing", "not there after close()", Planted::GoneLeftOut),
    store("queue-cut", "closing", "not there after close()", Planted::QueueCut),
    store("listed-late", "wake-ups", DEADLOCK, Planted::ListedLate),
    store("woken-before-counted", "wake-ups", DEADLOCK, Planted::WokenBeforeCounted),
    store("woken-before-commit", "wake-ups", DEADLOCK, Planted::WokenBeforeCommit),
    store("poll-not-told", "wake-ups", DEADLOCK, Planted::PollNotTold),
    store("listed-late", "memory", DEADLOCK, Planted::ListedLate),
    store("answers-swapped", "sqlite", ANOTHERS, Planted::AnswersSwapped),
    outside("nothing-shared", "cache", "asked more than once", Outside::NothingShared),
    outside("nothing-shared", "ledger", "made more than once", Outside::NothingShared),
    outside("end-untold", "cache-winner-gone", DEADLOCK, Outside::EndUntold),
    outside("end-untold", "ledger-winner-gone", DEADLOCK, Outside::EndUntold),
];
