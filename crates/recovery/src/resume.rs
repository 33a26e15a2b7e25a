//! The plan to resume a task: the checkpoint to go on from, and the operations whose fate must be known first.

use std::collections::BTreeMap;
use std::sync::Arc;

use steadfast_checkpoints::{CheckpointError, CheckpointManager, LastVerified, Skipped};
use steadfast_store::decide::decide_guard;
use steadfast_store::limits::PAGE_ROWS_MAX;
use steadfast_store::{
    Abandonment, Checkpoint, Operation, OperationPage, OperationStatus, Store, StoreError, StoreTime, TaskId,
};
use tracing::Instrument;

use crate::telemetry;

/// Why there is no plan. Nothing was changed.
///
/// ```
/// # use std::sync::Arc;
/// # use steadfast_checkpoints::{CheckpointError, CheckpointManager, CheckpointOptions};
/// use steadfast_recovery::{RecoveryError, resume_plan};
/// # use steadfast_store::{MemoryStore, TaskId, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Arc::new(MemoryStore::new(Env::system()));
/// # let checkpoints = CheckpointManager::new(store, CheckpointOptions::new("."));
/// let error = resume_plan(&checkpoints, &TaskId::new("unknown")?).await.unwrap_err();
/// assert!(matches!(error, RecoveryError::Checkpoints(CheckpointError::NoSuchTask { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// The checkpoints of the task could not be searched.
    #[error(transparent)]
    Checkpoints(#[from] CheckpointError),
    /// Trouble with the storage.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a task goes on. It speaks of the moment it was made: claim the task's item first, so that nobody else
/// changes it meanwhile.
///
/// ```
/// use steadfast_recovery::ResumePlan;
///
/// /// Whether a worker may go on by itself.
/// fn is_clear(plan: &ResumePlan) -> bool {
///     for operation in &plan.in_doubt {
///         println!("find out whether this happened: {}", operation.key);
///     }
///     plan.in_doubt.is_empty()
/// }
/// # let plan = ResumePlan { from: None, skipped: Vec::new(), in_doubt: Vec::new(), pending: Vec::new() };
/// assert!(is_clear(&plan) && plan.from.is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumePlan {
    /// The newest checkpoint that verifies now; none when the task has to begin anew.
    pub from: Option<Checkpoint>,
    /// Every newer checkpoint and why it is not gone on from, newest first.
    pub skipped: Vec<Skipped>,
    /// Operations that were begun by somebody who vanished, and may not be run again unasked: find out whether each
    /// happened, then settle it. In the order of their keys.
    pub in_doubt: Vec<Operation>,
    /// Operations that were begun and have not ended: under way elsewhere, or to be run again by whoever asks next.
    /// In the order of their keys.
    pub pending: Vec<Operation>,
}

/// Makes the plan for a task, from the store and the evidence as they stand now. Changes nothing. Dropping the future
/// ends the search.
///
/// ```
/// # use std::sync::Arc;
/// # use steadfast_checkpoints::{CheckpointManager, CheckpointOptions, NewCheckpoint};
/// # use steadfast_recovery::resume_plan;
/// # use steadfast_store::{CreateTask, Label, MemoryStore, Payload, StoreExt, TaskId, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Arc::new(MemoryStore::new(Env::system()));
/// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// # store.create_task(CreateTask { task: task.clone(), kind, input: Payload::empty() }).await?;
/// # let checkpoints = CheckpointManager::new(store, CheckpointOptions::new("."));
/// # let new = NewCheckpoint::new(task.clone(), Label::new("step")?, "sources collected");
/// # checkpoints.commit_step(&checkpoints.prepare(new)?, None, |_| {}).await?;
/// let plan = resume_plan(&checkpoints, &task).await?;
/// for skipped in &plan.skipped {
///     println!("not from checkpoint {}: {}", skipped.sequence, skipped.why);
/// }
/// let state = match plan.from {
///     Some(checkpoint) => checkpoint.payload?.bytes().clone(),
///     None => "begin anew".into(),
/// };
/// assert_eq!(state, "sources collected");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`RecoveryError`]; [`CheckpointError::NoSuchTask`] in it when there is no such task.
pub async fn resume_plan(
    checkpoints: &CheckpointManager,
    task: &TaskId,
) -> Result<ResumePlan, RecoveryError> {
    make_plan(checkpoints, task).instrument(telemetry::resume_plan(task)).await
}

async fn make_plan(checkpoints: &CheckpointManager, task: &TaskId) -> Result<ResumePlan, RecoveryError> {
    let LastVerified { checkpoint, skipped } = checkpoints.last_verified(task).await?;
    let store = checkpoints.store();
    let (mut in_doubt, mut pending) = (BTreeMap::new(), BTreeMap::new());
    let mut owners = Owners { store, now: None };
    for operation in operations(store, task, OperationStatus::Pending).await? {
        let is_doubtful =
            operation.abandonment == Abandonment::Doubt && !owners.still_own(&operation).await?;
        let known = if is_doubtful { &mut in_doubt } else { &mut pending };
        known.insert(operation.key.clone(), operation);
    }
    // Last: one that falls into doubt meanwhile is found here, and the other way round it would be in neither read.
    for operation in operations(store, task, OperationStatus::InDoubt).await? {
        pending.remove(&operation.key);
        in_doubt.insert(operation.key.clone(), operation);
    }
    let (in_doubt, pending) = (in_doubt.into_values().collect(), pending.into_values().collect());
    Ok(ResumePlan { from: checkpoint, skipped, in_doubt, pending })
}

/// All operations of a task in one state.
async fn operations(
    store: &Arc<dyn Store>,
    task: &TaskId,
    status: OperationStatus,
) -> Result<Vec<Operation>, StoreError> {
    let mut all: Vec<Operation> = Vec::new();
    loop {
        let after = all.last().map(|operation| operation.key.clone());
        let page = OperationPage { after, status: Some(status), limit: PAGE_ROWS_MAX };
        let found = store.operations(task, page).await?;
        let is_last = found.len() < PAGE_ROWS_MAX as usize;
        all.extend(found);
        if is_last {
            return Ok(all);
        }
    }
}

/// Knows whether the owners of operations are still there, by the rule of
/// [`is_owned`](steadfast_store::decide::is_owned).
struct Owners<'a> {
    store: &'a Arc<dyn Store>,
    /// Read once, and only when an operation without a lease asks for it.
    now: Option<StoreTime>,
}

impl Owners<'_> {
    async fn still_own(&mut self, operation: &Operation) -> Result<bool, StoreError> {
        let Some(lease) = &operation.owner.lease else {
            return Ok(self.now().await? < operation.owner.expires_at);
        };
        // Under a lease, the lease alone decides: its holder may renew it for as long as the call takes.
        Ok(decide_guard(self.store.work_item(&lease.item).await?.as_ref(), lease).is_ok())
    }

    async fn now(&mut self) -> Result<StoreTime, StoreError> {
        if let Some(now) = self.now {
            return Ok(now);
        }
        let now = self.store.health().await?.store_time;
        self.now = Some(now);
        Ok(now)
    }
}
