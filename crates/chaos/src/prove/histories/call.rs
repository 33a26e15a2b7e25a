//! A call and its answer, as processes write them to their logs and as the models judge them: small numbers instead of
//! the store's own types, so that a history can be read, kept and decided again long after its file is gone.

use serde::{Deserialize, Serialize};

/// Of an item, the fence that its holder shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Lease {
    /// The number of the item in its history.
    pub(super) item: usize,
    /// The fence.
    pub(super) fence: u64,
}

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ItemStatus {
    Pending,
    InProgress,
    Succeeded,
    Failed,
    Cancelled,
}

/// How a holder gives an item back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Settlement {
    Succeeded,
    Retried,
    Failed,
    Released,
}

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OperationStatus {
    Pending,
    Succeeded,
    Failed,
    InDoubt,
}

/// How an attempt at an operation ends; a result is a number that nobody else gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    Succeeded(u64),
    Failed(u64),
    InDoubt,
    DidNotHappen,
}

/// What a lease looks like from outside. Times are store time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct LeaseRow {
    /// The claim under whose name it is held.
    pub(super) holder: u64,
    pub(super) acquired: i64,
    pub(super) expires: i64,
}

/// What an item looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct ItemRow {
    pub(super) item: usize,
    pub(super) status: ItemStatus,
    pub(super) fence: u64,
    pub(super) attempt: u32,
    pub(super) available: i64,
    pub(super) lease: Option<LeaseRow>,
    /// The claim, sweep or requeue that moved it last.
    pub(super) transition: Option<u64>,
    pub(super) settled: Option<(u64, Settlement)>,
}

/// What an operation looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct OperationRow {
    pub(super) fingerprint: u8,
    pub(super) status: OperationStatus,
    /// Whether another caller may run it again when its owner is gone.
    pub(super) is_retaken: bool,
    pub(super) token: u64,
    pub(super) lease: Option<Lease>,
    pub(super) expires: i64,
    pub(super) output: Option<u64>,
    pub(super) attempt: u32,
}

/// A checkpoint in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Link {
    /// One that a call appended, by its id.
    Own(u64),
    /// One that a sweep left: the lease that it reclaimed.
    Boundary(Lease),
}

/// What is asked for. Items, tasks, operations and caches are named by their numbers in the history; claims, sweeps,
/// requeues, checkpoints, tokens and results by numbers that are never used twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Asked {
    Claim {
        id: u64,
        term: i64,
        limit: u32,
    },
    Renew {
        lease: Lease,
        term: i64,
    },
    Settle {
        lease: Lease,
        how: Settlement,
        delay: i64,
    },
    Cancel {
        item: usize,
    },
    Requeue {
        id: u64,
        item: usize,
        delay: i64,
    },
    Sweep {
        id: u64,
        limit: u32,
    },
    Append {
        task: usize,
        id: u64,
        expected: Option<u64>,
        lease: Option<Lease>,
    },
    /// A checkpoint and a settlement in one batch, both under the lease.
    Step {
        task: usize,
        id: u64,
        lease: Lease,
        how: Settlement,
        delay: i64,
    },
    Begin {
        operation: usize,
        fingerprint: u8,
        token: u64,
        term: i64,
        lease: Option<Lease>,
        is_retaken: bool,
    },
    Finish {
        operation: usize,
        token: u64,
        end: End,
    },
    Invalidate {
        operation: usize,
    },
    /// Through the cache of model answers; `value` is what the model says when it is asked.
    Ask {
        cache: usize,
        value: u64,
    },
    ReadItem {
        item: usize,
    },
    ReadHead {
        task: usize,
    },
    ReadChain {
        task: usize,
    },
    ReadOperation {
        operation: usize,
    },
    /// Everything at once, by the runner's own SQL, when all is over.
    Look,
}

impl Asked {
    /// Whether it changes nothing.
    pub(super) fn is_read(&self) -> bool {
        matches!(
            self,
            Self::ReadItem { .. }
                | Self::ReadHead { .. }
                | Self::ReadChain { .. }
                | Self::ReadOperation { .. }
                | Self::Look
        )
    }
}

/// A lease that a sweep reclaimed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Reclaimed {
    /// The item, and the fence that is stale since.
    pub(super) lease: Lease,
    pub(super) status: ItemStatus,
    /// Whether its task was told.
    pub(super) has_boundary: bool,
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    StaleFence {
        current: u64,
    },
    NotLeased {
        status: ItemStatus,
    },
    ItemEnded {
        status: ItemStatus,
    },
    NotRequeuable {
        status: ItemStatus,
    },
    WrongParent {
        head: u64,
    },
    Conflict,
    InFlight {
        expires: i64,
    },
    InDoubt {
        token: u64,
    },
    Ended {
        status: OperationStatus,
    },
    Unfinished {
        status: OperationStatus,
    },
    StaleToken,
    NoOperation,
    Owned {
        expires: i64,
    },
    /// Nothing that any model gives as a reason.
    Other(String),
}

/// What everything looked like at the end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Sight {
    pub(super) items: Vec<ItemRow>,
    pub(super) chains: Vec<Vec<Link>>,
    pub(super) operations: Vec<Option<OperationRow>>,
    pub(super) caches: Vec<Option<u64>>,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Claimed(Vec<ItemRow>),
    Renewed {
        expires: i64,
    },
    Settled {
        status: ItemStatus,
        available: i64,
    },
    Cancelled,
    Requeued {
        available: i64,
    },
    Swept(Vec<Reclaimed>),
    Appended {
        sequence: u64,
    },
    Stepped {
        sequence: u64,
        status: ItemStatus,
        available: i64,
    },
    Begun {
        expires: i64,
        attempt: u32,
    },
    Finished {
        status: OperationStatus,
    },
    Invalidated {
        was_there: bool,
    },
    Told {
        value: u64,
        is_hit: bool,
    },
    Item(ItemRow),
    Head(u64),
    Chain(Vec<Link>),
    Operation(Option<OperationRow>),
    Sight(Sight),
    /// Applied before; what came of it then can no longer be told.
    Superseded,
    Rejected(Why),
    /// Surely nothing was done: an error of the store that says so.
    Nothing(String),
}

/// A call with its interval. Times are nanoseconds of the boot clock, which all processes of one machine share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Call {
    /// The process that made it, and which of its callers.
    pub(super) process: usize,
    pub(super) caller: usize,
    pub(super) asked: Asked,
    /// Whether the same was asked before.
    pub(super) is_again: bool,
    pub(super) start: u64,
    /// After this it can have done nothing more.
    pub(super) end: u64,
    /// None: it may or may not have happened.
    pub(super) answer: Option<Answer>,
}

/// One item, as it was enqueued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ItemSetting {
    pub(super) task: usize,
    pub(super) priority: i32,
    pub(super) max_attempts: u32,
    pub(super) delay: i64,
}

/// What a history is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Setting {
    pub(super) history: u64,
    pub(super) items: Vec<ItemSetting>,
    pub(super) tasks: usize,
    pub(super) operations: usize,
    pub(super) caches: usize,
}

/// Everything that was asked and answered, and when all of it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct History {
    pub(super) setting: Setting,
    /// When its items were enqueued, from and to, on the boot clock.
    pub(super) made: (u64, u64),
    /// Store time less boot time, in milliseconds.
    pub(super) anchor: i64,
    pub(super) calls: Vec<Call>,
}

impl History {
    /// The store time that belongs to a moment of the boot clock.
    pub(super) fn store_time(&self, nanos: u64) -> i64 {
        self.anchor + i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX / 2)
    }
}

/// Now, on the boot clock.
pub(super) fn boot_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
