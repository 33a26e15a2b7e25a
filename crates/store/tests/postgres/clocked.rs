//! A store whose schema has another clock: the one of the environment, which the suite moves. The function
//! `store_clock` of the schema is replaced by one that reads a table, and before each call the table is brought to what
//! the clock shows. Everything else is the store as it is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use steadfast_store::env::Env;
use steadfast_store::{
    Batch, ChangeStamp, Checkpoint, CheckpointId, CheckpointPage, Committed, Health, Monitoring, Operation,
    OperationKey, OperationPage, OperationRecord, PostgresStore, Source, Store, StoreError, Task, TaskId,
    TaskPage, TaskRecord, WorkItem, WorkItemId, WorkItemPage,
};

use crate::kit::Schema;

/// The clock of a schema, for all handles on it.
#[derive(Debug)]
pub(crate) struct TestClock {
    schema: Arc<Schema>,
    env: Env,
    /// Store time is this far ahead of the time since the boot, in milliseconds.
    anchor: i64,
    /// What the table says: store time and wall time, in milliseconds.
    written: Mutex<(i64, i64)>,
    writing: tokio::sync::Mutex<()>,
}

impl TestClock {
    /// Gives a schema, which a store has made, this clock.
    pub(crate) async fn install(schema: Arc<Schema>, env: Env) -> Result<Self, Source> {
        let name = schema.name();
        let sql = format!(
            "CREATE TABLE {name}.test_clock (store_time timestamptz NOT NULL, wall_time timestamptz NOT NULL);
             INSERT INTO {name}.test_clock VALUES ('epoch', 'epoch');
             CREATE OR REPLACE FUNCTION {name}.store_clock(OUT store_time timestamptz, OUT wall_time timestamptz)
                 LANGUAGE sql VOLATILE AS 'SELECT store_time, wall_time FROM {name}.test_clock'"
        );
        schema.admin().batch_execute(&sql).await?;
        let elapsed = millis(env.clock().boot().elapsed);
        let anchor = env.clock().wall().as_millis() - elapsed;
        let clock =
            Self { schema, env, anchor, written: Mutex::new((0, 0)), writing: tokio::sync::Mutex::new(()) };
        clock.sync().await?;
        Ok(clock)
    }

    fn reading(&self) -> (i64, i64) {
        let clock = self.env.clock();
        (self.anchor + millis(clock.boot().elapsed), clock.wall().as_millis())
    }

    /// Brings the table to what the clock shows. Without a step of the clock nothing is awaited.
    async fn sync(&self) -> Result<(), StoreError> {
        if *self.written.lock() == self.reading() {
            return Ok(());
        }
        let _writing = self.writing.lock().await;
        let (store, wall) = self.reading();
        let sql = format!(
            "UPDATE {}.test_clock SET store_time = to_timestamp(0) + {store} * interval '1 millisecond',
                                      wall_time = to_timestamp(0) + {wall} * interval '1 millisecond'",
            self.schema.name()
        );
        let written = self.schema.admin().batch_execute(&sql).await;
        written.map_err(|error| StoreError::Failed { source: Box::new(error) })?;
        *self.written.lock() = (store, wall);
        Ok(())
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Clocked {
    pub(crate) inner: PostgresStore,
    pub(crate) clock: Arc<TestClock>,
}

#[async_trait]
impl Store for Clocked {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        self.clock.sync().await?;
        self.inner.commit(batch).await
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
        self.clock.sync().await?;
        self.inner.health().await
    }

    async fn monitoring(&self) -> Result<Monitoring, StoreError> {
        self.clock.sync().await?;
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
