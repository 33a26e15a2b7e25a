//! A pass-through SQLite VFS with injectable faults.
//!
//! It stands between SQLite and the operating system's own VFS, hands every call on, and asks a
//! [`FileFaults`] before each open, read, write, truncation, sync and removal: let it pass, delay
//! it, or fail it as a bad or full device would. So the real SQLite, with its real locks, shared
//! memory and page cache, meets faults at chosen operations. What it cannot show is power loss:
//! what was written stays in the page cache of the operating system and survives the process.
#![allow(clippy::doc_markdown)] // SQLite is a name, not code

mod fault;
mod file;
mod ready;
mod script;
mod shim;
#[cfg(test)]
mod tests;

use std::ffi::{CString, NulError};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};

pub use fault::{ErrorCode, Fault, FileFaults, FileOp, FileRole, OpKind};
pub use ready::{NoFaults, SyncDelay};
pub use script::{Rule, Script};

/// Why a name could not be registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name is in use in this process already, by SQLite itself or by an earlier registration.
    #[error("a VFS named {0:?} is registered already")]
    NameTaken(String),
    /// The name is empty or has a NUL byte, which SQLite cannot take.
    #[error("a VFS needs a name without NUL bytes")]
    BadName(#[source] Option<NulError>),
    /// SQLite has no default VFS to build on, or refused the registration with this result code.
    #[error("SQLite refused the VFS (result code {0})")]
    Refused(i32),
}

/// The fault-injecting VFS. It has no instances: [`FaultVfs::register`] gives a [`Registered`] one.
#[derive(Debug)]
pub enum FaultVfs {}

impl FaultVfs {
    /// Registers a VFS under a name of its own, for the life of the process.
    ///
    /// A registration is never taken back, since SQLite could not tell whether a connection still
    /// uses it; it holds a few hundred bytes and its `faults`. Several can stand side by side, and
    /// connections through different ones may share a database file. The default VFS stays the
    /// default.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use steadfast_chaos::vfs::{FaultVfs, SyncDelay};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let slow = FaultVfs::register("doc-slow-disk", Arc::new(SyncDelay(Duration::from_millis(2))))?;
    /// let folder = tempfile::tempdir()?;
    /// slow.open(folder.path().join("tasks.db"))?.execute_batch("CREATE TABLE tasks (id INTEGER)")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RegisterError`]: the name is taken or unusable, or SQLite refused.
    pub fn register(name: &str, faults: Arc<dyn FileFaults>) -> Result<Registered, RegisterError> {
        /// Held from the look-up of a name to its registration, so that two threads cannot both
        /// find it free.
        static NAMES: Mutex<()> = Mutex::new(());

        if name.is_empty() {
            return Err(RegisterError::BadName(None));
        }
        let c_name = CString::new(name).map_err(|nul| RegisterError::BadName(Some(nul)))?;
        let _names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        shim::register(c_name, faults)?;
        Ok(Registered { name: name.to_owned() })
    }
}

/// A VFS that stands registered in this process. Dropping it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    name: String,
}

impl Registered {
    /// The name to open connections with, also as `?vfs=` in an SQLite URI.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens a connection through this VFS with rusqlite's default flags.
    ///
    /// # Errors
    /// What SQLite answers, `SQLITE_CANTOPEN` by an injected fault included.
    pub fn open(&self, path: impl AsRef<Path>) -> rusqlite::Result<Connection> {
        Connection::open_with_flags_and_vfs(path, OpenFlags::default(), self.name.as_str())
    }
}
