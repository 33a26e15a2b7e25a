//! Reclaiming a lease past its term, and the checkpoint that tells of it.

use crate::digest::Digest;
use crate::id::{CheckpointId, TransitionId};
use crate::payload::{Payload, SealedPayload};
use crate::record::{CheckpointHeader, Fence, Status, Task, WorkItem};
use crate::time::Now;

/// The item without its lease and with a larger fence, or `None` when its lease has not ended: a holder that
/// renewed a moment before keeps it.
pub fn decide_reclaim(
    item: &WorkItem,
    task: Option<&Task>,
    sweep: TransitionId,
    now: Now,
) -> Option<WorkItem> {
    let lease = item.lease.as_ref()?;
    if item.status != Status::InProgress || lease.expires_at > now.store {
        return None;
    }
    let status = if task.is_none_or(|task| task.status.is_terminal()) {
        Status::Cancelled
    } else if item.attempt >= item.max_attempts {
        Status::Failed
    } else {
        Status::Pending
    };
    Some(WorkItem {
        status,
        detail: format!("the lease of {} ended without a word from its holder", lease.holder),
        fence: Fence(item.fence.0 + 1),
        available_at: now.store,
        lease: None,
        transition: Some(sweep),
        ..item.clone()
    })
}

/// The type of a checkpoint that a reclaim leaves, as the reference calls it.
pub(crate) const BOUNDARY: &str = "error_boundary";

/// Whether a task could go on from such a checkpoint, if it verifies: not from one that was erased, nor from one that
/// tells of a lost lease and holds no state.
pub(crate) fn can_be_gone_on_from(header: &CheckpointHeader) -> bool {
    header.erased_at.is_none() && header.kind.as_str() != BOUNDARY
}

/// The checkpoint that a reclaim leaves on its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary {
    /// Its id: the same for the same sweep, item and fence, so that a sweep submitted again names it again.
    pub id: CheckpointId,
    /// What happened, as text for people.
    pub payload: SealedPayload,
    /// None: it is a statement of the store itself.
    pub evidence: Payload,
}

/// The boundary for an item that `sweep` reclaimed; `None` when its task had ended and takes no more checkpoints.
/// `holder` is the name on the lease that ended.
pub fn error_boundary(reclaimed: &WorkItem, sweep: TransitionId, holder: &str) -> Option<Boundary> {
    if reclaimed.status == Status::Cancelled {
        return None;
    }
    let seed = Digest::fields("steadfast error boundary 1")
        .push(sweep.as_bytes())
        .push(reclaimed.id.as_str().as_bytes())
        .push(&reclaimed.fence.0.to_le_bytes())
        .finish();
    // The time of the sweep's own id first, so that the new id lands at the right edge of the index, as all others.
    let mut id = [0; 16];
    id[..6].copy_from_slice(&sweep.as_bytes()[..6]);
    id[6..].copy_from_slice(&seed.as_bytes()[..10]);
    let mut salt = [0; 16];
    salt.copy_from_slice(&seed.as_bytes()[16..]);
    let text = format!(
        "lease expired\nitem: {}\nholder: {}\nstale fence: {}\nattempt: {} of {}\nstatus: {}\n",
        reclaimed.id.as_str().escape_debug(),
        holder.escape_debug(),
        reclaimed.fence.0.saturating_sub(1),
        reclaimed.attempt,
        reclaimed.max_attempts,
        reclaimed.status,
    );
    Some(Boundary {
        id: CheckpointId::from_bytes(id),
        payload: SealedPayload::with_salt(text.into(), salt),
        evidence: Payload::empty(),
    })
}
