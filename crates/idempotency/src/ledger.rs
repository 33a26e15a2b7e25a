//! Asking for a call: it is begun here, or answered from the ledger, or somebody else's.

use std::sync::Arc;
use std::time::Duration;

use steadfast_store::{
    Durability, FinishOperation, InvalidSpan, OperationEnd, OperationKey, OperationStatus, Store, StoreTime,
    Term,
};
use tracing::Instrument;

use crate::attempt::{Attempt, submit};
use crate::call::{ToolCall, ToolOutput};
use crate::doubt::Doubt;
use crate::error::LedgerError;
use crate::flight::Flight;
use crate::stats::Counters;
use crate::telemetry;

/// How long a call that was begun under no lease is its caller's, when the options do not say otherwise.
pub const TERM_DEFAULT: Duration = Duration::from_mins(5);
/// How long [`run`](ToolLedger::run) waits for somebody else's call, when the options do not say otherwise: longer
/// than a term, so that a caller that vanished is outwaited.
pub const WAIT_DEFAULT: Duration = Duration::from_mins(6);

/// How a ledger works.
///
/// ```
/// use std::time::Duration;
/// use steadfast_idempotency::LedgerOptions;
///
/// let options = LedgerOptions { wait: Duration::from_secs(30), ..LedgerOptions::default() };
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerOptions {
    /// How long a call that was begun under no lease is its caller's: longer than the tool ever takes, within the
    /// bounds of [`Term`]. Under a lease, the lease decides instead.
    pub term: Duration,
    /// How long [`run`](ToolLedger::run) waits for a call that is under way elsewhere.
    pub wait: Duration,
}

impl Default for LedgerOptions {
    /// [`TERM_DEFAULT`] and [`WAIT_DEFAULT`].
    fn default() -> Self {
        Self { term: TERM_DEFAULT, wait: WAIT_DEFAULT }
    }
}

/// What a ledger says to somebody who asks for a call.
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
/// use steadfast_idempotency::Call;
///
/// let Call::Begun(attempt) = tools.call(&mail).await? else { unreachable!("nobody asked before") };
/// // Whoever asks meanwhile is told to wait, and afterwards gets the same bytes.
/// assert!(matches!(tools.call(&mail).await?, Call::InFlight { .. }));
/// attempt.finish(ToolOutput::Succeeded("sent as 4711".into())).await?;
/// let Call::Replayed(output) = tools.call(&mail).await? else { unreachable!("it has ended") };
/// assert_eq!(output.bytes(), "sent as 4711");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub enum Call {
    /// The intent is written down: call the tool, then finish the attempt.
    Begun(Attempt),
    /// It was called before; this came of it, byte for byte.
    Replayed(ToolOutput),
    /// It may have been called before. Do not call it.
    InDoubt(Doubt),
    /// Somebody else is at it. Do not call it; ask again later.
    InFlight {
        /// The operation's key in the store.
        key: OperationKey,
        /// When it may be taken over, unless it was begun under a lease: then the lease decides.
        expires_at: StoreTime,
    },
}

/// Writes down tool calls before and after they happen, so that none happens twice. Cloning is cheap.
///
/// The [crate](crate) has an example of [`run`](Self::run); step by step it looks like this:
///
/// ```
/// # use std::sync::Arc;
/// # use steadfast_idempotency::{Call, Effect, LedgerOptions, ToolCall, ToolLedger, ToolOutput};
/// # use steadfast_store::{Label, MemoryStore, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Arc::new(MemoryStore::new(Env::system()));
/// # let ledger = ToolLedger::new(store.clone(), LedgerOptions::default())?;
/// let call = ToolCall::new(Label::new("send-mail")?, "report/mail-1", "to: all", Effect::AtMostOnce);
/// match ledger.call(&call).await? {
///     Call::Begun(attempt) => {
///         let output = ToolOutput::Succeeded("sent as 4711".into()); // the tool's
///         attempt.finish(output).await?;
///     }
///     Call::Replayed(output) => println!("it was sent before: {output:?}"),
///     Call::InDoubt(doubt) => println!("look into the mail server's log: {doubt}"),
///     Call::InFlight { key, .. } => println!("somebody else is at {key}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ToolLedger {
    pub(crate) flight: Flight,
    pub(crate) counters: Arc<Counters>,
}

impl ToolLedger {
    /// A ledger over `store`.
    ///
    /// # Errors
    /// [`InvalidSpan`] for a term out of bounds.
    pub fn new(store: Arc<dyn Store>, options: LedgerOptions) -> Result<Self, InvalidSpan> {
        let LedgerOptions { term, wait } = options;
        let flight = Flight { store, term: Term::new(term)?, wait };
        Ok(Self { flight, counters: Counters::shared() })
    }

    /// Asks for a call. When it is [`Begun`](Call::Begun) here, its intent has been written down: durably unless the
    /// tool was declared idempotent. A call that is found to be in doubt is recorded as such, durably, before that is
    /// answered. An unknown answer of the store is resolved by submitting the same intent again.
    ///
    /// Dropping the future may leave an intent behind: as if the caller had crashed before the call.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] when the key stands for another call; [`LedgerError::LeaseLost`] when the lease of
    /// the call is stale; [`LedgerError::EmptyKey`]; [`LedgerError::Contended`]; [`LedgerError::Store`]. The tool is
    /// not to be called after any of them.
    pub async fn call(&self, call: &ToolCall) -> Result<Call, LedgerError> {
        let intent = call.intent()?;
        let (answer, took) = self.flight.ask(&intent).instrument(telemetry::call(&intent)).await?;
        match &answer {
            Call::Replayed(_) => self.counters.replayed(took),
            Call::InDoubt(_) => self.counters.doubted(),
            Call::Begun(_) | Call::InFlight { .. } => {}
        }
        Ok(answer)
    }

    /// Settles a doubt with the certainty that the call did not happen: durable on return; whoever asks next makes it.
    ///
    /// # Errors
    /// [`LedgerError::TakenOver`] or [`LedgerError::Ended`] when it was settled meanwhile; [`LedgerError::Store`].
    pub async fn settle_as_not_happened(&self, doubt: &Doubt) -> Result<(), LedgerError> {
        let end = OperationEnd::DidNotHappen;
        let finish = FinishOperation { key: doubt.key.clone(), token: doubt.token, end };
        submit(&self.flight.store, Durability::Durable, finish, None).await.map(drop)
    }

    /// Settles a doubt with what was found out: durable on return, and from then on everybody's answer. Told again it
    /// stays the same.
    ///
    /// # Errors
    /// [`LedgerError::Ended`] when it was settled otherwise meanwhile; [`LedgerError::TooLarge`];
    /// [`LedgerError::Store`].
    pub async fn settle_doubt(
        &self,
        doubt: &Doubt,
        output: ToolOutput,
    ) -> Result<OperationStatus, LedgerError> {
        let finish = FinishOperation { key: doubt.key.clone(), token: doubt.token, end: output.into_end()? };
        submit(&self.flight.store, Durability::Durable, finish, None).await
    }
}
