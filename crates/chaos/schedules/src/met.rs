//! What happened in the schedules that were explored, counted over the whole process.

use std::sync::atomic::{AtomicU64, Ordering};

/// Something that a scenario sets out to meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    /// Several batches were committed as one group.
    Group,
    /// The core took a part of a group only.
    GroupSplit,
    /// A batch joined a commit that had begun.
    Joined,
    /// A batch came to a commit that had begun, and did not join it.
    NotJoined,
    /// The core said that a batch failed.
    Failed,
    /// The core could not tell.
    Unknown,
    /// The core did not get the write lock for a batch.
    LockTaken,
    /// A caller had to wait for room in the queue.
    RoomAwaited,
    /// A timer ended.
    TimerEnded,
    /// A caller was told that its patience was over.
    PatienceOver,
    /// A caller dropped the future of a batch that was in the queue.
    CallerGone,
    /// Somebody waited for a change.
    ChangeAwaited,
    /// Another process committed.
    OtherProcess,
    /// A caller was given another one's bytes.
    Shared,
    /// The one who had begun vanished before it told the result.
    WinnerGone,
    /// A group was committed by SQLite.
    Sqlite,
}

impl Met {
    /// Every one.
    pub(crate) const ALL: [Self; 16] = [
        Self::Group,
        Self::GroupSplit,
        Self::Joined,
        Self::NotJoined,
        Self::Failed,
        Self::Unknown,
        Self::LockTaken,
        Self::RoomAwaited,
        Self::TimerEnded,
        Self::PatienceOver,
        Self::CallerGone,
        Self::ChangeAwaited,
        Self::OtherProcess,
        Self::Shared,
        Self::WinnerGone,
        Self::Sqlite,
    ];

    /// Its name in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Group => "group of several",
            Self::GroupSplit => "group taken in part",
            Self::Joined => "joined the commit that has begun",
            Self::NotJoined => "not joined to the commit that has begun",
            Self::Failed => "commit failed",
            Self::Unknown => "outcome unknown",
            Self::LockTaken => "write lock taken",
            Self::RoomAwaited => "queue full",
            Self::TimerEnded => "timer ended",
            Self::PatienceOver => "patience over",
            Self::CallerGone => "caller gone",
            Self::ChangeAwaited => "change awaited",
            Self::OtherProcess => "other process committed",
            Self::Shared => "another's bytes given",
            Self::WinnerGone => "winner gone",
            Self::Sqlite => "SQLite committed",
        }
    }

    /// It happened.
    pub(crate) fn count(self) {
        COUNTS[self as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often it has.
    pub(crate) fn times(self) -> u64 {
        COUNTS[self as usize].load(Ordering::Relaxed)
    }
}

static COUNTS: [AtomicU64; Met::ALL.len()] = [const { AtomicU64::new(0) }; Met::ALL.len()];
