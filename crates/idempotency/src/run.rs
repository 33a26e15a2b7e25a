//! Asking, calling, recording and waiting in one go.

use std::future::Future;

use steadfast_store::planted::{self, Bug};
use tracing::Instrument;

use crate::attempt::{Abandoning, Attempt};
use crate::call::{ToolCall, ToolOutput};
use crate::doubt::Doubt;
use crate::error::LedgerError;
use crate::flight::Intent;
use crate::ledger::{Call, ToolLedger};
use crate::telemetry;

/// What came of a call, and whether it was made just now.
///
/// ```
/// # use std::sync::Arc;
/// # use steadfast_idempotency::{Effect, LedgerOptions, ToolCall, ToolLedger, ToolOutput};
/// # use steadfast_store::{Label, MemoryStore, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Arc::new(MemoryStore::new(Env::system()));
/// # let tools = ToolLedger::new(store, LedgerOptions::default())?;
/// # let mail = ToolCall::new(Label::new("send-mail")?, "report/mail", "to: all", Effect::AtMostOnce);
/// let ran = tools.run(&mail, async || ToolOutput::Succeeded("sent as 4711".into())).await?;
/// assert!(!ran.replayed);
/// let again = tools.run(&mail, async || unreachable!("it was sent before")).await?;
/// assert!(again.replayed && again.output == ran.output);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What came of it.
    pub output: ToolOutput,
    /// Whether it had been made before, or elsewhere: then `tool` was not run.
    pub replayed: bool,
}

/// What the world outside says about a call in doubt.
///
/// ```
/// # use std::sync::Arc;
/// # use steadfast_idempotency::{Effect, LedgerOptions, ToolCall, ToolLedger, ToolOutput};
/// # use steadfast_store::{Label, MemoryStore, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Arc::new(MemoryStore::new(Env::system()));
/// # let tools = ToolLedger::new(store, LedgerOptions::default())?;
/// # let mail = ToolCall::new(Label::new("send-mail")?, "report/mail", "to: all", Effect::AtMostOnce);
/// use steadfast_idempotency::Found;
///
/// let pay = ToolCall { effect: Effect::Queryable, ..mail };
/// // The bank knows the payments by the token of the attempt.
/// let check = async |doubt: steadfast_idempotency::Doubt| match doubt.token.to_string().as_str() {
///     "known to the bank" => Found::Happened(ToolOutput::Succeeded("paid".into())),
///     _ => Found::DidNotHappen,
/// };
/// let ran = tools.run_or_ask(&pay, async |_| ToolOutput::Succeeded("paid".into()), check).await?;
/// assert_eq!(ran.output.bytes(), "paid");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It was made, and this came of it.
    Happened(ToolOutput),
    /// It was surely not made, and never will be by the attempt in doubt.
    DidNotHappen,
    /// Nobody can tell, for now.
    Unknown,
}

/// A doubt that somebody else has settled is settled.
fn settled(answer: Result<(), LedgerError>) -> Result<(), LedgerError> {
    match answer {
        Err(LedgerError::TakenOver { .. } | LedgerError::Ended { .. }) => Ok(()),
        answer => answer,
    }
}

impl ToolLedger {
    /// Asks for a call; runs `tool` if it is begun here, and records what it returns before that is returned, durably;
    /// answers from the ledger if it was made before; and waits, at most for the `wait` of the options, if it is
    /// under way elsewhere, taking it over when its owner is gone and the tool is idempotent.
    ///
    /// When the lease of the call is lost while the tool runs, its result is kept as a late one and the error says
    /// that the lease is lost. Dropping the future while the tool runs [abandons](Attempt::abandon) the call: it is in
    /// doubt at once, or free to be made again if the tool was declared idempotent.
    ///
    /// # Errors
    /// [`LedgerError`]. The tool has run only if it is [`LedgerError::Unrecorded`], [`LedgerError::LeaseLost`],
    /// [`LedgerError::TakenOver`] or [`LedgerError::Ended`]; after the last three its outcome is in the ledger or was
    /// not wanted.
    pub async fn run<F>(&self, call: &ToolCall, tool: impl FnOnce() -> F) -> Result<Ran, LedgerError>
    where
        F: Future<Output = ToolOutput>,
    {
        self.run_or_ask(call, |_| tool(), async |_| Found::Unknown).await
    }

    /// The same for a tool that can be asked afterwards whether it was called, declared
    /// [`Queryable`](crate::Effect::Queryable) or [`Transactional`](crate::Effect::Transactional): a call in doubt is
    /// looked up by `check`, and settled, made again, or left in doubt by its answer. `tool` gets the attempt, whose
    /// [token](Attempt::token) it hands on, or writes down in its own transaction, for `check` to find.
    ///
    /// A call that was declared otherwise is never looked up.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_or_ask<F, C>(
        &self,
        call: &ToolCall,
        tool: impl FnOnce(Attempt) -> F,
        check: impl Fn(Doubt) -> C,
    ) -> Result<Ran, LedgerError>
    where
        F: Future<Output = ToolOutput>,
        C: Future<Output = Found>,
    {
        let intent = call.intent()?;
        self.run_intent(call, &intent, tool, check).instrument(telemetry::run(&intent)).await
    }

    async fn run_intent<F, C>(
        &self,
        call: &ToolCall,
        intent: &Intent,
        tool: impl FnOnce(Attempt) -> F,
        check: impl Fn(Doubt) -> C,
    ) -> Result<Ran, LedgerError>
    where
        F: Future<Output = ToolOutput>,
        C: Future<Output = Found>,
    {
        if planted::is(Bug::LedgerAfterCall)
            && let Some(unwritten) = self.flight.unwritten(intent).await?
        {
            let output = tool(unwritten).await;
            let Call::Begun(attempt) = self.flight.begun_or_replayed(intent).await?.0 else {
                return Ok(Ran { output, replayed: false });
            };
            return self.flight.record(attempt, output).await;
        }
        loop {
            let (answer, lasted) = self.flight.begun_or_replayed(intent).await?;
            match answer {
                Call::Begun(attempt) => {
                    self.counters.executed();
                    let broken_off = Abandoning::unless_finished(&attempt);
                    let output = tool(attempt.clone()).await;
                    broken_off.finished();
                    return self.flight.record(attempt, output).await;
                }
                Call::Replayed(output) => {
                    self.counters.replayed(lasted);
                    return Ok(Ran { output, replayed: true });
                }
                Call::InFlight { key, .. } => {
                    return Err(LedgerError::StillInFlight { key, waited: self.flight.wait });
                }
                Call::InDoubt(doubt) => {
                    self.counters.doubted();
                    let found =
                        if call.effect.can_be_asked() { check(doubt.clone()).await } else { Found::Unknown };
                    // Somebody may have settled it meanwhile: then the next look tells.
                    settled(match found {
                        Found::Unknown => return Err(LedgerError::InDoubt(doubt)),
                        Found::Happened(output) => self.settle_doubt(&doubt, output).await.map(drop),
                        Found::DidNotHappen => self.settle_as_not_happened(&doubt).await,
                    })?;
                }
            }
        }
    }
}
