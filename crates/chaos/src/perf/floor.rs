//! The fixed floor: what bare SQLite takes for a durable row, and for reading a value back.
//!
//! Nothing that keeps a task, a number and a payload in an SQLite file, with the task's numbers
//! unique, can do with less. It is a yardstick and never changes: a figure of the store is quoted
//! as a share of it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use steadfast_store::SqliteOptions;

use super::data::Data;
use super::file::{self, FileOptions};
use super::table::{self, GroupRun, Table, row_of};
use super::{PAYLOAD_BYTES, PerfError, TASKS, VALUE_BYTES, sql};

const SALT_BYTES: usize = 16;

/// How the floor's file is made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FloorOptions {
    /// The file. It must not be there yet; its folder must.
    pub path: PathBuf,
    /// The size of a page in bytes. 4,096 unless the floor itself is the experiment.
    pub page_size: u32,
    /// The name of a registered SQLite VFS, for instance one that delays syncs; the default one otherwise.
    pub vfs: Option<String>,
    /// Rows that are there before anything is measured.
    pub preload_rows: usize,
    /// Values that [`Floor::point_select`] can read, under the keys from 0.
    pub values: usize,
    /// Pages of 4 KiB in the log at which it is folded into the file; as many as the store's default.
    pub wal_pages: u32,
    /// What the bytes are drawn from.
    pub seed: u64,
}

impl FloorOptions {
    /// An empty floor in this file, without values to read.
    pub fn new(path: impl Into<PathBuf>, seed: u64) -> Self {
        let path = path.into();
        let wal_pages = SqliteOptions::new(&path).wal_pages;
        Self { path, page_size: 4096, vfs: None, preload_rows: 0, values: 0, wal_pages, seed }
    }
}

/// A value read back and checked.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The bytes, [`VALUE_BYTES`] of them.
    pub value: Vec<u8>,
    /// From before the statement was taken from its cache until the digest was found right.
    pub elapsed: Duration,
}

/// Bare SQLite: one rowid table, unique by task and number, payloads inline, one connection, every
/// commit durable (`synchronous=FULL`).
///
/// Payloads are random bytes of [`PAYLOAD_BYTES`], drawn before they are measured, for [`TASKS`]
/// tasks in turn. A fold of the log counts into the transaction that it follows.
///
/// ```
/// use steadfast_chaos::perf::{Floor, FloorOptions};
///
/// let folder = tempfile::tempdir()?;
/// let mut options = FloorOptions::new(folder.path().join("floor.db"), 7);
/// options.values = 10;
/// let mut floor = Floor::create(&options)?;
/// assert_eq!(floor.group_loop(100, 1_000)?.rows, 1_000);
/// assert_eq!(floor.point_select(3)?.value.len(), 2_048);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Floor {
    connection: Connection,
    data: Data,
    /// The last number of each task.
    last: Vec<i64>,
    /// Rows so far; the next one belongs to this task, modulo their number.
    rows: usize,
}

impl Floor {
    /// Makes the file, puts the asked-for rows and values in, and syncs them.
    ///
    /// The log is still short. [`warm`](Self::warm) it before measuring throughput.
    ///
    /// # Errors
    /// [`PerfError`] when the file is there already, or SQLite refuses it or a setting.
    pub fn create(options: &FloorOptions) -> Result<Self, PerfError> {
        let FloorOptions { path, page_size, vfs, preload_rows, values, wal_pages, seed } = options.clone();
        let connection = file::create(&FileOptions { path, page_size, vfs, wal_pages })?;
        connection.execute_batch(sql::floor::CREATE)?;
        let mut floor = Self { connection, data: Data::new(seed), last: vec![0; TASKS], rows: 0 };
        floor.put_values(values)?;
        table::fill(&mut floor, preload_rows)?;
        Ok(floor)
    }

    /// Inserts rows, outside any figure, until the log has the length that it keeps.
    ///
    /// # Errors
    /// [`PerfError::Sqlite`].
    pub fn warm(&mut self) -> Result<(), PerfError> {
        table::warm(self)
    }

    /// Inserts one row in a transaction of its own, durable on return, and says how long that took.
    ///
    /// # Errors
    /// [`PerfError::Sqlite`].
    pub fn create_one(&mut self) -> Result<Duration, PerfError> {
        let began = Instant::now();
        table::transact(self, 1)?;
        Ok(began.elapsed())
    }

    /// Inserts rows in transactions of `group_size` until at least `rows` are in, each transaction
    /// durable before the next begins.
    ///
    /// # Errors
    /// [`PerfError::Sqlite`].
    pub fn group_loop(&mut self, group_size: usize, rows: usize) -> Result<GroupRun, PerfError> {
        table::group_loop(self, group_size, rows)
    }

    /// Reads one value by its key, copies it out, and compares its BLAKE3 digest, over salt and
    /// bytes, with the one stored beside it: what the store does for each payload it hands out.
    ///
    /// # Errors
    /// [`PerfError::Sqlite`] for a key that is not there, [`PerfError::Damaged`] for a wrong digest.
    pub fn point_select(&self, key: usize) -> Result<Lookup, PerfError> {
        let began = Instant::now();
        let mut statement = self.connection.prepare_cached(sql::floor::READ_VALUE)?;
        let (value, is_right) = statement.query_row([row_of(key)], |row| {
            let salt = row.get_ref(0)?.as_blob()?;
            let stored = row.get_ref(1)?.as_blob()?;
            let value = row.get_ref(2)?.as_blob()?.to_vec();
            let is_right = salted(salt, &value).as_bytes() == stored;
            Ok((value, is_right))
        })?;
        let elapsed = began.elapsed();
        if is_right { Ok(Lookup { value, elapsed }) } else { Err(PerfError::Damaged(key)) }
    }

    /// Whether the SQLite of this process keeps the pages of all connections in one list, so that
    /// what runs beside the floor changes the floor. See [the module](super).
    ///
    /// # Errors
    /// [`PerfError::Sqlite`].
    pub fn shares_page_cache(&self) -> Result<bool, PerfError> {
        file::shares_page_cache(&self.connection)
    }

    fn put_values(&mut self, values: usize) -> Result<(), PerfError> {
        file::make_hasty(&self.connection)?;
        let transaction = self.connection.unchecked_transaction()?;
        {
            let mut insert = transaction.prepare(sql::floor::PUT_VALUE)?;
            for key in 0..values {
                let bytes = self.data.bytes(VALUE_BYTES + SALT_BYTES);
                let (salt, value) = bytes.split_at(SALT_BYTES);
                insert.execute(params![row_of(key), salt, salted(salt, value).as_bytes(), value])?;
            }
        }
        Ok(transaction.commit()?)
    }
}

impl Table for Floor {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn insert(&mut self, rows: usize) -> Result<(), PerfError> {
        let mut insert = self.connection.prepare_cached(sql::floor::INSERT)?;
        for row in self.rows..self.rows + rows {
            let task = row % TASKS;
            self.last[task] += 1;
            insert.execute(params![row_of(task), self.last[task], self.data.bytes(PAYLOAD_BYTES)])?;
        }
        self.rows += rows;
        Ok(())
    }
}

fn salted(salt: &[u8], bytes: &[u8]) -> blake3::Hash {
    blake3::Hasher::new().update(salt).update(bytes).finalize()
}
