//! What can go wrong with checkpoints, said so that the caller knows what to do.

use steadfast_store::{
    CheckpointId, CommandError, PayloadTooLarge, Rejection, StoreError, Superseded, TaskId,
};

use crate::evidence::{EvidenceReport, Finding, InvalidEvidence};
use crate::step::ERROR_BOUNDARY;
use crate::verify::VerificationReport;

/// Trouble with a checkpoint. Unless it holds [`StoreError::Unknown`], nothing was written.
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
/// use steadfast_checkpoints::CheckpointError;
///
/// // Evidence that does not hold keeps the step from being made.
/// std::fs::remove_file(folder.path().join("notes.md"))?;
/// match checkpoints.commit_step(&prepared, None, |_batch| {}).await {
///     Err(CheckpointError::EvidenceFailed(report)) => println!("{} pieces", report.pieces.len()),
///     other => unreachable!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The state is too large for one payload.
    #[error(transparent)]
    TooLarge(#[from] PayloadTooLarge),
    /// The evidence makes no sense.
    #[error(transparent)]
    InvalidEvidence(#[from] InvalidEvidence),
    /// The kind belongs to the store.
    #[error("checkpoints of kind {ERROR_BOUNDARY:?} are made by the store alone: choose another kind")]
    ReservedKind,
    /// The evidence does not hold at the moment of the commit.
    #[error("the evidence does not hold, so the checkpoint was not made: {0}")]
    EvidenceFailed(EvidenceReport),
    /// What was to become evidence could not be taken as such.
    #[error("{subject} cannot be evidence: {finding}")]
    NotObserved {
        /// What it was, as a report names it.
        subject: String,
        /// Why.
        finding: Finding,
    },
    /// The checkpoint does not verify now, so nothing was made of it.
    #[error("nothing goes on from a checkpoint that does not verify: {0}")]
    NotVerified(Box<VerificationReport>),
    /// No such checkpoint.
    #[error("there is no checkpoint {checkpoint}: check the id; it may have been pruned")]
    NoSuchCheckpoint {
        /// The id asked for.
        checkpoint: CheckpointId,
    },
    /// No such task.
    #[error("there is no task {task}: create it first")]
    NoSuchTask {
        /// The id asked for.
        task: TaskId,
    },
    /// A precondition did not hold.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The commit was applied before, and its rows have changed since.
    #[error(transparent)]
    Superseded(#[from] Superseded),
    /// Trouble with the storage.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CommandError> for CheckpointError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Rejected(rejection) => Self::Rejected(rejection),
            CommandError::Superseded(superseded) => Self::Superseded(superseded),
            CommandError::Store(error) => Self::Store(error),
            // The type may grow: whatever it says, the sentence is kept.
            other => Self::Store(StoreError::Failed { source: other.into() }),
        }
    }
}
