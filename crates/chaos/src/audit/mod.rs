//! What the file really holds: read by plain SQL on a connection of the runner's own, and verified by its own
//! computation. Nothing of the code under test takes part, but where the store is in memory ([`look`]).

mod chain;
pub mod look;
pub(crate) mod sql;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

pub use chain::{chain_faults, newest_verified, pruned_chain_faults};
pub use look::{Look, Reads};

/// How long a look waits for the write lock of somebody who recovers the log.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The kind of the checkpoints that a sweep makes.
pub const BOUNDARY: &str = "error_boundary";

/// A row of `tasks`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    row: i64,
    key: String,
    /// Where it stands.
    pub status: String,
    /// The sequence number of its newest checkpoint, as it says itself.
    pub last_sequence: u64,
    /// The link of its newest checkpoint, as it says itself.
    pub head_link: Vec<u8>,
    /// What came of it; empty until then.
    pub result: Vec<u8>,
    /// The sequence number through which its checkpoints were removed.
    pub pruned_through: u64,
}

/// A row of `checkpoints`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRow {
    /// Its place.
    pub sequence: u64,
    /// Its id.
    pub id: Vec<u8>,
    /// Its type.
    pub kind: String,
    /// The item it was made under.
    pub work_item: Option<String>,
    /// Its salt.
    pub salt: Vec<u8>,
    /// The digests of payload and evidence, the parent's link and its own.
    pub digests: [Vec<u8>; 4],
    /// The state.
    pub payload: Vec<u8>,
    /// The evidence.
    pub evidence: Vec<u8>,
    /// Whether the state was erased on purpose.
    pub is_erased: bool,
}

/// A row of `idempotency_keys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRow {
    /// Its key.
    pub key: String,
    /// Where it stands.
    pub status: String,
    /// What may happen when its owner vanishes.
    pub abandonment: String,
}

impl OperationRow {
    /// Whether nobody knows if its effect happened, and nobody may try again: of a task whose worker is dead.
    pub fn is_doubtful(&self) -> bool {
        self.status == "in_doubt" || (self.status == "pending" && self.abandonment == "doubt")
    }
}

/// A row of `work_items`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRow {
    /// Where it stands.
    pub status: String,
    /// Its newest fence.
    pub fence: u64,
    /// Claims that counted.
    pub attempt: u64,
    /// The fence and the manner of its last settlement.
    pub settled: Option<(u64, String)>,
    /// The lease, while there is one.
    pub lease: Option<LeaseColumns>,
    /// From when it may be claimed, in store time: after a reclaim, when that was.
    pub available_at_ms: i64,
}

/// Where an item stands, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemStanding {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub status: String,
    /// Who holds it.
    pub holder: Option<String>,
    /// Claims that counted.
    pub attempt: u64,
    /// The manner of its last settlement.
    pub settlement: Option<String>,
}

/// The lease of an item, in store time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseColumns {
    /// Who holds it.
    pub holder: String,
    /// Since when.
    pub acquired_at_ms: i64,
    /// Until when.
    pub expires_at_ms: i64,
}

/// A connection that only looks.
#[derive(Debug)]
pub struct Audit {
    connection: Connection,
}

impl Audit {
    /// Opens the file for looking. Closing it leaves the write-ahead log as a killed process has left it, for the next
    /// worker to recover from.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        Self::over(Connection::open_with_flags(path, Self::flags())?)
    }

    /// The same through a registered VFS.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn open_through(vfs: &str, path: &Path) -> rusqlite::Result<Self> {
        Self::over(Connection::open_with_flags_and_vfs(path, Self::flags(), vfs)?)
    }

    fn flags() -> OpenFlags {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
    }

    fn over(connection: Connection) -> rusqlite::Result<Self> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.execute_batch(sql::QUERY_ONLY)?;
        Ok(Self { connection })
    }

    /// What `integrity_check` and `foreign_key_check` complain of, and items that are leased by half; nothing for a sound
    /// file.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn faults(&self) -> rusqlite::Result<Vec<String>> {
        let mut faults = self.rows(sql::INTEGRITY, [], |row| row.get::<_, String>(0))?;
        faults.retain(|line| line != "ok");
        let keys = self.rows(sql::FOREIGN_KEYS, [], |row| row.get::<_, String>(0))?;
        faults.extend(
            keys.into_iter().map(|table| format!("a row of {table} refers to one that is not there")),
        );
        if self.connection.query_row(sql::HAS_ITEMS, [], |row| row.get::<_, i64>(0))? == 0 {
            return Ok(faults);
        }
        let items = self.rows(sql::HALF_LEASED, [], |row| row.get::<_, String>(0))?;
        faults.extend(
            items.into_iter().map(|item| format!("some columns of {item} tell of a lease, others not")),
        );
        Ok(faults)
    }

    /// The connection, for looks of a case's own.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The keys of all tasks, in the order in which they were created.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn task_keys(&self) -> rusqlite::Result<Vec<String>> {
        self.rows(sql::TASK_KEYS, [], |row| row.get(0))
    }

    /// A task.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn task(&self, key: &str) -> rusqlite::Result<Option<TaskRow>> {
        let read = |row: &Row<'_>| {
            let (status, key) = (row.get(1)?, key.to_owned());
            let (row_id, last_sequence, head_link) = (row.get(0)?, row.get(2)?, row.get(3)?);
            let result = row.get::<_, Option<Vec<u8>>>(4)?.unwrap_or_default();
            let pruned_through = row.get(5)?;
            Ok(TaskRow { row: row_id, key, status, last_sequence, head_link, result, pruned_through })
        };
        self.connection.query_row(sql::TASK, [key], read).optional()
    }

    /// All checkpoints of a task, in their order.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn checkpoints(&self, task: &TaskRow) -> rusqlite::Result<Vec<CheckpointRow>> {
        self.rows(sql::CHECKPOINTS, [task.row], |row| {
            Ok(CheckpointRow {
                sequence: row.get(0)?,
                id: row.get(1)?,
                kind: row.get(2)?,
                work_item: row.get(3)?,
                salt: row.get(4)?,
                digests: [row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?],
                payload: row.get(9)?,
                evidence: row.get(10)?,
                is_erased: row.get(11)?,
            })
        })
    }

    /// Whether there is a checkpoint of this id, of whichever task.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn has_checkpoint(&self, id: &[u8]) -> rusqlite::Result<bool> {
        self.connection.query_row(sql::CHECKPOINT_EXISTS, [id], |row| Ok(row.get::<_, i64>(0)? > 0))
    }

    /// All operations of a task, in order of their keys.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn operations(&self, task: &TaskRow) -> rusqlite::Result<Vec<OperationRow>> {
        self.rows(sql::OPERATIONS, [task.row], |row| {
            Ok(OperationRow { key: row.get(0)?, status: row.get(1)?, abandonment: row.get(2)? })
        })
    }

    /// A work item.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn item(&self, id: &str) -> rusqlite::Result<Option<ItemRow>> {
        let read = |row: &Row<'_>| {
            let (settled_fence, settlement): (Option<u64>, Option<String>) = (row.get(3)?, row.get(4)?);
            let (holder, acquired, expires): (Option<String>, Option<i64>, Option<i64>) =
                (row.get(5)?, row.get(6)?, row.get(7)?);
            let lease = holder.zip(acquired).zip(expires).map(|((holder, acquired_at_ms), expires_at_ms)| {
                LeaseColumns { holder, acquired_at_ms, expires_at_ms }
            });
            Ok(ItemRow {
                status: row.get(0)?,
                fence: row.get(1)?,
                attempt: row.get(2)?,
                settled: settled_fence.zip(settlement),
                lease,
                available_at_ms: row.get(8)?,
            })
        };
        self.connection.query_row(sql::ITEM, [id], read).optional()
    }

    /// All work items, in the order in which they were submitted.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn items(&self) -> rusqlite::Result<Vec<ItemStanding>> {
        self.rows(sql::ITEMS, [], |row| {
            Ok(ItemStanding {
                id: row.get(0)?,
                status: row.get(1)?,
                holder: row.get(2)?,
                attempt: row.get(3)?,
                settlement: row.get(4)?,
            })
        })
    }

    /// How many work items stand where, by their status.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn items_by_status(&self) -> rusqlite::Result<Vec<(String, usize)>> {
        self.rows(sql::ITEMS_BY_STATUS, [], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// The items that this holder's lease covers, alive or dead.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn held_by(&self, holder: &str) -> rusqlite::Result<Vec<String>> {
        self.rows(sql::HELD_BY, [holder], |row| row.get(0))
    }

    /// How many checkpoints of this kind there are, of all tasks.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn checkpoints_of_kind(&self, kind: &str) -> rusqlite::Result<usize> {
        self.connection.query_row(sql::CHECKPOINTS_OF_KIND, [kind], |row| row.get(0))
    }

    /// How many operations stand so whose keys begin like this.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn operations_at(&self, status: &str, prefix: &str) -> rusqlite::Result<usize> {
        self.connection.query_row(sql::OPERATIONS_BY_STATUS, [status, prefix], |row| row.get(0))
    }

    /// What any statement of the runner's own answers.
    ///
    /// # Errors
    /// What SQLite answers.
    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.connection.prepare(sql)?.query_map(parameters, read)?.collect()
    }
}
