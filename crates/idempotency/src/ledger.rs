//! Asking for a call: it is begun here, or answered from the ledger, or somebody else's.

use std::sync::Arc;
use std::time::Duration;

use steadfast_store::{
    Batch, BeginOperation, Committed, FinishOperation, InvalidSpan, OperationEnd, OperationKey,
    OperationRecord, OperationStatus, OperationToken, RESOLVE_PATIENCE, Reason, Store, StoreError, StoreTime,
    Term, commit_resolved,
};

use crate::attempt::{Attempt, submit};
use crate::call::{ToolCall, ToolOutput};
use crate::doubt::Doubt;
use crate::error::LedgerError;

/// How long a call that was begun under no lease is its caller's, when the options do not say otherwise.
pub const TERM_DEFAULT: Duration = Duration::from_mins(5);
/// How long [`run`](ToolLedger::run) waits for somebody else's call, when the options do not say otherwise: longer
/// than a term, so that a caller that vanished is outwaited.
pub const WAIT_DEFAULT: Duration = Duration::from_mins(6);
/// How often a call is looked at anew when it changes hands in between.
const ROUNDS_MAX: u32 = 16;

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
    pub(crate) store: Arc<dyn Store>,
    term: Term,
    pub(crate) wait: Duration,
}

impl ToolLedger {
    /// A ledger over `store`.
    ///
    /// # Errors
    /// [`InvalidSpan`] for a term out of bounds.
    pub fn new(store: Arc<dyn Store>, options: LedgerOptions) -> Result<Self, InvalidSpan> {
        let LedgerOptions { term, wait } = options;
        Ok(Self { store, term: Term::new(term)?, wait })
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
        let key = call.operation_key()?;
        for _ in 0..ROUNDS_MAX {
            // A call that has ended is answered by this one read.
            if let Some(record) = self.store.operation(&key).await?
                && let Some(known) = known(call, &record)?
            {
                return Ok(known);
            }
            if let Some(answer) = self.begin(call, &key).await? {
                return Ok(answer);
            }
        }
        Err(LedgerError::Contended { key, rounds: ROUNDS_MAX })
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
        submit(&self.store, finish, None).await
    }

    /// Writes down the intent. `None` when the call has changed since it was read.
    async fn begin(&self, call: &ToolCall, key: &OperationKey) -> Result<Option<Call>, LedgerError> {
        let token = OperationToken::generate(self.store.env());
        let begin = BeginOperation {
            key: key.clone(),
            fingerprint: call.fingerprint(),
            token,
            task: call.task.clone(),
            lease: call.lease.clone(),
            term: self.term,
            abandonment: call.effect.abandonment(),
            fresh_for: None,
        };
        let mut batch = Batch::new(call.effect.intent_durability());
        // Its lease is its guard.
        let handle = batch.add(begin);
        let rejection = match commit_resolved(&*self.store, batch, RESOLVE_PATIENCE).await? {
            Committed::Applied(applied) => {
                return Ok(applied.get(handle).ok().map(|begun| {
                    let (number, expires_at) = (begun.attempt, begun.expires_at);
                    let (store, lease) = (Arc::clone(&self.store), call.lease.clone());
                    Call::Begun(Attempt { store, key: key.clone(), token, number, expires_at, lease })
                }));
            }
            Committed::Rejected(rejection) => rejection,
        };
        match rejection.reason {
            Reason::OperationInFlight { expires_at } => {
                Ok(Some(Call::InFlight { key: key.clone(), expires_at }))
            }
            Reason::OperationInDoubt { token } => self.record_doubt(key, token).await,
            Reason::OperationEnded { .. } => Ok(None),
            Reason::FingerprintConflict { stored } => Err(LedgerError::Conflict { key: key.clone(), stored }),
            _ => Err(LedgerError::of_rejection(rejection)),
        }
    }

    /// Records that nobody knows what became of the attempt with this token. Whoever was quicker, the next look at
    /// the call tells.
    async fn record_doubt(
        &self,
        key: &OperationKey,
        token: OperationToken,
    ) -> Result<Option<Call>, LedgerError> {
        let finish = FinishOperation { key: key.clone(), token, end: OperationEnd::InDoubt };
        match submit(&self.store, finish, None).await {
            Err(LedgerError::Store(error)) => Err(error.into()),
            // Rejected: its late result came, or it has another owner by now.
            _ => Ok(None),
        }
    }
}

/// What the record of a call says to somebody who asks for it; nothing while it has not ended.
fn known(call: &ToolCall, record: &OperationRecord) -> Result<Option<Call>, LedgerError> {
    let OperationRecord { operation, output } = record;
    if operation.fingerprint != call.fingerprint() {
        return Err(LedgerError::Conflict { key: operation.key.clone(), stored: operation.fingerprint });
    }
    let bytes = || match output {
        Some(output) => Ok(output.bytes().clone()),
        None => Err(StoreError::Corrupt { what: format!("the output of {}", operation.key), source: None }),
    };
    Ok(match operation.status {
        OperationStatus::Succeeded => Some(Call::Replayed(ToolOutput::Succeeded(bytes()?))),
        OperationStatus::Failed => Some(Call::Replayed(ToolOutput::Failed(bytes()?))),
        OperationStatus::InDoubt => Some(Call::InDoubt(Doubt::of(&call.tool, operation))),
        // Pending, or a state that this program does not know: the store decides what may be done.
        _ => None,
    })
}
