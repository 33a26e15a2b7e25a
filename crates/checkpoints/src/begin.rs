//! Steps that are begun before they are committed: the beginning is remembered by the store, not by the process.

use bytes::Bytes;
use steadfast_store::limits::{PAGE_ROWS_MAX, TERM_MIN};
use steadfast_store::{
    Abandonment, Batch, BeginOperation, CheckpointId, Committed, Digest, Durability, FinishOperation, Guard,
    Label, Operation, OperationEnd, OperationKey, OperationPage, OperationRecord, OperationStatus,
    OperationToken, Payload, RESOLVE_PATIENCE, Reason, StoreError, TaskId, Term, WallTime, commit_resolved,
};
use tracing::Instrument;

use crate::error::CheckpointError;
use crate::manager::CheckpointManager;
use crate::step::{Prepared, Step};
use crate::telemetry;

/// What the keys of begun steps begin with.
pub const STEP_KEYS: &str = "step:";
/// How often a step is looked at anew when it changes hands in between.
const ROUNDS_MAX: u32 = 16;

/// What is known of a step when it is begun.
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
/// use steadfast_checkpoints::Begun;
///
/// let name = Label::new("collect")?;
/// match checkpoints.begin_step(&task, name.clone(), None).await? {
///     Begun::Open(step) => drop(checkpoints.commit_begun(&step, &prepared, None, |_batch| {}).await?),
///     Begun::Committed(checkpoint) => println!("done before, as {checkpoint}"),
///     Begun::Elsewhere => println!("somebody else is at it"),
/// }
/// let again = checkpoints.begin_step(&task, name, None).await?;
/// assert_eq!(again, Begun::Committed(prepared.id()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is the caller's: do it, then commit it.
    Open(OpenStep),
    /// It was committed before, as this checkpoint.
    Committed(CheckpointId),
    /// Somebody else is at it under a lease that holds.
    Elsewhere,
}

/// A step that was begun and is not committed.
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
/// use steadfast_checkpoints::Begun;
///
/// let Begun::Open(step) = checkpoints.begin_step(&task, Label::new("collect")?, None).await? else {
///     unreachable!("nobody began it before")
/// };
/// println!("{} of {}, for the {}. time", step.name(), step.task(), step.attempt());
/// checkpoints.commit_begun(&step, &prepared, None, |_batch| {}).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a step that is never committed stays open"]
pub struct OpenStep {
    task: TaskId,
    name: Label,
    key: OperationKey,
    token: OperationToken,
    attempt: u32,
}

impl OpenStep {
    /// Its task.
    pub fn task(&self) -> &TaskId {
        &self.task
    }

    /// Its name.
    pub fn name(&self) -> &Label {
        &self.name
    }

    /// Which beginning it is, counted from 1: more says that an earlier one was broken off.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The command that closes it with this checkpoint, for a batch that appends that.
    pub fn close(&self, checkpoint: CheckpointId) -> FinishOperation {
        let named =
            Payload::new(Bytes::copy_from_slice(checkpoint.as_bytes())).unwrap_or_else(|_| Payload::empty());
        FinishOperation { key: self.key.clone(), token: self.token, end: OperationEnd::Succeeded(named) }
    }
}

/// A step that was begun and never committed, as its task shows it.
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
/// let _vanishes = checkpoints.begin_step(&task, Label::new("collect")?, None).await?;
/// // Whoever resumes the task learns what was under way.
/// for step in checkpoints.unfinished_steps(&task).await? {
///     println!("{} was begun {} times and not committed", step.name, step.attempts);
/// }
/// # assert_eq!(checkpoints.unfinished_steps(&task).await?.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedStep {
    /// Its name.
    pub name: Label,
    /// How often it was begun.
    pub attempts: u32,
    /// When it was begun first.
    pub begun_at: WallTime,
    /// The lease it was begun under last.
    pub lease: Option<Guard>,
}

impl CheckpointManager {
    /// Begins the step of that name: remembered, durably, before this returns, so that whoever resumes the task knows
    /// that it may have been done in part. Under a lease the step is the caller's as long as the lease holds, and begun
    /// again under the same one it is the same beginning; without a lease, nothing keeps two callers apart, and the
    /// later one has it.
    ///
    /// A name stands for one step of its task for as long as that goes on: begun again after its commit, it names its
    /// checkpoint.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use steadfast_checkpoints::{Begun, CheckpointManager, CheckpointOptions, NewCheckpoint};
    /// # use steadfast_store::{CreateTask, Label, MemoryStore, Payload, StoreExt, TaskId, env::Env};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = Arc::new(MemoryStore::new(Env::system()));
    /// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
    /// # store.create_task(CreateTask { task: task.clone(), kind, input: Payload::empty() }).await?;
    /// # let checkpoints = CheckpointManager::new(store, CheckpointOptions::new("."));
    /// if let Begun::Open(step) = checkpoints.begin_step(&task, Label::new("collect")?, None).await? {
    ///     // … the work …
    ///     let new = NewCheckpoint::new(task.clone(), Label::new("step")?, "sources collected");
    ///     checkpoints.commit_begun(&step, &checkpoints.prepare(new)?, None, |_batch| {}).await?;
    /// }
    /// assert!(checkpoints.unfinished_steps(&task).await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CheckpointError::Rejected`] when there is no such task, or the lease is stale; [`CheckpointError::Store`].
    pub async fn begin_step(
        &self,
        task: &TaskId,
        name: Label,
        lease: Option<Guard>,
    ) -> Result<Begun, CheckpointError> {
        let span = telemetry::begin_step(task, &name);
        self.begin(task, name, lease).instrument(span).await
    }

    async fn begin(
        &self,
        task: &TaskId,
        name: Label,
        lease: Option<Guard>,
    ) -> Result<Begun, CheckpointError> {
        let key = step_key(task, &name)?;
        let mut last = None;
        for _ in 0..ROUNDS_MAX {
            if let Some(record) = self.store().operation(&key).await?
                && record.operation.status == OperationStatus::Succeeded
            {
                return committed(&record.operation.key, record.output.as_ref());
            }
            let token = OperationToken::generate(self.store().env());
            let mut batch = Batch::new(Durability::Durable);
            let begun = batch.add(BeginOperation {
                key: key.clone(),
                fingerprint: Digest::of(key.as_str().as_bytes()),
                token,
                task: Some(task.clone()),
                lease: lease.clone(),
                // Nothing but a lease keeps others away.
                term: Term::new(TERM_MIN).map_err(|error| StoreError::Failed { source: error.into() })?,
                abandonment: Abandonment::Retake,
                fresh_for: None,
            });
            match commit_resolved(&**self.store(), batch, RESOLVE_PATIENCE).await? {
                Committed::Applied(applied) => {
                    // Its answer was lost, and what it had begun has changed hands since: begin anew.
                    let Ok(begun) = applied.get(begun) else { continue };
                    let attempt = begun.attempt;
                    return Ok(Begun::Open(OpenStep { task: task.clone(), name, key, token, attempt }));
                }
                Committed::Rejected(rejection) => match rejection.reason {
                    // Committed since it was read.
                    Reason::OperationEnded { .. } => last = Some(rejection),
                    Reason::OperationInFlight { .. } => match self.owner(&key).await? {
                        // Begun before under this very lease, and broken off: still the caller's.
                        Some((token, attempt, own)) if own.is_some() && own == lease => {
                            return Ok(Begun::Open(OpenStep {
                                task: task.clone(),
                                name,
                                key,
                                token,
                                attempt,
                            }));
                        }
                        Some((_, _, Some(_))) => return Ok(Begun::Elsewhere),
                        _ => {
                            self.store().env().sleep(TERM_MIN).await;
                            last = Some(rejection);
                        }
                    },
                    _ => return Err(rejection.into()),
                },
            }
        }
        Err(last.map_or(CheckpointError::Store(StoreError::Closed), CheckpointError::Rejected))
    }

    /// Commits a step that was begun: as [`commit_step`](Self::commit_step), and the step is closed in the same batch.
    /// Rejected, with everything beside it, when the step was begun by somebody else since.
    ///
    /// # Errors
    /// As [`commit_step`](Self::commit_step).
    pub async fn commit_begun(
        &self,
        step: &OpenStep,
        prepared: &Prepared,
        guard: Option<Guard>,
        also: impl FnOnce(&mut Batch),
    ) -> Result<Step, CheckpointError> {
        let close = step.close(prepared.id());
        self.commit_step(prepared, guard, |batch| {
            batch.add(close);
            also(batch);
        })
        .await
    }

    /// Steps of a task that were begun and never committed, in the order of their names: work that may have been done
    /// in part.
    ///
    /// # Errors
    /// [`CheckpointError::Store`].
    pub async fn unfinished_steps(&self, task: &TaskId) -> Result<Vec<UnfinishedStep>, CheckpointError> {
        let prefix = format!("{STEP_KEYS}{}:{task}:", task.as_str().len());
        let mut unfinished = Vec::new();
        let mut after = None;
        loop {
            let page = OperationPage { after, status: Some(OperationStatus::Pending), limit: PAGE_ROWS_MAX };
            let found = self.store().operations(task, page).await?;
            after = found.last().map(|last| last.key.clone());
            unfinished.extend(found.into_iter().filter_map(|operation| unfinished_step(&prefix, operation)));
            if after.is_none() {
                return Ok(unfinished);
            }
        }
    }

    /// Who is at a step: by which token, at which attempt, under which lease.
    async fn owner(
        &self,
        key: &OperationKey,
    ) -> Result<Option<(OperationToken, u32, Option<Guard>)>, StoreError> {
        let record = self.store().operation(key).await?;
        Ok(record.map(|OperationRecord { operation, .. }| {
            (operation.owner.token, operation.attempt, operation.owner.lease)
        }))
    }
}

fn unfinished_step(prefix: &str, operation: Operation) -> Option<UnfinishedStep> {
    let name = Label::new(operation.key.as_str().strip_prefix(prefix)?).ok()?;
    let (attempts, begun_at, lease) = (operation.attempt, operation.created_at, operation.owner.lease);
    Some(UnfinishedStep { name, attempts, begun_at, lease })
}

fn committed(key: &OperationKey, output: Option<&Payload>) -> Result<Begun, CheckpointError> {
    let id = output.and_then(|output| <[u8; 16]>::try_from(output.bytes().as_ref()).ok());
    match id {
        Some(id) => Ok(Begun::Committed(CheckpointId::from_bytes(id))),
        None => Err(StoreError::Corrupt { what: format!("the checkpoint of {key}"), source: None }.into()),
    }
}

/// The task with its length before it, so that no two pairs of task and name give the same key.
fn step_key(task: &TaskId, name: &Label) -> Result<OperationKey, CheckpointError> {
    let text = format!("{STEP_KEYS}{}:{task}:{name}", task.as_str().len());
    OperationKey::new(text).map_err(|error| StoreError::Failed { source: error.into() }.into())
}
