//! What a fault is told about an operation, and what it may answer: the whole vocabulary, with no
//! SQLite type in it.

use std::time::Duration;

/// What is done to a file. Locks, shared memory, memory maps and sizes are not listed: they always
/// pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpKind {
    /// The file is opened, and created if need be.
    Open,
    /// Bytes are read.
    Read,
    /// Bytes are written.
    Write,
    /// The file is cut to [`FileOp::offset`] bytes.
    Truncate,
    /// What was written is flushed to the device (`fsync` or `fdatasync`).
    Sync,
    /// The file is removed by its name.
    Delete,
}

impl OpKind {
    /// Every kind, in the order of the enum.
    pub const ALL: [Self; 6] =
        [Self::Open, Self::Read, Self::Write, Self::Truncate, Self::Sync, Self::Delete];
}

/// Which of a database's files is meant.
///
/// The shared-memory file (`-shm`) is not listed: it is mapped memory and never passes through
/// here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileRole {
    /// The database file itself.
    Database,
    /// The write-ahead log (`-wal`).
    Wal,
    /// The rollback journal (`-journal`).
    Journal,
    /// Temporary files, and whatever else SQLite opens.
    Other,
}

impl FileRole {
    /// Every role, in the order of the enum.
    pub const ALL: [Self; 4] = [Self::Database, Self::Wal, Self::Journal, Self::Other];
}

/// One operation on one file, as a fault sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOp {
    /// What is done.
    pub kind: OpKind,
    /// To which file.
    pub file: FileRole,
    /// The first byte read or written, or the new size of a truncation, in bytes; otherwise 0.
    pub offset: u64,
    /// How many bytes are read or written; otherwise 0.
    pub length: u64,
    /// The running number of the operation within its registration, from 0, over all files,
    /// connections and threads.
    pub index: u64,
}

/// Which error a failed operation answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// `EIO`. SQLite reports it by what failed: `SQLITE_IOERR_READ`, `_WRITE`, `_TRUNCATE`,
    /// `_FSYNC` or `_DELETE`, and `SQLITE_CANTOPEN` for a file that could not be opened.
    Io,
    /// `ENOSPC`, which SQLite reports as `SQLITE_FULL`.
    Full,
}

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is done.
    Pass,
    /// It is done after a pause, in which the calling thread sleeps.
    Delay(Duration),
    /// It is not done, and fails.
    Fail(ErrorCode),
    /// Only the first `bytes` of a write are done, then it fails. Any other operation fails without
    /// being done.
    ShortWrite {
        /// How many bytes still reach the file, at most the length of the write.
        bytes: u64,
        /// What the write then answers.
        code: ErrorCode,
    },
}

/// Decides over the file operations of one registered [`FaultVfs`](super::FaultVfs).
///
/// # Contract
/// - Both methods are called on the thread that uses the connection, while SQLite holds locks:
///   they must not use a connection that goes through the same registration.
/// - Several connections may call at once.
/// - A panic does not cross into SQLite: the operation answers `SQLITE_IOERR`, and is not done when
///   the panic came from `before`.
///
/// A closure `Fn(&FileOp) -> Fault` is a `FileFaults` too:
///
/// ```
/// use std::sync::Arc;
/// use steadfast_chaos::vfs::{Fault, FaultVfs, FileOp, FileRole, OpKind};
///
/// let no_growth = |op: &FileOp| match (op.kind, op.file) {
///     (OpKind::Write, FileRole::Wal) => Fault::Fail(steadfast_chaos::vfs::ErrorCode::Full),
///     _ => Fault::Pass,
/// };
/// let vfs = FaultVfs::register("doc-closure", Arc::new(no_growth))?;
/// assert_eq!(vfs.name(), "doc-closure");
/// # Ok::<(), steadfast_chaos::vfs::RegisterError>(())
/// ```
pub trait FileFaults: Send + Sync {
    /// Called before each operation; its answer is what becomes of it.
    fn before(&self, op: &FileOp) -> Fault;

    /// Called after each operation that the real file did and answered without an error.
    fn after(&self, op: &FileOp) {
        let _ = op;
    }
}

impl<F> FileFaults for F
where
    F: Fn(&FileOp) -> Fault + Send + Sync,
{
    fn before(&self, op: &FileOp) -> Fault {
        self(op)
    }
}
