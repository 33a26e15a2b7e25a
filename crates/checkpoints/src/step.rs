//! One step of a task on its way into the store: what is to be kept, and the command that keeps it.

use bytes::Bytes;
use steadfast_store::env::Env;
use steadfast_store::{
    AppendCheckpoint, Appended, Applied, CheckpointId, Label, SealedPayload, SequenceNumber, TaskId,
    WorkItemId,
};

use crate::error::CheckpointError;
use crate::evidence::EvidencePack;

/// The kind of the checkpoints that a sweep leaves on the task of a reclaimed lease. They tell what happened and hold
/// no state to go on from.
pub const ERROR_BOUNDARY: &str = "error_boundary";

/// A checkpoint to be made.
///
/// ```
/// use steadfast_checkpoints::NewCheckpoint;
/// use steadfast_store::{Label, SequenceNumber, TaskId};
///
/// let (task, kind) = (TaskId::new("report")?, Label::new("step")?);
/// // Nobody else may have appended anything since the checkpoint that this one builds on.
/// let parent = Some(SequenceNumber(3));
/// let new = NewCheckpoint { expected_head: parent, ..NewCheckpoint::new(task, kind, "state") };
/// # Ok::<(), steadfast_store::InvalidId>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCheckpoint {
    /// Its task.
    pub task: TaskId,
    /// Its type: any label but [`ERROR_BOUNDARY`].
    pub kind: Label,
    /// The work item it is made under, for the record; a lease is checked by its guard.
    pub work_item: Option<WorkItemId>,
    /// When given, the sequence number that the newest checkpoint must have, so that two writers cannot fork a task.
    pub expected_head: Option<SequenceNumber>,
    /// The state, up to [`PAYLOAD_BYTES_MAX`](steadfast_store::limits::PAYLOAD_BYTES_MAX) bytes.
    pub payload: Bytes,
    /// What must hold for this checkpoint to be gone on from.
    pub evidence: EvidencePack,
}

impl NewCheckpoint {
    /// A checkpoint without evidence, work item or expected head: set those that are wanted.
    pub fn new(task: TaskId, kind: Label, payload: impl Into<Bytes>) -> Self {
        let (payload, evidence) = (payload.into(), EvidencePack::none());
        Self { task, kind, work_item: None, expected_head: None, payload, evidence }
    }

    pub(crate) fn prepare(self, env: &Env) -> Result<Prepared, CheckpointError> {
        if self.kind.as_str() == ERROR_BOUNDARY {
            return Err(CheckpointError::ReservedKind);
        }
        let command = AppendCheckpoint {
            checkpoint: CheckpointId::generate(env),
            task: self.task,
            kind: self.kind,
            work_item: self.work_item,
            expected_head: self.expected_head,
            payload: SealedPayload::seal(self.payload, env)?,
            evidence: self.evidence.to_payload()?,
            copy_of: None,
        };
        Ok(Prepared { command, evidence: self.evidence })
    }
}

/// A checkpoint with its identity, digests and command, not yet in the store. Keep it until its commit has answered:
/// committed again it is still one checkpoint.
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
/// // Prepared once, it may be committed again after an error: it is one checkpoint.
/// checkpoints.commit_step(&prepared, None, |_batch| {}).await?;
/// let again = checkpoints.commit_step(&prepared, None, |_batch| {}).await?;
/// assert_eq!(again.appended.sequence.0, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "nothing is written before its command is committed"]
pub struct Prepared {
    command: AppendCheckpoint,
    evidence: EvidencePack,
}

impl Prepared {
    /// The id that the checkpoint will have.
    pub fn id(&self) -> CheckpointId {
        self.command.checkpoint
    }

    /// The task that it is for.
    pub(crate) fn task(&self) -> &TaskId {
        &self.command.task
    }

    /// The command, for a batch of the caller's own. Its evidence is not looked at then; see
    /// [`CheckpointManager::check`](crate::CheckpointManager::check).
    pub fn command(&self) -> AppendCheckpoint {
        self.command.clone()
    }

    /// What must hold for it.
    pub fn evidence(&self) -> &EvidencePack {
        &self.evidence
    }
}

/// A step that was committed.
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
/// let step = checkpoints.commit_step(&prepared, None, |_batch| {}).await?;
/// println!("checkpoint {} of {task}", step.appended.sequence);
/// assert_eq!(step.appended.sequence.0, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Where the checkpoint stands in its chain.
    pub appended: Appended,
    /// All outcomes, for the handles of what was committed beside it.
    pub applied: Applied,
}
