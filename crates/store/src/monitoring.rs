//! What operators ask of a store in operation, answered by one read of one snapshot. The same questions as SQL, for a
//! shell on the file, stand in `docs/operations.md`.

use std::time::Duration;

use crate::id::{HolderId, Label, TaskId};
use crate::record::Health;
use crate::time::WallTime;

/// What the keys of cached model answers begin with.
pub const MODEL_KEYS: &str = "llm-cache:";
/// What the keys of tool calls begin with.
pub const TOOL_KEYS: &str = "tool-ledger:";
/// Days that [`Monitoring::checkpoints_by_day`] looks back.
pub const DAYS_LOOKED_BACK: u32 = 7;
/// A task with more checkpoints than this is told in [`Monitoring::crowded_tasks`].
pub const CROWDED_CHECKPOINTS: u64 = 100;
/// Most tasks told there.
pub const CROWDED_TASKS_MAX: usize = 100;

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// One look at everything, from one snapshot.
///
/// ```
/// # use steadfast_store::{MemoryStore, Store, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new(Env::system());
/// let now = store.monitoring().await?;
/// assert_eq!(now.health.expired_leases, 0, "somebody must sweep");
/// assert!(now.crowded_tasks.is_empty(), "somebody must prune");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Monitoring {
    /// Counts by status, expired leases, clocks.
    pub health: Health,
    /// Checkpoints made on each UTC day of the last [`DAYS_LOOKED_BACK`] times 24 hours: the day's beginning, and how
    /// many are kept of it. The newest day first; days without any are left out.
    pub checkpoints_by_day: Vec<(WallTime, u64)>,
    /// Checkpoints by type, in the order of the types.
    pub checkpoint_kinds: Vec<KindCount>,
    /// Who holds leases, in the order of the names.
    pub holders: Vec<HolderLoad>,
    /// Cached model answers: keys that begin with [`MODEL_KEYS`].
    pub model_answers: EntryCount,
    /// Tool calls: keys that begin with [`TOOL_KEYS`].
    pub tool_calls: EntryCount,
    /// All operations by the time since they were begun.
    pub operation_ages: AgeCount,
    /// Tasks with more than [`CROWDED_CHECKPOINTS`] checkpoints and how many they have, the largest first, at most
    /// [`CROWDED_TASKS_MAX`].
    pub crowded_tasks: Vec<(TaskId, u64)>,
}

/// Checkpoints of one type.
///
/// ```
/// use steadfast_store::{KindCount, Monitoring};
///
/// /// How many checkpoints tell of a reclaimed lease.
/// fn boundaries(now: &Monitoring) -> u64 {
///     let is_boundary = |count: &&KindCount| count.kind.as_str() == "error_boundary";
///     now.checkpoint_kinds.iter().find(is_boundary).map_or(0, |count| count.checkpoints)
/// }
/// assert_eq!(boundaries(&Monitoring::default()), 0);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct KindCount {
    /// The type.
    pub kind: Label,
    /// How many are kept.
    pub checkpoints: u64,
    /// The mean of their sequence numbers.
    pub average_sequence: f64,
}

/// The leases of one holder.
///
/// ```
/// use steadfast_store::{HolderLoad, Monitoring};
///
/// /// Who holds the most.
/// fn busiest(now: &Monitoring) -> Option<&HolderLoad> {
///     now.holders.iter().max_by_key(|load| load.leases)
/// }
/// assert!(busiest(&Monitoring::default()).is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderLoad {
    /// Its name.
    pub holder: HolderId,
    /// How many it holds.
    pub leases: u64,
    /// The mean time from claim to deadline.
    pub average_span: Duration,
}

/// Operations under one prefix.
///
/// ```
/// use steadfast_store::EntryCount;
///
/// let calls = EntryCount { entries: 12, succeeded: 9, failed: 1, in_doubt: 1 };
/// // The others were begun and have not ended.
/// assert_eq!(calls.entries - calls.succeeded - calls.failed - calls.in_doubt, 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EntryCount {
    /// All of them.
    pub entries: u64,
    /// Those that succeeded.
    pub succeeded: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those in doubt.
    pub in_doubt: u64,
}

/// Operations by age, each in one of the four.
///
/// ```
/// use steadfast_store::AgeCount;
///
/// /// Whether the purge keeps up, when outcomes stay for 30 days.
/// fn is_purged(ages: &AgeCount) -> bool {
///     ages.older == 0
/// }
/// assert!(is_purged(&AgeCount { under_1_day: 40, ..AgeCount::default() }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AgeCount {
    /// Younger than a day.
    pub under_1_day: u64,
    /// Younger than 7 days.
    pub under_7_days: u64,
    /// Younger than 30 days.
    pub under_30_days: u64,
    /// All others.
    pub older: u64,
}
