//! Letting go on a schedule of what makes a store grow most: old checkpoints, cached answers, and outcomes of tool
//! calls and steps past their time. Tasks, work items, and operations without an outcome are never let go of: of each
//! task its row, its items, and its newest checkpoints stay for good.

use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use steadfast_checkpoints::STEP_KEYS;
use steadfast_store::limits::PAGE_ROWS_MAX;
use steadfast_store::{
    CommandError, Durability, MODEL_KEYS, PruneCheckpoints, PurgeOperations, Store, TOOL_KEYS, Task,
    TaskPage, commit_one_resolved,
};
use tracing::Instrument;

use crate::telemetry;

/// Rows removed in one commit: few enough that others get in between.
const PAGE_ROWS: u32 = 200;

/// What is let go of, and how often.
///
/// ```
/// use std::time::Duration;
/// use steadfast_recovery::Housekeeping;
///
/// // Keeps every checkpoint, and tool calls for a year.
/// let housekeeping = Housekeeping {
///     keep_checkpoints: None,
///     keep_tool_calls: Some(Duration::from_secs(365 * 24 * 3_600)),
///     ..Housekeeping::default()
/// };
/// # let _ = housekeeping;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Housekeeping {
    /// The time between two rounds; the first comes with the first sweep.
    pub every: Duration,
    /// Newest checkpoints of each task that stay, at least 1; with them stay the newest verified one and all after it.
    /// All stay when it is `None`.
    pub keep_checkpoints: Option<u32>,
    /// How long cached model answers stay after they came, by the wall clock; for ever when it is `None`.
    pub keep_model_answers: Option<Duration>,
    /// How long outcomes of tool calls stay after they came, by the wall clock; for ever when it is `None`. A call
    /// that is forgotten would be made again if somebody asked for it: so those of a task that goes on stay, and so do
    /// those in doubt.
    pub keep_tool_calls: Option<Duration>,
    /// How long steps that were begun by name and committed stay after that, by the wall clock; for ever when it is
    /// `None`. A step that is forgotten would be begun again if somebody asked for it: so those of a task that goes
    /// on stay.
    pub keep_steps: Option<Duration>,
}

impl Default for Housekeeping {
    /// Every hour: 100 checkpoints a task, model answers 7 days, tool calls and steps 30 days.
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 3_600);
        Self {
            every: Duration::from_secs(3_600),
            keep_checkpoints: Some(100),
            keep_model_answers: Some(days(7)),
            keep_tool_calls: Some(days(30)),
            keep_steps: Some(days(30)),
        }
    }
}

impl Housekeeping {
    /// Nothing is ever let go of.
    pub fn off() -> Self {
        Self {
            every: Self::default().every,
            keep_checkpoints: None,
            keep_model_answers: None,
            keep_tool_calls: None,
            keep_steps: None,
        }
    }

    /// One round, now. Each page is a commit of its own; dropping the future ends it between two of them. Trouble with
    /// one kind of rows does not keep it from the others.
    pub async fn run_once(&self, store: &Arc<dyn Store>) -> HousekeepingStats {
        self.round(store).instrument(telemetry::housekeeping(self.keep_checkpoints)).await
    }

    async fn round(&self, store: &Arc<dyn Store>) -> HousekeepingStats {
        let mut stats = HousekeepingStats::default();
        if let Some(keep) = self.keep_checkpoints {
            let pruned = prune_all(&**store, keep, &mut stats.checkpoints_pruned).await;
            stats.note(pruned);
        }
        for (prefix, kept) in [
            (MODEL_KEYS, self.keep_model_answers),
            (TOOL_KEYS, self.keep_tool_calls),
            (STEP_KEYS, self.keep_steps),
        ] {
            if let Some(older_than) = kept {
                let purged = purge(&**store, prefix, older_than, &mut stats.operations_purged).await;
                stats.note(purged);
            }
        }
        telemetry::kept_house(&stats);
        stats
    }
}

/// What rounds of housekeeping did.
///
/// ```
/// # use std::sync::Arc;
/// use steadfast_recovery::Housekeeping;
/// # use steadfast_store::{MemoryStore, Store, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Env::system()));
/// let stats = Housekeeping::default().run_once(&store).await;
/// assert_eq!((stats.checkpoints_pruned, stats.operations_purged, stats.errors), (0, 0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HousekeepingStats {
    /// Checkpoints removed.
    pub checkpoints_pruned: u64,
    /// Model answers, and outcomes of tool calls and steps, removed.
    pub operations_purged: u64,
    /// Parts of rounds that were given up; the next round goes on.
    pub errors: u64,
    /// What the last of these errors said; empty without one.
    pub last_error: String,
}

impl HousekeepingStats {
    fn note(&mut self, answer: Result<(), CommandError>) {
        if let Err(error) = answer {
            self.errors += 1;
            self.last_error = error.to_string();
        }
    }
}

impl AddAssign<&Self> for HousekeepingStats {
    /// Adds another round: counts as sums, the error as the later one's.
    fn add_assign(&mut self, later: &Self) {
        self.checkpoints_pruned += later.checkpoints_pruned;
        self.operations_purged += later.operations_purged;
        self.errors += later.errors;
        if !later.last_error.is_empty() {
            self.last_error.clone_from(&later.last_error);
        }
    }
}

async fn prune_all(store: &dyn Store, keep: u32, removed: &mut u64) -> Result<(), CommandError> {
    let mut after = None;
    loop {
        let page = TaskPage { status: None, after, limit: PAGE_ROWS_MAX };
        let tasks = store.tasks(page).await.map_err(CommandError::Store)?;
        let Some(last) = tasks.last() else { return Ok(()) };
        after = Some(last.id.clone());
        let has_old = |task: &&Task| task.head.0 - task.pruned_through.0.min(task.head.0) > u64::from(keep);
        for task in tasks.iter().filter(has_old) {
            prune(store, task, keep, removed).await?;
        }
    }
}

async fn prune(store: &dyn Store, task: &Task, keep: u32, removed: &mut u64) -> Result<(), CommandError> {
    loop {
        let command = PruneCheckpoints { task: task.id.clone(), keep, limit: PAGE_ROWS };
        let pruned = commit_one_resolved(store, Durability::Durable, command).await?;
        *removed += u64::from(pruned.removed);
        if !pruned.is_more {
            return Ok(());
        }
    }
}

async fn purge(
    store: &dyn Store,
    prefix: &str,
    older_than: Duration,
    removed: &mut u64,
) -> Result<(), CommandError> {
    loop {
        let command = PurgeOperations { prefix: prefix.to_owned(), older_than, limit: PAGE_ROWS };
        let purged = commit_one_resolved(store, Durability::Relaxed, command).await?;
        *removed += u64::from(purged.removed);
        if purged.removed < PAGE_ROWS {
            return Ok(());
        }
    }
}
