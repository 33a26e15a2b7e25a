//! What the tests share: a store under a clock that they move, with tasks, items and leases, and a wrapper that
//! spoils commits when told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use steadfast_recovery::{SweepOptions, Sweeper};
use steadfast_store::env::{Env, ManualClock};
use steadfast_store::{
    Batch, ChangeStamp, Checkpoint, CheckpointId, CheckpointPage, Claim, Committed, CreateTask, Delay,
    Enqueue, Guard, Health, HolderId, Label, MemoryStore, Monitoring, Operation, OperationKey, OperationPage,
    OperationRecord, Payload, Store, StoreError, StoreExt, Task, TaskId, TaskPage, TaskRecord, Term,
    TransitionId, WorkItem, WorkItemId, WorkItemPage,
};
use tokio::sync::Mutex;

/// How long the leases of the tests last.
pub(crate) const TERM: Duration = Duration::from_secs(30);

/// Passes everything on, but for the commits that it was told to spoil.
#[derive(Debug)]
pub(crate) struct Staged {
    inner: MemoryStore,
    /// Commits from now on that are applied, and answered with `Unknown`.
    pub(crate) unknown: AtomicU32,
    /// Commits from now on that are refused as overloaded.
    pub(crate) overloaded: AtomicU32,
    /// What somebody else commits right after the next read of a task's operations.
    pub(crate) meanwhile: Mutex<Option<Batch>>,
}

/// Whether there was one more to take.
fn take(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

#[async_trait]
impl Store for Staged {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
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
        let found = self.inner.operations(task, page).await;
        if let Some(batch) = self.meanwhile.lock().await.take() {
            assert!(matches!(self.inner.commit(batch).await?, Committed::Applied(_)));
        }
        found
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
        self.inner.changed(seen, limit).await
    }

    fn env(&self) -> &Env {
        self.inner.env()
    }
}

pub(crate) struct Stage {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<Staged>,
}

pub(crate) fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

pub(crate) fn task(id: &str) -> TaskId {
    TaskId::new(id).unwrap()
}

impl Stage {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new());
        // With yields, so that sweepers at once meet one another.
        let inner = MemoryStore::new(Env::system().with_clock(clock.clone())).with_yields();
        let (unknown, overloaded) = (AtomicU32::new(0), AtomicU32::new(0));
        let store = Staged { inner, unknown, overloaded, meanwhile: Mutex::new(None) };
        Self { clock, store: Arc::new(store) }
    }

    pub(crate) fn sweeper(&self, page: u32) -> Sweeper {
        Sweeper::new(self.store.clone(), SweepOptions { page, ..SweepOptions::default() })
    }

    pub(crate) async fn create_task(&self, id: &str) -> TaskId {
        let create = CreateTask { task: task(id), kind: label("research"), input: Payload::empty() };
        self.store.create_task(create).await.unwrap();
        task(id)
    }

    /// Adds so many items to a task and leases all that are available.
    pub(crate) async fn lease(&self, id: &str, count: u32, max_attempts: u32) -> Vec<Guard> {
        let task = self.create_task(id).await;
        for number in 0..count {
            let item = WorkItemId::new(format!("{id}/{number}")).unwrap();
            let (task, kind) = (task.clone(), label("work"));
            let enqueue = Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts };
            self.store.enqueue(enqueue).await.unwrap();
        }
        self.claim(count).await
    }

    pub(crate) async fn claim(&self, limit: u32) -> Vec<Guard> {
        let claim = Claim {
            claim: TransitionId::generate(self.store.env()),
            holder: HolderId::new("worker").unwrap(),
            term: Term::new(TERM).unwrap(),
            limit,
            kinds: Vec::new(),
            task: None,
        };
        self.store.claim(claim).await.unwrap().items.iter().map(WorkItem::guard).collect()
    }
}
