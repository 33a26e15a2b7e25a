//! The store under test, as its users have it: opened with its defaults, asked through its public traits.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use steadfast_store::env::Env;
use steadfast_store::{
    AppendCheckpoint, Batch, CheckpointId, Committed, CreateTask, Label, Payload, SealedPayload,
    SqliteOptions, SqliteStore, Store, StoreExt, TaskId,
};

use super::PAYLOAD_BYTES;
use super::closed::{Load, Pool, Sink, drive};
use crate::case::{CaseError, Deadline};

/// What a step typically cites: a digest and a count.
const EVIDENCE_BYTES: usize = 40;
/// Appends in a batch when a file is filled, not measured.
const FILLING_BATCH: usize = 1_000;
/// Rows in a run when the log is warmed, and how many producers put them in.
const WARMING: (usize, usize) = (100, 1_000);
/// How often the log must have started over before anything is measured.
const FOLDS_TO_WARM: usize = 2;
/// Runs that warming may take: a bound for a log that never starts over.
const WARMING_RUNS_MAX: usize = 1_000;

/// A store with some tasks.
#[derive(Debug)]
pub(super) struct Subject {
    store: SqliteStore,
    tasks: Vec<TaskId>,
    kind: Label,
    evidence: Bytes,
    pool: Pool,
}

/// How it is made.
#[derive(Debug)]
pub(super) struct SubjectOptions {
    pub(super) sqlite: SqliteOptions,
    pub(super) env: Env,
    pub(super) tasks: usize,
    pub(super) pool: Pool,
}

impl SubjectOptions {
    /// The store's defaults in this file.
    pub(super) fn new(path: &Path, vfs: Option<String>, tasks: usize, pool: Pool) -> Self {
        let mut sqlite = SqliteOptions::new(path);
        sqlite.vfs = vfs;
        Self { sqlite, env: Env::system(), tasks, pool }
    }
}

/// For `map_err`: the store refused to do `what`.
pub(super) fn refused<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    what: &'static str,
) -> impl FnOnce(E) -> CaseError {
    CaseError::store(what)
}

impl Subject {
    /// Opens the store and makes its tasks. To be called inside a runtime.
    pub(super) async fn open(options: SubjectOptions) -> Result<Arc<Self>, CaseError> {
        let SubjectOptions { sqlite, env, tasks, pool } = options;
        let store = SqliteStore::open(sqlite, env).await.map_err(refused("open the file"))?;
        let kind = Label::new("step").map_err(refused("take a label"))?;
        let mut names = Vec::with_capacity(tasks);
        let mut batch = Batch::durable();
        for task in 0..tasks {
            // As long as the names that the store makes itself.
            let name = TaskId::new(format!("{task:08}-0000-4000-8000-{task:012}"))
                .map_err(refused("take a name"))?;
            batch.add(CreateTask { task: name.clone(), kind: kind.clone(), input: Payload::empty() });
            names.push(name);
        }
        commit(&store, batch, "create tasks").await?;
        let evidence = pool.cut(&mut fastrand::Rng::with_seed(1), EVIDENCE_BYTES);
        Ok(Arc::new(Self { store, tasks: names, kind, evidence, pool }))
    }

    /// Closes the file, so that nothing of it is under way when the next one is measured.
    pub(super) async fn close(self: Arc<Self>) {
        if let Some(subject) = Arc::into_inner(self) {
            subject.store.close().await;
        }
    }

    /// The store itself.
    pub(super) fn store(&self) -> &SqliteStore {
        &self.store
    }

    /// The task of that number, counted from 0 and around.
    pub(super) fn task(&self, task: usize) -> &TaskId {
        &self.tasks[task % self.tasks.len()]
    }

    /// A checkpoint as its caller makes it: sealed, with an id of its own.
    pub(super) fn append(&self, task: usize, payload: Bytes) -> Result<AppendCheckpoint, CaseError> {
        let env = self.store.env();
        Ok(AppendCheckpoint {
            checkpoint: CheckpointId::generate(env),
            task: self.task(task).clone(),
            kind: self.kind.clone(),
            work_item: None,
            expected_head: None,
            payload: SealedPayload::seal(payload, env).map_err(refused("seal a payload"))?,
            evidence: Payload::new(self.evidence.clone()).map_err(refused("take evidence"))?,
            copy_of: None,
        })
    }

    /// Puts `rows` rows in before anything is measured.
    pub(super) async fn fill(&self, rows: usize, deadline: Deadline) -> Result<(), CaseError> {
        let mut rng = fastrand::Rng::with_seed(2);
        let mut done = 0;
        while done < rows {
            let mut batch = Batch::relaxed();
            for row in done..rows.min(done + FILLING_BATCH) {
                batch.add(self.append(row, self.pool.cut(&mut rng, PAYLOAD_BYTES))?);
            }
            done += batch.entries().len();
            commit(&self.store, batch, "fill the file").await?;
            if deadline.left().is_zero() {
                return Err(CaseError::TimedOut { what: "the file to be filled".to_owned() });
            }
        }
        Ok(())
    }

    /// Rows outside any figure, until the log has the length that it keeps: no commit waits for the file system to
    /// make it longer.
    pub(super) async fn warm(self: &Arc<Self>, deadline: Deadline) -> Result<(), CaseError> {
        let (producers, rows) = WARMING;
        let load = Load { producers, rows, tasks: self.tasks.len() };
        let (mut folds, mut last) = (0, self.store.log_pages());
        for _ in 0..WARMING_RUNS_MAX {
            drive(self, load, &self.pool, deadline).await?;
            let pages = self.store.log_pages();
            folds += usize::from(pages < last);
            last = pages;
            if folds == FOLDS_TO_WARM {
                break;
            }
        }
        Ok(())
    }
}

impl Sink for Subject {
    async fn put(&self, task: usize, payload: Bytes) -> Result<(), CaseError> {
        let append = self.append(task, payload)?;
        self.store.append_checkpoint(append).await.map(drop).map_err(refused("append a checkpoint"))
    }
}

/// Commits a batch that nothing may reject.
pub(super) async fn commit(store: &SqliteStore, batch: Batch, what: &'static str) -> Result<(), CaseError> {
    match store.commit(batch).await.map_err(refused(what))? {
        Committed::Applied(_) => Ok(()),
        Committed::Rejected(rejection) => Err(refused(what)(rejection)),
    }
}
