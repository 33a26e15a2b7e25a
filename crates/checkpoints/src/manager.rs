//! Making, reading and verifying the checkpoints of tasks.

use std::path::PathBuf;
use std::sync::Arc;

use steadfast_store::{
    AppendCheckpoint, Batch, Checkpoint, CheckpointId, CheckpointPage, Committed, Durability, Guard,
    RESOLVE_PATIENCE, RecordVerification, SequenceNumber, Store, StoreError, TaskId, Verdict,
    commit_one_resolved, commit_resolved,
};
use tracing::Instrument;

use crate::error::CheckpointError;
use crate::evidence::beside::Beside;
use crate::evidence::look::Looker;
use crate::evidence::{EvidencePack, EvidenceReport, Judgement, Verifiers};
use crate::step::{NewCheckpoint, Prepared, Step};
use crate::telemetry::{self, Watch};
use crate::verify::{VerificationReport, trusted_evidence};

/// The head of no task.
const NO_HEAD: SequenceNumber = SequenceNumber(u64::MAX);

/// How a manager works.
///
/// ```
/// use steadfast_checkpoints::CheckpointOptions;
///
/// let options = CheckpointOptions { auto_verify: false, ..CheckpointOptions::new("/srv/agent/work") };
/// assert_eq!(options.base, std::path::Path::new("/srv/agent/work"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointOptions {
    /// The folder that all evidence lies below. It is opened anew for each look.
    pub base: PathBuf,
    /// Whether [`commit_step`](CheckpointManager::commit_step) looks at the evidence first, refuses what does not
    /// hold, and records the verdict in the same commit: on unless switched off.
    pub auto_verify: bool,
}

impl CheckpointOptions {
    /// Evidence below `base`, looked at before each commit.
    pub fn new(base: impl Into<PathBuf>) -> Self {
        Self { base: base.into(), auto_verify: true }
    }
}

/// Makes, reads and verifies checkpoints. Cloning is cheap. The [crate](crate) has an example of a step with
/// evidence; this one makes two under a lease's guard or without, and verifies them.
///
/// ```
/// # use std::sync::Arc;
/// # use steadfast_checkpoints::{ChainReport, CheckpointManager, CheckpointOptions, NewCheckpoint};
/// # use steadfast_store::{CreateTask, Guard, Label, MemoryStore, Payload, StoreExt, TaskId, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Arc::new(MemoryStore::new(Env::system()));
/// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// # store.create_task(CreateTask { task: task.clone(), kind, input: Payload::empty() }).await?;
/// # let guard: Option<Guard> = None;
/// let checkpoints = CheckpointManager::new(store, CheckpointOptions::new("."));
/// for state in ["sources collected", "draft written"] {
///     let new = NewCheckpoint::new(task.clone(), Label::new("step")?, state);
///     let prepared = checkpoints.prepare(new)?;
///     // Beside it in the same commit: the operation's result, the settlement of the lease.
///     let step = checkpoints.commit_step(&prepared, guard.clone(), |_batch| {}).await?;
///     println!("{} is checkpoint {}", prepared.id(), step.appended.sequence);
///     assert!(checkpoints.verify(prepared.id()).await?.is_verified());
/// }
/// assert!(matches!(checkpoints.verify_chain(&task).await?, ChainReport::Intact { length: 2, .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct CheckpointManager {
    store: Arc<dyn Store>,
    options: Arc<CheckpointOptions>,
    verifiers: Arc<Verifiers>,
}

impl CheckpointManager {
    /// A manager over `store`, which knows no queries and no verifiers yet.
    pub fn new(store: Arc<dyn Store>, options: CheckpointOptions) -> Self {
        telemetry::register();
        Self { store, options: Arc::new(options), verifiers: Arc::default() }
    }

    /// The same with these queries and verifiers for evidence, in place of those it had. Evidence that names
    /// one it does not have fails.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use steadfast_checkpoints::{CheckpointManager, CheckpointOptions, Verifiers};
    /// # use steadfast_store::{Label, MemoryStore, env::Env};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = Arc::new(MemoryStore::new(Env::system()));
    /// let verifiers =
    ///     Verifiers::new().query(Label::new("customer")?, |_: &[String]| Ok(Some(b"Ada".to_vec())));
    /// let checkpoints =
    ///     CheckpointManager::new(store, CheckpointOptions::new(".")).with_verifiers(verifiers);
    /// let customer = checkpoints.observe_row("customer", vec!["7".to_owned()]).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_verifiers(mut self, verifiers: Verifiers) -> Self {
        self.verifiers = Arc::new(verifiers);
        self
    }

    /// The store below.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// How it works.
    pub(crate) fn options(&self) -> &Arc<CheckpointOptions> {
        &self.options
    }

    /// Looks at evidence for it.
    pub(crate) fn looker(&self) -> Looker<'_> {
        Looker { store: &*self.store, base: &self.options.base, verifiers: &self.verifiers }
    }

    /// Gives a checkpoint its identity and digests. Hashes the payload; touches neither store nor evidence.
    ///
    /// # Errors
    /// [`CheckpointError::TooLarge`], [`CheckpointError::InvalidEvidence`], [`CheckpointError::ReservedKind`].
    pub fn prepare(&self, new: NewCheckpoint) -> Result<Prepared, CheckpointError> {
        new.prepare(self.store.env())
    }

    /// Commits a step: the checkpoint, under `guard` if one is given, then whatever `also` adds (the operation's
    /// result, the settlement of the lease), all in one batch, all or nothing, durable on return. With `auto_verify`
    /// the evidence is looked at just before, and the verdict is part of the same batch. So `also` is called first, and
    /// called although the evidence then turns out not to hold: let it do nothing but add commands. Evidence of a
    /// command's exit goes by the result that is added here for its operation, if there is one: both are committed, or
    /// neither.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use steadfast_checkpoints::{CheckpointManager, CheckpointOptions, EvidencePack, NewCheckpoint, Rule};
    /// # use steadfast_checkpoints::{CommandExit, CommandOutcome, Piece};
    /// # use steadfast_store::{
    /// #     Abandonment, BeginOperation, CreateTask, Digest, FinishOperation, Label, MemoryStore, OperationEnd,
    /// #     OperationKey, OperationToken, Payload, StoreExt, TaskId, Term, env::Env,
    /// # };
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = Arc::new(MemoryStore::new(Env::system()));
    /// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
    /// # store.create_task(CreateTask { task: task.clone(), kind, input: Payload::empty() }).await?;
    /// # let checkpoints = CheckpointManager::new(store.clone(), CheckpointOptions::new("."));
    /// # let token = OperationToken::from_bytes([1; 16]);
    /// # let key = OperationKey::new("tool-ledger:cargo:tests")?;
    /// # let (fingerprint, term) = (Digest::of(b"cargo test"), Term::new(std::time::Duration::from_secs(60))?);
    /// # let (lease, abandonment, fresh_for) = (None, Abandonment::Retake, None);
    /// # let of_task = Some(task.clone());
    /// # let begin =
    /// #     BeginOperation { key: key.clone(), fingerprint, token, task: of_task, lease, term, abandonment, fresh_for };
    /// # store.begin_operation(begin).await?;
    /// // The command was run, its result is not recorded yet.
    /// let outcome = CommandOutcome::new(0, "48 passed", "");
    /// let passed = Piece::CommandExit(CommandExit::of(key.clone(), &outcome)?);
    /// let evidence = EvidencePack::new(Rule::All, vec![passed])?;
    /// let new = NewCheckpoint { evidence, ..NewCheckpoint::new(task, Label::new("step")?, "tests passed") };
    /// // With a ledger of tools: the finish command of its attempt.
    /// let finish = FinishOperation { key, token, end: OperationEnd::Succeeded(outcome.to_payload()?) };
    /// let prepared = checkpoints.prepare(new)?;
    /// checkpoints.commit_step(&prepared, None, |batch| _ = batch.add(finish)).await?;
    /// assert!(checkpoints.verify(prepared.id()).await?.is_verified());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// An unknown answer is resolved by submitting the same batch again. After an error the same step may be
    /// committed again, with the same commands beside it: it applies once, and once it stands it is answered as it
    /// stands, whatever has become of its evidence since. Dropping the future loses the answer, not a write that was
    /// submitted.
    ///
    /// # Errors
    /// [`CheckpointError::EvidenceFailed`] when the evidence does not hold, or cannot be looked at, and the step does
    /// not stand;
    /// [`CheckpointError::Rejected`] when the guard is stale, the parent is another one, or a command beside it was
    /// refused; [`CheckpointError::Store`]. Only [`StoreError::Unknown`](steadfast_store::StoreError::Unknown) may
    /// have been applied.
    pub async fn commit_step(
        &self,
        prepared: &Prepared,
        guard: Option<Guard>,
        also: impl FnOnce(&mut Batch),
    ) -> Result<Step, CheckpointError> {
        let span = telemetry::commit_step(prepared, guard.as_ref());
        self.look_and_commit(prepared, guard, also).instrument(span).await
    }

    async fn look_and_commit(
        &self,
        prepared: &Prepared,
        guard: Option<Guard>,
        also: impl FnOnce(&mut Batch),
    ) -> Result<Step, CheckpointError> {
        let watch = Watch::start(self.store.env());
        let mut batch = Batch::durable();
        let append = match guard {
            Some(guard) => batch.add_guarded(guard, prepared.command()),
            None => batch.add(prepared.command()),
        };
        also(&mut batch);
        if self.options.auto_verify {
            let report = self.looker().look(prepared.evidence().clone(), &Beside::of(&batch)).await;
            if report.judgement == Judgement::Verified {
                let (checkpoint, detail) = (prepared.id(), String::new());
                batch.add(RecordVerification { checkpoint, verdict: Verdict::Verified, detail });
            } else if !self.stands(prepared).await? {
                telemetry::refused(prepared.id(), &report);
                return Err(CheckpointError::EvidenceFailed(report));
            }
        }
        let committed = commit_resolved(&*self.store, batch, RESOLVE_PATIENCE).await?;
        let applied = committed.into_applied()?;
        telemetry::committed(&watch);
        Ok(Step { appended: applied.get(append)?.clone(), applied })
    }

    /// Whether an earlier submission has made the step, although its caller may not have been told. Asked by a commit
    /// that can only be recalled, never applied: unlike a read it comes after whatever is still on its way in this
    /// process, and is not answered from what a failed sync has left in memory.
    ///
    /// # Errors
    /// [`StoreError::Unknown`], whatever kept the store from telling.
    async fn stands(&self, prepared: &Prepared) -> Result<bool, StoreError> {
        let mut batch = Batch::relaxed();
        batch.add(AppendCheckpoint { expected_head: Some(NO_HEAD), ..prepared.command() });
        match commit_resolved(&*self.store, batch, RESOLVE_PATIENCE).await {
            Ok(committed) => Ok(matches!(committed, Committed::Applied(_))),
            Err(error @ StoreError::Unknown { .. }) => Err(error),
            Err(error) => Err(StoreError::Unknown { source: error.into() }),
        }
    }

    /// A checkpoint. One with a damaged payload is returned and says so.
    ///
    /// # Errors
    /// [`CheckpointError::Store`].
    pub async fn get(&self, id: CheckpointId) -> Result<Option<Checkpoint>, CheckpointError> {
        Ok(self.store.checkpoint(id).await?)
    }

    /// Some checkpoints of a task, with their payloads; an empty page means there are no more.
    ///
    /// # Errors
    /// [`CheckpointError::Store`], for a limit out of bounds too.
    pub async fn list(
        &self,
        task: &TaskId,
        page: CheckpointPage,
    ) -> Result<Vec<Checkpoint>, CheckpointError> {
        Ok(self.store.checkpoints(task, page).await?)
    }

    /// Looks at the evidence of a pack now: files and registered queries off the threads that poll futures,
    /// operations in the store, registered verifiers here. Changes nothing. Dropping the future ends the
    /// look.
    pub async fn check(&self, pack: EvidencePack) -> EvidenceReport {
        self.looker().look(pack, &Beside::nothing()).await
    }

    /// Looks at a checkpoint now: its link, its bytes, its evidence. Changes nothing.
    pub async fn inspect(&self, checkpoint: &Checkpoint) -> VerificationReport {
        match trusted_evidence(checkpoint) {
            Ok(pack) => VerificationReport {
                checkpoint: checkpoint.header.id,
                sequence: checkpoint.header.sequence,
                fault: None,
                evidence: self.check(pack).await,
            },
            Err(fault) => VerificationReport::faulty(&checkpoint.header, fault),
        }
    }

    /// Looks at a checkpoint now, as [`inspect`](Self::inspect) does, and records the verdict, unless it is pending.
    /// The record is relaxed: verified means verified now, so a lost record costs its history and nothing else.
    ///
    /// # Errors
    /// [`CheckpointError::NoSuchCheckpoint`]; [`CheckpointError::Store`] when it could not be read, or the verdict not
    /// be recorded.
    pub async fn verify(&self, id: CheckpointId) -> Result<VerificationReport, CheckpointError> {
        self.look_and_record(id).instrument(telemetry::verify(id)).await
    }

    async fn look_and_record(&self, id: CheckpointId) -> Result<VerificationReport, CheckpointError> {
        let watch = Watch::start(self.store.env());
        let checkpoint = self.get(id).await?.ok_or(CheckpointError::NoSuchCheckpoint { checkpoint: id })?;
        let report = self.inspect(&checkpoint).await;
        telemetry::verified(&report);
        if let Some(verdict) = report.verdict() {
            let record = RecordVerification { checkpoint: id, verdict, detail: report.detail() };
            commit_one_resolved(&*self.store, Durability::Relaxed, record).await?;
        }
        telemetry::verdict_recorded(&watch);
        Ok(report)
    }
}
