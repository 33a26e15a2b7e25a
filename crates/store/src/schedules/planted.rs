//! Bugs that can be built in while the program runs, to see that exploring finds them.

use std::sync::atomic::{AtomicU8, Ordering};

/// The one that is built in, as its number from 1; none while it is zero. Not one of the explorer's own numbers: it
/// stays for the whole process.
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// A mistake in how the store uses its locks, channels and threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Planted {
    /// A waiter enters the list only after it has read the counter.
    ListedLate = 1,
    /// Waiters are woken before the counter has changed.
    WokenBeforeCounted,
    /// Waiters are woken before the group is committed.
    WokenBeforeCommit,
    /// The thread that looks for other processes' commits is not told that somebody waits.
    PollNotTold,
    /// The answers of a group are handed out in the wrong order.
    AnswersSwapped,
    /// A batch whose caller has dropped its future is left out.
    GoneLeftOut,
    /// A batch is committed although its patience is over, and told otherwise.
    OverdueCommitted,
    /// A batch joins the commit that has begun although its patience is over.
    OverdueJoins,
    /// A batch joins the commit that has begun whatever a group may hold.
    JoinsPastLimits,
    /// A batch joins the commit that has begun before those that wait longer.
    JoinsAhead,
    /// A batch that comes and does not fit the commit that has begun is forgotten.
    UnfitForgotten,
    /// The queue ends with its sender, whatever is still in it.
    QueueCut,
    /// Room in the queue is never given back.
    RoomKept,
}

impl Planted {
    /// Builds it in, for the rest of this process.
    pub fn plant(self) {
        PLANTED.store(self as u8, Ordering::Relaxed);
    }

    pub(crate) fn is_in(self) -> bool {
        PLANTED.load(Ordering::Relaxed) == self as u8
    }
}
