//! Which files of this process are a store's own, so that nobody else in it opens them.
//!
//! A POSIX lock belongs to a process and a file, not to a descriptor: closing *any* descriptor of a database file
//! drops every lock that SQLite holds on it in this process, and acknowledged commits have been lost that way
//! (fcntl(2); <https://sqlite.org/howtocorrupt.html>, section 2.2). So whatever opens files that data names asks
//! here first, with the device and inode of a descriptor opened with `O_PATH`, whose close drops no locks. Names are
//! not compared: links and mounts give one file many of them.
//!
//! Each registration holds such a descriptor, so that its inode is nobody else's meanwhile: SQLite removes the log
//! and the index when the last connection closes, and a file system gives a freed inode to the very next file.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::sync::ProcessMutex;

/// How many registrations hold each file, by device and inode. One map for the process, as the locks are.
static OWN: ProcessMutex<BTreeMap<(u64, u64), usize>> = ProcessMutex::new(BTreeMap::new());

/// Whether a store open in this process owns the file of this device and inode: then it must not be opened and
/// closed by anybody else here.
///
/// ```
/// use steadfast_store::own_files::{OwnFile, is_own};
/// use std::os::unix::fs::MetadataExt;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("work.db");
/// std::fs::write(&path, "")?;
/// let file = std::fs::metadata(&path)?;
/// let own = OwnFile::register(&path)?;
/// assert!(is_own(file.dev(), file.ino()));
/// drop(own);
/// assert!(!is_own(file.dev(), file.ino()));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_own(device: u64, inode: u64) -> bool {
    OWN.lock().contains_key(&(device, inode))
}

/// For backends: keeps a file registered as a store's own for as long as it lives. A file registered several times
/// stays one until the last of them is dropped.
#[derive(Debug)]
#[must_use = "the file is a store's own only while this lives"]
pub struct OwnFile {
    place: (u64, u64),
    /// Opens nothing, and keeps the inode from being given to another file.
    _pin: OwnedFd,
}

impl OwnFile {
    /// Registers the file that `path` leads to, by an `O_PATH` descriptor: it is not opened. Register a file again when
    /// it may have been made anew under the same name, such as a write-ahead log.
    ///
    /// # Errors
    /// What open(2) and fstat(2) answer; nothing is registered then.
    pub fn register(path: &Path) -> io::Result<Self> {
        let pin = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let stat = rustix::fs::fstat(&pin)?;
        let place = (stat.st_dev, stat.st_ino);
        *OWN.lock().entry(place).or_default() += 1;
        Ok(Self { place, _pin: pin })
    }
}

impl Drop for OwnFile {
    /// The entry goes before the descriptor: while it stands, the inode is this file's.
    fn drop(&mut self) {
        let mut own = OWN.lock();
        match own.get_mut(&self.place) {
            Some(held) if *held > 1 => *held -= 1,
            _ => {
                own.remove(&self.place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_file_is_own_under_every_name_until_its_last_registration_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a.db"), folder.path().join("b.db"));
        std::fs::write(&path, "").unwrap();
        std::fs::hard_link(&path, &link).unwrap();
        let file = std::fs::metadata(&link).unwrap();
        let (first, second) = (OwnFile::register(&path).unwrap(), OwnFile::register(&link).unwrap());
        drop(first);
        assert!(is_own(file.dev(), file.ino()));
        drop(second);
        assert!(!is_own(file.dev(), file.ino()));
    }

    #[test]
    fn a_file_that_is_made_after_an_own_one_was_removed_is_never_taken_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let (removed, made) = (folder.path().join("a.db-wal"), folder.path().join("notes.md"));
        std::fs::write(&removed, "").unwrap();
        // As a store that closes: its log is gone before its registration is.
        let own = OwnFile::register(&removed).unwrap();
        std::fs::remove_file(&removed).unwrap();
        std::fs::write(&made, "").unwrap();
        let file = std::fs::metadata(&made).unwrap();
        assert!(!is_own(file.dev(), file.ino()));
        drop(own);
    }

    #[test]
    fn a_file_that_is_not_there_is_not_registered() {
        let folder = tempfile::tempdir().unwrap();
        assert!(OwnFile::register(&folder.path().join("none")).is_err());
    }
}
