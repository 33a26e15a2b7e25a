//! An attempt that was begun: the right, and the duty, to say what came of it.

use std::sync::Arc;

use steadfast_store::{
    Batch, Committed, Durability, FinishOperation, Guard, OperationEnd, OperationKey, OperationStatus,
    OperationToken, PayloadTooLarge, RESOLVE_PATIENCE, Store, StoreTime, commit_resolved,
};
use tracing::Instrument;

use crate::call::ToolOutput;
use crate::error::LedgerError;
use crate::telemetry;

/// The intent is written down: call the tool now, then finish. Cloning it makes no second attempt. Dropping it
/// without a result leaves the call as a crash would, for as long as its lease or its term lasts;
/// [`abandon`](Self::abandon) ends that at once.
///
/// To keep the result in one commit with a checkpoint and the end of a lease, take its command:
///
/// ```
/// # use std::sync::Arc;
/// # use steadfast_idempotency::{Call, Effect, LedgerOptions, ToolCall, ToolLedger, ToolOutput};
/// # use steadfast_store::{Batch, Committed, Label, MemoryStore, Store, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Arc::new(MemoryStore::new(Env::system()));
/// # let ledger = ToolLedger::new(store.clone(), LedgerOptions::default())?;
/// # let call = ToolCall::new(Label::new("send-mail")?, "report/mail-1", "to: all", Effect::AtMostOnce);
/// let Call::Begun(attempt) = ledger.call(&call).await? else { return Ok(()) };
/// let output = ToolOutput::Succeeded("sent as 4711".into()); // the tool's
/// let mut batch = Batch::durable();
/// batch.add(attempt.finish_command(output)?);
/// // … and the checkpoint, and the settlement.
/// assert!(matches!(store.commit(batch).await?, Committed::Applied(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "an attempt without a result leaves the call as a crash would"]
pub struct Attempt {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) key: OperationKey,
    pub(crate) token: OperationToken,
    pub(crate) number: u32,
    pub(crate) expires_at: StoreTime,
    pub(crate) lease: Option<Guard>,
    pub(crate) durability: Durability,
}

impl Attempt {
    /// The operation's key in the store.
    pub fn key(&self) -> &OperationKey {
        &self.key
    }

    /// Names this attempt: a tool that logs it tells later whether this very call reached it.
    pub fn token(&self) -> OperationToken {
        self.token
    }

    /// Which attempt at the call it is, counted from 1. More than 1 says that an earlier one vanished, and that the
    /// tool was declared idempotent.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// When others may take the call over, unless it was begun under a lease: then the lease alone decides.
    pub fn expires_at(&self) -> StoreTime {
        self.expires_at
    }

    /// The command that records the result, to be committed together with what else it brings about. It applies once,
    /// however often it is committed.
    ///
    /// # Errors
    /// [`PayloadTooLarge`] for an output over the limit of one payload.
    pub fn finish_command(&self, output: ToolOutput) -> Result<FinishOperation, PayloadTooLarge> {
        Ok(FinishOperation { key: self.key.clone(), token: self.token, end: output.into_end()? })
    }

    /// Records the result in a commit of its own, under the lease if the call was begun under one; durable on
    /// return, and only then is the result to be used. An unknown answer is resolved by submitting the same batch
    /// again. Dropping the future loses the answer, not the write; after an error it may be called again.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`]: hand in the result by [`late`](Self::late). [`LedgerError::TakenOver`] and
    /// [`LedgerError::Ended`]: the call has another outcome. [`LedgerError::TooLarge`]; [`LedgerError::Store`].
    pub async fn finish(&self, output: ToolOutput) -> Result<OperationStatus, LedgerError> {
        self.submit(output, self.lease.clone()).instrument(telemetry::record(self, false)).await
    }

    /// Records a result that came after the lease was lost: evidence of what happened, which settles the doubt about
    /// it, or is taken as the outcome when nobody has asked yet. Otherwise as [`finish`](Self::finish); it gives no
    /// right to go on with the task.
    ///
    /// # Errors
    /// As [`finish`](Self::finish), without the lease.
    pub async fn late(&self, output: ToolOutput) -> Result<OperationStatus, LedgerError> {
        self.submit(output, None).instrument(telemetry::record(self, true)).await
    }

    /// Says that the tool was not called, and will not be by this attempt: whoever asks next makes the call at once.
    /// Durable as a result is.
    ///
    /// # Errors
    /// [`LedgerError::TakenOver`]; [`LedgerError::Ended`]; [`LedgerError::Store`].
    pub async fn give_up(&self) -> Result<(), LedgerError> {
        let end = OperationEnd::DidNotHappen;
        let finish = FinishOperation { key: self.key.clone(), token: self.token, end };
        submit(&self.store, self.durability, finish, None).await.map(drop)
    }

    /// Lets go of the call without knowing what came of it: in doubt at once, or free to be made again if the tool was
    /// declared idempotent, although the lease it was begun under still holds. Durable as a result is.
    ///
    /// # Errors
    /// [`LedgerError::TakenOver`]; [`LedgerError::Ended`]; [`LedgerError::Store`].
    pub async fn abandon(&self) -> Result<(), LedgerError> {
        let end = OperationEnd::Abandoned;
        let finish = FinishOperation { key: self.key.clone(), token: self.token, end };
        submit(&self.store, self.durability, finish, None).await.map(drop)
    }

    async fn submit(&self, output: ToolOutput, guard: Option<Guard>) -> Result<OperationStatus, LedgerError> {
        let finish = self.finish_command(output)?;
        submit(&self.store, self.durability, finish, guard).await
    }
}

/// Abandons a call when the caller drops the future in which it is made. What cannot be abandoned comes free, or in
/// doubt, with the end of its lease or term.
pub(crate) struct Abandoning(Option<Attempt>);

impl Abandoning {
    /// Until told otherwise, being dropped means that the call was broken off.
    pub(crate) fn unless_finished(attempt: &Attempt) -> Self {
        Self(Some(attempt.clone()))
    }

    /// The call came back.
    pub(crate) fn finished(mut self) {
        self.0 = None;
    }
}

impl Drop for Abandoning {
    fn drop(&mut self) {
        let Some(attempt) = self.0.take() else { return };
        let env = attempt.store.env().clone();
        if env.runtime().is_running() {
            env.runtime().spawn(Box::pin(async move { drop(attempt.abandon().await) }));
        }
    }
}

/// Commits the end of an operation alone.
pub(crate) async fn submit(
    store: &Arc<dyn Store>,
    durability: Durability,
    finish: FinishOperation,
    guard: Option<Guard>,
) -> Result<OperationStatus, LedgerError> {
    let key = finish.key.clone();
    let status = match &finish.end {
        OperationEnd::Succeeded(_) => OperationStatus::Succeeded,
        OperationEnd::Failed(_) => OperationStatus::Failed,
        OperationEnd::InDoubt | OperationEnd::Abandoned => OperationStatus::InDoubt,
        OperationEnd::DidNotHappen => OperationStatus::Pending,
    };
    let mut batch = Batch::new(durability);
    let handle = match guard {
        Some(guard) => batch.add_guarded(guard, finish),
        None => batch.add(finish),
    };
    match commit_resolved(&**store, batch, RESOLVE_PATIENCE).await? {
        // An end that was recorded before is there, whatever has become of the rows since.
        Committed::Applied(applied) => Ok(applied.get(handle).map_or(status, |finished| finished.status)),
        Committed::Rejected(rejection) => Err(LedgerError::of_result(&key, rejection)),
    }
}
