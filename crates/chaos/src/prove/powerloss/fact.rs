//! What a batch leaves in the file once it was applied, and in no other case.

use rusqlite::{Connection, ToSql, params};
use steadfast_store::{
    AppendCheckpoint, BeginOperation, Command, Committed, FinishOperation, OperationEnd, Outcome, TaskEnd,
};

use super::sql;

/// One such trace.
#[derive(Debug, Clone)]
pub(super) enum Fact {
    /// The task is there, and stands so if that is said.
    Task(String, Option<&'static str>),
    Item(String),
    /// The transition has moved some item.
    Moved([u8; 16]),
    /// The lease of this fence was settled.
    Settled(String, u64),
    /// The checkpoint is there with its state and evidence, under its number if that is known: one commit.
    Checkpoint(Box<AppendCheckpoint>, Option<u64>),
    /// The operation is there under this token, and stands so if that is said.
    Operation(String, [u8; 16], Option<&'static str>),
}

impl Fact {
    /// What a command leaves, once it was answered with `outcome` or, when it was not, if it is applied. What merely
    /// removes leaves nothing that could be told from what was never there.
    pub(super) fn of(command: &Command, outcome: Option<&Outcome>) -> Option<Self> {
        Some(match command {
            Command::CreateTask(create) => Self::Task(create.task.as_str().to_owned(), None),
            Command::FinishTask(finish) => {
                let status = match finish.end {
                    TaskEnd::Succeeded => "succeeded",
                    TaskEnd::Failed => "failed",
                    TaskEnd::Cancelled => "cancelled",
                };
                Self::Task(finish.task.as_str().to_owned(), Some(status))
            }
            Command::Enqueue(enqueue) => Self::Item(enqueue.item.as_str().to_owned()),
            Command::Claim(claim) => match outcome {
                Some(Outcome::Claimed(claimed)) if claimed.items.is_empty() => return None,
                _ => Self::Moved(*claim.claim.as_bytes()),
            },
            Command::SweepExpired(sweep) => match outcome {
                Some(Outcome::Swept(swept)) if swept.reclaimed.is_empty() => return None,
                _ => Self::Moved(*sweep.sweep.as_bytes()),
            },
            Command::SettleItem(settle) => {
                Self::Settled(settle.guard.item.as_str().to_owned(), settle.guard.fence.0)
            }
            Command::AppendCheckpoint(append) => {
                let sequence = match outcome {
                    Some(Outcome::Appended(appended)) => Some(appended.sequence.0),
                    _ => None,
                };
                Self::Checkpoint(Box::new(append.clone()), sequence)
            }
            Command::BeginOperation(BeginOperation { key, token, .. }) => {
                Self::Operation(key.as_str().to_owned(), *token.as_bytes(), None)
            }
            Command::FinishOperation(FinishOperation { key, token, end }) => {
                let status = match end {
                    OperationEnd::Succeeded(_) => "succeeded",
                    OperationEnd::Failed(_) => "failed",
                    OperationEnd::InDoubt => "in_doubt",
                    OperationEnd::Abandoned | OperationEnd::DidNotHappen => return None,
                };
                Self::Operation(key.as_str().to_owned(), *token.as_bytes(), Some(status))
            }
            _ => return None,
        })
    }

    /// Whether another batch of the same group may have covered it up.
    pub(super) fn may_be_overtaken(&self) -> bool {
        matches!(self, Self::Moved(_) | Self::Settled(..))
    }

    /// Whether it is so.
    pub(super) fn holds(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let count = |sql, parameters: &[&dyn ToSql]| {
            let mut statement = connection.prepare_cached(sql)?;
            Ok(statement.query_row(parameters, |row| row.get::<_, i64>(0))? > 0)
        };
        match self {
            Self::Task(key, status) => count(sql::HAS_TASK, params![key, status]),
            Self::Item(id) => count(sql::HAS_ITEM, params![id]),
            Self::Moved(transition) => count(sql::HAS_MOVED, params![transition]),
            Self::Settled(item, fence) => count(sql::HAS_SETTLED, params![item, fence]),
            Self::Checkpoint(append, sequence) => {
                let (payload, evidence) = (append.payload.bytes().as_ref(), append.evidence.bytes().as_ref());
                let id = append.checkpoint.as_bytes();
                count(sql::HAS_CHECKPOINT, params![id, payload, evidence, sequence])
            }
            Self::Operation(key, token, status) => count(sql::HAS_OPERATION, params![key, token, status]),
        }
    }
}

/// Whether the answer says that something was changed or was there already: an empty claim promises nothing.
pub(super) fn is_promise(answer: &Committed) -> bool {
    let Committed::Applied(applied) = answer else { return false };
    applied.outcomes().iter().any(|outcome| match outcome {
        Outcome::Claimed(claimed) => !claimed.items.is_empty(),
        Outcome::Swept(swept) => !swept.reclaimed.is_empty(),
        Outcome::Pruned(pruned) => pruned.removed > 0,
        Outcome::Erased(erased) => erased.erased > 0,
        Outcome::Purged(purged) => purged.removed > 0,
        Outcome::Invalidated(invalidated) => invalidated.was_there,
        _ => true,
    })
}
