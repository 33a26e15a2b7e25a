//! The PostgreSQL store: a schema on a server that workers on many machines share.

mod connect;
mod connection;
mod failure;
mod loaded;
mod map;
mod migrate;
mod monitoring;
mod needs;
mod notices;
mod options;
mod pace;
mod pool;
mod reads;
mod sql;
mod tls;
mod transaction;
mod watch;
mod wire;
mod writer;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::Instrument;

pub use self::options::{PostgresOptions, PostgresStatements, PostgresTls};

use crate::batch::{Batch, check_page};
use crate::env::Env;
use crate::error::{OpenError, StoreError};
use crate::id::{CheckpointId, OperationKey, TaskId, WorkItemId};
use crate::monitoring::Monitoring;
use crate::outcome::Committed;
use crate::postgres::connect::{Connector, not_opened};
use crate::postgres::migrate::Migration;
use crate::postgres::notices::Notices;
use crate::postgres::pace::Pace;
use crate::postgres::pool::Pool;
use crate::postgres::watch::Watch;
use crate::postgres::writer::Writer;
use crate::record::{
    Checkpoint, CheckpointPage, Health, Operation, OperationPage, OperationRecord, Task, TaskPage,
    TaskRecord, WorkItem, WorkItemPage,
};
use crate::store::{ChangeStamp, Store};

/// A store in one schema of a PostgreSQL server. Any number may be open on the same schema, in one process or in many,
/// on any number of machines.
///
/// The server's clock decides every lease and dates every row: it is read inside each commit, through the function
/// `store_clock` of the schema. Needs the tokio runtime, whatever the environment says of others.
///
/// ```no_run
/// use steadfast_store::{PostgresOptions, PostgresStore, env::Env};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = PostgresOptions::from_url("postgres://agent@localhost/agents")?;
/// let store = PostgresStore::open(options, Env::system()).await?;
/// store.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PostgresStore {
    env: Env,
    pool: Arc<Pool>,
    writer: Writer,
    watch: Arc<Watch>,
}

impl PostgresStore {
    /// Connects, and makes the schema or brings it to this program's version.
    ///
    /// # Errors
    /// [`OpenError`]; a schema that is not ours is left untouched.
    pub async fn open(options: PostgresOptions, env: Env) -> Result<Self, OpenError> {
        options.check()?;
        let connector = Connector::new(&options, env.clone())?;
        let commits = options.commits();
        let pool = Pool::new(connector, env.clone(), commits, options.pool as usize - commits);
        let connected = pool.connect().await.map_err(|trouble| not_opened(trouble, &options))?;
        let migration = Migration { connection: &connected.connection, env: &env, options: &options };
        migration.run().await?;
        pool.keep(connected);
        let pool = Arc::new(pool);
        let notices = options.notify.then(|| Notices::new(&options.schema, env.clone(), &pool));
        let watch = Arc::new(Watch::new(&pool, notices));
        let pace = Pace::new(options.hold_off);
        let writer = Writer::new(env.clone(), Arc::clone(&pool), Arc::clone(&watch), pace, commits);
        Ok(Self { env, pool, writer, watch })
    }

    /// Finishes what is queued and closes the connections. Dropping the store does the same without waiting for it.
    pub async fn close(self) {
        self.writer.finish().await;
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let span = crate::telemetry::commit(&batch);
        async {
            batch.validate()?;
            writes::check(&batch)?;
            self.writer.commit(batch).await
        }
        .instrument(span)
        .await
    }

    async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        reads::task(&self.pool, &self.env, id).await
    }

    async fn task_record(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
        reads::task_record(&self.pool, &self.env, id).await
    }

    async fn work_item(&self, id: &WorkItemId) -> Result<Option<WorkItem>, StoreError> {
        reads::item(&self.pool, &self.env, id).await
    }

    async fn work_items(&self, page: WorkItemPage) -> Result<Vec<WorkItem>, StoreError> {
        check_page("work item page, in rows", page.limit)?;
        reads::items(&self.pool, &self.env, &page).await
    }

    async fn tasks(&self, page: TaskPage) -> Result<Vec<Task>, StoreError> {
        check_page("task page, in rows", page.limit)?;
        reads::tasks(&self.pool, &self.env, &page).await
    }

    async fn checkpoint(&self, id: CheckpointId) -> Result<Option<Checkpoint>, StoreError> {
        reads::checkpoint(&self.pool, &self.env, id).await
    }

    async fn checkpoints(&self, task: &TaskId, page: CheckpointPage) -> Result<Vec<Checkpoint>, StoreError> {
        let (CheckpointPage::NewestFirst { limit, .. } | CheckpointPage::OldestFirst { limit, .. }) = page;
        check_page("checkpoint page, in rows", limit)?;
        reads::checkpoints(&self.pool, &self.env, task, page).await
    }

    async fn operation(&self, key: &OperationKey) -> Result<Option<OperationRecord>, StoreError> {
        reads::operation(&self.pool, &self.env, key).await
    }

    async fn operations(&self, task: &TaskId, page: OperationPage) -> Result<Vec<Operation>, StoreError> {
        check_page("operation page, in rows", page.limit)?;
        reads::operations(&self.pool, &self.env, task, &page).await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        reads::health(&self.pool, &self.env).await
    }

    async fn monitoring(&self) -> Result<Monitoring, StoreError> {
        monitoring::read(&self.pool, &self.env).await
    }

    fn change_stamp(&self) -> ChangeStamp {
        self.watch.stamp()
    }

    async fn changed(&self, seen: ChangeStamp, limit: Duration) -> ChangeStamp {
        self.watch.changed(&self.env, seen, limit).await
    }

    fn env(&self) -> &Env {
        &self.env
    }
}
