//! The chain of a task: every link computed again, from the first checkpoint to the head on the task.

use steadfast_store::{Checkpoint, CheckpointPage, Digest, SequenceNumber, Store, StoreError, Task, TaskId};

use crate::error::CheckpointError;
use crate::manager::CheckpointManager;
use crate::verify::{Fault, check_bytes};

/// Checkpoints read at a time.
const PAGE_ROWS: u32 = 256;
/// How often the walk begins anew when checkpoints are pruned under its feet.
const PRUNE_RACES_MAX: u32 = 8;

/// What is wrong at one place of a chain.
///
/// ```
/// use steadfast_checkpoints::ChainBreak;
///
/// assert!(ChainBreak::Missing.to_string().contains("restore it from a backup"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainBreak {
    /// There is no checkpoint at this place.
    #[error("the checkpoint is missing: restore it from a backup")]
    Missing,
    /// Another checkpoint stands at this place.
    #[error("checkpoint {found} stands in its place: restore the order from a backup")]
    OutOfOrder {
        /// Its sequence number.
        found: SequenceNumber,
    },
    /// It belongs to another task.
    #[error("it belongs to task {task}: restore it from a backup")]
    OtherTask {
        /// That task.
        task: TaskId,
    },
    /// It does not name the checkpoint before it as its parent.
    #[error("it names another parent than the checkpoint before it: one of the two was exchanged")]
    OtherParent,
    /// The checkpoint itself was changed or damaged.
    #[error(transparent)]
    Fault(Fault),
    /// It is not the checkpoint that the task names as its newest.
    #[error("its link is {found}, but the task names {recorded} as its head: one of the two was exchanged")]
    OtherHead {
        /// The link on the task.
        recorded: Digest,
        /// The link found.
        found: Digest,
    },
}

/// What the chain of a task proves.
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
/// use steadfast_checkpoints::ChainReport;
///
/// match checkpoints.verify_chain(&task).await? {
///     ChainReport::Intact { length, .. } => assert_eq!(length, 1),
///     other => println!("look at the backups: {other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainReport {
    /// Every checkpoint since the first is there, unchanged and in order.
    Intact {
        /// How many there are.
        length: u64,
        /// The link of the newest; [`Digest::ZERO`] without one.
        head: Digest,
    },
    /// The oldest ones were pruned on purpose, as the task records; all others are there, unchanged and in order.
    Pruned {
        /// The last one pruned.
        through: SequenceNumber,
        /// How many are left.
        length: u64,
        /// The link of the newest.
        head: Digest,
    },
    /// Something is wrong; whatever comes after the place was not looked at.
    Broken {
        /// The first place where it is.
        at: SequenceNumber,
        /// What it is.
        why: ChainBreak,
    },
}

impl ChainReport {
    /// Whether all that should be there is there, unchanged and in order.
    pub fn holds(&self) -> bool {
        !matches!(self, Self::Broken { .. })
    }
}

impl CheckpointManager {
    /// Walks the whole chain of a task: computes every link again, holds it against its parent, the payloads against
    /// their digests and the end against the head on the task. Reads every checkpoint, in pages; evidence is not
    /// looked at. Checkpoints appended meanwhile are left out. Changes nothing; dropping the future ends the walk.
    ///
    /// # Errors
    /// [`CheckpointError::NoSuchTask`]; [`CheckpointError::Store`].
    pub async fn verify_chain(&self, task: &TaskId) -> Result<ChainReport, CheckpointError> {
        let no_such_task = || CheckpointError::NoSuchTask { task: task.clone() };
        let store = self.store().as_ref();
        let mut head = store.task(task).await?.ok_or_else(no_such_task)?;
        let mut races = 0;
        loop {
            let report = walk(store, &head).await?;
            let now = store.task(task).await?.ok_or_else(no_such_task)?;
            if report.holds() || now.pruned_through == head.pruned_through || races == PRUNE_RACES_MAX {
                return Ok(report);
            }
            // What is missing may have been pruned after the task was read.
            head = now;
            races += 1;
        }
    }
}

async fn walk(store: &dyn Store, task: &Task) -> Result<ChainReport, StoreError> {
    let mut walk = Walk::new(task);
    while walk.at < task.head {
        let page = CheckpointPage::OldestFirst { after: walk.at, limit: PAGE_ROWS };
        let checkpoints = store.checkpoints(&task.id, page).await?;
        if checkpoints.is_empty() {
            return Ok(walk.broken(ChainBreak::Missing));
        }
        for checkpoint in &checkpoints {
            // Appended after the task was read.
            if walk.at == task.head {
                break;
            }
            if let Err(why) = walk.step(checkpoint) {
                return Ok(walk.broken(why));
            }
        }
    }
    Ok(walk.end())
}

/// How far the walk has come.
struct Walk<'a> {
    task: &'a Task,
    /// The last place that was found right, or pruned.
    at: SequenceNumber,
    /// Its link; not known when it was pruned.
    link: Option<Digest>,
}

impl<'a> Walk<'a> {
    fn new(task: &'a Task) -> Self {
        let at = task.pruned_through;
        Self { task, at, link: (at == SequenceNumber(0)).then_some(Digest::ZERO) }
    }

    fn step(&mut self, checkpoint: &Checkpoint) -> Result<(), ChainBreak> {
        let header = &checkpoint.header;
        let next = self.at.next();
        if header.task != self.task.id {
            return Err(ChainBreak::OtherTask { task: header.task.clone() });
        }
        if header.sequence > next {
            return Err(ChainBreak::Missing);
        }
        if header.sequence < next {
            return Err(ChainBreak::OutOfOrder { found: header.sequence });
        }
        if self.link.is_some_and(|parent| parent != header.parent_link) {
            return Err(ChainBreak::OtherParent);
        }
        match check_bytes(checkpoint) {
            // What was erased on purpose is covered by its link still.
            Ok(()) | Err(Fault::Erased) => {}
            Err(fault) => return Err(ChainBreak::Fault(fault)),
        }
        if next == self.task.head && header.link != self.task.head_link {
            return Err(ChainBreak::OtherHead { recorded: self.task.head_link, found: header.link });
        }
        (self.at, self.link) = (next, Some(header.link));
        Ok(())
    }

    fn broken(&self, why: ChainBreak) -> ChainReport {
        ChainReport::Broken { at: self.at.next(), why }
    }

    fn end(self) -> ChainReport {
        let (through, head) = (self.task.pruned_through, self.task.head_link);
        let length = self.task.head.0.saturating_sub(through.0);
        match through {
            SequenceNumber(0) => ChainReport::Intact { length, head },
            through => ChainReport::Pruned { through, length, head },
        }
    }
}
