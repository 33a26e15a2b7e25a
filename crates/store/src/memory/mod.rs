//! The in-memory store: the decisions behind a lock. It keeps nothing beyond its process, and is the reference that
//! other backends are held against.

mod monitoring;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::batch::{Batch, check_page};
use crate::decide::decide_batch;
use crate::env::Env;
use crate::error::StoreError;
use crate::id::{CheckpointId, OperationKey, TaskId, WorkItemId};
use crate::memory::rows::Tables;
use crate::monitoring::Monitoring;
use crate::outcome::Committed;
use crate::record::{
    Checkpoint, CheckpointPage, Health, Operation, OperationPage, OperationRecord, Task, TaskPage,
    TaskRecord, WorkItem, WorkItemPage,
};
use crate::store::{ChangeStamp, Store};
use crate::store_clock::StoreClock;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, Notify, oneshot, within};

/// A store in the memory of this process.
///
/// ```
/// # use steadfast_store::{MemoryStore, env::Env};
/// let store = MemoryStore::new(Env::system());
/// let second_handle = store.peer();
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    env: Env,
    yields: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changes: AtomicU64,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    tables: Tables,
    clock: StoreClock,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(env: Env) -> Self {
        let clock = StoreClock::begin(env.clock());
        let state = Mutex::new(State { tables: Tables::default(), clock });
        let shared = Shared { state, changes: AtomicU64::new(0), changed: Notify::new() };
        Self { shared: Arc::new(shared), env, yields: false }
    }

    /// Another handle on the same data.
    #[must_use]
    pub fn peer(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), env: self.env.clone(), yields: self.yields }
    }

    /// Lets other tasks run before and after each use of the lock, so that tests meet the races that a database
    /// would show them.
    #[must_use]
    pub fn with_yields(mut self) -> Self {
        self.yields = true;
        self
    }

    fn read<T>(&self, look: impl FnOnce(&Tables) -> T) -> T {
        look(&self.shared.state.lock().tables)
    }
}

impl Shared {
    fn commit(&self, env: &Env, batch: &Batch) -> Committed {
        let (answer, changed) = {
            let mut state = self.state.lock();
            let now = state.clock.now(env.clock());
            let verdict = match decide_batch(&mut state.tables, batch, now) {
                Ok(verdict) => verdict,
                Err(never) => match never {},
            };
            let changed = !verdict.writes.is_empty();
            for write in verdict.writes {
                state.tables.write(write);
            }
            (verdict.answer, changed)
        };
        if changed {
            self.changes.fetch_add(1, Ordering::SeqCst);
            self.changed.notify_waiters();
        }
        answer
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        batch.validate()?;
        if !self.yields {
            return Ok(self.shared.commit(&self.env, &batch));
        }
        // On a task of its own, so that dropping this future between the yields loses the answer, not the write.
        let (answer, answered) = oneshot::channel();
        let (shared, env) = (Arc::clone(&self.shared), self.env.clone());
        self.env.runtime().spawn(Box::pin(async move {
            env.runtime().yield_now().await;
            let committed = shared.commit(&env, &batch);
            env.runtime().yield_now().await;
            // Nobody may be waiting any more.
            drop(answer.send(committed));
        }));
        answered.await.map_err(|_| StoreError::Closed)
    }

    async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        Ok(self.read(|tables| tables.task(id)))
    }

    async fn task_record(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
        Ok(self.read(|tables| tables.task_record(id)))
    }

    async fn work_item(&self, id: &WorkItemId) -> Result<Option<WorkItem>, StoreError> {
        Ok(self.read(|tables| tables.item(id)))
    }

    async fn work_items(&self, page: WorkItemPage) -> Result<Vec<WorkItem>, StoreError> {
        check_page("work item page, in rows", page.limit)?;
        Ok(self.read(|tables| tables.work_items(&page)))
    }

    async fn tasks(&self, page: TaskPage) -> Result<Vec<Task>, StoreError> {
        check_page("task page, in rows", page.limit)?;
        Ok(self.read(|tables| tables.tasks(&page)))
    }

    async fn checkpoint(&self, id: CheckpointId) -> Result<Option<Checkpoint>, StoreError> {
        Ok(self.read(|tables| tables.checkpoint(id)))
    }

    async fn checkpoints(&self, task: &TaskId, page: CheckpointPage) -> Result<Vec<Checkpoint>, StoreError> {
        let (CheckpointPage::NewestFirst { limit, .. } | CheckpointPage::OldestFirst { limit, .. }) = page;
        check_page("checkpoint page, in rows", limit)?;
        Ok(self.read(|tables| tables.checkpoints(task, page)))
    }

    async fn operation(&self, key: &OperationKey) -> Result<Option<OperationRecord>, StoreError> {
        Ok(self.read(|tables| tables.operation(key)))
    }

    async fn operations(&self, task: &TaskId, page: OperationPage) -> Result<Vec<Operation>, StoreError> {
        check_page("operation page, in rows", page.limit)?;
        Ok(self.read(|tables| tables.operations(task, &page)))
    }

    async fn health(&self) -> Result<Health, StoreError> {
        let state = self.shared.state.lock();
        Ok(state.tables.health(state.clock.now(self.env.clock())))
    }

    async fn monitoring(&self) -> Result<Monitoring, StoreError> {
        let state = self.shared.state.lock();
        Ok(state.tables.monitoring(state.clock.now(self.env.clock())))
    }

    fn change_stamp(&self) -> ChangeStamp {
        ChangeStamp(self.shared.changes.load(Ordering::SeqCst))
    }

    async fn changed(&self, seen: ChangeStamp, limit: Duration) -> ChangeStamp {
        let wait = async {
            loop {
                let notified = self.shared.changed.notified();
                // The waiter must be in the list before the counter is read, or a change between the two is missed.
                let mut notified = std::pin::pin!(notified);
                notified.as_mut().enable();
                if self.change_stamp() != seen {
                    return;
                }
                notified.await;
            }
        };
        within(&self.env, limit, wait).await;
        self.change_stamp()
    }

    fn env(&self) -> &Env {
        &self.env
    }
}
