//! The SQLite store: one file, one writer thread with group commit, a pool of readers, several processes at once.

mod closing;
mod connect;
mod core;
#[cfg(steadfast_shuttle)]
pub(crate) mod explored;
mod failure;
mod group;
mod heads;
mod log;
mod map;
mod migrate;
mod monitoring;
mod options;
mod pages;
mod readers;
mod reads;
mod recent;
mod rows;
mod sql;
mod telemetry;
mod text_time;
mod watch;
mod writer;

use std::time::Duration;

use async_trait::async_trait;
use tracing::Instrument;

pub use self::core::{Answer, SqliteCore};
pub use self::options::SqliteOptions;

use crate::batch::{Batch, check_page};
use crate::env::Env;
use crate::error::{OpenError, StoreError};
use crate::id::{CheckpointId, OperationKey, TaskId, WorkItemId};
use crate::monitoring::Monitoring;
use crate::outcome::Committed;
use crate::record::{
    Checkpoint, CheckpointPage, Health, Operation, OperationPage, OperationRecord, Task, TaskPage,
    TaskRecord, WorkItem, WorkItemPage,
};
use crate::sqlite::readers::Readers;
use crate::sqlite::watch::{Watching, data_version};
use crate::sqlite::writer::Writer;
use crate::store::{ChangeStamp, Store};
use crate::store_clock::StoreClock;
use crate::sync::oneshot;

/// A store in one SQLite file. Several may be open on the same file, in one process or in many.
///
/// ```
/// use steadfast_store::{SqliteOptions, SqliteStore, env::Env};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let store = SqliteStore::open(SqliteOptions::new(folder.path().join("agent.db")), Env::system()).await?;
/// store.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SqliteStore {
    env: Env,
    clock: StoreClock,
    writer: Writer,
    readers: Readers,
    watch: Watching,
}

impl SqliteStore {
    /// Opens the file, making it if it is not there, off the threads that poll futures.
    ///
    /// # Errors
    /// [`OpenError`]; a file that is not ours is left untouched.
    pub async fn open(options: SqliteOptions, env: Env) -> Result<Self, OpenError> {
        let options = options.absolute()?;
        let path = options.path.clone();
        let (answer, answered) = oneshot::channel();
        let opening = env.clone();
        env.runtime()
            .spawn_blocking(Box::new(move || drop(answer.send(Self::open_blocking(&options, opening)))));
        match answered.await {
            Ok(store) => store,
            Err(_) => Err(OpenError::Failed { path, source: "the runtime is shutting down".into() }),
        }
    }

    fn open_blocking(options: &SqliteOptions, env: Env) -> Result<Self, OpenError> {
        let core = SqliteCore::open(options, env.clone())?;
        let failed =
            |error: std::io::Error| OpenError::Failed { path: options.path.clone(), source: Box::new(error) };
        let clock = core.clock();
        let (open, others) = closing::order();
        let readers = Readers::open(options, open.clone())?;
        let watch = Watching::start(data_version(connect::watcher(options)?), open).map_err(failed)?;
        let writer = Writer::start(core, env.clone(), watch.shared(), others).map_err(failed)?;
        Ok(Self { env, clock, writer, readers, watch })
    }

    /// Finishes what is queued and closes the file: when this returns no connection of this store is left. Dropping
    /// the store does the same without waiting for it.
    pub async fn close(self) {
        let Self { writer, readers, watch, .. } = self;
        drop((readers, watch));
        writer.close().await;
    }

    /// Pages of 4 KiB in the write-ahead log. It is folded into the file at
    /// [`wal_pages`](SqliteOptions::wal_pages); many times that number means a reader that never finishes.
    pub fn log_pages(&self) -> u32 {
        self.writer.log_pages()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let span = crate::telemetry::commit(&batch);
        async {
            batch.validate()?;
            self.writer.commit(&self.env, batch).await
        }
        .instrument(span)
        .await
    }

    async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        self.readers.point(&self.env, reads::task(id.clone())).await
    }

    async fn task_record(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.readers.point(&self.env, reads::task_record(id.clone())).await
    }

    async fn work_item(&self, id: &WorkItemId) -> Result<Option<WorkItem>, StoreError> {
        self.readers.point(&self.env, reads::item(id.clone())).await
    }

    async fn work_items(&self, page: WorkItemPage) -> Result<Vec<WorkItem>, StoreError> {
        check_page("work item page, in rows", page.limit)?;
        self.readers.scan(&self.env, reads::items(page)).await
    }

    async fn tasks(&self, page: TaskPage) -> Result<Vec<Task>, StoreError> {
        check_page("task page, in rows", page.limit)?;
        self.readers.scan(&self.env, reads::tasks(page)).await
    }

    async fn checkpoint(&self, id: CheckpointId) -> Result<Option<Checkpoint>, StoreError> {
        self.readers.point(&self.env, reads::checkpoint(id)).await
    }

    async fn checkpoints(&self, task: &TaskId, page: CheckpointPage) -> Result<Vec<Checkpoint>, StoreError> {
        let (CheckpointPage::NewestFirst { limit, .. } | CheckpointPage::OldestFirst { limit, .. }) = page;
        check_page("checkpoint page, in rows", limit)?;
        let look = reads::checkpoints(task.clone(), page);
        // Whoever goes on from the newest checkpoint reads pages of one.
        if limit == 1 {
            self.readers.point(&self.env, look).await
        } else {
            self.readers.whole(&self.env, look).await
        }
    }

    async fn operation(&self, key: &OperationKey) -> Result<Option<OperationRecord>, StoreError> {
        self.readers.point(&self.env, reads::operation(key.clone())).await
    }

    async fn operations(&self, task: &TaskId, page: OperationPage) -> Result<Vec<Operation>, StoreError> {
        check_page("operation page, in rows", page.limit)?;
        self.readers.scan(&self.env, reads::operations(task.clone(), page)).await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        let now = self.clock.now(self.env.clock());
        self.readers.scan(&self.env, reads::health(now)).await
    }

    async fn monitoring(&self) -> Result<Monitoring, StoreError> {
        let now = self.clock.now(self.env.clock());
        self.readers.scan(&self.env, monitoring::read(now)).await
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
