//! Going back to an earlier checkpoint, and forking a new task from one. Nothing is ever taken out of a chain for it:
//! the state is appended once more, as a copy that names its origin.

use steadfast_store::{
    AppendCheckpoint, Appended, Batch, Checkpoint, CheckpointId, CreateTask, Guard, Label, RESOLVE_PATIENCE,
    SequenceNumber, TaskId, commit_resolved,
};

use crate::error::CheckpointError;
use crate::manager::CheckpointManager;

/// The kind of a checkpoint that takes its task back to an earlier state.
pub const ROLLBACK: &str = "rollback";
/// The kind of the first checkpoint of a task that was forked from another one.
pub const FORK: &str = "fork";

/// A copy of a checkpoint, at the end of a chain.
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
/// let copied = checkpoints.roll_back(prepared.id(), None, None).await?;
/// assert_eq!(copied.appended.sequence.0, 2, "nothing is taken out: the state is appended once more");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The new checkpoint.
    pub checkpoint: CheckpointId,
    /// Where it stands.
    pub appended: Appended,
}

impl CheckpointManager {
    /// Takes the task of a checkpoint back to its state: appends a copy of it, of kind [`ROLLBACK`], evidence
    /// included, from which the task then goes on. What came in between stays in the chain. Durable on return.
    ///
    /// Under `guard`, when one is given; when `expected_head` is given and the newest checkpoint is another one, nothing
    /// is done.
    ///
    /// # Errors
    /// [`CheckpointError::NoSuchCheckpoint`]; [`CheckpointError::NotVerified`] when the checkpoint does not verify now;
    /// [`CheckpointError::Rejected`]; [`CheckpointError::Store`].
    pub async fn roll_back(
        &self,
        to: CheckpointId,
        guard: Option<Guard>,
        expected_head: Option<SequenceNumber>,
    ) -> Result<Copied, CheckpointError> {
        let origin = self.verified(to).await?;
        let task = origin.header.task.clone();
        let append =
            AppendCheckpoint { expected_head, ..self.copy(origin, task, Label::constant(ROLLBACK))? };
        self.append_copy(Batch::durable(), append, guard).await
    }

    /// Creates a task that begins with the state of a checkpoint of another one: its first checkpoint is a copy, of
    /// kind [`FORK`], evidence included. One commit, durable on return.
    ///
    /// # Errors
    /// As [`roll_back`](Self::roll_back); [`CheckpointError::Rejected`] when the task is there and differs, or has
    /// checkpoints already.
    pub async fn fork(&self, from: CheckpointId, create: CreateTask) -> Result<Copied, CheckpointError> {
        let origin = self.verified(from).await?;
        let copy = self.copy(origin, create.task.clone(), Label::constant(FORK))?;
        let append = AppendCheckpoint { expected_head: Some(SequenceNumber(0)), ..copy };
        let mut batch = Batch::durable();
        batch.add(create);
        self.append_copy(batch, append, None).await
    }

    async fn verified(&self, id: CheckpointId) -> Result<Checkpoint, CheckpointError> {
        let checkpoint = self.get(id).await?.ok_or(CheckpointError::NoSuchCheckpoint { checkpoint: id })?;
        let report = self.inspect(&checkpoint).await;
        if report.is_verified() {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::NotVerified(Box::new(report)))
        }
    }

    /// The copy of a checkpoint that has just verified.
    fn copy(
        &self,
        origin: Checkpoint,
        task: TaskId,
        kind: Label,
    ) -> Result<AppendCheckpoint, CheckpointError> {
        let id = origin.header.id;
        let missing = |_| CheckpointError::NoSuchCheckpoint { checkpoint: id };
        Ok(AppendCheckpoint {
            checkpoint: CheckpointId::generate(self.store().env()),
            task,
            kind,
            work_item: None,
            expected_head: None,
            payload: origin.payload.map_err(missing)?,
            evidence: origin.evidence.map_err(|_| CheckpointError::NoSuchCheckpoint { checkpoint: id })?,
            copy_of: Some(id),
        })
    }

    async fn append_copy(
        &self,
        mut batch: Batch,
        append: AppendCheckpoint,
        guard: Option<Guard>,
    ) -> Result<Copied, CheckpointError> {
        let checkpoint = append.checkpoint;
        let handle = match guard {
            Some(guard) => batch.add_guarded(guard, append),
            None => batch.add(append),
        };
        let applied = commit_resolved(&**self.store(), batch, RESOLVE_PATIENCE).await?.into_applied()?;
        Ok(Copied { checkpoint, appended: applied.get(handle)?.clone() })
    }
}
