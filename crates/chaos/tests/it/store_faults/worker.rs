//! A process that goes through its steps: one store at a time, on the faulty device.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use steadfast_chaos::prove::iofault::disk::{Disk, LogEnd};
use steadfast_chaos::vfs::{ErrorCode, FaultVfs, OpKind, Rule, Script};
use steadfast_store::env::{Env, Failpoint};
use steadfast_store::{
    Batch, CheckpointPage, Committed, SequenceNumber, SqliteOptions, SqliteStore, Store, StoreError, StoreExt,
};

use super::deed::{Answer, Deed, Survived, Told, task};
use super::gate::{Gate, Gated};
use super::lab::{Report, Step, create_task, env};
use super::peer::{Peer, Role};

/// See the module.
pub(super) struct Worker {
    database: PathBuf,
    disk: Arc<Disk>,
    gated: Arc<Gated>,
    vfs: String,
    env: Env,
    store: Option<SqliteStore>,
    /// What earlier processes told included.
    told: Told,
    told_before: usize,
    errors: Vec<String>,
    evicted: Option<(u64, Vec<u8>)>,
}

impl Worker {
    pub(super) fn new(database: &Path) -> Self {
        let disk = Arc::new(Disk::under(database).unwrap());
        let vfs = format!("store-faults-{}", database.display());
        FaultVfs::register(&vfs, disk.clone()).unwrap();
        let gated = Arc::new(Gated { gate: Gate::default(), disk: disk.clone() });
        let env = env().with_failpoints(gated.clone());
        let told = Report::of(database).map(|report| report.told).unwrap_or_default();
        let (told_before, database) = (told.0.len(), database.to_owned());
        let errors = Vec::new();
        Self { database, disk, gated, vfs, env, store: None, told, told_before, errors, evicted: None }
    }

    pub(super) async fn take(&mut self, step: &Step) {
        let script = &self.disk.script;
        match step {
            Step::Open { wal_pages, psow } => {
                let mut options = SqliteOptions::new(&self.database);
                options.vfs = Some(self.vfs.clone());
                (options.wal_pages, options.powersafe_overwrite) = (*wal_pages, *psow);
                // A fault may strike here; then there is no store.
                self.store = SqliteStore::open(options, self.env.clone()).await.ok();
            }
            Step::CreateTask => {
                if let Some(store) = &self.store {
                    drop(store.create_task(create_task()).await);
                }
            }
            Step::SyncFails { file, nth, lasting } => {
                let rule = Rule::next(OpKind::Sync, file.role(), Script::EIO).nth(*nth);
                script.add(if *lasting { rule.lasting() } else { rule });
            }
            Step::WriteFails { file, nth } => {
                script.add(Rule::next(OpKind::Write, file.role(), Script::EIO).nth(*nth));
            }
            Step::StrikeAt(strike) => self.disk.strike_at(*strike),
            Step::BytesLeft(bytes) => script.bytes_left(*bytes),
            Step::LogEnds { bytes, full } => {
                let code = if *full { ErrorCode::Full } else { ErrorCode::Io };
                self.disk.log_ends(LogEnd { bytes: *bytes, code });
            }
            Step::Heal => self.disk.heal(),
            Step::Commit(deed) => self.commit(*deed).await,
            Step::Group(deeds) => self.group(deeds).await,
            Step::Read => self.read().await,
            Step::Evict => self.evicted = Some(self.disk.evict().unwrap()),
            Step::Restore => self.disk.restore(self.evicted.as_ref().unwrap()).unwrap(),
            Step::PeerDuringRewrite => self.listen_as(Role::Looks),
            Step::PeerBeforeRewrite => self.listen_as(Role::BeginsLogAnew),
            Step::Close => {
                if let Some(store) = self.store.take() {
                    store.close().await;
                }
            }
            Step::Kill => self.kill(),
        }
    }

    fn listen_as(&mut self, role: Role) {
        let peer = Peer::new(role, self.gated.clone(), self.database.clone());
        self.env = self.env.clone().with_failpoints(Arc::new(peer));
    }

    fn note(&mut self, deed: Deed, answer: Result<Committed, StoreError>) {
        if let Err(error) = &answer {
            self.errors.push(format!("{deed:?}: {error:?}"));
        }
        self.told.0.push((deed, Answer::of(answer)));
    }

    async fn commit(&mut self, deed: Deed) {
        let answer = match &self.store {
            Some(store) => store.commit(deed.batch()).await,
            None => Err(StoreError::Failed { source: "the store could not be opened".into() }),
        };
        self.note(deed, answer);
    }

    /// Holds the writer before a batch of nothing, hands it all the deeds, and lets it go.
    async fn group(&mut self, deeds: &[Deed]) {
        let store = self.store.as_ref().unwrap();
        self.gated.gate.close();
        let mut first = store.commit(Batch::relaxed());
        submit(&mut first).await;
        self.gated.gate.holds_somebody();
        let mut commits = Vec::new();
        for deed in deeds {
            let mut commit = store.commit(deed.batch());
            submit(&mut commit).await;
            commits.push(commit);
        }
        self.gated.gate.open();
        assert!(first.await.is_ok());
        let mut answers = Vec::new();
        for commit in commits {
            answers.push(commit.await);
        }
        for (deed, answer) in deeds.iter().zip(answers) {
            self.note(*deed, answer);
        }
    }

    async fn read(&self) {
        let Some(store) = &self.store else { return };
        let page = CheckpointPage::OldestFirst { after: SequenceNumber(0), limit: 1_000 };
        // A fault may strike a read; then it shows nothing.
        let Ok(chain) = store.checkpoints(&task(), page).await else { return };
        let found: Vec<u8> = chain.iter().map(|checkpoint| checkpoint.header.id.as_bytes()[0]).collect();
        assert!(chain.iter().all(|checkpoint| checkpoint.payload.is_ok()));
        self.told.agrees_with(&found, Survived::Kill, "by the store's own reader");
    }

    fn kill(&self) {
        let report = Report {
            told: self.told.clone(),
            told_before: self.told_before,
            errors: self.errors.clone(),
            struck: self.disk.struck(),
            markers: self.disk.reached(Failpoint::MARKER_AFTER),
            rewrites: self.disk.reached(Failpoint::LOG_REWRITE_AFTER),
            folds: self.disk.reached(Failpoint::WAL_CHECKPOINT_BEFORE),
            open: self.store.is_some(),
        };
        self.disk.is_trusted().unwrap();
        self.disk.save().unwrap();
        report.save(&self.database);
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
    }
}

/// Polls a commit once: it stands in the writer's queue then.
pub(super) async fn submit(commit: &mut (impl Future<Output = Result<Committed, StoreError>> + Unpin)) {
    let mut commit = Pin::new(commit);
    let pending = poll_fn(|context| Poll::Ready(commit.as_mut().poll(context).is_pending())).await;
    assert!(pending);
}
