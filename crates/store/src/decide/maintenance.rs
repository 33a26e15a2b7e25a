//! Removing: old checkpoints, payloads that must go, outcomes that are stale. Each such command stands alone in its
//! batch and is decided from what the rows say, so that doing it again does no harm.

use crate::command::{InvalidateOperation, PruneCheckpoints};
use crate::decide::Decision;
use crate::outcome::{Invalidated, Pruned, Reason};
use crate::record::{Operation, OperationStatus, SequenceNumber, Task};

/// How far the chain of `task` is to be pruned now: its newest `keep` checkpoints stay, and the newest verified one
/// with all that follow it. The task comes back with its new beginning.
pub fn decide_prune(
    task: Option<&Task>,
    newest_verified: Option<SequenceNumber>,
    command: &PruneCheckpoints,
) -> Decision<Task, Pruned> {
    let Some(task) = task else {
        return Decision::Rejected(Reason::NoSuchTask { task: command.task.clone() });
    };
    let by_count = task.head.0.saturating_sub(command.keep.into());
    let by_verdict = newest_verified.map_or(u64::MAX, |verified| verified.0.saturating_sub(1));
    let wanted = by_count.min(by_verdict).max(task.pruned_through.0);
    let through = wanted.min(task.pruned_through.0 + u64::from(command.limit));
    let removed = u32::try_from(through - task.pruned_through.0).unwrap_or(u32::MAX);
    let pruned = Pruned { removed, through: SequenceNumber(through), is_more: through < wanted };
    if removed == 0 {
        return Decision::Replayed(pruned);
    }
    Decision::Apply(Task { pruned_through: pruned.through, ..task.clone() }, pruned)
}

/// Whether an operation may be forgotten.
pub fn decide_invalidate(
    existing: Option<&Operation>,
    _command: &InvalidateOperation,
) -> Decision<(), Invalidated> {
    match existing.map(|operation| operation.status) {
        None => Decision::Replayed(Invalidated { was_there: false }),
        Some(OperationStatus::Succeeded | OperationStatus::Failed) => {
            Decision::Apply((), Invalidated { was_there: true })
        }
        Some(status) => Decision::Rejected(Reason::OperationUnfinished { status }),
    }
}
