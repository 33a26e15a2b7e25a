//! The store of a run, without its threads: batches are applied, and rows read, in the instant in which the simulator
//! says so.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use steadfast_store::env::{BoxFuture, Env, Runtime};
use steadfast_store::{
    Batch, Committed, MemoryStore, OpenError, SqliteCore, SqliteOptions, SqliteStore, Store, StoreError,
};

/// How long the core may wait for its write lock, which nobody else ever has.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) enum Backend {
    Memory(MemoryStore),
    /// Writes go through the synchronous core; the reads are the store's own, on read connections beside it. Its
    /// writer's thread is never given anything to do.
    Sqlite {
        core: Box<Mutex<SqliteCore>>,
        reads: SqliteStore,
    },
}

impl Backend {
    pub(super) fn memory(env: Env) -> Self {
        Self::Memory(MemoryStore::new(env))
    }

    /// On a new file in `folder`.
    pub(super) fn sqlite(folder: &Path, env: Env) -> Result<Self, OpenError> {
        let mut options = SqliteOptions::new(folder.join("simulated.db"));
        options.readers = 1;
        let env = env.with_runtime(Arc::new(AtOnce));
        let core = SqliteCore::open(&options, env.clone())?;
        let failed = || OpenError::Failed { path: options.path.clone(), source: "it waited".into() };
        let reads = at_once(SqliteStore::open(options.clone(), env)).ok_or_else(failed)??;
        Ok(Self::Sqlite { core: Box::new(Mutex::new(core)), reads })
    }

    /// Applies a batch, now.
    pub(super) fn apply(&self, batch: &Batch) -> Result<Committed, StoreError> {
        match self {
            Self::Memory(store) => at_once(store.commit(batch.clone())).unwrap_or_else(|| Err(waited())),
            Self::Sqlite { core, .. } => {
                core.lock().apply(&[batch], LOCK_WAIT).pop().unwrap_or_else(|| Err(waited()))
            }
        }
    }

    /// A read, now.
    pub(super) fn read<'a, T, F>(&'a self, look: impl FnOnce(&'a dyn Store) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + 'a,
    {
        let store: &dyn Store = match self {
            Self::Memory(store) => store,
            Self::Sqlite { reads, .. } => reads,
        };
        at_once(look(store)).unwrap_or_else(|| Err(waited()))
    }
}

fn waited() -> StoreError {
    StoreError::Failed { source: "the backend of a simulation did not answer at once".into() }
}

/// What a future gives that never waits.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Runs whatever is spawned before it returns.
#[derive(Debug)]
struct AtOnce;

impl Runtime for AtOnce {
    fn spawn(&self, future: BoxFuture) {
        // One that waits is dropped; nothing that is asked of a backend here does.
        let _ = at_once(future);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        work();
    }

    fn sleep(&self, _: Duration) -> BoxFuture {
        Box::pin(std::future::ready(()))
    }

    fn yield_now(&self) -> BoxFuture {
        Box::pin(std::future::ready(()))
    }
}
