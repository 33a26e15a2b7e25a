//! A store that applies what it is told to and loses the answer, as a connection that breaks after COMMIT was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use steadfast_store::env::Env;
use steadfast_store::{
    Batch, ChangeStamp, Checkpoint, CheckpointId, CheckpointPage, Committed, Health, Monitoring, Operation,
    OperationKey, OperationPage, OperationRecord, Store, StoreError, Task, TaskId, TaskPage, TaskRecord,
    WorkItem, WorkItemId, WorkItemPage,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Unsure {
    inner: Arc<dyn Store>,
    loses: AtomicBool,
}

impl Unsure {
    pub(super) fn over(inner: Arc<dyn Store>) -> Self {
        Self { inner, loses: AtomicBool::new(false) }
    }

    /// The answer to the next commit is lost.
    pub(super) fn lose_next(&self) {
        self.loses.store(true, Ordering::Relaxed);
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for Unsure {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let answer = self.inner.commit(batch).await;
        if self.loses.swap(false, Ordering::Relaxed) {
            return Err(StoreError::Unknown { source: "the answer was lost on purpose".into() });
        }
        answer
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

    async fn work_items(&self, page: WorkItemPage) -> Result<Vec<WorkItem>, StoreError> {
        self.inner.work_items(page).await
    }

    async fn tasks(&self, page: TaskPage) -> Result<Vec<Task>, StoreError> {
        self.inner.tasks(page).await
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

    async fn health(&self) -> Result<Health, StoreError> {
        self.inner.health().await
    }

    async fn monitoring(&self) -> Result<Monitoring, StoreError> {
        self.inner.monitoring().await
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
