//! The pool of read connections. Small point reads run at once, on the caller's thread: a look into a cached page is
//! shorter than a change of threads. Everything else runs where blocking is allowed.

use std::time::Duration;

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;

use crate::env::Env;
use crate::error::{OpenError, StoreError};
use crate::planted::{self, Bug};
use crate::sqlite::closing::StillOpen;
use crate::sqlite::connect;
use crate::sqlite::failure::Trouble;
use crate::sqlite::map::OverBudget;
use crate::sqlite::options::SqliteOptions;
use crate::sqlite::sql;
use crate::sync::oneshot;

/// Payload bytes that a read on the caller's thread may copy and hash: some ten microseconds of work.
const INLINE_BYTES_MAX: usize = 32 * 1024;
/// How long a read off the caller's thread waits for a connection, and for a lock.
const WAIT_MAX: Duration = Duration::from_secs(10);

type Pool = r2d2::Pool<Manager>;

/// Makes read connections.
#[derive(Debug)]
struct Manager {
    connect: SqliteConnectionManager,
    open: StillOpen,
}

/// A read connection.
#[derive(Debug)]
struct Reader {
    connection: Connection,
    _open: StillOpen,
}

impl r2d2::ManageConnection for Manager {
    type Connection = Reader;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<Reader> {
        Ok(Reader { connection: self.connect.connect()?, _open: self.open.clone() })
    }

    fn is_valid(&self, reader: &mut Reader) -> rusqlite::Result<()> {
        self.connect.is_valid(&mut reader.connection)
    }

    fn has_broken(&self, reader: &mut Reader) -> bool {
        self.connect.has_broken(&mut reader.connection)
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Readers {
    pool: Pool,
}

impl Readers {
    pub(super) fn open(options: &SqliteOptions, open: StillOpen) -> Result<Self, OpenError> {
        let connect = SqliteConnectionManager::file(options.uri()).with_flags(connect::flags()).with_init(
            |connection| {
                connect::reader(connection)?;
                // Nobody may wait on the caller's thread.
                connection.busy_timeout(Duration::ZERO)
            },
        );
        let builder = r2d2::Pool::builder();
        #[cfg(steadfast_shuttle)]
        let threads = crate::sync::PoolThreads::default();
        #[cfg(steadfast_shuttle)]
        let builder = builder.thread_pool(threads.of_pool());
        let pool = builder
            .max_size(options.readers)
            .min_idle(Some(1))
            .test_on_check_out(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connection_timeout(WAIT_MAX)
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build(Manager { connect, open })
            .map_err(|error| OpenError::Failed { path: options.path.clone(), source: Box::new(error) })?;
        #[cfg(steadfast_shuttle)]
        threads.finish();
        Ok(Self { pool })
    }

    /// A point read. `look` is told how many bytes it may copy; when they do not suffice, or the database is locked
    /// for a moment, it is asked again off the caller's thread without a bound.
    pub(super) async fn point<T: Send + 'static>(
        &self,
        env: &Env,
        look: impl Fn(&Connection, usize) -> Result<Result<T, OverBudget>, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        if let Some(connection) = self.pool.try_get() {
            match looked(&connection.connection, |connection| look(connection, INLINE_BYTES_MAX)) {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(OverBudget)) => {}
                Err(trouble) if trouble.is_busy() => {}
                Err(trouble) => return Err(trouble.not_applied()),
            }
        }
        self.whole(env, look).await
    }

    /// The same off the caller's thread, without a bound.
    pub(super) async fn whole<T: Send + 'static>(
        &self,
        env: &Env,
        look: impl Fn(&Connection, usize) -> Result<Result<T, OverBudget>, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        let whole = move |connection: &Connection| match look(connection, usize::MAX) {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(OverBudget)) => Err(Trouble::impossible("the length of a payload")),
            Err(trouble) => Err(trouble),
        };
        self.scan(env, whole).await
    }

    /// A read that may take its time.
    pub(super) async fn scan<T: Send + 'static>(
        &self,
        env: &Env,
        look: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let pool = self.pool.clone();
        env.runtime().spawn_blocking(Box::new(move || {
            // Nobody may be waiting any more.
            drop(answer.send(blocking(&pool, look)));
        }));
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

/// One look. With the planted bug every second one of a connection is at the snapshot of the one before it.
fn looked<T>(connection: &Connection, look: impl FnOnce(&Connection) -> T) -> T {
    if !planted::is(Bug::StaleRead) {
        return look(connection);
    }
    let lingers = !connection.is_autocommit();
    if !lingers {
        drop(connection.execute_batch(sql::transaction::BEGIN_READING));
    }
    let found = look(connection);
    if lingers {
        drop(connection.execute_batch(sql::transaction::ROLLBACK));
    }
    found
}

fn blocking<T>(pool: &Pool, look: impl FnOnce(&Connection) -> Result<T, Trouble>) -> Result<T, StoreError> {
    let reader =
        pool.get().map_err(|_| StoreError::Overloaded { waited: WAIT_MAX, held_by: "a read connection" })?;
    let connection = &reader.connection;
    let timeout = |span| connection.busy_timeout(span).map_err(|error| Trouble::from(error).not_applied());
    timeout(WAIT_MAX)?;
    let found = looked(connection, look);
    timeout(Duration::ZERO)?;
    found.map_err(Trouble::not_applied)
}
