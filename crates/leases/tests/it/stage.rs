//! What the tests share: a store with work in it, and a wrapper that misbehaves on commits when told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use steadfast_leases::{LeaseManager, LeaseOptions};
use steadfast_store::env::Env;
use steadfast_store::{
    Batch, ChangeStamp, Checkpoint, CheckpointId, CheckpointPage, Command, Committed, CreateTask, Delay,
    Enqueue, Health, HolderId, Label, MemoryStore, Monitoring, Operation, OperationKey, OperationPage,
    OperationRecord, Payload, Store, StoreError, StoreExt, Task, TaskId, TaskPage, TaskRecord, WorkItem,
    WorkItemId, WorkItemPage,
};

/// Passes everything on, but for the commits that it was told to spoil.
#[derive(Debug)]
pub(crate) struct Staged {
    inner: MemoryStore,
    /// Commits from now on that are applied, and answered with `Unknown`.
    pub(crate) unknown: AtomicU32,
    /// Commits from now on that are refused as overloaded.
    pub(crate) overloaded: AtomicU32,
    /// Commits from now on that are never answered, nor applied.
    pub(crate) hanging: AtomicU32,
    /// Nobody is told of changes.
    pub(crate) quiet: AtomicBool,
    /// Renewals seen.
    pub(crate) renewals: AtomicU32,
    /// Claims seen.
    pub(crate) claims: AtomicU32,
}

pub(crate) const ALWAYS: u32 = u32::MAX;

impl Staged {
    pub(crate) fn new(inner: MemoryStore) -> Self {
        let none = || AtomicU32::new(0);
        let (unknown, overloaded, hanging) = (none(), none(), none());
        let quiet = AtomicBool::new(false);
        Self { inner, unknown, overloaded, hanging, quiet, renewals: none(), claims: none() }
    }
}

/// Whether there was one more to take.
fn take(count: &AtomicU32) -> bool {
    let left = |left: u32| (left > 0).then(|| if left == ALWAYS { left } else { left - 1 });
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok()
}

#[async_trait]
impl Store for Staged {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        for entry in batch.entries() {
            match entry.command {
                Command::Renew(_) => self.renewals.fetch_add(1, Ordering::SeqCst),
                Command::Claim(_) => self.claims.fetch_add(1, Ordering::SeqCst),
                _ => 0,
            };
        }
        if take(&self.hanging) {
            std::future::pending::<()>().await;
        }
        if take(&self.overloaded) {
            return Err(StoreError::Overloaded { waited: batch.wait(), held_by: "the test" });
        }
        let answer = self.inner.commit(batch).await;
        if take(&self.unknown) {
            Err(StoreError::Unknown { source: "the answer was lost".into() })
        } else {
            answer
        }
    }

    async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        self.inner.task(id).await
    }

    async fn task_record(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.inner.task_record(id).await
    }

    async fn work_item(&self, id: &WorkItemId) -> Result<Option<WorkItem>, StoreError> {
        self.inner.work_item(id).await
    }

    async fn checkpoint(&self, id: CheckpointId) -> Result<Option<Checkpoint>, StoreError> {
        self.inner.checkpoint(id).await
    }

    async fn checkpoints(&self, task: &TaskId, page: CheckpointPage) -> Result<Vec<Checkpoint>, StoreError> {
        self.inner.checkpoints(task, page).await
    }

    async fn operation(&self, key: &OperationKey) -> Result<Option<OperationRecord>, StoreError> {
        self.inner.operation(key).await
    }

    async fn operations(&self, task: &TaskId, page: OperationPage) -> Result<Vec<Operation>, StoreError> {
        self.inner.operations(task, page).await
    }

    async fn work_items(&self, page: WorkItemPage) -> Result<Vec<WorkItem>, StoreError> {
        self.inner.work_items(page).await
    }

    async fn tasks(&self, page: TaskPage) -> Result<Vec<Task>, StoreError> {
        self.inner.tasks(page).await
    }

    async fn monitoring(&self) -> Result<Monitoring, StoreError> {
        self.inner.monitoring().await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.inner.health().await
    }

    fn change_stamp(&self) -> ChangeStamp {
        self.inner.change_stamp()
    }

    async fn changed(&self, seen: ChangeStamp, limit: Duration) -> ChangeStamp {
        if self.quiet.load(Ordering::SeqCst) {
            self.env().sleep(limit).await;
            return seen;
        }
        self.inner.changed(seen, limit).await
    }

    fn env(&self) -> &Env {
        self.inner.env()
    }
}

pub(crate) fn system() -> Arc<Staged> {
    Arc::new(Staged::new(MemoryStore::new(Env::system())))
}

pub(crate) fn task() -> TaskId {
    TaskId::new("report").unwrap()
}

/// The id of the numbered item.
pub(crate) fn item(number: u32) -> WorkItemId {
    WorkItemId::new(format!("report/{number}")).unwrap()
}

/// Enqueues the items 0 to `count`, making the task on the way.
pub(crate) async fn enqueue(store: &dyn Store, count: u32, delay: Duration) {
    let kind = Label::new("research").unwrap();
    store
        .create_task(CreateTask { task: task(), kind: kind.clone(), input: Payload::empty() })
        .await
        .unwrap();
    for number in 0..count {
        let (task, kind, delay) = (task(), kind.clone(), Delay::new(delay).unwrap());
        let enqueue = Enqueue { item: item(number), task, kind, priority: 0, delay, max_attempts: 3 };
        store.enqueue(enqueue).await.unwrap();
    }
}

pub(crate) fn options(term: Duration) -> LeaseOptions {
    LeaseOptions { term, ..LeaseOptions::new(HolderId::new("worker").unwrap()) }
}

pub(crate) fn manager(store: &Arc<Staged>, term: Duration) -> LeaseManager {
    LeaseManager::new(Arc::clone(store) as Arc<dyn Store>, options(term)).unwrap()
}

/// Without a heartbeat.
pub(crate) fn silent(store: &Arc<Staged>, term: Duration) -> LeaseManager {
    let options = LeaseOptions { heartbeat: false, ..options(term) };
    LeaseManager::new(Arc::clone(store) as Arc<dyn Store>, options).unwrap()
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Waits for what must come soon.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), future).await.unwrap()
}
