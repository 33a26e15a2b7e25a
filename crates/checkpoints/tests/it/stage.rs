//! What the tests share: a task in a store that can be made to lie about what it reads, and a folder for evidence.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use steadfast_checkpoints::{
    CheckpointManager, CheckpointOptions, EvidencePack, NewCheckpoint, Piece, Prepared, Rule, Step,
};
use steadfast_store::env::Env;
use steadfast_store::limits::PAGE_ROWS_MAX;
use steadfast_store::{
    Batch, ChangeStamp, Checkpoint, CheckpointId, CheckpointPage, Committed, CreateTask, Health, Label,
    MemoryStore, Monitoring, Operation, OperationKey, OperationPage, OperationRecord, Payload, Store,
    StoreError, StoreExt, Task, TaskId, TaskPage, TaskRecord, WorkItem, WorkItemId, WorkItemPage,
};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// Changes what was read.
type Alter<T> = Box<dyn FnMut(&mut T) + Send>;

/// Passes everything on, but for the reads that it alters and the answers that it loses.
pub(crate) struct Altered {
    pub(crate) inner: MemoryStore,
    checkpoints: Mutex<Alter<Vec<Checkpoint>>>,
    task: Mutex<Alter<Task>>,
    /// What every read of an operation answers from now on, when there is something.
    pub(crate) operation_trouble: Mutex<Option<fn() -> StoreError>>,
    /// Commits from now on that are applied, and answered with `Unknown`.
    pub(crate) unknown: AtomicU32,
    /// Commits from now on that are surely not applied, and answered so.
    pub(crate) failing: AtomicU32,
}

/// Whether there was one more to take.
fn take(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl std::fmt::Debug for Altered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Altered")
    }
}

impl Altered {
    /// From now on every page of checkpoints, and every single one, passes through `alter`.
    pub(crate) async fn alter_checkpoints(&self, alter: impl FnMut(&mut Vec<Checkpoint>) + Send + 'static) {
        *self.checkpoints.lock().await = Box::new(alter);
    }

    /// From now on every task read passes through `alter`.
    pub(crate) async fn alter_task(&self, alter: impl FnMut(&mut Task) + Send + 'static) {
        *self.task.lock().await = Box::new(alter);
    }
}

#[async_trait]
impl Store for Altered {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        if take(&self.failing) {
            return Err(StoreError::DiskFull);
        }
        let answer = self.inner.commit(batch).await;
        if take(&self.unknown) {
            return Err(StoreError::Unknown { source: "the answer was lost".into() });
        }
        answer
    }

    async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        let mut task = self.inner.task(id).await?;
        let mut alter = self.task.lock().await;
        task.as_mut().into_iter().for_each(&mut *alter);
        Ok(task)
    }

    async fn task_record(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.inner.task_record(id).await
    }

    async fn work_item(&self, id: &WorkItemId) -> Result<Option<WorkItem>, StoreError> {
        self.inner.work_item(id).await
    }

    async fn checkpoint(&self, id: CheckpointId) -> Result<Option<Checkpoint>, StoreError> {
        let mut found: Vec<_> = self.inner.checkpoint(id).await?.into_iter().collect();
        (self.checkpoints.lock().await)(&mut found);
        Ok(found.pop())
    }

    async fn checkpoints(
        &self,
        task: &TaskId,
        mut page: CheckpointPage,
    ) -> Result<Vec<Checkpoint>, StoreError> {
        // As a store would that holds nothing but what `alter` leaves: the page is cut afterwards.
        let (CheckpointPage::NewestFirst { limit, .. } | CheckpointPage::OldestFirst { limit, .. }) =
            &mut page;
        let limit = std::mem::replace(limit, PAGE_ROWS_MAX);
        let mut found = self.inner.checkpoints(task, page).await?;
        (self.checkpoints.lock().await)(&mut found);
        found.truncate(limit as usize);
        Ok(found)
    }

    async fn operation(&self, key: &OperationKey) -> Result<Option<OperationRecord>, StoreError> {
        match *self.operation_trouble.lock().await {
            Some(trouble) => Err(trouble()),
            None => self.inner.operation(key).await,
        }
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
        self.inner.changed(seen, limit).await
    }

    fn env(&self) -> &Env {
        self.inner.env()
    }
}

/// A store with one task, a base folder for evidence, and a manager over both.
pub(crate) struct Stage {
    pub(crate) store: Arc<Altered>,
    pub(crate) task: TaskId,
    pub(crate) manager: CheckpointManager,
    folder: TempDir,
}

pub(crate) fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let store = Arc::new(Altered {
            inner: MemoryStore::new(Env::system()),
            checkpoints: Mutex::new(Box::new(|_| {})),
            task: Mutex::new(Box::new(|_| {})),
            operation_trouble: Mutex::new(None),
            unknown: AtomicU32::new(0),
            failing: AtomicU32::new(0),
        });
        let folder = tempfile::tempdir().unwrap();
        let manager = CheckpointManager::new(store.clone(), CheckpointOptions::new(folder.path()));
        let stage = Self { store, task: TaskId::new("report").unwrap(), manager, folder };
        stage.create_task("report").await;
        stage
    }

    pub(crate) async fn create_task(&self, id: &str) -> TaskId {
        let task = TaskId::new(id).unwrap();
        let create = CreateTask { task: task.clone(), kind: label("research"), input: Payload::empty() };
        self.store.create_task(create).await.unwrap();
        task
    }

    /// A manager whose commits do not look at the evidence.
    pub(crate) fn unlooking(&self) -> CheckpointManager {
        let options = CheckpointOptions { auto_verify: false, ..CheckpointOptions::new(self.folder.path()) };
        CheckpointManager::new(self.store.clone(), options)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Files with content of their own, as one pack.
    pub(crate) async fn files(&self, rule: Rule, names: &[&str]) -> EvidencePack {
        let mut pieces: Vec<Piece> = Vec::new();
        for name in names {
            self.write(name, &format!("content of {name}"));
            pieces.push(self.manager.observe_file(name).await.unwrap());
        }
        EvidencePack::new(rule, pieces).unwrap()
    }

    pub(crate) fn prepare(&self, payload: &str, evidence: EvidencePack) -> Prepared {
        let new = NewCheckpoint::new(self.task.clone(), label("step"), payload.to_owned());
        self.manager.prepare(NewCheckpoint { evidence, ..new }).unwrap()
    }

    pub(crate) async fn commit(&self, payload: &str, evidence: EvidencePack) -> (CheckpointId, Step) {
        let prepared = self.prepare(payload, evidence);
        (prepared.id(), self.manager.commit_step(&prepared, None, |_| {}).await.unwrap())
    }

    /// Steps without evidence, from `first` to `last`.
    pub(crate) async fn steps(&self, first: u64, last: u64) {
        for number in first..=last {
            let (_, step) = self.commit(&format!("state {number}"), EvidencePack::none()).await;
            assert_eq!(step.appended.sequence.0, number);
        }
    }
}
