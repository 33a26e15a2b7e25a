//! What a look at one checkpoint says: its bytes and its link first, then its evidence.

use std::fmt;

use steadfast_store::{
    Checkpoint, CheckpointHeader, CheckpointId, DamagedPayload, NoPayload, SequenceNumber, Verdict,
};

use crate::evidence::{EvidencePack, EvidenceReport, Judgement, UnreadableEvidence};

/// What is wrong with a checkpoint itself, whatever its evidence says.
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
/// use steadfast_checkpoints::Fault;
///
/// let report = checkpoints.verify(prepared.id()).await?;
/// match &report.fault {
///     None => println!("its bytes and its link are as they were made"),
///     Some(Fault::Erased) => println!("somebody erased it on purpose"),
///     Some(fault) => println!("go on from another one: {fault}"),
/// }
/// assert!(report.fault.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Its fields do not give its link.
    #[error("its fields do not give its link, so something was changed: go on from another checkpoint")]
    Link,
    /// Its payload is damaged.
    #[error("payload: {0}")]
    Payload(#[source] DamagedPayload),
    /// Its payload was erased on purpose. The chain holds all the same; there is nothing to go on from.
    #[error("its payload was erased on purpose: go on from another checkpoint")]
    Erased,
    /// Its evidence is damaged.
    #[error("evidence: {0}")]
    Evidence(#[source] DamagedPayload),
    /// Its evidence cannot be read.
    #[error(transparent)]
    Unreadable(UnreadableEvidence),
}

/// What a look at a checkpoint found. It speaks of the moment of the look.
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
/// assert!(checkpoints.verify(prepared.id()).await?.is_verified());
/// std::fs::write(folder.path().join("notes.md"), "changed")?;
/// let report = checkpoints.verify(prepared.id()).await?;
/// assert!(!report.is_verified() && report.detail().contains("notes.md"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationReport {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// Its place in its task.
    pub sequence: SequenceNumber,
    /// What is wrong with the checkpoint itself; its evidence was not looked at then.
    pub fault: Option<Fault>,
    /// What was found of its evidence.
    pub evidence: EvidenceReport,
}

impl VerificationReport {
    /// A report of a checkpoint whose evidence need not be looked at.
    pub(crate) fn faulty(header: &CheckpointHeader, fault: Fault) -> Self {
        let evidence = EvidenceReport { judgement: Judgement::Failed, pieces: Vec::new() };
        Self { checkpoint: header.id, sequence: header.sequence, fault: Some(fault), evidence }
    }

    /// What all of it says.
    pub fn judgement(&self) -> Judgement {
        if self.fault.is_some() { Judgement::Failed } else { self.evidence.judgement }
    }

    /// Whether the checkpoint may be gone on from, now.
    pub fn is_verified(&self) -> bool {
        self.judgement() == Judgement::Verified
    }

    /// The verdict to be recorded; none when some piece could not be looked at and the rule depends on it.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        match self.judgement() {
            Judgement::Verified => Some(Verdict::Verified),
            Judgement::Failed => Some(Verdict::Failed),
            Judgement::Pending => None,
        }
    }

    /// What does not hold, as one line; empty when all of it does.
    pub fn detail(&self) -> String {
        if let Some(fault) = &self.fault {
            return fault.to_string();
        }
        let pieces: Vec<String> = self.evidence.open_pieces().map(ToString::to_string).collect();
        pieces.join("; ")
    }
}

impl fmt::Display for VerificationReport {
    /// The place, the judgement, and what does not hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checkpoint {} ({}): {}", self.sequence, self.checkpoint, self.judgement())?;
        let detail = self.detail();
        if detail.is_empty() { Ok(()) } else { write!(f, "; {detail}") }
    }
}

/// Holds the link against the fields, and the bytes against the digests that the link covers.
///
/// # Errors
/// What does not match.
pub(crate) fn check_bytes(checkpoint: &Checkpoint) -> Result<(), Fault> {
    let Checkpoint { header, payload, evidence, .. } = checkpoint;
    if header.computed_link() != header.link {
        return Err(Fault::Link);
    }
    let match_digest = |stored, found| {
        if stored == found { Ok(()) } else { Err(DamagedPayload { stored, found }) }
    };
    let is_erased = match payload {
        Ok(payload) => match_digest(header.payload, payload.digest()).map_err(Fault::Payload).map(|()| false),
        Err(NoPayload::Damaged(damage)) => Err(Fault::Payload(damage.clone())),
        Err(_) => Ok(true),
    }?;
    let evidence = evidence.as_ref().map_err(Clone::clone);
    evidence
        .and_then(|evidence| match_digest(header.evidence, evidence.digest()))
        .map_err(Fault::Evidence)?;
    if is_erased { Err(Fault::Erased) } else { Ok(()) }
}

/// The evidence of a checkpoint whose bytes and link are as they were made.
///
/// # Errors
/// What is wrong with the checkpoint.
pub(crate) fn trusted_evidence(checkpoint: &Checkpoint) -> Result<EvidencePack, Fault> {
    check_bytes(checkpoint)?;
    match &checkpoint.evidence {
        Ok(evidence) => EvidencePack::from_payload(evidence).map_err(Fault::Unreadable),
        Err(damaged) => Err(Fault::Evidence(damaged.clone())),
    }
}
