//! The device under a store: faults that a test programs, and a model of what it holds after a power loss.
//!
//! What was written lies in memory until a sync. A page whose sync failed keeps its new content in memory but counts
//! as clean, as on ext4 and XFS: no later sync writes it, unless it is written to again (Rebello et al., "Can
//! Applications Recover from fsync Failures?", USENIX ATC 2020). The database file and the log are modelled; that a
//! file was made, cut or removed is taken to reach the device at once, but for one case: the log that the last
//! connection removed may still be there ([`Loss::Ghost`]).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use serde::{Deserialize, Serialize};
use steadfast_chaos::vfs::{ErrorCode, Fault, FileFaults, FileOp, FileRole, OpKind, Script};
use steadfast_store::env::{Failpoint, Failpoints};

use super::gate::Gate;

/// The unit of the page cache, in bytes.
const PAGE: u64 = 4096;

/// Which operation is struck, counted over all kinds and files from when it was asked for; and whether all the later
/// ones are too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StrikeAt {
    pub(super) operation: u64,
    pub(super) lasting: bool,
}

/// Where the device stops taking the log: what a write beyond so many bytes answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogEnd {
    pub(super) bytes: u64,
    pub(super) code: ErrorCode,
}

/// What a simulated power loss leaves of the pages that were not surely on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// None of them.
    All,
    /// None of them, and the removal of the log is lost too.
    Ghost,
    /// Of each, by this seed, the old bytes, the new ones, or where the two differ anything at all.
    Some(u64),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) script: Script,
    pub(super) gate: Gate,
    database: PathBuf,
    /// Opened once and never closed: to close it would drop the locks that SQLite holds on it in this process.
    database_file: OnceLock<File>,
    model: Mutex<Model>,
    armed: Mutex<Armed>,
}

#[derive(Debug, Default)]
struct Armed {
    log_end: Option<LogEnd>,
    strike: Option<(StrikeAt, u64)>,
    struck: u64,
    /// Bytes that the writer had written when the log was about to be written over itself.
    written_before: Option<u64>,
    /// Where the log was written last, the end of it.
    log_written_to: u64,
    reached: Vec<&'static str>,
}

/// What the device surely holds, by file. It outlives the process.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Model {
    database: Image,
    log: Image,
    /// What it held of a log that was removed.
    #[serde(skip)]
    ghost: Option<Vec<u8>>,
}

/// One file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Image {
    #[serde(skip)]
    durable: Vec<u8>,
    /// Pages that the next sync writes.
    dirty: BTreeSet<u64>,
    /// Pages that no sync writes, unless they become dirty again.
    dropped: BTreeSet<u64>,
}

impl Image {
    fn wrote(&mut self, offset: u64, length: u64) {
        for page in offset / PAGE..(offset + length).div_ceil(PAGE) {
            self.dropped.remove(&page);
            self.dirty.insert(page);
        }
    }

    fn synced(&mut self, file: &File) {
        for page in std::mem::take(&mut self.dirty) {
            let content = read_page(file, page);
            let start = usize::try_from(page * PAGE).unwrap();
            let end = start + content.len();
            if self.durable.len() < end {
                self.durable.resize(end, 0);
            }
            self.durable[start..end].copy_from_slice(&content);
        }
    }

    fn sync_failed(&mut self) {
        self.dropped.append(&mut self.dirty);
    }

    fn cut(&mut self, bytes: u64) {
        self.durable.truncate(usize::try_from(bytes).unwrap());
        for pages in [&mut self.dirty, &mut self.dropped] {
            pages.retain(|page| page * PAGE < bytes);
        }
    }

    /// The page as the device surely holds it; zeros where it holds nothing.
    fn page(&self, page: u64, length: usize) -> Vec<u8> {
        let start = usize::try_from(page * PAGE).unwrap().min(self.durable.len());
        let mut content = self.durable[start..self.durable.len().min(start + length)].to_vec();
        content.resize(length, 0);
        content
    }

    /// Puts into `file`, a copy of what is in memory, what a power loss leaves.
    fn unplug(&self, file: &File, mut rng: Option<&mut fastrand::Rng>) {
        for &page in self.dirty.union(&self.dropped) {
            let new = read_page(file, page);
            let mut left = self.page(page, new.len());
            match rng.as_deref_mut().map(|rng| (rng.u8(0..3), rng)) {
                None | Some((0, _)) => {}
                Some((1, _)) => left = new,
                Some((_, rng)) => {
                    for (left, _) in left.iter_mut().zip(&new).filter(|(left, new)| left != new) {
                        *left = rng.u8(..);
                    }
                }
            }
            file.write_all_at(&left, page * PAGE).unwrap();
        }
    }
}

/// The page, shorter at the end of the file.
fn read_page(file: &File, page: u64) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(PAGE).unwrap()];
    let mut filled = 0;
    while filled < content.len() {
        match file.read_at(&mut content[filled..], page * PAGE + filled as u64).unwrap() {
            0 => break,
            count => filled += count,
        }
    }
    content.truncate(filled);
    content
}

fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Where a part of the model lies between two processes.
fn part_of_model(database: &Path, part: &str) -> PathBuf {
    database.with_extension(format!("device-{part}"))
}

impl Model {
    /// What an earlier process has left; otherwise the files, all of which are on the device.
    fn of(database: &Path) -> Self {
        let part = |part| fs::read(part_of_model(database, part)).ok();
        let (mut model, files) = match part("pages") {
            Some(pages) => (serde_json::from_slice(&pages).unwrap(), [part("database"), part("log")]),
            None => (Self::default(), [fs::read(database).ok(), fs::read(log_of(database)).ok()]),
        };
        [model.database.durable, model.log.durable] = files.map(Option::unwrap_or_default);
        model.ghost = part("ghost");
        model
    }

    fn save(&self, database: &Path) {
        let part = |part, bytes: &[u8]| fs::write(part_of_model(database, part), bytes).unwrap();
        part("pages", &serde_json::to_vec(self).unwrap());
        part("database", &self.database.durable);
        part("log", &self.log.durable);
        match &self.ghost {
            Some(ghost) => part("ghost", ghost),
            None => drop(fs::remove_file(part_of_model(database, "ghost"))),
        }
    }
}

impl Disk {
    /// Before anything in this process has opened the database.
    pub(super) fn under(database: &Path) -> Self {
        Self {
            script: Script::new(),
            gate: Gate::default(),
            database: database.to_owned(),
            database_file: OnceLock::new(),
            model: Mutex::new(Model::of(database)),
            armed: Mutex::default(),
        }
    }

    pub(super) fn strike_at(&self, strike: StrikeAt) {
        self.armed.lock().unwrap().strike = Some((strike, 0));
    }

    pub(super) fn log_ends(&self, end: LogEnd) {
        self.armed.lock().unwrap().log_end = Some(end);
    }

    /// The device is well again.
    pub(super) fn heal(&self) {
        self.script.heal();
        let mut armed = self.armed.lock().unwrap();
        (armed.log_end, armed.strike) = (None, None);
    }

    /// How many operations were struck.
    pub(super) fn struck(&self) -> u64 {
        self.script.struck() + self.armed.lock().unwrap().struck
    }

    /// How often this point was reached.
    pub(super) fn reached(&self, point: Failpoint) -> usize {
        self.armed.lock().unwrap().reached.iter().filter(|&&name| name == point.name()).count()
    }

    /// Leaves the model to the next process, and to [`unplug`].
    pub(super) fn save(&self) {
        self.model.lock().unwrap().save(&self.database);
    }

    /// The kernel takes the memory of the first page of the log that counts as clean but never reached the device:
    /// who reads it again gets what the device holds. Answers with what was in memory.
    pub(super) fn evict(&self) -> (u64, Vec<u8>) {
        let model = self.model.lock().unwrap();
        let log = File::options().read(true).write(true).open(log_of(&self.database)).unwrap();
        let page = *model.log.dropped.first().unwrap();
        let content = read_page(&log, page);
        log.write_all_at(&model.log.page(page, content.len()), page * PAGE).unwrap();
        (page, content)
    }

    /// Undoes [`evict`](Self::evict).
    pub(super) fn restore(&self, (page, content): &(u64, Vec<u8>)) {
        let log = File::options().write(true).open(log_of(&self.database)).unwrap();
        log.write_all_at(content, page * PAGE).unwrap();
    }

    fn decide(&self, op: &FileOp) -> Fault {
        let mut fault = self.script.before(op);
        if fault != Fault::Pass {
            return fault;
        }
        let mut armed = self.armed.lock().unwrap();
        if let Some((strike, seen)) = &mut armed.strike {
            *seen += 1;
            if *seen == strike.operation || (strike.lasting && *seen > strike.operation) {
                fault = Script::EIO;
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

    fn database_file(&self) -> &File {
        self.database_file.get_or_init(|| File::open(&self.database).unwrap())
    }
}

impl FileFaults for Disk {
    fn before(&self, op: &FileOp) -> Fault {
        let fault = self.decide(op);
        if op.kind == OpKind::Write && op.file == FileRole::Wal && fault == Fault::Pass {
            self.armed.lock().unwrap().log_written_to = op.offset + op.length;
        }
        let mut model = self.model.lock().unwrap();
        let image = match op.file {
            FileRole::Database => &mut model.database,
            FileRole::Wal => &mut model.log,
            _ => return fault,
        };
        match (op.kind, fault) {
            (OpKind::Write, Fault::Pass) => image.wrote(op.offset, op.length),
            (OpKind::Write, Fault::ShortWrite { bytes, .. }) => image.wrote(op.offset, bytes),
            (OpKind::Sync, Fault::Pass) if op.file == FileRole::Database => {
                image.synced(self.database_file());
            }
            (OpKind::Sync, Fault::Pass) => {
                image.synced(&File::open(log_of(&self.database)).unwrap());
                model.ghost = None;
            }
            (OpKind::Sync, _) => image.sync_failed(),
            (OpKind::Truncate, Fault::Pass) => image.cut(op.offset),
            (OpKind::Delete, Fault::Pass) => model.ghost = Some(std::mem::take(image).durable),
            _ => {}
        }
        fault
    }
}

impl Failpoints for Disk {
    fn reach(&self, point: Failpoint) {
        self.armed.lock().unwrap().reached.push(point.name());
        match point {
            Failpoint::BEGIN_BEFORE => self.gate.pass(),
            // The log is written past SQLite, so its VFS does not see it; but the kernel counts.
            Failpoint::LOG_REWRITE_BEFORE => {
                self.armed.lock().unwrap().written_before = Some(written_by_this_thread());
            }
            Failpoint::LOG_REWRITE_AFTER => {
                let before = self.armed.lock().unwrap().written_before.take().unwrap();
                let log = File::open(log_of(&self.database)).unwrap();
                let mut model = self.model.lock().unwrap();
                // The end of the log, as much of it as is not surely on the device.
                let end = self.armed.lock().unwrap().log_written_to;
                let length = written_by_this_thread() - before;
                model.log.wrote(end - length, length);
                model.log.synced(&log);
            }
            _ => {}
        }
    }
}

/// Bytes that this thread has handed to write(2) and its like so far, as the kernel counts them.
fn written_by_this_thread() -> u64 {
    let io = fs::read_to_string("/proc/thread-self/io").unwrap();
    let written = io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap();
    written.parse().unwrap()
}

/// Makes of `copy`, the files as they are in memory, the files as the device holds them after a power loss. The model
/// lies beside `database`.
pub(super) fn unplug(database: &Path, copy: &Path, loss: Loss) -> io::Result<()> {
    let model = Model::of(database);
    let mut rng = match loss {
        Loss::Some(seed) => Some(fastrand::Rng::with_seed(seed)),
        Loss::All | Loss::Ghost => None,
    };
    let open = |path: &Path| File::options().read(true).write(true).open(path);
    model.database.unplug(&open(copy)?, rng.as_mut());
    let log = log_of(copy);
    if log.exists() {
        model.log.unplug(&open(&log)?, rng.as_mut());
    } else if let (Some(ghost), Loss::Ghost) = (model.ghost, loss) {
        fs::write(&log, ghost)?;
    }
    Ok(())
}
