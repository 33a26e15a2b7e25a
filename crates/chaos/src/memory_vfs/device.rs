//! The device: its files, what is noted of the operations on them, and what becomes of their syncs.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::{Files, Name, write_at};
use super::locks::Locks;
use super::object::SharedMemory;

/// What was done to a file, once it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// The file was made, empty.
    Create(Name),
    /// Bytes were written.
    Write {
        /// To which file.
        name: Name,
        /// Where.
        offset: usize,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// The file was cut, or grown with zeros.
    Truncate {
        /// Which file.
        name: Name,
        /// To how many bytes.
        length: usize,
    },
    /// The file was to be synced.
    Sync {
        /// Which file.
        name: Name,
        /// Whether its folder was synced too.
        folder: bool,
        /// Whether it was.
        took: Took,
    },
    /// The file was removed.
    Delete {
        /// Which file.
        name: Name,
        /// Whether its folder was synced after it.
        folder: bool,
    },
}

/// What became of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// What had been written is on the device.
    Done,
    /// It failed, and said so.
    Failed,
    /// It was left out, and answered as if it had been done.
    LeftOut,
}

/// Which syncs a device does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncRule {
    /// All.
    #[default]
    Honest,
    /// None of the log but that of its header, when it is begun anew: what `synchronous=NORMAL` leaves out at a commit.
    NoLog,
    /// None at all: what `synchronous=OFF` leaves out.
    Nothing,
}

/// A sync that failed.
#[derive(Debug, Clone)]
pub struct FailedSync {
    /// Operations recorded by then, this one included.
    pub at: usize,
    /// The files as they could be read then.
    pub files: Files,
}

/// See [`MemoryVfs`](super::MemoryVfs).
#[derive(Debug)]
pub struct Device {
    state: Mutex<State>,
}

/// What a device knows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) files: Files,
    pub(super) locks: Locks,
    pub(super) shared: SharedMemory,
    pub(super) sector_bytes: i32,
    next_file: u64,
    recorded: Option<Vec<Op>>,
    rule: SyncRule,
    failing: [u32; 3],
    failed: Vec<FailedSync>,
    /// The range of the log that was written last.
    log_written: Range<usize>,
}

impl Device {
    pub(super) fn new() -> Self {
        let state = State {
            files: Files::default(),
            locks: Locks::default(),
            shared: SharedMemory::default(),
            sector_bytes: 4096,
            next_file: 0,
            recorded: None,
            rule: SyncRule::Honest,
            failing: [0; 3],
            failed: Vec::new(),
            log_written: 0..0,
        };
        Self { state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces everything by these files, on a healthy device that records nothing.
    ///
    /// # Panics
    /// While a connection is open.
    pub fn load(&self, files: Files) {
        let mut state = self.state();
        assert_eq!(state.locks.open(), 0, "a device is loaded while a connection to it is open");
        state.files = files;
        state.shared.clear();
        state.recorded = None;
        state.rule = SyncRule::Honest;
        state.failing = [0; 3];
        state.failed.clear();
    }

    /// The files as they can be read now.
    pub fn files(&self) -> Files {
        self.state().files.clone()
    }

    /// How long a file is now, in bytes; 0 for one that is not there.
    pub fn length(&self, name: Name) -> usize {
        self.state().files.length(name)
    }

    /// The first 32 bytes of the log, as far as there are any.
    pub fn log_header(&self) -> Vec<u8> {
        let state = self.state();
        let log = state.files.get(Name::Log).unwrap_or_default();
        log[..log.len().min(32)].to_vec()
    }

    /// What the device says its sectors are, in bytes.
    pub fn set_sector_bytes(&self, bytes: u16) {
        self.state().sector_bytes = i32::from(bytes);
    }

    /// Notes every operation from now on.
    pub fn record(&self) {
        self.state().recorded = Some(Vec::new());
    }

    /// Operations noted so far.
    pub fn recorded(&self) -> usize {
        self.state().recorded.as_ref().map_or(0, Vec::len)
    }

    /// Ends a recording, and gives it with the syncs that failed meanwhile.
    pub fn take_recording(&self) -> (Vec<Op>, Vec<FailedSync>) {
        let mut state = self.state();
        (state.recorded.take().unwrap_or_default(), std::mem::take(&mut state.failed))
    }

    /// Which syncs are done from now on.
    pub fn set_rule(&self, rule: SyncRule) {
        self.state().rule = rule;
    }

    /// The next so many syncs of this file fail.
    pub fn fail_syncs(&self, name: Name, count: u32) {
        self.state().failing[name as usize] = count;
    }

    /// Notes what was done to the log past SQLite: its last `length` bytes, up to where it was written last, were written
    /// over themselves and synced.
    pub fn log_was_rewritten(&self, length: usize) {
        let mut state = self.state();
        let end = state.log_written.end;
        let start = end.saturating_sub(length);
        let bytes = state.files.get(Name::Log).and_then(|log| log.get(start..end)).map(<[u8]>::to_vec);
        if let Some(bytes) = bytes {
            if !bytes.is_empty() {
                state.write(Name::Log, start, &bytes);
            }
            state.sync(Name::Log, false);
        }
    }
}

impl State {
    fn note(&mut self, op: Op) {
        if let Some(recorded) = &mut self.recorded {
            recorded.push(op);
        }
    }

    /// A number for a file that is opened.
    pub(super) fn number(&mut self) -> u64 {
        self.next_file += 1;
        self.next_file
    }

    pub(super) fn create(&mut self, name: Name) {
        if self.files.get(name).is_none() {
            self.files.set(name, Some(Vec::new()));
            self.note(Op::Create(name));
        }
    }

    pub(super) fn write(&mut self, name: Name, offset: usize, bytes: &[u8]) {
        write_at(self.files.content(name), offset, bytes);
        if name == Name::Log {
            self.log_written = offset..offset + bytes.len();
        }
        if self.recorded.is_some() {
            self.note(Op::Write { name, offset, bytes: bytes.into() });
        }
    }

    pub(super) fn truncate(&mut self, name: Name, length: usize) {
        self.files.content(name).resize(length, 0);
        self.note(Op::Truncate { name, length });
    }

    /// Whether it answers that it was done.
    pub(super) fn sync(&mut self, name: Name, folder: bool) -> bool {
        let failing = &mut self.failing[name as usize];
        let fails = *failing > 0;
        *failing = failing.saturating_sub(1);
        let took = match self.rule {
            _ if fails => Took::Failed,
            SyncRule::Nothing => Took::LeftOut,
            SyncRule::NoLog if name == Name::Log && self.log_written.start > 0 => Took::LeftOut,
            SyncRule::NoLog | SyncRule::Honest => Took::Done,
        };
        self.note(Op::Sync { name, folder: folder && !fails, took });
        if fails && let Some(recorded) = &self.recorded {
            self.failed.push(FailedSync { at: recorded.len(), files: self.files.clone() });
        }
        !fails
    }

    /// Whether there was such a file.
    pub(super) fn delete(&mut self, name: Name, folder: bool) -> bool {
        let was_there = self.files.get(name).is_some();
        if was_there {
            self.files.set(name, None);
            self.note(Op::Delete { name, folder });
        }
        was_there
    }
}
