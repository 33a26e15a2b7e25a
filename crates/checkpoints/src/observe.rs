//! Taking what is there now as evidence: a file's content, a command's recorded exit, a row.

use std::sync::Arc;

use steadfast_store::{Digest, OperationKey};

use crate::error::CheckpointError;
use crate::evidence::{
    ArtifactExists, ArtifactKind, CommandExit, DatabaseRow, ExpectedRow, Failure, FileHash, Finding,
    HashAlgorithm, Obstacle, Piece, command, file,
};
use crate::manager::CheckpointManager;
use crate::sync::off_thread;

impl CheckpointManager {
    /// Takes a file below the base folder as a piece of evidence, with the content that it has now, by its
    /// BLAKE3 digest.
    ///
    /// # Errors
    /// [`CheckpointError::InvalidEvidence`] for a path that may leave the base;
    /// [`CheckpointError::NotObserved`] when there is no such file, or none that may be read here.
    pub async fn observe_file(&self, path: &str) -> Result<Piece, CheckpointError> {
        self.observe_file_with(path, HashAlgorithm::Blake3).await
    }

    /// The same by the digest of this algorithm.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use steadfast_checkpoints::{CheckpointManager, CheckpointOptions, FileHash, Piece};
    /// use steadfast_checkpoints::{HashAlgorithm, Sha256Digest};
    /// # use steadfast_store::{MemoryStore, env::Env};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (store, folder) = (Arc::new(MemoryStore::new(Env::system())), tempfile::tempdir()?);
    /// # let checkpoints = CheckpointManager::new(store, CheckpointOptions::new(folder.path()));
    /// std::fs::write(folder.path().join("model.bin"), "weights")?;
    /// let piece = checkpoints.observe_file_with("model.bin", HashAlgorithm::Sha256).await?;
    /// assert_eq!(piece, Piece::FileHash(FileHash::new("model.bin", Sha256Digest::of(b"weights"))?));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`observe_file`](Self::observe_file).
    pub async fn observe_file_with(
        &self,
        path: &str,
        algorithm: HashAlgorithm,
    ) -> Result<Piece, CheckpointError> {
        // The path is checked before anything is opened.
        let unseen = ArtifactExists::new(path, ArtifactKind::File)?;
        let (options, wanted) = (Arc::clone(self.options()), unseen.path().to_owned());
        let observe = move || file::observe(&options.base, &wanted, algorithm);
        let observed = off_thread(self.store().env(), observe).await;
        match observed.unwrap_or(Err(Finding::Pending(Obstacle::BrokenOff))) {
            Ok(digest) => Ok(Piece::FileHash(FileHash::new(path, digest)?)),
            Err(finding) => Err(not_observed(&Piece::ArtifactExists(unseen), finding)),
        }
    }

    /// Takes the exit of a command as a piece of evidence: the operation of this key has to have ended, with
    /// a [`CommandOutcome`](crate::CommandOutcome) of this exit code as its output. The expected code is
    /// named by the caller, so that a command that went wrong does not become the proof of itself; the digest
    /// of the whole output is the recorded one's.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::time::Duration;
    /// # use steadfast_checkpoints::{CheckpointManager, CheckpointOptions, CommandOutcome};
    /// # use steadfast_store::{
    /// #     Abandonment, BeginOperation, Digest, FinishOperation, MemoryStore, OperationEnd, OperationKey,
    /// #     OperationToken, StoreExt, Term, env::Env,
    /// # };
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = Arc::new(MemoryStore::new(Env::system()));
    /// # let checkpoints = CheckpointManager::new(store.clone(), CheckpointOptions::new("."));
    /// # let token = OperationToken::from_bytes([1; 16]);
    /// # let key = OperationKey::new("tool-ledger:cargo:tests")?;
    /// # let (fingerprint, term) = (Digest::of(b"cargo test"), Term::new(Duration::from_secs(60))?);
    /// # let (task, lease, abandonment, fresh_for) = (None, None, Abandonment::Retake, None);
    /// # let begin = BeginOperation { key, fingerprint, token, task, lease, term, abandonment, fresh_for };
    /// # store.begin_operation(begin).await?;
    /// // A ledger of tools does this, with what the tool returns:
    /// let output = CommandOutcome::new(0, "48 passed", "").to_payload()?;
    /// # let key = OperationKey::new("tool-ledger:cargo:tests")?;
    /// let end = OperationEnd::Succeeded(output);
    /// store.finish_operation(FinishOperation { key: key.clone(), token, end }).await?;
    ///
    /// let tests_passed = checkpoints.observe_command(&key, 0).await?;
    /// assert!(checkpoints.observe_command(&key, 1).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CheckpointError::NotObserved`] when there is no such operation, or it has not ended so.
    pub async fn observe_command(
        &self,
        operation: &OperationKey,
        exit_code: i32,
    ) -> Result<Piece, CheckpointError> {
        match command::observe(&**self.store(), operation, exit_code).await {
            Ok(exit) => Ok(Piece::CommandExit(exit)),
            Err(finding) => {
                let unseen = CommandExit::new(operation.clone(), exit_code, Digest::ZERO);
                Err(not_observed(&Piece::CommandExit(unseen), finding))
            }
        }
    }

    /// Takes the row that a registered query finds now as a piece of evidence, with what is in it. For one
    /// that only has to be there, make a [`DatabaseRow`] with [`ExpectedRow::Exists`].
    ///
    /// # Errors
    /// [`CheckpointError::InvalidEvidence`] for a name or parameters that no query can have;
    /// [`CheckpointError::NotObserved`] when the query is not registered, finds no row, or cannot look.
    pub async fn observe_row(&self, query: &str, parameters: Vec<String>) -> Result<Piece, CheckpointError> {
        let unseen = DatabaseRow::new(query, parameters, ExpectedRow::Exists)?;
        match self.looker().fetch(&unseen).await {
            Ok(Some(found)) => Ok(Piece::DatabaseRow(unseen.with_content(found))),
            Ok(None) => Err(not_observed(&Piece::DatabaseRow(unseen), Finding::Failed(Failure::NoRow))),
            Err(finding) => Err(not_observed(&Piece::DatabaseRow(unseen), finding)),
        }
    }
}

fn not_observed(unseen: &Piece, finding: Finding) -> CheckpointError {
    CheckpointError::NotObserved { subject: unseen.to_string(), finding }
}
