//! What is noted while a store works on a device: the files after each commit, and how many operations had been done
//! by then. The store tells of its steps by its failpoints.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use steadfast_store::env::{Failpoint, Failpoints};

use super::mirror::Mirror;
use crate::memory_vfs::{Device, Files, SyncRule};

/// See the module.
#[derive(Debug)]
pub(super) struct Trace {
    device: &'static Device,
    database: PathBuf,
    rule: SyncRule,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    commits: Vec<Commit>,
    /// Operations done when the log had last been written over itself.
    healed_at: Option<usize>,
    written_before: Option<usize>,
    trouble: Option<String>,
}

/// The files after a commit.
#[derive(Debug, Clone)]
pub(super) struct Commit {
    /// Operations recorded by then.
    pub(super) at: usize,
    /// As they can be read.
    pub(super) files: Files,
}

impl Trace {
    /// Of a store whose syncs follow `rule` once it is open, except those within a fold that `synchronous=NORMAL`
    /// does too.
    pub(super) fn new(device: &'static Device, database: PathBuf, rule: SyncRule) -> Self {
        Self { device, database, rule, noted: Mutex::default() }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many operations had been done when the last commit was.
    pub(super) fn last_commit_at(&self) -> usize {
        self.noted().commits.last().map_or(0, |commit| commit.at)
    }

    /// The files after the last commit.
    pub(super) fn last_files(&self) -> Option<Files> {
        self.noted().commits.last().map(|commit| commit.files.clone())
    }

    /// How many operations had been done when a failed sync had last been overcome.
    pub(super) fn healed_at(&self) -> Option<usize> {
        self.noted().healed_at
    }

    /// All commits so far, and what could not be noted.
    pub(super) fn take(&self) -> (Vec<Commit>, Option<String>) {
        let mut noted = self.noted();
        (std::mem::take(&mut noted.commits), noted.trouble.take())
    }
}

impl Failpoints for Trace {
    fn reach(&self, point: Failpoint) {
        let mut noted = self.noted();
        match point {
            Failpoint::COMMIT_AFTER
            | Failpoint::MARKER_AFTER
            | Failpoint::MIGRATION_COMMIT_AFTER
            | Failpoint::CLOCK_COMMIT_AFTER => {
                noted.commits.push(Commit { at: self.device.recorded(), files: self.device.files() });
                if let Err(error) = Mirror::show_log_of(&self.database, self.device) {
                    noted.trouble = Some(format!("showing the log: {error}"));
                }
            }
            Failpoint::WAL_CHECKPOINT_BEFORE if self.rule == SyncRule::NoLog => {
                self.device.set_rule(SyncRule::Honest);
            }
            Failpoint::WAL_CHECKPOINT_AFTER => self.device.set_rule(self.rule),
            Failpoint::LOG_REWRITE_BEFORE => match Mirror::copy_log(&self.database, self.device) {
                Ok(written) => noted.written_before = Some(written),
                Err(error) => noted.trouble = Some(format!("copying the log: {error}")),
            },
            Failpoint::LOG_REWRITE_AFTER => {
                if let Some(before) = noted.written_before.take()
                    && let Err(error) = Mirror::note_rewrite(before, self.device)
                {
                    noted.trouble = Some(format!("noting what was written: {error}"));
                }
                noted.healed_at = Some(self.device.recorded());
            }
            _ => {}
        }
    }
}
