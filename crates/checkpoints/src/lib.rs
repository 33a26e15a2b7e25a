//! Checkpoints with evidence, chained and verifiable.
//!
//! A [`CheckpointManager`] appends checkpoints to a task, each with an [`EvidencePack`] that says what outside of the
//! store must hold for it, and answers from which one the task can go on: the newest that verifies *now*. The chain
//! of links that the store computes proves beside it that nothing was changed, lost or reordered.
//!
//! ```
//! use std::sync::Arc;
//! use steadfast_checkpoints::{CheckpointManager, CheckpointOptions, EvidencePack, NewCheckpoint, Rule};
//! use steadfast_store::{CreateTask, Label, MemoryStore, Payload, StoreExt, TaskId, env::Env};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let work_folder = folder.path().to_owned();
//! let store = Arc::new(MemoryStore::new(Env::system()));
//! let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
//! store.create_task(CreateTask { task: task.clone(), kind, input: Payload::empty() }).await?;
//!
//! let checkpoints = CheckpointManager::new(store, CheckpointOptions::new(work_folder.clone()));
//! std::fs::write(work_folder.join("sources.txt"), "three of them")?;
//! let sources = checkpoints.observe_file("sources.txt").await?;
//! let step = checkpoints.prepare(NewCheckpoint {
//!     evidence: EvidencePack::new(Rule::All, vec![sources])?,
//!     ..NewCheckpoint::new(task.clone(), Label::new("step")?, "sources collected")
//! })?;
//! checkpoints.commit_step(&step, None, |_| {}).await?;
//!
//! let last = checkpoints.last_verified(&task).await?.checkpoint.expect("it verifies");
//! assert_eq!(last.payload?.bytes().as_ref(), b"sources collected");
//!
//! std::fs::write(work_folder.join("sources.txt"), "something else")?;
//! assert!(checkpoints.last_verified(&task).await?.checkpoint.is_none());
//! # Ok(())
//! # }
//! ```

mod begin;
mod branch;
mod chain;
mod error;
mod evidence;
mod latest;
mod manager;
mod observe;
mod retention;
mod step;
mod sync;
mod telemetry;
mod verify;

/// The store below, for those who depend on this crate alone.
pub use steadfast_store as store;

pub use begin::{Begun, OpenStep, STEP_KEYS, UnfinishedStep};
pub use branch::{Copied, FORK, ROLLBACK};
pub use chain::{ChainBreak, ChainReport};
pub use error::CheckpointError;
pub use evidence::{
    ArtifactExists, ArtifactKind, Captured, CommandExit, CommandOutcome, Custom, DatabaseRow, EvidencePack,
    EvidenceReport, ExpectedRow, FILE_BYTES_MAX, Failure, FileDigest, FileHash, Finding, FoundKind,
    HashAlgorithm, InvalidEvidence, Judgement, Obstacle, PARAMETER_BYTES_MAX, PARAMETERS_MAX, PATH_BYTES_MAX,
    PATIENCE_DEFAULT, PIECES_MAX, Piece, PieceReport, RowQuery, Rule, SUBJECT_BYTES_MAX, Sha256Digest,
    UnreadableEvidence, UnreadableOutcome, Verifier, Verifiers,
};
pub use latest::{LastVerified, Skipped, WhySkipped};
pub use manager::{CheckpointManager, CheckpointOptions};
pub use retention::{KEEP_DEFAULT, Pruning};
pub use step::{ERROR_BOUNDARY, NewCheckpoint, Prepared, Step};
pub use verify::{Fault, VerificationReport};
