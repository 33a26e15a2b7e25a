//! Takes the whole cache of a model away while no worker lives, as a restored backup or a hasty operator would.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::sql::LOSE_ANSWERS;

/// What the keys of cached answers begin with.
const ANSWERS: &str = "llm-cache:";
/// How long it waits for the write lock of somebody who recovers the log.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many answers there were. The log stays, as the killed worker has left it.
pub(super) fn lose_answers(database: &Path) -> rusqlite::Result<usize> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute(LOSE_ANSWERS, [ANSWERS])
}
