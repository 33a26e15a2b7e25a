//! The device under a store: it fails as it is told, and models what it would hold after a power loss.
//!
//! What was written lies in memory until a sync. A page whose sync failed keeps its new content in memory but counts
//! as clean, as on ext4 and XFS: no later sync writes it, unless it is written to again (Rebello et al., "Can
//! Applications Recover from fsync Failures?", USENIX ATC 2020). The database file and the log are modelled; that a
//! file was made, cut or removed is taken to reach the device at once, but for one case: the log that the last
//! connection removed may still be there ([`Loss::Ghost`]).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use steadfast_store::env::{Failpoint, Failpoints};

use super::image::{Model, PAGE, log_of};
use crate::vfs::{ErrorCode, Fault, FileFaults, FileOp, FileRole, OpKind, Script};

/// What a device does that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sickness {
    /// Any operation answers EIO.
    Eio,
    /// A write answers ENOSPC; so does a sync, or making a file, which SQLite reports as plain errors of these.
    Enospc,
    /// A write is done in part and then answers EIO or ENOSPC in turn.
    ShortWrite,
}

impl Sickness {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Eio, Self::Enospc, Self::ShortWrite];

    /// What becomes of an operation that it strikes; none when it cannot strike one of this kind.
    fn fault(self, op: &FileOp) -> Option<Fault> {
        match (self, op.kind) {
            (Self::Eio, _) | (Self::Enospc, OpKind::Sync | OpKind::Open) => Some(Script::EIO),
            (Self::Enospc, OpKind::Write) => Some(Script::ENOSPC),
            (Self::ShortWrite, OpKind::Write) => {
                let code = if op.index.is_multiple_of(2) { ErrorCode::Io } else { ErrorCode::Full };
                // Another share of the write each time, the same for the same operation.
                let bytes = op.index.wrapping_mul(0x9e37_79b9_7f4a_7c15) % op.length.max(1);
                Some(Fault::ShortWrite { bytes, code })
            }
            _ => None,
        }
    }
}

/// Which operation is struck, counted over all kinds and files that this sickness can strike, from when it was asked
/// for; and whether all the later ones are too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrikeAt {
    /// 1 is the next one.
    pub operation: u64,
    /// Whether it goes on until the device is healed.
    pub lasting: bool,
    /// What the device does.
    pub sickness: Sickness,
}

/// Where the device stops taking the log: what a write beyond so many bytes answers.
#[derive(Debug, Clone, Copy)]
pub struct LogEnd {
    /// So many it takes.
    pub bytes: u64,
    /// What it answers then.
    pub code: ErrorCode,
}

/// What a simulated power loss leaves of the pages that were not surely on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// None of them.
    All,
    /// None of them, and the removal of the log is lost too.
    Ghost,
    /// Of each, by this seed, the old bytes, the new ones, or where the two differ anything at all.
    Some(u64),
}

/// See the module.
#[derive(Debug)]
pub struct Disk {
    /// Faults by kind and file, beside the strike.
    pub script: Script,
    database: PathBuf,
    /// Opened once and never closed while a store is open: to close it would drop the locks that SQLite holds on it in
    /// this process.
    database_file: OnceLock<File>,
    model: Mutex<Model>,
    armed: Mutex<Armed>,
}

#[derive(Debug, Default)]
struct Armed {
    log_end: Option<LogEnd>,
    strike: Option<(StrikeAt, u64)>,
    struck: u64,
    /// Operations that each sickness could have struck.
    seen: [u64; Sickness::ALL.len()],
    /// Whether a sync of the log has failed and none has succeeded since.
    is_log_unproven: bool,
    /// Bytes that the writer had written when the log was about to be written over itself.
    written_before: Option<u64>,
    /// Where the log was written last, the end of it.
    log_written_to: u64,
    reached: Vec<&'static str>,
    /// Why the model is not to be trusted, if it is not.
    trouble: Option<io::Error>,
}

impl Disk {
    /// Before anything in this process has opened the database: with what an earlier process has left in the model, or
    /// with the files as they are, all of which are on the device.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn under(database: &Path) -> io::Result<Self> {
        Ok(Self {
            script: Script::new(),
            database: database.to_owned(),
            database_file: OnceLock::new(),
            model: Mutex::new(Model::of(database)?),
            armed: Mutex::default(),
        })
    }

    /// From now on an operation is struck.
    pub fn strike_at(&self, strike: StrikeAt) {
        self.armed().strike = Some((strike, 0));
    }

    /// From now on the log does not grow beyond this.
    pub fn log_ends(&self, end: LogEnd) {
        self.armed().log_end = Some(end);
    }

    /// The device is well again.
    pub fn heal(&self) {
        self.script.heal();
        let mut armed = self.armed();
        (armed.log_end, armed.strike) = (None, None);
    }

    /// How many operations were struck.
    pub fn struck(&self) -> u64 {
        self.script.struck() + self.armed().struck
    }

    /// How many operations this sickness could have struck.
    pub fn seen(&self, sickness: Sickness) -> u64 {
        self.armed().seen[sickness as usize]
    }

    /// Whether a sync of the log has failed and none has succeeded since: then nothing may be acknowledged.
    pub fn is_log_unproven(&self) -> bool {
        self.armed().is_log_unproven
    }

    /// How often this point was reached.
    pub fn reached(&self, point: Failpoint) -> usize {
        self.armed().reached.iter().filter(|&&name| name == point.name()).count()
    }

    /// Fails when the model could not follow what was done to the files.
    ///
    /// # Errors
    /// Why it could not.
    pub fn is_trusted(&self) -> io::Result<()> {
        self.armed().trouble.take().map_or(Ok(()), Err)
    }

    /// Leaves the model to the next process, and to [`unplug`].
    ///
    /// # Errors
    /// What the file system answers.
    pub fn save(&self) -> io::Result<()> {
        self.model().save(&self.database)
    }

    /// Copies the files as they are in memory into this folder, under their own names: what SIGKILL leaves. The store
    /// may be open and at rest.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn copy_to(&self, folder: &Path) -> io::Result<PathBuf> {
        let copy = folder.join(self.database.file_name().unwrap_or_default());
        if self.database.exists() {
            // Not by `fs::copy`, which would close the database file.
            fs::write(&copy, super::image::read_whole(self.database_file()?)?)?;
        }
        for suffix in ["-wal", "-journal"] {
            let from = super::image::beside(&self.database, suffix);
            if from.exists() {
                fs::copy(&from, super::image::beside(&copy, suffix))?;
            }
        }
        Ok(copy)
    }

    /// Makes of `copy`, the files as they are in memory, the files as the device holds them after a power loss.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn unplug(&self, copy: &Path, loss: Loss) -> io::Result<()> {
        self.model().unplug(copy, loss)
    }

    /// Whether a power loss of this kind could leave anything else than SIGKILL does.
    pub fn could_lose(&self, loss: Loss) -> bool {
        let model = self.model();
        let is_pending = model.database.is_pending() || model.log.is_pending();
        is_pending || (loss == Loss::Ghost && model.ghost.is_some())
    }

    /// The kernel takes the memory of the first page of the log that counts as clean but never reached the device:
    /// who reads it again gets what the device holds. Answers with what was in memory.
    ///
    /// # Errors
    /// What the file system answers, or that there is no such page.
    pub fn evict(&self) -> io::Result<(u64, Vec<u8>)> {
        self.model().evict(&log_of(&self.database))
    }

    /// Undoes [`evict`](Self::evict).
    ///
    /// # Errors
    /// What the file system answers.
    pub fn restore(&self, (page, content): &(u64, Vec<u8>)) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        let log = File::options().write(true).open(log_of(&self.database))?;
        log.write_all_at(content, page * PAGE)
    }

    fn armed(&self) -> MutexGuard<'_, Armed> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide(&self, op: &FileOp) -> Fault {
        let mut fault = self.script.before(op);
        let mut armed = self.armed();
        for sickness in Sickness::ALL {
            armed.seen[sickness as usize] += u64::from(sickness.fault(op).is_some());
        }
        if fault != Fault::Pass {
            return fault;
        }
        if let Some((strike, seen)) = &mut armed.strike
            && let Some(struck) = strike.sickness.fault(op)
        {
            *seen += 1;
            if *seen == strike.operation || (strike.lasting && *seen > strike.operation) {
                fault = struck;
            }
        }
        if let Some(end) = armed.log_end {
            let beyond = op.file == FileRole::Wal && op.offset + op.length > end.bytes;
            if op.kind == OpKind::Write && beyond {
                fault = Fault::Fail(end.code);
            }
        }
        armed.struck += u64::from(fault != Fault::Pass);
        fault
    }

    fn database_file(&self) -> io::Result<&File> {
        if let Some(file) = self.database_file.get() {
            return Ok(file);
        }
        let opened = File::open(&self.database)?;
        Ok(self.database_file.get_or_init(|| opened))
    }

    /// What the operation does to what the device holds.
    fn model_before(&self, op: &FileOp, fault: Fault) -> io::Result<()> {
        let mut model = self.model();
        let image = match op.file {
            FileRole::Database => &mut model.database,
            FileRole::Wal => &mut model.log,
            _ => return Ok(()),
        };
        match (op.kind, fault) {
            (OpKind::Write, Fault::Pass) => image.wrote(op.offset, op.length),
            (OpKind::Write, Fault::ShortWrite { bytes, .. }) => image.wrote(op.offset, bytes),
            (OpKind::Sync, Fault::Pass) if op.file == FileRole::Database => {
                image.synced(self.database_file()?)?;
            }
            (OpKind::Sync, Fault::Pass) => {
                image.synced(&File::open(log_of(&self.database))?)?;
                model.ghost = None;
            }
            (OpKind::Sync, _) => image.sync_failed(),
            (OpKind::Truncate, Fault::Pass) => image.cut(op.offset),
            (OpKind::Delete, Fault::Pass) => model.ghost = Some(image.removed()),
            _ => {}
        }
        Ok(())
    }

    /// The log is written past SQLite, so its VFS does not see it; but the kernel counts.
    fn model_rewrite(&self, point: Failpoint) -> io::Result<()> {
        match point {
            Failpoint::LOG_REWRITE_BEFORE => {
                self.armed().written_before = Some(written_by_this_thread()?);
            }
            Failpoint::LOG_REWRITE_AFTER => {
                let before = self.armed().written_before.take().unwrap_or_default();
                let log = File::open(log_of(&self.database))?;
                // The end of the log, as much of it as is not surely on the device.
                let (end, length) = (self.armed().log_written_to, written_by_this_thread()? - before);
                let mut model = self.model();
                model.log.wrote(end.saturating_sub(length), length);
                model.log.synced(&log)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn note(&self, done: io::Result<()>) {
        if let Err(error) = done {
            self.armed().trouble.get_or_insert(error);
        }
    }
}

impl FileFaults for Disk {
    fn before(&self, op: &FileOp) -> Fault {
        let fault = self.decide(op);
        if op.kind == OpKind::Write && op.file == FileRole::Wal && fault == Fault::Pass {
            self.armed().log_written_to = op.offset + op.length;
        }
        if (op.file, op.kind) == (FileRole::Wal, OpKind::Sync) && fault != Fault::Pass {
            self.armed().is_log_unproven = true;
        }
        self.note(self.model_before(op, fault));
        fault
    }

    fn after(&self, op: &FileOp) {
        if (op.file, op.kind) == (FileRole::Wal, OpKind::Sync) {
            self.armed().is_log_unproven = false;
        }
    }
}

impl Failpoints for Disk {
    fn reach(&self, point: Failpoint) {
        self.armed().reached.push(point.name());
        self.note(self.model_rewrite(point));
    }
}

/// Bytes that this thread has handed to write(2) and its like so far, as the kernel counts them.
fn written_by_this_thread() -> io::Result<u64> {
    let io = fs::read_to_string("/proc/thread-self/io")?;
    let written = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    written.and_then(|bytes| bytes.parse().ok()).ok_or_else(|| io::Error::other("the kernel counts no bytes"))
}

/// Makes of `copy`, the files as they are in memory, the files as the device holds them after a power loss. The model
/// of an earlier process lies beside `database`.
///
/// # Errors
/// What the file system answers.
pub fn unplug(database: &Path, copy: &Path, loss: Loss) -> io::Result<()> {
    Model::of(database)?.unplug(copy, loss)
}
