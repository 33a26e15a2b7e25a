//! What can go wrong with the storage itself, said so that the caller knows whether its batch was applied.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// A boxed error from below: a database, an operating system.
pub type Source = Box<dyn Error + Send + Sync + 'static>;

/// Trouble with a commit or a read.
///
/// For a commit, every variant but [`Unknown`](Self::Unknown) means: surely not applied.
///
/// ```
/// use steadfast_store::StoreError;
///
/// fn what_to_do(error: &StoreError) -> &'static str {
///     match error {
///         StoreError::Unknown { .. } => "submit the same batch again: it applies once",
///         StoreError::Overloaded { .. } => "nothing was applied: try again later",
///         _ => "nothing was applied: look at the message",
///     }
/// }
/// assert!(what_to_do(&StoreError::Closed).starts_with("nothing"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Surely not applied. It may be tried again.
    #[error("the store could not do it, and nothing was applied: {source}")]
    Failed {
        /// Why.
        #[source]
        source: Source,
    },
    /// It may have been applied. Submit the very same batch again, under the same identities, until another answer
    /// comes; never make a new one instead.
    #[error("the batch may or may not have been applied; submit the same batch again: {source}")]
    Unknown {
        /// Why.
        #[source]
        source: Source,
    },
    /// The disk is full. Surely not applied.
    #[error("the disk is full, nothing was applied: free some space, then submit again")]
    DiskFull,
    /// No room, or no write lock, within the batch's wait. Surely not applied.
    #[error(
        "the store was busy for {waited:?}, nothing was applied: submit again later, or with a longer wait ({held_by})"
    )]
    Overloaded {
        /// How long the batch waited.
        waited: Duration,
        /// What it waited for.
        held_by: &'static str,
    },
    /// The storage holds something that it never wrote. Nothing was applied.
    #[error("{what} is damaged: stop writing, keep a copy, restore from a backup{}", detail(source.as_ref()))]
    Corrupt {
        /// What is damaged.
        what: String,
        /// How it was noticed, where something below noticed it.
        #[source]
        source: Option<Source>,
    },
    /// Over a limit. Nothing was written.
    #[error("a {what} of {actual} is over the limit of {limit}: split it, or keep the bytes elsewhere")]
    TooLarge {
        /// What is too large, and its unit.
        what: &'static str,
        /// Its size.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// A value that makes no sense. Nothing was written.
    #[error("this batch cannot be right: {what}")]
    Invalid {
        /// What is wrong, and what to do.
        what: &'static str,
    },
    /// The file or its folder does not allow writing. Nothing was applied.
    #[error("the database is read-only: give this process write access to the file and its folder")]
    ReadOnly,
    /// The store was closed.
    #[error("the store is closed, nothing was applied: open it again")]
    Closed,
}

fn detail(source: Option<&Source>) -> String {
    source.map_or_else(String::new, |source| format!(" ({source})"))
}

impl StoreError {
    /// Whether the batch may have been applied although this error came back.
    pub fn may_have_been_applied(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

/// Why a store could not be opened. Nothing was changed.
///
/// ```
/// # use steadfast_store::{OpenError, env::Env, open};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let error = open("postgre:wrong", Env::system()).await.unwrap_err();
/// assert!(matches!(error, OpenError::UnknownScheme { .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL has no scheme that is known.
    #[error(
        "unknown store URL {url:?}: use memory:, sqlite:PATH or, built with the feature `postgres`, postgres://…"
    )]
    UnknownScheme {
        /// The URL.
        url: String,
    },
    /// The URL names an option that is not known.
    #[error("unknown option {option:?} in the store URL: the known ones are {known}")]
    UnknownOption {
        /// The option.
        option: String,
        /// Those known.
        known: &'static str,
    },
    /// An option has a value that it cannot take.
    #[error("option {option} cannot be {value:?}: {allowed}")]
    InvalidOption {
        /// The option.
        option: &'static str,
        /// The value.
        value: String,
        /// What it can be.
        allowed: &'static str,
    },
    /// The folder of the database file is not there.
    #[error("the folder {folder:?} is not there: create it first, the store makes only the file")]
    MissingFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// The file is not there, and is not to be made.
    #[error("{path:?} is not there: correct the path, or leave out create=0 to have it made")]
    NotThere {
        /// The file.
        path: PathBuf,
    },
    /// The file has an older schema, and is not to be brought to this program's.
    #[error(
        "{path:?} has schema version {found}, this program needs {needed}: leave out create=0 to have it upgraded"
    )]
    SchemaTooOld {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// This program's.
        needed: u32,
    },
    /// The file is something else.
    #[error("{path:?} is not an SQLite database: name another file, this one was left untouched")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is a database of something else.
    #[error(
        "{path:?} belongs to another application (application_id {application_id}, {tables} tables): name another file, this one was left untouched"
    )]
    ForeignDatabase {
        /// The file.
        path: PathBuf,
        /// Its `application_id`.
        application_id: i32,
        /// How many tables it has.
        tables: u32,
    },
    /// A newer Steadfast has written the file.
    #[error(
        "{path:?} has schema version {found}, this program knows {supported}: upgrade it, an older one must not write here"
    )]
    SchemaTooNew {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest that is known here.
        supported: u32,
    },
    /// The file or its folder does not allow writing.
    #[error("{path:?} is read-only: give this process write access to the file and its folder")]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("{path:?} is damaged: keep a copy and restore from a backup ({source})")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// How it was noticed.
        #[source]
        source: Source,
    },
    /// Anything else below.
    #[error("{path:?} could not be opened: {source}")]
    Failed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Source,
    },
    /// The server cannot be reached, or the connection ended before it was made.
    #[error("{server} cannot be reached ({source}): start it, or correct host, port and sslmode in the URL")]
    Unreachable {
        /// The hosts and the database, without user and password.
        server: String,
        /// What happened.
        #[source]
        source: Source,
    },
    /// The server does not let this user in, or not do what it must.
    #[error(
        "{server} denies it ({source}): correct user and password in the URL, or grant the role what it needs"
    )]
    AccessDenied {
        /// The hosts and the database, without user and password.
        server: String,
        /// What the server says.
        #[source]
        source: Source,
    },
    /// The server has no such database.
    #[error("{server}: there is no such database, create it first: the store makes only its schema")]
    NoSuchDatabase {
        /// The hosts and the database, without user and password.
        server: String,
    },
    /// What the store promises cannot be kept on this server.
    #[error("{server} cannot be used: {what}")]
    UnfitServer {
        /// The hosts and the database, without user and password.
        server: String,
        /// Why not, and what to do.
        what: String,
    },
    /// The schema holds tables of something else.
    #[error(
        "schema {schema:?} of {server} belongs to another application ({tables} tables): name another one with schema=NAME, this one was left untouched"
    )]
    ForeignSchema {
        /// The hosts and the database, without user and password.
        server: String,
        /// The schema.
        schema: String,
        /// Tables and views in it.
        tables: u64,
    },
}

/// The same error for another batch of the group.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) fn again(error: &StoreError) -> StoreError {
    let text = |source: &Source| -> Source { source.to_string().into() };
    match error {
        StoreError::Failed { source } => StoreError::Failed { source: text(source) },
        StoreError::Unknown { source } => StoreError::Unknown { source: text(source) },
        StoreError::DiskFull => StoreError::DiskFull,
        StoreError::ReadOnly => StoreError::ReadOnly,
        StoreError::Corrupt { what, source } => {
            StoreError::Corrupt { what: what.clone(), source: source.as_ref().map(text) }
        }
        StoreError::Overloaded { waited, held_by } => StoreError::Overloaded { waited: *waited, held_by },
        StoreError::Closed => StoreError::Closed,
        other => StoreError::Failed { source: other.to_string().into() },
    }
}
