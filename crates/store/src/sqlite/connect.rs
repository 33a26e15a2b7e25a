//! Opening the file: whose it is, its settings, its schema, its clock.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, OptionalExtension};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::env::{BootId, Env, Failpoint};
use crate::error::OpenError;
use crate::sqlite::failure::{Trouble, denies_access};
use crate::sqlite::options::SqliteOptions;
use crate::sqlite::text_time::TextTime;
use crate::sqlite::{migrate, pages, sql};
use crate::store_clock::StoreClock;
use crate::sync::sleep_thread;
use crate::time::StoreTime;

/// Statements kept prepared per connection: all that the backend has.
const STATEMENTS_KEPT: usize = 64;

/// Flags of every connection. Each is used by one thread at a time.
pub(super) fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// The write connection, and what was found when it was opened.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) clock: StoreClock,
    /// The file was last opened before the machine was started.
    pub(super) is_new_boot: bool,
}

/// Opens the write connection, and brings the file to this program's schema.
pub(super) fn writer(options: &SqliteOptions, env: &Env) -> Result<Writer, OpenError> {
    let path = options.path.as_path();
    if !options.folder().is_dir() {
        return Err(OpenError::MissingFolder { folder: options.folder().to_owned() });
    }
    if !options.create && !path.exists() {
        return Err(OpenError::NotThere { path: path.to_owned() });
    }
    // Asked first: SQLite would open the file for reading, and leave a log behind that is as unwritable as the file.
    if denies_access(path) {
        return Err(OpenError::ReadOnly { path: path.to_owned() });
    }
    let told = |error: rusqlite::Error| Trouble::from(error).not_opened(path);
    let creating = if options.create { OpenFlags::SQLITE_OPEN_CREATE } else { OpenFlags::empty() };
    let mut connection = Connection::open_with_flags(options.uri(), flags() | creating).map_err(told)?;
    let opening = Duration::from_millis(sql::connection::BUSY_TIMEOUT_OPENING_MS);
    connection.busy_timeout(opening).map_err(told)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    let version = migrate::version(&connection, path)?;
    if connection.is_readonly(MAIN_DB).map_err(told)? {
        return Err(OpenError::ReadOnly { path: path.to_owned() });
    }
    if !options.create && version < migrate::newest() {
        let (path, found, needed) = (path.to_owned(), version, migrate::newest());
        return Err(OpenError::SchemaTooOld { path, found, needed });
    }
    if version == 0 {
        connection.execute_batch(sql::connection::PAGE_SIZE).map_err(told)?;
    }
    env.reach(Failpoint::WAL_MODE_BEFORE);
    let mode = enter_wal(&connection).map_err(told)?;
    env.reach(Failpoint::WAL_MODE_AFTER);
    if mode != "wal" {
        let source = format!("the file cannot be kept in WAL mode, it stays in mode {mode}");
        return Err(OpenError::Failed { path: path.to_owned(), source: source.into() });
    }
    plan_once(&connection).map_err(told)?;
    connection.execute_batch(sql::connection::EVERY).map_err(told)?;
    connection.execute_batch(sql::connection::WRITER).map_err(told)?;
    connection.execute_batch(sql::transaction::FULL).map_err(told)?;
    pages::count(&connection);
    if !options.powersafe_overwrite {
        fold_what_was_left(&connection, env, version > 0).map_err(|trouble| trouble.not_opened(path))?;
    }
    migrate::migrate(&mut connection, env, path)?;
    let (clock, is_new_boot) = clock(&mut connection, env).map_err(|trouble| trouble.not_opened(path))?;
    connection.busy_timeout(Duration::ZERO).map_err(told)?;
    Ok(Writer { connection, clock, is_new_boot })
}

/// Puts the file into WAL mode, and answers with the mode that it is in. While another process does the same, SQLite
/// answers "busy" at once, whatever the busy timeout: both hold read locks already, and neither would give way.
fn enter_wal(connection: &Connection) -> rusqlite::Result<String> {
    let pause = Duration::from_millis(2);
    let mut left = Duration::from_millis(sql::connection::BUSY_TIMEOUT_OPENING_MS);
    loop {
        match connection.query_row(sql::connection::JOURNAL_MODE, [], |row| row.get(0)) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && !left.is_zero() => {
                left = left.saturating_sub(pause);
                sleep_thread(pause);
            }
            answer => return answer,
        }
    }
}

/// Opens the connection that looks for the commits of others.
pub(super) fn watcher(options: &SqliteOptions) -> Result<Connection, OpenError> {
    let open = || {
        let connection = Connection::open_with_flags(options.uri(), flags())?;
        reader(&connection)?;
        Ok(connection)
    };
    open().map_err(|error: rusqlite::Error| Trouble::from(error).not_opened(&options.path))
}

/// Settings of a read connection.
pub(super) fn reader(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    plan_once(connection)?;
    connection.execute_batch(sql::connection::EVERY)?;
    connection.execute_batch(sql::connection::READER)
}

/// Keeps the planner from looking at bound values. It would look at each `LIMIT ?`, and for that prepare the statement
/// anew whenever a value is bound: a third of what a claim took.
fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Folds the log of an earlier boot before anything is written behind it, where a write may harm what stands beside it.
/// SQLite fills up the last sector of a durable commit by a copy of its last frame, of which the end is not synced; when
/// the power goes just then, that copy is not whole, and SQLite would go on right behind the commit, in its last sector.
fn fold_what_was_left(connection: &Connection, env: &Env, has_schema: bool) -> Result<(), Trouble> {
    let pause = Duration::from_millis(2);
    let mut left = Duration::from_millis(sql::connection::BUSY_TIMEOUT_OPENING_MS);
    loop {
        // Without a clock nobody can tell the boot, and nothing was acknowledged yet.
        let saved = if has_schema { saved_clock(connection)? } else { None };
        if saved.is_some_and(|saved| !saved.resume(env.clock()).1) {
            return Ok(());
        }
        env.reach(Failpoint::WAL_CHECKPOINT_BEFORE);
        let is_busy = match connection.query_row(sql::transaction::WAL_TRUNCATE, [], |row| row.get(0)) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => true,
            answer => answer?,
        };
        env.reach(Failpoint::WAL_CHECKPOINT_AFTER);
        if !is_busy {
            return Ok(());
        }
        if left.is_zero() {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
            let text = "the log of an earlier boot is in use: open the file again".to_owned();
            return Err(rusqlite::Error::SqliteFailure(code, Some(text)).into());
        }
        // Others open it too: SQLite waits for nobody who folds.
        left = left.saturating_sub(pause);
        sleep_thread(pause);
    }
}

fn saved_clock(connection: &Connection) -> rusqlite::Result<Option<StoreClock>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(StoreClock {
            boot: BootId(row.get(0)?),
            anchor_ms: row.get(1)?,
            ceiling: StoreTime::from_millis(row.get(2)?),
        })
    };
    connection.query_row(sql::clock::READ, [], read).optional()
}

/// Reads the clock of this boot, or starts it; answers also whether there was one of another boot.
fn clock(connection: &mut Connection, env: &Env) -> Result<(StoreClock, bool), Trouble> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let saved = saved_clock(&transaction)?;
    let clock = match saved {
        None => StoreClock::begin(env.clock()),
        Some(saved) => {
            let (clock, is_new_boot) = saved.resume(env.clock());
            if is_new_boot {
                let now = clock.now(env.clock()).store;
                transaction.execute(sql::clock::END_LEASES, [TextTime::from(now)])?;
            }
            clock
        }
    };
    if saved != Some(clock) {
        let values = (clock.boot.0, clock.anchor_ms, clock.ceiling.as_millis());
        transaction.execute(sql::clock::WRITE, values)?;
    }
    env.reach(Failpoint::CLOCK_COMMIT_BEFORE);
    transaction.commit()?;
    env.reach(Failpoint::CLOCK_COMMIT_AFTER);
    Ok((clock, saved.is_some_and(|saved| saved.boot != clock.boot)))
}

/// Which files the names stand for now. A log that was replaced under an open store holds none of what was
/// acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileIdentity {
    database: Option<FileNumber>,
    log: Option<FileNumber>,
}

/// Device, major and minor, and inode.
type FileNumber = (u32, u32, u64);

impl FileIdentity {
    /// By name alone: opening and closing the files would drop SQLite's locks on them. Nothing but the inode is asked
    /// for, since this is done after every commit: once somebody has asked for a file's times, Linux (6.13 and later)
    /// notes a finer one in the inode with the next write, which the sync then has to carry to the device, and a
    /// commit took 208 µs instead of 145.
    pub(super) fn look(database: &Path, log: &Path) -> Self {
        let look = |path: &Path| {
            let found = statx(CWD, path, AtFlags::empty(), StatxFlags::INO).ok()?;
            Some((found.stx_dev_major, found.stx_dev_minor, found.stx_ino))
        };
        Self { database: look(database), log: look(log) }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    fn opened() -> (tempfile::TempDir, Connection, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new(folder.path().join("a.db"));
        let writer = writer(&options, &Env::system()).unwrap().connection;
        let reader = watcher(&options).unwrap();
        (folder, writer, reader)
    }

    #[test]
    fn a_bound_limit_does_not_prepare_a_statement_anew() {
        let (_folder, writer, reader) = opened();
        for connection in [writer, reader] {
            let mut statement = connection.prepare(sql::item::EXPIRED).unwrap();
            for limit in 1..10 {
                let rows = statement.query_map(("2026-01-01", limit), |_| Ok(())).unwrap();
                assert_eq!(rows.count(), 0);
            }
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
        }
    }

    #[test]
    fn a_page_of_expired_leases_is_read_in_the_order_of_its_index() {
        let (_folder, writer, _) = opened();
        let mut plan = writer.prepare(&format!("EXPLAIN QUERY PLAN {}", sql::item::EXPIRED)).unwrap();
        let lines = plan.query_map(("2026-01-01", 10), |row| row.get::<_, String>(3)).unwrap();
        let plan = lines.collect::<Result<Vec<_>, _>>().unwrap().join("; ");
        assert!(plan.contains("idx_work_items_lease") && !plan.contains("TEMP B-TREE"), "{plan}");
    }
}
