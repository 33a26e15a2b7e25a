//! A wrapper around the in-memory store that hands everything on, but for what its bug changes.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use steadfast_store::conformance::{Harness, Instance};
use steadfast_store::env::Env;
use steadfast_store::{
    Batch, ChangeStamp, Checkpoint, CheckpointId, CheckpointPage, Command, Committed, Entry, Health,
    MemoryStore, Monitoring, Operation, OperationKey, OperationPage, OperationRecord, Source, Store,
    StoreError, Task, TaskId, TaskPage, TaskRecord, WorkItem, WorkItemId, WorkItemPage,
};

/// What a bug may change. Every method hands on by itself.
#[async_trait]
pub(crate) trait Bug: std::fmt::Debug + Send + Sync + 'static {
    /// A commit.
    async fn commit(&self, store: &MemoryStore, batch: Batch) -> Result<Committed, StoreError> {
        store.commit(batch).await
    }

    /// A task as it is read.
    async fn task(&self, store: &MemoryStore, id: &TaskId) -> Result<Option<Task>, StoreError> {
        store.task(id).await
    }

    /// A work item as it is read.
    async fn work_item(&self, store: &MemoryStore, id: &WorkItemId) -> Result<Option<WorkItem>, StoreError> {
        store.work_item(id).await
    }

    /// A checkpoint as it is shown by any read.
    fn shown(&self, checkpoint: Checkpoint) -> Checkpoint {
        checkpoint
    }

    /// The data that is there after it was opened again.
    fn reopened(&self, store: &MemoryStore) -> MemoryStore {
        store.peer()
    }
}

/// The in-memory store, as the bug makes it look.
#[derive(Debug)]
struct Wrapper<B> {
    store: MemoryStore,
    bug: B,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<B: Bug> Store for Wrapper<B> {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        self.bug.commit(&self.store, batch).await
    }

    async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        self.bug.task(&self.store, id).await
    }

    async fn task_record(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.store.task_record(id).await
    }

    async fn work_item(&self, id: &WorkItemId) -> Result<Option<WorkItem>, StoreError> {
        self.bug.work_item(&self.store, id).await
    }

    async fn checkpoint(&self, id: CheckpointId) -> Result<Option<Checkpoint>, StoreError> {
        let found = self.store.checkpoint(id).await?;
        Ok(found.map(|checkpoint| self.bug.shown(checkpoint)))
    }

    async fn checkpoints(&self, task: &TaskId, page: CheckpointPage) -> Result<Vec<Checkpoint>, StoreError> {
        let found = self.store.checkpoints(task, page).await?;
        Ok(found.into_iter().map(|checkpoint| self.bug.shown(checkpoint)).collect())
    }

    async fn operation(&self, key: &OperationKey) -> Result<Option<OperationRecord>, StoreError> {
        self.store.operation(key).await
    }

    async fn operations(&self, task: &TaskId, page: OperationPage) -> Result<Vec<Operation>, StoreError> {
        self.store.operations(task, page).await
    }

    async fn work_items(&self, page: WorkItemPage) -> Result<Vec<WorkItem>, StoreError> {
        self.store.work_items(page).await
    }

    async fn tasks(&self, page: TaskPage) -> Result<Vec<Task>, StoreError> {
        self.store.tasks(page).await
    }

    async fn monitoring(&self) -> Result<Monitoring, StoreError> {
        self.store.monitoring().await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.store.health().await
    }

    fn change_stamp(&self) -> ChangeStamp {
        self.store.change_stamp()
    }

    async fn changed(&self, seen: ChangeStamp, limit: Duration) -> ChangeStamp {
        self.store.changed(seen, limit).await
    }

    fn env(&self) -> &Env {
        self.store.env()
    }
}

/// Makes stores with the bug.
#[derive(Debug, Default)]
pub(crate) struct Planted<B>(PhantomData<fn() -> B>);

struct Opened<B> {
    store: Arc<Wrapper<B>>,
}

fn wrapped<B: Bug + Default>(store: MemoryStore) -> Arc<Wrapper<B>> {
    Arc::new(Wrapper { store, bug: B::default() })
}

#[async_trait]
impl<B: Bug + Default> Harness for Planted<B> {
    async fn create(&self, env: Env) -> Result<Box<dyn Instance>, Source> {
        Ok(Box::new(Opened::<B> { store: wrapped(MemoryStore::new(env)) }))
    }
}

#[async_trait]
impl<B: Bug + Default> Instance for Opened<B> {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    async fn reopen(&mut self) -> Result<(), Source> {
        self.store = wrapped(self.store.bug.reopened(&self.store.store));
        Ok(())
    }

    async fn peer(&self) -> Result<Arc<dyn Store>, Source> {
        Ok(wrapped::<B>(self.store.store.peer()))
    }
}

/// The batch made again from these commands, for bugs that leave some out or change them.
pub(crate) fn rebuilt(batch: &Batch, entries: impl IntoIterator<Item = Entry>) -> Batch {
    let mut new = Batch::new(batch.durability()).wait_at_most(batch.wait());
    for Entry { guard, command, .. } in entries {
        macro_rules! add {
            ($($kind:ident)+) => {
                match (guard, command) {
                    $(
                        (Some(guard), Command::$kind(command)) => drop(new.add_guarded(guard, command).index()),
                        (None, Command::$kind(command)) => drop(new.add(command).index()),
                    )+
                    (_, other) => panic!("a bug cannot handle {other:?}"),
                }
            };
        }
        add!(
            CreateTask FinishTask Enqueue Claim Renew SettleItem AppendCheckpoint RecordVerification SweepExpired
            BeginOperation FinishOperation
        );
    }
    new
}
