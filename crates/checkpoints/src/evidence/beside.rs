//! What the batch of a step makes of operations, so that the end of a command and the evidence of it can be one commit.

use std::collections::BTreeMap;

use steadfast_store::{Batch, Command, OperationEnd, OperationKey, Payload};

use crate::evidence::{Failure, Finding, Obstacle};

/// The operations that a batch is about, as they stand once it is applied. What it says of them needs no second look:
/// if the store refuses one of its commands, it refuses the evidence and the checkpoint with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Beside(BTreeMap<OperationKey, Option<OperationEnd>>);

impl Beside {
    /// Nothing is committed beside the look.
    pub(crate) fn nothing() -> Self {
        Self::default()
    }

    /// What this batch makes of operations: the last command about each counts.
    pub(crate) fn of(batch: &Batch) -> Self {
        let ends = batch.entries().iter().filter_map(|entry| match &entry.command {
            Command::FinishOperation(finish) => Some((finish.key.clone(), Some(finish.end.clone()))),
            Command::BeginOperation(begin) => Some((begin.key.clone(), None)),
            _ => None,
        });
        Self(ends.collect())
    }

    /// The output that the operation ends with, or what is found instead; `None` when the batch is not about it.
    pub(crate) fn output(&self, operation: &OperationKey) -> Option<Result<&Payload, Finding>> {
        Some(match self.0.get(operation)? {
            Some(OperationEnd::Succeeded(output)) => Ok(output),
            Some(OperationEnd::Failed(_)) => Err(Finding::Failed(Failure::OperationFailed)),
            Some(OperationEnd::InDoubt) => Err(Finding::Failed(Failure::OperationInDoubt)),
            // Neither says that it has ended.
            Some(OperationEnd::Abandoned | OperationEnd::DidNotHappen) | None => {
                Err(Finding::Pending(Obstacle::OperationUnfinished))
            }
        })
    }
}
