//! A folder with files of the names and lengths that the store looks at past SQLite: whether a log is there when it
//! opens, which inodes the names stand for, and the log that it writes over itself after a failed sync. Their content
//! counts for nothing but in that last step, for which the log of the device is copied here and what was written is
//! noted on the device.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::memory_vfs::{Device, Name};

/// Where files are memory themselves, so that a sync of theirs costs nothing.
const MEMORY: &str = "/dev/shm";

/// See the module.
#[derive(Debug)]
pub(super) struct Mirror {
    folder: tempfile::TempDir,
    log: File,
}

impl Mirror {
    /// In memory where there is such a folder, below `otherwise` elsewhere.
    pub(super) fn new(otherwise: &Path) -> io::Result<Self> {
        let made = tempfile::Builder::new().prefix("steadfast-powerloss-").tempdir_in(MEMORY);
        let folder = made.or_else(|_| tempfile::tempdir_in(otherwise))?;
        let path = |suffix: &str| folder.path().join(format!("image.db{suffix}"));
        File::create(path(""))?;
        File::create(path("-shm"))?;
        let log = File::create(path("-wal"))?;
        Ok(Self { folder, log })
    }

    /// The path of the database.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("image.db")
    }

    /// Makes the log look as it does on the device: whether there is anything in it, and its header.
    pub(super) fn show_log(&self, device: &Device) -> io::Result<()> {
        show(&self.log, device)
    }

    /// The same, by the path of the database.
    pub(super) fn show_log_of(database: &Path, device: &Device) -> io::Result<()> {
        show(&File::options().write(true).open(log_of(database))?, device)
    }

    /// The log is about to be written over itself; answers with what this thread has written by now.
    pub(super) fn copy_log(path: &Path, device: &Device) -> io::Result<usize> {
        let files = device.files();
        // Into the same file, not a new one: the store compares inodes.
        fs::write(log_of(path), files.get(Name::Log).unwrap_or_default())?;
        written_by_this_thread()
    }

    /// It was; `before` is what [`copy_log`](Self::copy_log) answered.
    pub(super) fn note_rewrite(before: usize, device: &Device) -> io::Result<()> {
        device.log_was_rewritten(written_by_this_thread()? - before);
        Ok(())
    }
}

fn show(log: &File, device: &Device) -> io::Result<()> {
    let header = device.log_header();
    log.set_len(header.len() as u64)?;
    log.write_all_at(&header, 0)
}

fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Bytes that this thread has handed to write(2) and its like so far, as the kernel counts them (proc(5)).
fn written_by_this_thread() -> io::Result<usize> {
    let counted = fs::read_to_string("/proc/thread-self/io")?;
    let written = counted.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok());
    written.ok_or_else(|| io::Error::other("the kernel does not count what a thread writes"))
}
