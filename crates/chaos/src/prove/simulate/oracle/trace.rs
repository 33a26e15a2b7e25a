//! The log of a run: one line for each thing that happens, hashed as it comes, so that two runs can be compared byte
//! for byte without keeping either.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::time::Duration;

use steadfast_store::{Batch, Command, Committed, Outcome, Payload, StoreError};

/// Lines that are kept, where any are.
const KEPT: usize = 120;

/// See the module.
#[derive(Debug)]
pub(in super::super) struct Trace {
    hasher: blake3::Hasher,
    line: String,
    kept: Option<VecDeque<String>>,
    lines: u64,
}

impl Trace {
    /// With the last lines kept, if asked for.
    pub(super) fn new(keeps: bool) -> Self {
        let kept = keeps.then(VecDeque::new);
        Self { hasher: blake3::Hasher::new(), line: String::new(), kept, lines: 0 }
    }

    /// Notes one thing that happened.
    pub(in super::super) fn note(&mut self, now: Duration, what: fmt::Arguments<'_>) {
        self.line.clear();
        // Writing to a string cannot fail.
        let _ = writeln!(self.line, "{} {what}", now.as_micros());
        self.hasher.update(self.line.as_bytes());
        self.lines += 1;
        if let Some(kept) = &mut self.kept {
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(self.line.trim_end().to_owned());
        }
    }

    /// Of all lines so far.
    pub(in super::super) fn hash(&self) -> blake3::Hash {
        self.hasher.finalize()
    }

    /// How many there are.
    pub(in super::super) fn lines(&self) -> u64 {
        self.lines
    }

    /// The last lines, if they are kept.
    pub(in super::super) fn last(&self) -> Vec<String> {
        self.kept.iter().flatten().cloned().collect()
    }
}

/// A batch in a few words.
pub(super) struct Told<'a>(pub(super) &'a Batch);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in self.0.entries() {
            if let Some(guard) = &entry.guard {
                write!(f, "[{}#{}]", guard.item, guard.fence)?;
            }
            match &entry.command {
                Command::Claim(claim) => write!(f, "claim {} by {} ", claim.claim, claim.holder)?,
                Command::Renew(renew) => write!(f, "renew {}#{} ", renew.guard.item, renew.guard.fence)?,
                Command::SettleItem(settle) => {
                    write!(f, "settle {}#{} {:?} ", settle.guard.item, settle.guard.fence, settle.settle)?;
                }
                Command::SweepExpired(sweep) => write!(f, "sweep {} ", sweep.sweep)?,
                Command::AppendCheckpoint(append) => {
                    write!(f, "append {} {} {:?} ", append.task, append.checkpoint, append.payload.bytes())?;
                }
                Command::BeginOperation(begin) => write!(f, "begin {} {} ", begin.key, begin.token)?,
                Command::FinishOperation(finish) => {
                    write!(
                        f,
                        "finish {} {} {:?} ",
                        finish.key,
                        finish.token,
                        finish.end.output().map(Payload::bytes)
                    )?;
                }
                Command::InvalidateOperation(invalidate) => write!(f, "invalidate {} ", invalidate.key)?,
                other => write!(f, "{other:?} ")?,
            }
        }
        Ok(())
    }
}

/// An answer in a few words.
pub(super) struct Answered<'a>(pub(super) &'a Result<Committed, StoreError>);

impl fmt::Display for Answered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(Committed::Applied(applied)) => {
                f.write_str(if applied.is_replayed() { "again" } else { "applied" })?;
                applied.outcomes().iter().try_for_each(|outcome| match outcome {
                    Outcome::Claimed(claimed) => claimed.items.iter().try_for_each(|item| {
                        write!(f, " {}#{} try {} {:?}", item.id, item.fence, item.attempt, item.lease)
                    }),
                    Outcome::VerificationRecorded(_) => Ok(()),
                    other => write!(f, " {other:?}"),
                })
            }
            Ok(Committed::Rejected(rejection)) => write!(f, "rejected: {rejection}"),
            Err(error) => write!(f, "error: {error}"),
        }
    }
}
