//! What an error of the server, or of the way to it, means to a caller.
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>

use std::error::Error as _;
use std::time::Duration;

use tokio_postgres::Error;
use tokio_postgres::error::{Severity, SqlState};

use crate::error::StoreError;
use crate::payload::DamagedPayload;

/// Trouble inside the backend, before it is known what it means for whom.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{}", told(.0))]
    Postgres(#[from] Error),
    /// The server did not answer in time.
    #[error("no answer within {waited:?}")]
    Silent { waited: Duration },
    /// A server on which what this store promises cannot be kept.
    #[error("{what}")]
    Unfit { what: String },
    /// A row that this program can never have written.
    #[error("{what}")]
    Impossible { what: String },
    #[error("{what}: {damage}")]
    Damaged { what: String, damage: DamagedPayload },
}

/// An error as a person should read it: the crate's own text leaves out what the server said.
pub(super) fn told(error: &Error) -> String {
    if let Some(answer) = error.as_db_error() {
        let code = format!("{} ({})", answer.message(), answer.code().code());
        let more = [answer.detail(), answer.hint()].into_iter().flatten();
        return std::iter::once(code.as_str()).chain(more).collect::<Vec<_>>().join("; ");
    }
    match error.source() {
        Some(source) if !error.to_string().contains(&source.to_string()) => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}

impl Trouble {
    pub(super) fn impossible(what: impl Into<String>) -> Self {
        Self::Impossible { what: what.into() }
    }

    pub(super) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.code(),
            _ => None,
        }
    }

    fn is(&self, codes: &[SqlState]) -> bool {
        self.code().is_some_and(|code| codes.contains(code))
    }

    /// Whether somebody else's transaction came in between, so that the same batch is to be tried again as a whole:
    /// another order of locks, another writer of the same id, an engine that is always serializable.
    pub(super) fn is_conflict(&self) -> bool {
        self.is(&[
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::UNIQUE_VIOLATION,
            SqlState::FOREIGN_KEY_VIOLATION,
        ])
    }

    /// Whether the connection is of no use any more, or the server is not there for now.
    pub(super) fn is_disconnected(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            Self::Postgres(error) => match error.as_db_error() {
                Some(answer) => {
                    matches!(answer.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
                        || self.is(&[
                            SqlState::ADMIN_SHUTDOWN,
                            SqlState::CRASH_SHUTDOWN,
                            SqlState::CANNOT_CONNECT_NOW,
                            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                        ])
                }
                None => true,
            },
            Self::Unfit { .. } | Self::Impossible { .. } | Self::Damaged { .. } => false,
        }
    }

    /// Whether a connection is refused for now and may be had in a moment.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            Self::Postgres(error) if error.as_db_error().is_some() => self.is(&[
                SqlState::ADMIN_SHUTDOWN,
                SqlState::CRASH_SHUTDOWN,
                SqlState::CANNOT_CONNECT_NOW,
                SqlState::TOO_MANY_CONNECTIONS,
            ]),
            Self::Postgres(error) => {
                let mut cause = error.source();
                while let Some(inner) = cause {
                    if inner.downcast_ref::<std::io::Error>().is_some() {
                        return true;
                    }
                    cause = inner.source();
                }
                error.is_closed()
            }
            Self::Unfit { .. } | Self::Impossible { .. } | Self::Damaged { .. } => false,
        }
    }

    /// Whether a COMMIT that was answered so was surely not applied: the server said that it took everything back. Not
    /// so when the connection went with the answer, nor when an engine says that it cannot tell (40003).
    pub(super) fn took_back(&self) -> bool {
        match self {
            Self::Postgres(error) => error.as_db_error().is_some_and(|answer| {
                matches!(answer.parsed_severity(), Some(Severity::Error))
                    && *answer.code() != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
            }),
            _ => false,
        }
    }

    /// What a caller is told whose work was surely not applied, after so long.
    pub(super) fn not_applied(self, waited: Duration) -> StoreError {
        if self.is(&[SqlState::DISK_FULL]) {
            return StoreError::DiskFull;
        }
        if self.is(&[SqlState::READ_ONLY_SQL_TRANSACTION]) {
            return StoreError::ReadOnly;
        }
        if self.is(&[SqlState::LOCK_NOT_AVAILABLE]) {
            return StoreError::Overloaded { waited, held_by: "a row that another transaction has locked" };
        }
        if self.is(&[SqlState::QUERY_CANCELED]) {
            return StoreError::Overloaded { waited, held_by: "a statement that took longer than it may" };
        }
        if self.is_conflict() {
            return StoreError::Overloaded { waited, held_by: "others that write the same rows" };
        }
        if self.is(&[SqlState::DIVISION_BY_ZERO]) {
            let what = "a row that was changed by somebody else while it was locked".into();
            return StoreError::Corrupt { what, source: Some(Box::new(self)) };
        }
        if self.is(&[SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED]) {
            return StoreError::Corrupt { what: "the database".into(), source: Some(Box::new(self)) };
        }
        match self {
            Self::Impossible { what } => StoreError::Corrupt { what, source: None },
            Self::Damaged { what, damage } => StoreError::Corrupt { what, source: Some(Box::new(damage)) },
            other => StoreError::Failed { source: Box::new(other) },
        }
    }

    /// What a caller is told whose COMMIT was sent and not answered.
    pub(super) fn unknown(self) -> StoreError {
        StoreError::Unknown { source: Box::new(self) }
    }
}
