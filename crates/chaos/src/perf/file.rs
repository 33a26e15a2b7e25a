//! A database file made for one measurement, with the settings that every side has alike.

use std::io;
use std::path::PathBuf;

use rusqlite::{Connection, OpenFlags};

use super::{PerfError, sql};

/// The page that sizes of the write-ahead log are counted in.
const COUNTED_PAGE_BYTES: u32 = 4096;

/// What the file is to be.
#[derive(Debug, Clone)]
pub(super) struct FileOptions {
    pub(super) path: PathBuf,
    /// In bytes.
    pub(super) page_size: u32,
    pub(super) vfs: Option<String>,
    /// In pages of 4 KiB, whatever the page size: so files of different pages fold equal bytes.
    pub(super) wal_pages: u32,
}

/// An empty database in WAL mode, folded by SQLite itself at a number of pages.
///
/// That is the same passive checkpoint, in the same place, after a commit, as the store's own
/// writer runs; only the counting is SQLite's.
pub(super) fn create(options: &FileOptions) -> Result<Connection, PerfError> {
    if options.path.try_exists()? {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a floor or a layout needs a file of its own",
        )
        .into());
    }
    let flags = OpenFlags::default();
    let connection = match &options.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(&options.path, flags, vfs.as_str())?,
        None => Connection::open_with_flags(&options.path, flags)?,
    };
    let set = |setting, wanted: u32| set(&connection, setting, wanted);
    set("page_size", options.page_size)?;
    connection.execute_batch(sql::file::JOURNAL_AND_CACHE)?;
    let folded = u64::from(options.wal_pages) * u64::from(COUNTED_PAGE_BYTES) / u64::from(options.page_size);
    set("wal_autocheckpoint", u32::try_from(folded).unwrap_or(u32::MAX).max(1))?;
    check(&connection, "journal_mode", "wal")?;
    check(&connection, "page_size", &options.page_size.to_string())?;
    Ok(connection)
}

/// From now on a commit returns after its log is on the device (`synchronous=FULL`).
pub(super) fn make_durable(connection: &Connection) -> Result<(), PerfError> {
    connection.execute_batch(sql::file::FULL)?;
    check(connection, "synchronous", "2")
}

/// From now on nothing is synced: for filling a file before anything is measured.
pub(super) fn make_hasty(connection: &Connection) -> Result<(), PerfError> {
    connection.execute_batch(sql::file::OFF)?;
    check(connection, "synchronous", "0")
}

/// Pages in the write-ahead log, counted without doing anything (since SQLite 3.51).
pub(super) fn logged_pages(connection: &Connection) -> Result<u64, PerfError> {
    let pages: i64 = connection.prepare_cached(sql::file::COUNT_LOG)?.query_row([], |row| row.get(1))?;
    Ok(u64::try_from(pages).unwrap_or(0))
}

/// Folds the log into the file, as far as there is anything to fold.
pub(super) fn fold(connection: &Connection) -> Result<(), PerfError> {
    Ok(connection.query_row(sql::file::FOLD, [], |_| Ok(()))?)
}

/// Whether this build keeps the pages of all connections in one list.
pub(super) fn shares_page_cache(connection: &Connection) -> Result<bool, PerfError> {
    Ok(connection.query_row(sql::file::SHARES_PAGE_CACHE, [], |row| row.get(0))?)
}

fn set(connection: &Connection, setting: &'static str, wanted: u32) -> Result<(), PerfError> {
    connection.pragma_update(None, setting, wanted)?;
    Ok(())
}

fn check(connection: &Connection, setting: &'static str, wanted: &str) -> Result<(), PerfError> {
    let actual = connection.pragma_query_value(None, setting, |row| {
        let value: rusqlite::types::Value = row.get(0)?;
        Ok(match value {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        })
    })?;
    if actual == wanted {
        Ok(())
    } else {
        Err(PerfError::Setting { setting, wanted: wanted.to_owned(), actual })
    }
}
