//! The board: a file of four bytes on which a worker keeps what it is doing, so that the runner knows where a kill hit
//! it. Written with pwrite(2), which outlives the process and needs no sync.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use steadfast_store::env::Failpoint;

/// Where the store's writer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Nothing is being written.
    Idle,
    /// A group is about to take the write lock.
    BeforeBegin,
    /// The write lock is held, COMMIT was not yet begun.
    InTransaction,
    /// In COMMIT.
    InCommit,
    /// COMMIT has returned, not everybody was answered.
    BeforeAnswer,
    /// The write-ahead log is being copied into the database file.
    InWalCheckpoint,
}

impl Phase {
    /// All of them, by their bytes.
    pub const ALL: [Self; 6] = [
        Self::Idle,
        Self::BeforeBegin,
        Self::InTransaction,
        Self::InCommit,
        Self::BeforeAnswer,
        Self::InWalCheckpoint,
    ];

    /// The phase that begins at a failpoint; none when it changes nothing.
    pub fn from(point: Failpoint) -> Option<Self> {
        Some(match point {
            Failpoint::BEGIN_BEFORE => Self::BeforeBegin,
            Failpoint::BEGIN_AFTER => Self::InTransaction,
            Failpoint::COMMIT_BEFORE => Self::InCommit,
            Failpoint::COMMIT_AFTER => Self::BeforeAnswer,
            Failpoint::ANSWER_AFTER | Failpoint::WAL_CHECKPOINT_AFTER => Self::Idle,
            Failpoint::WAL_CHECKPOINT_BEFORE => Self::InWalCheckpoint,
            _ => return None,
        })
    }
}

/// Where the worker stands in its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Not in a step: it sweeps, claims, plans.
    Start,
    /// It states the intent.
    Intent,
    /// The intent is durable; the effect is asked for.
    Effect,
    /// The effect was answered; its result is being recorded with the checkpoint.
    Record,
    /// The commit was acknowledged; the parent is being told.
    Acknowledge,
    /// The model is asked, if need be.
    Model,
}

impl Stage {
    /// All of them, by their bytes.
    pub const ALL: [Self; 6] =
        [Self::Start, Self::Intent, Self::Effect, Self::Record, Self::Acknowledge, Self::Model];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Intent => "intent",
            Self::Effect => "effect",
            Self::Record => "record",
            Self::Acknowledge => "acknowledge",
            Self::Model => "model",
        }
    }
}

/// What a board says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posted {
    /// Where the writer stood.
    pub phase: Phase,
    /// Where the worker stood.
    pub stage: Stage,
    /// In which step.
    pub step: u16,
}

/// The worker's side of the board.
#[derive(Debug)]
pub struct Board {
    file: File,
    phase: AtomicU8,
    /// The stage in the low byte, the step above it.
    stage: AtomicU32,
}

impl Board {
    /// Makes the file, or cleans it.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        file.write_all_at(&[0; 4], 0)?;
        Ok(Self { file, phase: AtomicU8::new(0), stage: AtomicU32::new(0) })
    }

    /// Posts where the writer stands.
    pub fn post_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        self.put(&[phase as u8], 0);
    }

    /// Posts where the worker stands.
    pub fn post_stage(&self, stage: Stage, step: u16) {
        self.stage.store(u32::from(step) << 8 | stage as u32, Ordering::Release);
        let [low, high] = step.to_le_bytes();
        self.put(&[stage as u8, low, high], 1);
    }

    /// Where the writer stands.
    pub fn phase(&self) -> Phase {
        one_of(&Phase::ALL, self.phase.load(Ordering::Acquire))
    }

    /// Where the worker stands, and in which step.
    pub fn stage(&self) -> (Stage, u16) {
        let [stage, low, high, _] = self.stage.load(Ordering::Acquire).to_le_bytes();
        (one_of(&Stage::ALL, stage), u16::from_le_bytes([low, high]))
    }

    /// A post that fails shows in the figures: the phase it stands for is not hit any more.
    fn put(&self, bytes: &[u8], offset: u64) {
        drop(self.file.write_all_at(bytes, offset));
    }
}

/// Reads a board. One that its worker did not come to make says that the worker did nothing yet.
///
/// # Errors
/// What the file system answers.
pub fn read(path: &Path) -> io::Result<Posted> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    let [phase, stage, low, high] = bytes.try_into().unwrap_or_default();
    let (phase, stage) = (one_of(&Phase::ALL, phase), one_of(&Stage::ALL, stage));
    Ok(Posted { phase, stage, step: u16::from_le_bytes([low, high]) })
}

fn one_of<T: Copy>(all: &[T], byte: u8) -> T {
    // Only bytes from these lists are ever posted.
    all[usize::from(byte).min(all.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_says_what_was_posted_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("board");
        let board = Board::create(&path).unwrap();
        assert_eq!(read(&path).unwrap(), Posted { phase: Phase::Idle, stage: Stage::Start, step: 0 });
        for phase in Phase::ALL {
            for stage in Stage::ALL {
                board.post_phase(phase);
                board.post_stage(stage, 300);
                assert_eq!(read(&path).unwrap(), Posted { phase, stage, step: 300 });
                assert_eq!((board.phase(), board.stage()), (phase, (stage, 300)));
            }
        }
        Board::create(&path).unwrap();
        assert_eq!(read(&path).unwrap().step, 0);
        let nothing = Posted { phase: Phase::Idle, stage: Stage::Start, step: 0 };
        assert_eq!(read(&folder.path().join("none")).unwrap(), nothing);
    }
}
