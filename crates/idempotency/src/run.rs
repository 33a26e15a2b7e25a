//! Asking, calling, recording and waiting in one go.

use std::future::Future;
use std::time::Duration;

use steadfast_store::{ChangeStamp, OperationKey, OperationStatus, StoreError};

use crate::attempt::Attempt;
use crate::call::{ToolCall, ToolOutput};
use crate::error::LedgerError;
use crate::ledger::{Call, ToolLedger};

/// How often a call that is under way elsewhere is asked for although it has not changed: its owner's term may end,
/// or its lease be lost, without a trace on the call itself.
const IN_FLIGHT_POLL: Duration = Duration::from_millis(250);
/// A waiter that was woken by somebody else's change looks again no sooner than this after, doubled each time.
const VAIN_PAUSE_FIRST: Duration = Duration::from_millis(1);
/// The longest such pause.
const VAIN_PAUSE_MAX: Duration = Duration::from_millis(16);
/// How long a result is tried to be recorded in all: the tool has been called, so giving up early costs a doubt.
const RECORD_PATIENCE: Duration = Duration::from_secs(30);
/// The pause before a result is tried to be recorded again, doubled each time.
const RECORD_PAUSE_FIRST: Duration = Duration::from_millis(10);

/// What came of a call, and whether it was made just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What came of it.
    pub output: ToolOutput,
    /// Whether it had been made before, or elsewhere: then `tool` was not run.
    pub replayed: bool,
}

impl ToolLedger {
    /// Asks for a call; runs `tool` if it is begun here, and records what it returns before that is returned, durably;
    /// answers from the ledger if it was made before; and waits, at most for the `wait` of the options, if it is
    /// under way elsewhere, taking it over when its owner is gone and the tool is idempotent.
    ///
    /// When the lease of the call is lost while the tool runs, its result is kept as a late one and the error says
    /// that the lease is lost. Dropping the future while the tool runs leaves the call as a crash would.
    ///
    /// # Errors
    /// [`LedgerError`]. The tool has run only if it is [`LedgerError::Unrecorded`], [`LedgerError::LeaseLost`],
    /// [`LedgerError::TakenOver`] or [`LedgerError::Ended`]; after the last three its outcome is in the ledger or was
    /// not wanted.
    pub async fn run<F>(&self, call: &ToolCall, tool: impl FnOnce() -> F) -> Result<Ran, LedgerError>
    where
        F: Future<Output = ToolOutput>,
    {
        match self.begun_or_replayed(call).await? {
            Call::Begun(attempt) => {
                let output = tool().await;
                self.record(attempt, output).await
            }
            Call::Replayed(output) => Ok(Ran { output, replayed: true }),
            Call::InDoubt(doubt) => Err(LedgerError::InDoubt(doubt)),
            Call::InFlight { key, .. } => Err(LedgerError::StillInFlight { key, waited: self.wait }),
        }
    }

    /// Asks until the call is not in flight any more, or the wait is over.
    async fn begun_or_replayed(&self, call: &ToolCall) -> Result<Call, LedgerError> {
        let clock = self.store.env().clock();
        let end = clock.monotonic().saturating_add(self.wait);
        loop {
            // Before the look: an end that comes after it must end the wait.
            let seen = self.store.change_stamp();
            let answer = self.call(call).await?;
            let left = end.saturating_sub(clock.monotonic());
            match answer {
                Call::InFlight { key, .. } if !left.is_zero() => {
                    self.while_pending(&key, seen, left.min(IN_FLIGHT_POLL)).await?;
                }
                answer => return Ok(answer),
            }
        }
    }

    /// Waits until the operation has ended, at most for `limit`.
    async fn while_pending(
        &self,
        key: &OperationKey,
        mut seen: ChangeStamp,
        limit: Duration,
    ) -> Result<(), StoreError> {
        let env = self.store.env();
        let end = env.clock().monotonic().saturating_add(limit);
        let mut pause = VAIN_PAUSE_FIRST;
        loop {
            let left = end.saturating_sub(env.clock().monotonic());
            if left.is_zero() {
                return Ok(());
            }
            seen = self.store.changed(seen, left).await;
            let record = self.store.operation(key).await?;
            if record.is_none_or(|record| record.operation.status != OperationStatus::Pending) {
                return Ok(());
            }
            env.sleep(pause.min(left)).await;
            pause = VAIN_PAUSE_MAX.min(pause * 2);
        }
    }

    /// Records the result of a tool that was called, as a late one once the lease is lost. Whatever goes wrong, it is
    /// not lost in silence.
    async fn record(&self, attempt: Attempt, output: ToolOutput) -> Result<Ran, LedgerError> {
        let (mut pause, mut paused) = (RECORD_PAUSE_FIRST, Duration::ZERO);
        let mut lost = None;
        loop {
            let recorded = match lost {
                None => attempt.finish(output.clone()).await,
                Some(_) => attempt.late(output.clone()).await,
            };
            match (recorded, lost.take()) {
                (Ok(_), None) => return Ok(Ran { output, replayed: false }),
                (Ok(_) | Err(LedgerError::TakenOver { .. } | LedgerError::Ended { .. }), Some(rejection)) => {
                    return Err(LedgerError::LeaseLost(rejection));
                }
                (Err(LedgerError::LeaseLost(rejection)), None) => lost = Some(rejection),
                (Err(error @ (LedgerError::TakenOver { .. } | LedgerError::Ended { .. })), None) => {
                    return Err(error);
                }
                (Err(error), before) if error.may_pass() && paused + pause <= RECORD_PATIENCE => {
                    lost = before;
                    self.store.env().sleep(pause).await;
                    paused += pause;
                    pause *= 2;
                }
                (Err(error), _) => {
                    let (attempt, source) = (Box::new(attempt), Box::new(error));
                    return Err(LedgerError::Unrecorded { attempt, output, source });
                }
            }
        }
    }
}
