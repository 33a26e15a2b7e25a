//! A call in doubt, with all that a person needs to find out whether it happened.

use std::fmt;

use steadfast_store::{Guard, Label, Operation, OperationKey, OperationToken, TaskId, WallTime};

/// A call whose caller vanished between the intent and the result: it may have happened, and is not made again
/// unasked. Find out, then tell the ledger by [`settle_doubt`](crate::ToolLedger::settle_doubt); the late result of
/// the caller, should it come back, settles it as well.
///
/// ```
/// use steadfast_idempotency::{Doubt, LedgerError, ToolLedger, ToolOutput};
///
/// /// What a person does who has looked into the mail server's log.
/// async fn settle(tools: &ToolLedger, doubt: &Doubt, was_sent: bool) -> Result<(), LedgerError> {
///     println!("was it sent? {doubt}");
///     if was_sent {
///         tools.settle_doubt(doubt, ToolOutput::Succeeded("sent".into())).await.map(drop)
///     } else {
///         tools.settle_as_not_happened(doubt).await
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The tool.
    pub tool: Label,
    /// The operation's key in the store.
    pub key: OperationKey,
    /// The attempt that nobody knows the end of.
    pub token: OperationToken,
    /// Which attempt it was, counted from 1.
    pub attempt: u32,
    /// The task it was made for.
    pub task: Option<TaskId>,
    /// The lease it was made under: the item and the fence that the tool may have logged.
    pub lease: Option<Guard>,
    /// When the operation was begun first.
    pub begun_at: WallTime,
}

impl Doubt {
    pub(crate) fn of(tool: &Label, operation: &Operation) -> Self {
        Self {
            tool: tool.clone(),
            key: operation.key.clone(),
            token: operation.owner.token,
            attempt: operation.attempt,
            task: operation.task.clone(),
            lease: operation.owner.lease.clone(),
            begun_at: operation.created_at,
        }
    }
}

impl fmt::Display for Doubt {
    /// One sentence for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}), begun at {} ms since 1970", self.tool, self.key, self.begun_at.as_millis())?;
        if let Some(task) = &self.task {
            write!(f, " for task {task}")?;
        }
        if let Some(lease) = &self.lease {
            write!(f, " under fence {} of {}", lease.fence, lease.item)?;
        }
        write!(f, ", attempt {} ({})", self.attempt, self.token)
    }
}
