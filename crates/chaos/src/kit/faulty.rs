//! A store that fails as it is told, around any other store.

use std::fmt::Debug;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use steadfast_store::env::Env;
use steadfast_store::{
    Batch, ChangeStamp, Checkpoint, CheckpointId, CheckpointPage, Committed, Health, Monitoring, Operation,
    OperationKey, OperationPage, OperationRecord, Store, StoreError, Task, TaskId, TaskPage, TaskRecord,
    WorkItem, WorkItemId, WorkItemPage,
};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreFault {
    /// It is done.
    Pass,
    /// It is not done, and fails with [`StoreError::Failed`].
    Fail,
    /// It is not done, and is turned away with [`StoreError::Overloaded`].
    Overload,
    /// A commit is not done, and answered with [`StoreError::Unknown`]; a read fails.
    LoseBatch,
    /// A commit is done, and answered with [`StoreError::Unknown`]; a read fails.
    LoseAnswer,
    /// It is not done, and never answers: so it looks to a process that is killed before it.
    HangBefore,
    /// It is done, and never answers: so it looks to a process that is killed after it.
    HangAfter,
}

/// Decides over the calls of one [`FaultyStore`]. A closure over the number of a commit, from 0, and its batch is one
/// too; it lets reads pass.
pub trait StoreFaults: Send + Sync + 'static {
    /// Asked before commit number `commit`, counted from 0.
    fn commit(&self, commit: u64, batch: &Batch) -> StoreFault;

    /// Told after that commit was done, before anybody is answered.
    fn committed(&self, commit: u64) {
        let _ = commit;
    }

    /// Asked before each read.
    fn read(&self) -> StoreFault {
        StoreFault::Pass
    }
}

impl<F> StoreFaults for F
where
    F: Fn(u64, &Batch) -> StoreFault + Send + Sync + 'static,
{
    fn commit(&self, commit: u64, batch: &Batch) -> StoreFault {
        self(commit, batch)
    }
}

/// Hands every call on to another store, but for what its [`StoreFaults`] say.
///
/// ```
/// use std::sync::Arc;
///
/// use steadfast_chaos::kit::{FaultyStore, StoreFault};
/// use steadfast_store::env::Env;
/// use steadfast_store::{Batch, CreateTask, Label, MemoryStore, Payload, RESOLVE_PATIENCE, TaskId, commit_resolved};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // The first answer is lost on its way; nothing else goes wrong.
/// let faults = |commit, _: &Batch| if commit == 0 { StoreFault::LoseAnswer } else { StoreFault::Pass };
/// let store = FaultyStore::new(Arc::new(MemoryStore::new(Env::system())), faults);
/// let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// let mut batch = Batch::durable();
/// batch.add(CreateTask { task, kind, input: Payload::empty() });
/// // Submitted again it is recognised, and applied once.
/// let answer = commit_resolved(&store, batch, RESOLVE_PATIENCE).await?;
/// assert!(answer.into_applied()?.is_replayed());
/// assert_eq!(store.commits(), 2);
/// # Ok(())
/// # }
/// ```
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    faults: Box<dyn StoreFaults>,
    commits: AtomicU64,
}

impl Debug for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultyStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl FaultyStore {
    /// Puts faults before a store.
    pub fn new(inner: Arc<dyn Store>, faults: impl StoreFaults) -> Self {
        Self { inner, faults: Box::new(faults), commits: AtomicU64::new(0) }
    }

    /// Commits that were asked for so far.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    async fn done(&self, number: u64, batch: Batch) -> Result<Committed, StoreError> {
        let answer = self.inner.commit(batch).await;
        self.faults.committed(number);
        answer
    }

    /// Reads, unless the faults say otherwise.
    async fn read<T>(&self, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        match self.faults.read() {
            StoreFault::Pass => read.await,
            StoreFault::Overload => Err(StoreError::Overloaded { waited: Duration::ZERO, held_by: HELD_BY }),
            StoreFault::Fail | StoreFault::LoseBatch | StoreFault::LoseAnswer => Err(failed()),
            StoreFault::HangBefore => pending().await,
            StoreFault::HangAfter => {
                drop(read.await);
                pending().await
            }
        }
    }
}

const HELD_BY: &str = "an injected fault";

fn failed() -> StoreError {
    StoreError::Failed { source: HELD_BY.into() }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for FaultyStore {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let number = self.commits.fetch_add(1, Ordering::SeqCst);
        match self.faults.commit(number, &batch) {
            StoreFault::Pass => self.done(number, batch).await,
            StoreFault::Fail => Err(failed()),
            StoreFault::Overload => Err(StoreError::Overloaded { waited: batch.wait(), held_by: HELD_BY }),
            StoreFault::LoseBatch => Err(StoreError::Unknown { source: HELD_BY.into() }),
            StoreFault::LoseAnswer => {
                // What it says is what nobody hears.
                drop(self.done(number, batch).await);
                Err(StoreError::Unknown { source: HELD_BY.into() })
            }
            StoreFault::HangBefore => pending().await,
            StoreFault::HangAfter => {
                drop(self.done(number, batch).await);
                pending().await
            }
        }
    }

    async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        self.read(self.inner.task(id)).await
    }

    async fn task_record(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.read(self.inner.task_record(id)).await
    }

    async fn work_item(&self, id: &WorkItemId) -> Result<Option<WorkItem>, StoreError> {
        self.read(self.inner.work_item(id)).await
    }

    async fn work_items(&self, page: WorkItemPage) -> Result<Vec<WorkItem>, StoreError> {
        self.read(self.inner.work_items(page)).await
    }

    async fn tasks(&self, page: TaskPage) -> Result<Vec<Task>, StoreError> {
        self.read(self.inner.tasks(page)).await
    }

    async fn checkpoint(&self, id: CheckpointId) -> Result<Option<Checkpoint>, StoreError> {
        self.read(self.inner.checkpoint(id)).await
    }

    async fn checkpoints(&self, task: &TaskId, page: CheckpointPage) -> Result<Vec<Checkpoint>, StoreError> {
        self.read(self.inner.checkpoints(task, page)).await
    }

    async fn operation(&self, key: &OperationKey) -> Result<Option<OperationRecord>, StoreError> {
        self.read(self.inner.operation(key)).await
    }

    async fn operations(&self, task: &TaskId, page: OperationPage) -> Result<Vec<Operation>, StoreError> {
        self.read(self.inner.operations(task, page)).await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.read(self.inner.health()).await
    }

    async fn monitoring(&self) -> Result<Monitoring, StoreError> {
        self.read(self.inner.monitoring()).await
    }

    fn change_stamp(&self) -> ChangeStamp {
        self.inner.change_stamp()
    }

    async fn changed(&self, seen: ChangeStamp, limit: Duration) -> ChangeStamp {
        self.inner.changed(seen, limit).await
    }

    fn env(&self) -> &Env {
        self.inner.env()
    }
}
