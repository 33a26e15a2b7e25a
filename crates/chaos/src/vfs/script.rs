//! Faults that a test programs while the database runs: the nth sync, everything from the nth on, a
//! full disk.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{ErrorCode, Fault, FileFaults, FileOp, FileRole, OpKind};

const COUNTERS: usize = OpKind::ALL.len() * FileRole::ALL.len();

/// One line of a [`Script`]: which operations it strikes, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The kind of operation.
    pub kind: OpKind,
    /// The file it is done to.
    pub file: FileRole,
    /// Which of them is struck: 1 is the next one after the rule was added, 0 counts as 1.
    pub nth: u64,
    /// Whether all the later ones are struck as well, until [`Script::heal`].
    pub lasting: bool,
    /// What becomes of the struck operation.
    pub fault: Fault,
}

impl Rule {
    /// Strikes the next operation of this kind on this file, and no other.
    pub fn next(kind: OpKind, file: FileRole, fault: Fault) -> Self {
        Self { kind, file, nth: 1, lasting: false, fault }
    }

    /// Strikes the nth one instead of the next (1 is the next).
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        Self { nth, ..self }
    }

    /// Strikes all the later ones as well, until [`Script::heal`].
    #[must_use]
    pub fn lasting(self) -> Self {
        Self { lasting: true, ..self }
    }
}

/// Programmable faults, with a count of every operation they saw.
///
/// ```
/// use std::sync::Arc;
/// use steadfast_chaos::vfs::{FaultVfs, FileRole, OpKind, Rule, Script};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let script = Arc::new(Script::new());
/// let vfs = FaultVfs::register("doc-script", script.clone())?;
/// let folder = tempfile::tempdir()?;
/// let database = vfs.open(folder.path().join("tasks.db"))?;
/// database.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE tasks (id INTEGER PRIMARY KEY)")?;
///
/// script.add(Rule::next(OpKind::Sync, FileRole::Wal, Script::EIO).lasting());
/// assert!(database.execute("INSERT INTO tasks VALUES (1)", []).is_err());
/// script.heal();
/// assert!(database.execute("INSERT INTO tasks VALUES (1)", []).is_ok());
/// assert_eq!(script.struck(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Script {
    /// Whether there is a rule or a quota at all: while there is none, no operation takes the lock.
    armed: AtomicBool,
    program: Mutex<Program>,
    seen: [AtomicU64; COUNTERS],
    struck: AtomicU64,
}

#[derive(Debug, Default)]
struct Program {
    rules: Vec<Active>,
    bytes_left: Option<u64>,
}

#[derive(Debug)]
struct Active {
    rule: Rule,
    seen: u64,
}

impl Script {
    /// The fault of a device that fails.
    pub const EIO: Fault = Fault::Fail(ErrorCode::Io);
    /// The fault of a device that is full.
    pub const ENOSPC: Fault = Fault::Fail(ErrorCode::Full);

    /// A script with no rule: everything passes, and is counted.
    pub fn new() -> Self {
        Self {
            armed: AtomicBool::new(false),
            program: Mutex::default(),
            seen: [const { AtomicU64::new(0) }; COUNTERS],
            struck: AtomicU64::new(0),
        }
    }

    /// Adds a rule. When several strike the same operation, the one added first decides.
    pub fn add(&self, rule: Rule) {
        let mut program = self.program();
        program.rules.push(Active { rule, seen: 0 });
        self.armed.store(true, Ordering::Release);
    }

    /// Lets this many more bytes be written, over all files; then the disk is full until
    /// [`Script::heal`].
    ///
    /// As on a real disk, the write that crosses the line is done in part, and what is written over
    /// older bytes counts too (a real disk would let that pass). Later writes fail without being
    /// done.
    pub fn bytes_left(&self, bytes: u64) {
        let mut program = self.program();
        program.bytes_left = Some(bytes);
        self.armed.store(true, Ordering::Release);
    }

    /// Removes every rule and the limit of bytes. The counts stay.
    pub fn heal(&self) {
        let mut program = self.program();
        *program = Program::default();
        self.armed.store(false, Ordering::Release);
    }

    /// How many operations of this kind were seen on this file, struck ones included.
    pub fn count(&self, kind: OpKind, file: FileRole) -> u64 {
        self.seen[counter(kind, file)].load(Ordering::Acquire)
    }

    /// How many operations of this kind were seen on all files, struck ones included.
    pub fn count_all(&self, kind: OpKind) -> u64 {
        FileRole::ALL.iter().map(|&file| self.count(kind, file)).sum()
    }

    /// How many operations were struck. A test that names a fault asserts that it fired.
    pub fn struck(&self) -> u64 {
        self.struck.load(Ordering::Acquire)
    }

    fn program(&self) -> MutexGuard<'_, Program> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl FileFaults for Script {
    fn before(&self, op: &FileOp) -> Fault {
        self.seen[counter(op.kind, op.file)].fetch_add(1, Ordering::AcqRel);
        if !self.armed.load(Ordering::Acquire) {
            return Fault::Pass;
        }
        let fault = self.program().decide(op);
        if fault != Fault::Pass {
            self.struck.fetch_add(1, Ordering::AcqRel);
        }
        fault
    }
}

impl Program {
    fn decide(&mut self, op: &FileOp) -> Fault {
        let mut decided = Fault::Pass;
        for active in &mut self.rules {
            let rule = active.rule;
            if rule.kind != op.kind || rule.file != op.file {
                continue;
            }
            active.seen += 1;
            let nth = rule.nth.max(1);
            let strikes = active.seen == nth || (rule.lasting && active.seen > nth);
            if strikes && decided == Fault::Pass {
                decided = rule.fault;
            }
        }
        if decided == Fault::Pass && op.kind == OpKind::Write { self.spend(op.length) } else { decided }
    }

    fn spend(&mut self, length: u64) -> Fault {
        let Some(left) = self.bytes_left else { return Fault::Pass };
        self.bytes_left = Some(left.saturating_sub(length));
        match left {
            left if left >= length => Fault::Pass,
            0 => Script::ENOSPC,
            bytes => Fault::ShortWrite { bytes, code: ErrorCode::Full },
        }
    }
}

fn counter(kind: OpKind, file: FileRole) -> usize {
    kind as usize * FileRole::ALL.len() + file as usize
}
