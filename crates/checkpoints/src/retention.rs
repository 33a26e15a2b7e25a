//! Letting go: of old checkpoints, so that a task does not grow for ever, and of payloads that must not be kept.

use steadfast_store::limits::PAGE_ROWS_MAX;
use steadfast_store::{
    CheckpointId, Durability, EraseCheckpoint, PruneCheckpoints, SequenceNumber, TaskId, commit_one_resolved,
};

use crate::error::CheckpointError;
use crate::manager::CheckpointManager;

/// Newest checkpoints of a task that stay, when nobody says otherwise.
pub const KEEP_DEFAULT: u32 = 100;
/// Checkpoints removed in one commit: few enough that others get in between.
const PAGE_ROWS: u32 = if PAGE_ROWS_MAX < 200 { PAGE_ROWS_MAX } else { 200 };

/// What a prune did.
///
/// ```
/// # use std::sync::Arc;
/// # use steadfast_checkpoints::{CheckpointManager, CheckpointOptions, EvidencePack, NewCheckpoint, Rule};
/// # use steadfast_store::{CreateTask, Label, MemoryStore, Payload, StoreExt, TaskId, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, folder) = (Arc::new(MemoryStore::new(Env::system())), tempfile::tempdir()?);
/// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// # store.create_task(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() }).await?;
/// # let checkpoints = CheckpointManager::new(store, CheckpointOptions::new(folder.path()));
/// # std::fs::write(folder.path().join("notes.md"), "three sources")?;
/// # let evidence = EvidencePack::new(Rule::All, vec![checkpoints.observe_file("notes.md").await?])?;
/// # let new = NewCheckpoint { evidence, ..NewCheckpoint::new(task.clone(), kind, "sources collected") };
/// # let prepared = checkpoints.prepare(new)?;
/// # checkpoints.commit_step(&prepared, None, |_batch| {}).await?;
/// let pruning = checkpoints.prune(&task, 100).await?;
/// assert_eq!(pruning.removed, 0, "its newest hundred stay");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruning {
    /// Checkpoints removed.
    pub removed: u64,
    /// All up to this one are gone.
    pub through: SequenceNumber,
}

impl CheckpointManager {
    /// Removes old checkpoints of a task: its newest `keep` stay ([`KEEP_DEFAULT`] is the usual choice), and so do the
    /// newest one that was ever found verified and all after it. The chain says from then on that its beginning was
    /// pruned, and still verifies. In pages, each durable before the next begins: dropping the future ends it between
    /// two of them.
    ///
    /// # Errors
    /// [`CheckpointError::Store`], with [`StoreError::Invalid`](steadfast_store::StoreError::Invalid) for keeping none;
    /// [`CheckpointError::Rejected`] when there is no such task. What was removed before stays so.
    pub async fn prune(&self, task: &TaskId, keep: u32) -> Result<Pruning, CheckpointError> {
        let mut removed = 0;
        loop {
            let command = PruneCheckpoints { task: task.clone(), keep, limit: PAGE_ROWS };
            let pruned = commit_one_resolved(&**self.store(), Durability::Durable, command).await?;
            removed += u64::from(pruned.removed);
            if !pruned.is_more {
                return Ok(Pruning { removed, through: pruned.through });
            }
        }
    }

    /// Erases the payload of a checkpoint, with its salt, and every copy of it that a rollback or a fork has made;
    /// says how many payloads went. The chain still verifies; a task goes on from the newest checkpoint that has its
    /// payload. Durable on return. The evidence stays: put no secrets there.
    ///
    /// # Errors
    /// [`CheckpointError::Rejected`] when there is no such checkpoint; [`CheckpointError::Store`].
    pub async fn erase(&self, checkpoint: CheckpointId) -> Result<u32, CheckpointError> {
        let command = EraseCheckpoint { checkpoint };
        Ok(commit_one_resolved(&**self.store(), Durability::Durable, command).await?.erased)
    }
}
