//! A worker as the runner sees it: its process, and everything it has told so far.

use std::time::Instant;

use crate::case::{CaseError, Deadline};
use crate::process::Process;
use crate::worker::told::Told;

/// A worker's process and what it told.
#[derive(Debug)]
pub(super) struct Hand {
    /// The process.
    pub(super) process: Process,
    /// When it was started.
    pub(super) started: Instant,
    /// What it told, each with the time at which it was heard.
    pub(super) told: Vec<(Told, Instant)>,
}

impl Hand {
    /// A worker that was just started.
    pub(super) fn new(process: Process) -> Self {
        Self { process, started: Instant::now(), told: Vec::new() }
    }

    /// The next thing it tells; `None` when it has ended.
    pub(super) fn hear(&mut self, deadline: Deadline) -> Result<Option<Told>, CaseError> {
        let Some(line) = self.process.next_line(deadline)? else { return Ok(None) };
        let told: Told = line.text.parse().map_err(|wrong: String| self.process.error(&wrong))?;
        self.told.push((told.clone(), line.at));
        Ok(Some(told))
    }

    /// Hears until a moment has come. True when it has ended before.
    pub(super) fn hear_until_time(&mut self, moment: Deadline) -> Result<bool, CaseError> {
        loop {
            match self.hear(moment) {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(true),
                Err(CaseError::TimedOut { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Hears everything that it still has to tell, until it has ended.
    pub(super) fn hear_all(&mut self, deadline: Deadline) -> Result<(), CaseError> {
        while self.hear(deadline)?.is_some() {}
        Ok(())
    }

    /// Hears until it tells something that `is_wanted`; an error when it ends before.
    pub(super) fn hear_until(
        &mut self,
        deadline: Deadline,
        is_wanted: impl Fn(&Told) -> bool,
    ) -> Result<Told, CaseError> {
        loop {
            match self.hear(deadline)? {
                Some(told) if is_wanted(&told) => return Ok(told),
                Some(_) => {}
                None => {
                    let status = self.process.wait(deadline)?;
                    return Err(self.process.ended(status));
                }
            }
        }
    }

    /// The checkpoints that it was told are durable: sequence number, id and when it said so.
    pub(super) fn acknowledged(&self) -> impl Iterator<Item = (u64, &str, Instant)> {
        self.told.iter().filter_map(|(told, at)| match told {
            Told::Ack { sequence, id } => Some((*sequence, id.as_str(), *at)),
            _ => None,
        })
    }

    /// The fence that it holds or held.
    pub(super) fn fence(&self) -> Option<u64> {
        self.told.iter().find_map(|(told, _)| match told {
            Told::Held { fence } => Some(*fence),
            _ => None,
        })
    }

    /// Where it went on.
    pub(super) fn resumed_from(&self) -> Option<u64> {
        self.told.iter().find_map(|(told, _)| match told {
            Told::Resume { sequence } => Some(*sequence),
            _ => None,
        })
    }

    /// The calls that the ledger handed it as in doubt.
    pub(super) fn doubts(&self) -> impl Iterator<Item = &str> {
        self.told.iter().filter_map(|(told, _)| match told {
            Told::Doubt { key } => Some(key.as_str()),
            _ => None,
        })
    }

    /// Whether it told that it has lost its lease.
    pub(super) fn is_lost(&self) -> bool {
        self.told.iter().any(|(told, _)| matches!(told, Told::Lost { .. } | Told::Fenced { .. }))
    }

    /// When it told that the task is done.
    pub(super) fn done_at(&self) -> Option<Instant> {
        self.told.iter().find(|(told, _)| *told == Told::Done).map(|(_, at)| *at)
    }
}
