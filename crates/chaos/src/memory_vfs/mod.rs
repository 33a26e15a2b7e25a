//! An SQLite VFS whose files lie in memory, and which notes what is done to them.
//!
//! Each registration is one device with one database: the file, its log and its rollback journal, whatever folder they
//! are named in. A device can be loaded with any files, and its operations recorded, its syncs failed or left out. So
//! the images that a power loss could leave are opened without a disk: thousands a second. Locks and shared memory work
//! between the connections of one process.
//!
//! It does what SQLite's VFS for Unix does where that counts here: an empty file counts as absent; a log or journal
//! that was opened to be made syncs the folder with its first sync; a removal reaches the folder only with the next such
//! sync, unless SQLite asks for one at once. `psow=0` in the URI declares powersafe overwrite off.
#![allow(clippy::doc_markdown)] // SQLite is a name, not code

mod device;
mod file;
mod files;
mod locks;
mod object;
#[cfg(test)]
mod tests;

use std::ffi::CString;
use std::sync::{Mutex, PoisonError};

pub use device::{Device, FailedSync, Op, SyncRule, Took};
pub(crate) use files::write_at;
pub use files::{Files, Name};

use crate::vfs::RegisterError;

/// A registered VFS and the device behind it.
#[derive(Debug, Clone)]
pub struct MemoryVfs {
    name: String,
    device: &'static Device,
}

impl MemoryVfs {
    /// Registers an empty device under a name of its own, for the life of the process: SQLite could not tell whether
    /// a connection still uses it. It holds what its files take.
    ///
    /// ```
    /// use steadfast_chaos::memory_vfs::MemoryVfs;
    /// use rusqlite::{Connection, OpenFlags};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let vfs = MemoryVfs::register("doc-memory")?;
    /// let database = Connection::open_with_flags_and_vfs("a.db", OpenFlags::default(), vfs.name())?;
    /// database.execute_batch("CREATE TABLE tasks (id INTEGER)")?;
    /// assert!(!std::path::Path::new("a.db").exists());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RegisterError`]: the name is taken or unusable, or SQLite refused.
    pub fn register(name: &str) -> Result<Self, RegisterError> {
        /// Held from the look-up of a name to its registration, so that two threads cannot both find it free.
        static NAMES: Mutex<()> = Mutex::new(());

        if name.is_empty() {
            return Err(RegisterError::BadName(None));
        }
        let c_name = CString::new(name).map_err(|nul| RegisterError::BadName(Some(nul)))?;
        let _names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        let device = object::register(c_name)?;
        Ok(Self { name: name.to_owned(), device })
    }

    /// The name to open connections with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The device behind it.
    pub fn device(&self) -> &'static Device {
        self.device
    }
}
