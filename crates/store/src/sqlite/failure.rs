//! What an SQLite error means to a caller. <https://www.sqlite.org/rescode.html>

use std::path::Path;

use rusqlite::{ErrorCode, ffi};
use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::error::{OpenError, StoreError};
use crate::payload::DamagedPayload;

/// Trouble inside the backend, before it is known what it means for whom.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A row that this program can never have written.
    #[error("{what}")]
    Impossible { what: String },
    #[error("{what}: {damage}")]
    Damaged { what: String, damage: DamagedPayload },
}

impl Trouble {
    pub(super) fn impossible(what: impl Into<String>) -> Self {
        Self::Impossible { what: what.into() }
    }

    pub(super) fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            _ => None,
        }
    }

    /// Whether the write lock, or the database, is in somebody else's hands.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }

    /// Whether the file could not grow.
    pub(super) fn is_disk_full(&self) -> bool {
        self.code() == Some(ErrorCode::DiskFull)
    }

    /// Whether a flush to the device failed, rather than a write or a read.
    pub(super) fn is_failed_sync(&self) -> bool {
        let Self::Sqlite(rusqlite::Error::SqliteFailure(error, _)) = self else { return false };
        [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC].contains(&error.extended_code)
    }

    /// Whether the file is not what was written to it: SQLite says so, or it ends where it should go on, or it holds a
    /// value or a table that none of our statements can have put there. Trying again finds the same.
    fn is_damage(&self) -> bool {
        use rusqlite::Error;
        let Self::Sqlite(error) = self else { return false };
        match error {
            Error::SqliteFailure(failure, message) => {
                matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                    || failure.extended_code == ffi::SQLITE_IOERR_SHORT_READ
                    || failure.extended_code == ffi::SQLITE_ERROR
                        && message.as_deref().is_some_and(names_what_is_missing)
            }
            // A statement of ours does not fit the tables that the version of this schema has.
            Error::SqlInputError { .. }
            | Error::FromSqlConversionFailure(..)
            | Error::InvalidColumnType(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..) => true,
            _ => false,
        }
    }

    /// What a caller is told whose work was surely not applied.
    pub(super) fn not_applied(self) -> StoreError {
        if self.is_damage() {
            return StoreError::Corrupt { what: "the database file".into(), source: Some(Box::new(self)) };
        }
        match self.code() {
            Some(ErrorCode::DiskFull) => StoreError::DiskFull,
            Some(ErrorCode::ReadOnly) => StoreError::ReadOnly,
            Some(_) | None => match self {
                Self::Sqlite(source) => StoreError::Failed { source: Box::new(source) },
                Self::Impossible { what } => StoreError::Corrupt { what, source: None },
                Self::Damaged { what, damage } => {
                    StoreError::Corrupt { what, source: Some(Box::new(damage)) }
                }
            },
        }
    }

    /// What somebody is told who wanted to open `path`.
    pub(super) fn not_opened(self, path: &Path) -> OpenError {
        let path = path.to_owned();
        match self.code() {
            Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { path },
            _ if self.is_damage() => OpenError::Corrupt { path, source: Box::new(self) },
            Some(ErrorCode::ReadOnly) => OpenError::ReadOnly { path },
            Some(ErrorCode::CannotOpen) if path.is_dir() => OpenError::NotADatabase { path },
            _ => OpenError::Failed { path, source: Box::new(self) },
        }
    }
}

/// Whether SQLite says that there is no table or column of a name. Its code for that is the one for every mistake in a
/// statement and for some in how they follow one another, so only the text tells.
fn names_what_is_missing(message: &str) -> bool {
    ["no such table: ", "no such column: ", " has no column named "].iter().any(|text| message.contains(text))
}

/// Whether this process lacks the access that it needs to the file, or to the folder that the file would be made in.
pub(super) fn denies_access(path: &Path) -> bool {
    let needed = Access::READ_OK | Access::WRITE_OK;
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let answer = match access(path, needed) {
        Err(Errno::NOENT) => access(folder, Access::WRITE_OK | Access::EXEC_OK),
        answer => answer,
    };
    matches!(answer, Err(Errno::ACCESS | Errno::PERM | Errno::ROFS))
}
