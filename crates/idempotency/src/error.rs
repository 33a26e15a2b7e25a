//! What can go wrong with a call, said so that the caller knows whether the tool may have been called, and what to do.

use std::time::Duration;

use steadfast_store::{
    CommandError, Digest, InvalidId, Label, OperationKey, OperationStatus, PayloadTooLarge, Reason,
    Rejection, StoreError,
};

use crate::attempt::Attempt;
use crate::call::ToolOutput;
use crate::doubt::Doubt;

/// Why a call has no outcome here.
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
/// use steadfast_idempotency::LedgerError;
///
/// tools.run(&mail, async || ToolOutput::Succeeded("sent".into())).await?;
/// // The same key for something else is a mistake of the caller, and is not called.
/// let other = ToolCall { input: "to: nobody".into(), ..mail };
/// let error = tools.run(&other, async || unreachable!("it must not be called")).await.unwrap_err();
/// assert!(matches!(error, LedgerError::Conflict { .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The call has no key. The tool was not called.
    #[error("a call of {tool} needs a key: give it one that is the same whenever the call is")]
    EmptyKey {
        /// The tool.
        tool: Label,
    },
    /// The key cannot be stored. The tool was not called.
    #[error(transparent)]
    InvalidKey(InvalidId),
    /// The key stands for another call. The tool was not called.
    #[error("{key} stands for a call with another input or effect: give every call a key of its own")]
    Conflict {
        /// The key.
        key: OperationKey,
        /// The fingerprint of the call that it stands for.
        stored: Digest,
    },
    /// The lease that the call was to be begun or finished under is lost; what was to be written was not.
    #[error("the lease was lost ({0}): stop, and hand in a result that came too late by `late`")]
    LeaseLost(#[source] Rejection),
    /// Another attempt has taken the call over; this one's result was not taken.
    #[error("{key} was taken over by another attempt: ask for it again to get that one's outcome")]
    TakenOver {
        /// The key.
        key: OperationKey,
    },
    /// The call has ended otherwise, and an end never changes.
    #[error("{key} has already ended as {status}: ask for it again to get that outcome")]
    Ended {
        /// The key.
        key: OperationKey,
        /// How it ended.
        status: OperationStatus,
    },
    /// Nobody knows whether an earlier attempt happened. The tool was not called now.
    #[error("in doubt: {0}; find out whether it happened, then settle it")]
    InDoubt(Doubt),
    /// Somebody else is still at it. The tool was not called here.
    #[error("{key} is still under way elsewhere after {waited:?}: ask again later")]
    StillInFlight {
        /// The key.
        key: OperationKey,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The call changed hands again and again while it was looked at. The tool was not called here.
    #[error("{key} changed hands {rounds} times meanwhile: ask again later")]
    Contended {
        /// The key.
        key: OperationKey,
        /// How often.
        rounds: u32,
    },
    /// The output is over the limit of one payload.
    #[error(transparent)]
    TooLarge(#[from] PayloadTooLarge),
    /// The tool *was* called, and its result could not be written down. Finish the attempt with it, or with a shorter
    /// one, once the cause is mended, as a late one if the lease is lost by then; otherwise the call is in doubt, or is
    /// made again, as its effect says.
    #[error(
        "the tool was called, but its result could not be recorded ({source}): finish the attempt once that is mended"
    )]
    Unrecorded {
        /// The attempt, to be finished.
        attempt: Box<Attempt>,
        /// The result.
        output: ToolOutput,
        /// Why it could not be recorded.
        #[source]
        source: Box<Self>,
    },
    /// A precondition did not hold that concerns neither the lease nor the call's state.
    #[error(transparent)]
    Rejected(Rejection),
    /// Trouble with the storage.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LedgerError {
    /// What a rejected result means for the call.
    pub(crate) fn of_result(key: &OperationKey, rejection: Rejection) -> Self {
        match rejection.reason {
            Reason::StaleToken => Self::TakenOver { key: key.clone() },
            Reason::OperationEnded { status } => Self::Ended { key: key.clone(), status },
            _ => Self::of_rejection(rejection),
        }
    }

    /// What any other rejection means.
    pub(crate) fn of_rejection(rejection: Rejection) -> Self {
        match rejection.reason {
            Reason::StaleFence { .. } | Reason::NotLeased { .. } | Reason::NoSuchWorkItem { .. } => {
                Self::LeaseLost(rejection)
            }
            _ => Self::Rejected(rejection),
        }
    }

    /// What became of a command that stood alone and has no preconditions.
    pub(crate) fn of_command(error: CommandError) -> Self {
        match error {
            CommandError::Rejected(rejection) => Self::Rejected(rejection),
            CommandError::Store(error) => Self::Store(error),
            other => Self::Store(StoreError::Failed { source: other.into() }),
        }
    }

    /// Whether the same write may succeed a little later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Failed { .. } | StoreError::Overloaded { .. } | StoreError::DiskFull)
        )
    }
}
