//! The scenarios: each is run once in every schedule, and panics, in words, when a promise is broken. A caller that
//! waits for ever is told by the explorer as a deadlock.

mod answers;
mod closing;
pub(crate) mod folder;
mod ledger;
mod memory;
mod model_cache;
mod sqlite;
mod wake_ups;

use crate::met::Met;

/// One of them.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What holds in every schedule.
    pub(crate) shows: &'static str,
    /// Of a hundred schedules, how many are this one's.
    pub(crate) share: u32,
    /// What must happen in some of them, or they show nothing.
    pub(crate) meets: &'static [Met],
    pub(crate) run: fn(),
}

/// Every one of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "answers",
        shows: "callers of a full queue get the answers of their own batches, none before its sync, whenever they joined",
        share: 21,
        meets: &[
            Met::Group,
            Met::GroupSplit,
            Met::Joined,
            Met::NotJoined,
            Met::Failed,
            Met::Unknown,
            Met::LockTaken,
            Met::RoomAwaited,
        ],
        run: answers::answers,
    },
    Scenario {
        name: "patience",
        shows: "whoever is told that its patience is over has applied nothing, while time runs out at any moment",
        share: 13,
        meets: &[Met::Joined, Met::NotJoined, Met::TimerEnded, Met::PatienceOver],
        run: answers::patience,
    },
    Scenario {
        name: "closing",
        shows: "a dropped future loses its answer only, and close() loses nothing that the queue has accepted",
        share: 15,
        meets: &[Met::CallerGone, Met::Joined],
        run: closing::closing,
    },
    Scenario {
        name: "wake-ups",
        shows: "a waiter is woken for every commit after its stamp, of this process and of others",
        share: 20,
        meets: &[Met::ChangeAwaited, Met::OtherProcess],
        run: wake_ups::wake_ups,
    },
    Scenario {
        name: "memory",
        shows: "the memory store wakes a waiter for every commit after its stamp",
        share: 10,
        meets: &[Met::ChangeAwaited],
        run: memory::wake_ups,
    },
    Scenario {
        name: "cache",
        shows: "of those who ask a model at once one does so, and all get its bytes",
        share: 6,
        meets: &[Met::Shared],
        run: model_cache::one_winner,
    },
    Scenario {
        name: "cache-winner-gone",
        shows: "when the one who asks the model vanishes, one other asks it at once",
        share: 5,
        meets: &[Met::Shared, Met::WinnerGone],
        run: model_cache::winner_gone,
    },
    Scenario {
        name: "ledger",
        shows: "of those who make a call at once one makes it, and all get its bytes",
        share: 5,
        meets: &[Met::Shared],
        run: ledger::one_winner,
    },
    Scenario {
        name: "ledger-winner-gone",
        shows: "when the one who makes a call vanishes, the others are told at once: made again or in doubt, as declared",
        share: 4,
        meets: &[Met::WinnerGone],
        run: ledger::winner_gone,
    },
    Scenario {
        name: "sqlite",
        shows: "the whole SQLite store: own answers, none before its commit, nothing lost by close(), waiters woken",
        share: 1,
        meets: &[Met::Sqlite, Met::ChangeAwaited],
        run: sqlite::whole,
    },
];
