//! The store under test, without its threads: it does the acts of a scenario one after the other, so that the nth
//! operation of its device is the same one each time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadfast_store::env::{Env, ManualClock};
use steadfast_store::{Batch, Committed, OpenError, SqliteCore, SqliteOptions, StoreError};

use super::acts::{Act, Scenario};
use super::disk::Disk;

/// What a caller was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// It was done.
    Applied,
    /// It had been done before.
    Replayed,
    /// A precondition does not hold.
    Rejected,
    /// It was surely not done.
    Failed,
    /// It was surely not done, since the device is full.
    DiskFull,
    /// Nobody knows whether it was done.
    Unknown,
    /// There was no store: it could not be opened.
    NotOpen,
    /// What no failing device explains.
    Other(String),
}

impl Answer {
    pub(super) fn of(answer: Result<Committed, StoreError>) -> Self {
        match answer {
            Ok(Committed::Applied(applied)) if applied.is_replayed() => Self::Replayed,
            Ok(Committed::Applied(_)) => Self::Applied,
            Ok(Committed::Rejected(_)) => Self::Rejected,
            Err(StoreError::Failed { .. }) => Self::Failed,
            Err(StoreError::DiskFull) => Self::DiskFull,
            // A writer that panicked answers so too.
            Err(StoreError::Unknown { source }) if !source.to_string().contains("ended before") => {
                Self::Unknown
            }
            other => Self::Other(format!("{other:?}")),
        }
    }

    /// Whether it says that the batch is there.
    pub(super) fn acknowledges(&self) -> bool {
        matches!(self, Self::Applied | Self::Replayed)
    }

    /// Whether its caller need not ask again.
    pub(super) fn is_final(&self) -> bool {
        self.acknowledges() || *self == Self::Rejected
    }
}

/// One submission and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// Which act it was.
    pub(super) act: usize,
    /// How much time had passed since the first act.
    pub(super) after: Duration,
    /// What the caller was told.
    pub(super) answer: Answer,
}

/// The environment of every store here: time stands still until an act lets it pass.
pub(super) fn env(after: Duration) -> (Env, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    clock.advance(after);
    (Env::system().with_clock(clock.clone()), clock)
}

/// See the module.
pub(super) struct Subject {
    core: Option<SqliteCore>,
    options: SqliteOptions,
    env: Env,
    clock: Arc<ManualClock>,
    after: Duration,
    pub(super) told: Vec<Told>,
    /// Acknowledgements that came between a failed sync and the next one that succeeded.
    pub(super) too_early: usize,
    /// Opening it answered so, where no failing device explains the answer.
    pub(super) misopened: Vec<String>,
}

impl Subject {
    /// A store on this file that is not open yet; through a VFS when it is given one. `after` is the time that has
    /// passed for it.
    pub(super) fn new(database: &Path, scenario: &Scenario, after: Duration) -> Self {
        let mut options = SqliteOptions::new(database);
        options.wal_pages = scenario.wal_pages;
        let (env, clock) = env(after);
        let (told, misopened) = (Vec::new(), Vec::new());
        Self { core: None, options, env, clock, after, told, too_early: 0, misopened }
    }

    /// The same through a VFS, on a device that hears of the failpoints.
    pub(super) fn on(mut self, vfs: &str, disk: &Arc<Disk>) -> Self {
        self.options.vfs = Some(vfs.to_owned());
        self.env = self.env.with_failpoints(disk.clone());
        self
    }

    /// Opens the store, if it is not open. A failure is told by every later submission.
    pub(super) fn open(&mut self) {
        if self.core.is_some() {
            return;
        }
        match SqliteCore::open(&self.options, self.env.clone()) {
            Ok(core) => self.core = Some(core),
            Err(OpenError::Failed { .. }) => {}
            Err(other) => self.misopened.push(format!("{other:?}")),
        }
    }

    /// Closes the store in good order, as far as its device lets it.
    pub(super) fn close(&mut self) {
        self.core = None;
    }

    /// Does all acts.
    pub(super) fn act(&mut self, scenario: &Scenario, disk: &Disk) {
        for (index, act) in scenario.acts.iter().enumerate() {
            match act {
                Act::Submit(submission) => self.submit(index, &submission.batch, Some(disk)),
                Act::Wait(span) => self.wait(*span),
                Act::Reopen => {
                    self.close();
                    self.open();
                }
            }
        }
    }

    pub(super) fn wait(&mut self, span: Duration) {
        self.clock.advance(span);
        self.after += span;
    }

    /// How much time has passed.
    pub(super) fn after(&self) -> Duration {
        self.after
    }

    /// Submits one batch, and does what the writer does after each group.
    pub(super) fn submit(&mut self, act: usize, batch: &Batch, disk: Option<&Disk>) {
        let answer = match &mut self.core {
            // Nobody else is there to wait for, and no time passes.
            Some(core) => core.apply(&[batch], Duration::ZERO).pop().map_or(Answer::NotOpen, Answer::of),
            None => Answer::NotOpen,
        };
        let is_early = answer.acknowledges() && disk.is_some_and(Disk::is_log_unproven);
        self.too_early += usize::from(is_early);
        self.told.push(Told { act, after: self.after, answer });
        if let Some(core) = &mut self.core {
            core.fold_log_if_due();
        }
    }
}

/// The acts that nobody was told the end of, in their order: those that a caller submits again.
pub(super) fn unresolved(told: &[Told]) -> Vec<usize> {
    let mut acts: Vec<usize> = told.iter().map(|told| told.act).collect();
    acts.sort_unstable();
    acts.dedup();
    acts.retain(|&act| !told.iter().any(|told| told.act == act && told.answer.is_final()));
    acts
}
