//! Failpoints: the named places before and after each durable step, at which tests and chaos kill, stop or observe
//! the process. Without a listener a point costs one branch.

use std::fmt::{self, Debug};

/// A named place in the code.
///
/// ```
/// use steadfast_store::env::Failpoint;
///
/// for point in Failpoint::ALL {
///     assert_eq!(Failpoint::named(point.name()), Some(point));
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Failpoint(&'static str);

impl Failpoint {
    /// The writer is about to take the write lock for a group.
    pub const BEGIN_BEFORE: Self = Self("begin.before");
    /// The write lock is held; nothing is written.
    pub const BEGIN_AFTER: Self = Self("begin.after");
    /// All writes of a group are made; COMMIT comes next.
    pub const COMMIT_BEFORE: Self = Self("commit.before");
    /// COMMIT returned: the group has reached its durability class; nobody has been answered.
    pub const COMMIT_AFTER: Self = Self("commit.after");
    /// All callers of a group have been answered.
    pub const ANSWER_AFTER: Self = Self("answer.after");
    /// The write-ahead log is about to be copied into the database file.
    pub const WAL_CHECKPOINT_BEFORE: Self = Self("wal-checkpoint.before");
    /// The write-ahead log was copied.
    pub const WAL_CHECKPOINT_AFTER: Self = Self("wal-checkpoint.after");
    /// The marker that overwrites a failed sync is about to be written.
    pub const MARKER_BEFORE: Self = Self("marker.before");
    /// The marker has synced.
    pub const MARKER_AFTER: Self = Self("marker.after");
    /// The write-ahead log is about to be written over itself, so that the frames before the marker are on the device
    /// too.
    pub const LOG_REWRITE_BEFORE: Self = Self("log-rewrite.before");
    /// The write-ahead log was written over itself and has synced; the write lock is still held.
    pub const LOG_REWRITE_AFTER: Self = Self("log-rewrite.after");
    /// A file is about to be put into WAL mode, if it is not in it yet.
    pub const WAL_MODE_BEFORE: Self = Self("wal-mode.before");
    /// The file is in WAL mode.
    pub const WAL_MODE_AFTER: Self = Self("wal-mode.after");
    /// The clock of this boot is about to be committed.
    pub const CLOCK_COMMIT_BEFORE: Self = Self("clock.commit.before");
    /// The clock of this boot has been committed; nothing has read it yet.
    pub const CLOCK_COMMIT_AFTER: Self = Self("clock.commit.after");
    /// The next statement of a migration is about to run.
    pub const MIGRATION_STATEMENT: Self = Self("migration.statement");
    /// A migration is about to commit.
    pub const MIGRATION_COMMIT_BEFORE: Self = Self("migration.commit.before");
    /// A migration has committed.
    pub const MIGRATION_COMMIT_AFTER: Self = Self("migration.commit.after");

    /// Every failpoint: first those of a group's life, then those of opening a file.
    pub const ALL: [Self; 18] = [
        Self::BEGIN_BEFORE,
        Self::BEGIN_AFTER,
        Self::COMMIT_BEFORE,
        Self::COMMIT_AFTER,
        Self::ANSWER_AFTER,
        Self::WAL_CHECKPOINT_BEFORE,
        Self::WAL_CHECKPOINT_AFTER,
        Self::MARKER_BEFORE,
        Self::MARKER_AFTER,
        Self::LOG_REWRITE_BEFORE,
        Self::LOG_REWRITE_AFTER,
        Self::MIGRATION_STATEMENT,
        Self::MIGRATION_COMMIT_BEFORE,
        Self::MIGRATION_COMMIT_AFTER,
        Self::WAL_MODE_BEFORE,
        Self::WAL_MODE_AFTER,
        Self::CLOCK_COMMIT_BEFORE,
        Self::CLOCK_COMMIT_AFTER,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// The failpoint of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|point| point.0 == name)
    }
}

impl Debug for Failpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failpoint({})", self.0)
    }
}

/// Is told of every failpoint reached, on the thread that reaches it; it may block, sleep or end the process.
///
/// ```
/// # use std::sync::{Arc, Mutex};
/// use steadfast_store::env::{Env, Failpoint, Failpoints};
///
/// /// Notes where the store has been.
/// #[derive(Debug, Default)]
/// struct Notes(Mutex<Vec<Failpoint>>);
///
/// impl Failpoints for Notes {
///     fn reach(&self, point: Failpoint) {
///         self.0.lock().unwrap().push(point);
///     }
/// }
/// let env = Env::system().with_failpoints(Arc::new(Notes::default()));
/// # let _ = env;
/// ```
pub trait Failpoints: Debug + Send + Sync {
    /// `point` was reached.
    fn reach(&self, point: Failpoint);
}
