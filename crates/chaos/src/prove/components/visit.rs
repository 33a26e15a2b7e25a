//! A process that comes and goes: it opens a database, reads it and closes it. Whoever closes last folds the log and
//! removes it, and only the locks of the others tell it that it is not the last.

use std::path::PathBuf;

use clap::Args;
use rusqlite::Connection;

use super::sql;

/// Its verb on the command line.
pub(super) const NAME: &str = "visit";

/// What it takes.
#[derive(Debug, Clone, Args)]
pub struct VisitArgs {
    /// The database.
    path: PathBuf,
}

impl VisitArgs {
    /// Pays the visit.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn run(self) -> rusqlite::Result<()> {
        let database = Connection::open(self.path)?;
        database.query_row(sql::VISIT, [], |_| Ok(()))?;
        database.close().map_err(|(_, error)| error)
    }
}
