//! The checkpoint to go on from: the newest that verifies now, and why each newer one does not.

use steadfast_store::{Checkpoint, CheckpointId, CheckpointPage, Digest, SequenceNumber, TaskId};
use tracing::Instrument;

use crate::error::CheckpointError;
use crate::manager::CheckpointManager;
use crate::step::ERROR_BOUNDARY;
use crate::telemetry;
use crate::verify::{Fault, VerificationReport};

/// The newest one is read alone, since it is mostly the answer; each further page is twice as long.
const PAGE_ROWS_MAX: u32 = 64;

/// Why a checkpoint is not gone on from.
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
/// use steadfast_checkpoints::WhySkipped;
///
/// std::fs::remove_file(folder.path().join("notes.md"))?;
/// let found = checkpoints.last_verified(&task).await?;
/// assert!(matches!(&found.skipped[0].why, WhySkipped::NotVerified(report) if report.fault.is_none()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WhySkipped {
    /// A sweep has made it; it tells of a lost lease and holds no state.
    #[error("it tells of a lost lease and holds no state")]
    ErrorBoundary,
    /// Its link is not the one that the next checkpoint, or the task, names.
    #[error("its link is not the one that stands in the chain: it was exchanged")]
    OutOfChain,
    /// There is none at this place, nor at those before it down to `down_to`.
    #[error("it is missing, and so are all down to {down_to}")]
    Missing {
        /// The oldest of the missing ones.
        down_to: SequenceNumber,
    },
    /// It does not verify.
    #[error("{0}")]
    NotVerified(VerificationReport),
}

/// A checkpoint that is newer than the one to go on from.
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
/// std::fs::remove_file(folder.path().join("notes.md"))?;
/// let found = checkpoints.last_verified(&task).await?;
/// for skipped in &found.skipped {
///     println!("not from checkpoint {}: {}", skipped.sequence, skipped.why);
/// }
/// assert_eq!((found.checkpoint, found.skipped.len()), (None, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its id; none when it is missing.
    pub id: Option<CheckpointId>,
    /// Its place.
    pub sequence: SequenceNumber,
    /// Why it was skipped.
    pub why: WhySkipped,
}

/// Where a task can go on.
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
/// let found = checkpoints.last_verified(&task).await?;
/// assert_eq!(found.checkpoint.map(|newest| newest.header.id), Some(prepared.id()));
/// assert!(found.skipped.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastVerified {
    /// The newest checkpoint that verifies now; none when the task has to begin anew.
    pub checkpoint: Option<Checkpoint>,
    /// Every newer one, newest first.
    pub skipped: Vec<Skipped>,
}

impl CheckpointManager {
    /// Looks at the checkpoints of a task, newest first, until one verifies *now*: its link and its bytes are right,
    /// and its evidence holds. Blocking looks run off the threads that poll futures. Changes nothing: no verdict is
    /// recorded. Dropping the future ends the search.
    ///
    /// # Errors
    /// [`CheckpointError::NoSuchTask`]; [`CheckpointError::Store`].
    pub async fn last_verified(&self, task: &TaskId) -> Result<LastVerified, CheckpointError> {
        self.search(task).instrument(telemetry::last_verified(task)).await
    }

    async fn search(&self, task: &TaskId) -> Result<LastVerified, CheckpointError> {
        let no_such_task = || CheckpointError::NoSuchTask { task: task.clone() };
        let task = self.store().task(task).await?.ok_or_else(no_such_task)?;
        let mut search = Search { next: task.head, link: Some(task.head_link), skipped: Vec::new() };
        let mut limit = 1;
        while search.next > task.pruned_through {
            let page = CheckpointPage::NewestFirst { before: Some(search.next.next()), limit };
            let checkpoints = self.store().checkpoints(&task.id, page).await?;
            if checkpoints.is_empty() {
                search.miss(task.pruned_through);
            }
            for checkpoint in checkpoints {
                if let Some(checkpoint) = search.look(self, checkpoint).await {
                    return Ok(LastVerified { checkpoint: Some(checkpoint), skipped: search.skipped });
                }
            }
            limit = PAGE_ROWS_MAX.min(limit * 2);
        }
        Ok(LastVerified { checkpoint: None, skipped: search.skipped })
    }
}

/// How far the search has come.
struct Search {
    /// The place to be looked at next.
    next: SequenceNumber,
    /// The link that a trustworthy newer checkpoint, or the task, names for it.
    link: Option<Digest>,
    skipped: Vec<Skipped>,
}

impl Search {
    /// The places from the next one down to just above `found` have no checkpoint.
    fn miss(&mut self, found: SequenceNumber) {
        let why = WhySkipped::Missing { down_to: found.next() };
        self.skipped.push(Skipped { id: None, sequence: self.next, why });
        (self.next, self.link) = (found, None);
    }

    /// The checkpoint, if it verifies; otherwise it is skipped.
    async fn look(&mut self, manager: &CheckpointManager, checkpoint: Checkpoint) -> Option<Checkpoint> {
        let header = &checkpoint.header;
        let (id, sequence, parent) = (header.id, header.sequence, header.parent_link);
        if sequence < self.next {
            self.miss(sequence);
        }
        let in_chain = self.link.is_none_or(|link| link == header.link);
        let why = if !in_chain {
            WhySkipped::OutOfChain
        } else if header.kind.as_str() == ERROR_BOUNDARY {
            WhySkipped::ErrorBoundary
        } else {
            let report = manager.inspect(&checkpoint).await;
            if report.is_verified() {
                return Some(checkpoint);
            }
            WhySkipped::NotVerified(report)
        };
        let trusts_parent = match &why {
            WhySkipped::NotVerified(report) => report.fault != Some(Fault::Link),
            why => *why == WhySkipped::ErrorBoundary,
        };
        self.link = trusts_parent.then_some(parent);
        self.skipped.push(Skipped { id: Some(id), sequence, why });
        // Whatever place it claims, the search comes nearer to its end.
        self.next = SequenceNumber(self.next.min(sequence).0.saturating_sub(1));
        None
    }
}
