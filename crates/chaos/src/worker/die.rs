//! Dying at a chosen place: a failpoint of the store, a file operation inside COMMIT or a WAL checkpoint, or the
//! beginning of a stage of the worker's step; the nth time it is reached, in any stage and step or in a chosen one.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use steadfast_store::env::{Failpoint, Failpoints};

use super::board::{Board, Phase, Stage};
use crate::process::die_here;
use crate::vfs::{Fault, FileFaults, FileOp, FileRole, OpKind};

/// Where to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At a failpoint of the store.
    Point(Failpoint),
    /// Before a write to the log, inside COMMIT.
    WalWrite,
    /// Before the sync of the log, inside COMMIT.
    WalSync,
    /// After the sync of the log, inside COMMIT.
    WalSynced,
    /// Before a write to the database file, inside a WAL checkpoint.
    DatabaseWrite,
    /// Before the sync of the database file, inside a WAL checkpoint.
    DatabaseSync,
    /// At the beginning of a stage.
    Stage,
}

impl Place {
    const NAMED: [(Self, &'static str); 6] = [
        (Self::Stage, "stage"),
        (Self::WalWrite, "commit.wal-write"),
        (Self::WalSync, "commit.wal-sync"),
        (Self::WalSynced, "commit.wal-synced"),
        (Self::DatabaseWrite, "wal-checkpoint.database-write"),
        (Self::DatabaseSync, "wal-checkpoint.database-sync"),
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        if let Self::Point(point) = self {
            return point.name();
        }
        Self::NAMED.iter().find(|(place, _)| *place == self).map_or("", |(_, name)| name)
    }

    fn named(name: &str) -> Option<Self> {
        let own = Self::NAMED.iter().find(|(_, known)| *known == name);
        own.map(|(place, _)| *place).or_else(|| Failpoint::named(name).map(Self::Point))
    }

    /// Whether only a VFS of our own sees it.
    pub const fn needs_vfs(self) -> bool {
        !matches!(self, Self::Point(_) | Self::Stage)
    }
}

/// Where and when to die, written `PLACE[@STAGE[/STEP]]:NTH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DieAt {
    /// Where.
    pub place: Place,
    /// Only while the worker is in this stage.
    pub stage: Option<Stage>,
    /// Only while it is in this step.
    pub step: Option<u16>,
    /// The how manieth time: 1 is the first.
    pub nth: u32,
}

impl fmt::Display for DieAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.place.name())?;
        if let Some(stage) = self.stage {
            write!(f, "@{}", stage.name())?;
        }
        if let Some(step) = self.step {
            write!(f, "/{step}")?;
        }
        write!(f, ":{}", self.nth)
    }
}

impl FromStr for DieAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| format!("{text:?} is not PLACE[@STAGE[/STEP]]:NTH"))
    }
}

impl DieAt {
    fn parse(text: &str) -> Option<Self> {
        let (place, nth) = text.rsplit_once(':')?;
        let (place, when) = place.split_once('@').map_or((place, None), |(place, when)| (place, Some(when)));
        let (stage, step) = match when.map(|when| when.split_once('/').unwrap_or((when, ""))) {
            None => (None, None),
            Some((stage, step)) => {
                let stage = Stage::ALL.into_iter().find(|known| known.name() == stage)?;
                (Some(stage), if step.is_empty() { None } else { Some(step.parse().ok()?) })
            }
        };
        let nth = nth.parse().ok().filter(|nth| *nth > 0)?;
        Some(Self { place: Place::named(place)?, stage, step, nth })
    }
}

/// Listens to the store's failpoints and the VFS, posts the phases, and dies where it was told to.
#[derive(Debug)]
pub struct Listener {
    board: Board,
    die_at: Option<DieAt>,
    reached: AtomicU32,
}

impl Listener {
    /// Posts on `board`.
    pub fn new(board: Board, die_at: Option<DieAt>) -> Self {
        Self { board, die_at, reached: AtomicU32::new(0) }
    }

    /// The worker begins a stage of a step.
    pub fn enter(&self, stage: Stage, step: u16) {
        self.board.post_stage(stage, step);
        self.die_if_told(Place::Stage);
    }

    fn die_if_told(&self, reached: Place) {
        let Some(DieAt { place, stage, step, nth }) = self.die_at else { return };
        let (now_stage, now_step) = self.board.stage();
        let is_now = stage.is_none_or(|stage| stage == now_stage) && step.is_none_or(|step| step == now_step);
        if place == reached && is_now && self.reached.fetch_add(1, Ordering::AcqRel) + 1 == nth {
            die_here();
        }
    }
}

impl Failpoints for Listener {
    fn reach(&self, point: Failpoint) {
        // What stands before a COMMIT or a WAL checkpoint is not yet in it: the phase is posted when that is gone on
        // from.
        let is_early = point == Failpoint::COMMIT_BEFORE || point == Failpoint::WAL_CHECKPOINT_BEFORE;
        if is_early {
            self.die_if_told(Place::Point(point));
        }
        if let Some(phase) = Phase::from(point) {
            self.board.post_phase(phase);
        }
        if !is_early {
            self.die_if_told(Place::Point(point));
        }
    }
}

impl FileFaults for Listener {
    fn before(&self, op: &FileOp) -> Fault {
        match (self.board.phase(), op.file, op.kind) {
            (Phase::InCommit, FileRole::Wal, OpKind::Write) => self.die_if_told(Place::WalWrite),
            (Phase::InCommit, FileRole::Wal, OpKind::Sync) => self.die_if_told(Place::WalSync),
            (Phase::InWalCheckpoint, FileRole::Database, OpKind::Write) => {
                self.die_if_told(Place::DatabaseWrite);
            }
            (Phase::InWalCheckpoint, FileRole::Database, OpKind::Sync) => {
                self.die_if_told(Place::DatabaseSync);
            }
            _ => {}
        }
        Fault::Pass
    }

    fn after(&self, op: &FileOp) {
        if (self.board.phase(), op.file, op.kind) == (Phase::InCommit, FileRole::Wal, OpKind::Sync) {
            self.die_if_told(Place::WalSynced);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_reads_back_as_it_is_written() {
        for text in [
            "begin.before:1",
            "commit.before@record:7",
            "stage@effect/12:1",
            "commit.wal-write@intent:3",
            "commit.wal-sync:2",
            "commit.wal-synced@start:1",
            "wal-checkpoint.database-write:40",
            "wal-checkpoint.database-sync:1",
        ] {
            assert_eq!(text.parse::<DieAt>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "",
            "begin.before",
            "begin.before:0",
            "begin.sideways:1",
            "begin.before@never:1",
            "commit.before:x",
            "stage@effect/x:1",
        ] {
            assert!(text.parse::<DieAt>().is_err(), "{text}");
        }
    }
}
