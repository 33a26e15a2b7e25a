//! How the numbers of a history are called in the store, and back.

use steadfast_store::{
    Checkpoint, CheckpointId, Digest, Guard, HolderId, InvalidId, Label, OperationKey, OperationToken,
    Payload, PayloadTooLarge, Reason, Status, TaskId, TransitionId, WorkItem, WorkItemId,
};

use super::call::{
    ItemRow, ItemStatus, Lease, LeaseRow, Link, OperationRow, OperationStatus, Reclaimed, Settlement, Why,
};

/// The second half of every id of 16 bytes; the first is its number.
const ID_TAIL: [u8; 8] = *b"historyx";
/// Fingerprints that operations are begun with.
pub(super) const FINGERPRINTS: u8 = 2;

/// The names of one history.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub(super) history: u64,
}

impl Names {
    pub(super) fn task(self, task: usize) -> Result<TaskId, InvalidId> {
        TaskId::new(format!("h{}-t{task}", self.history))
    }

    pub(super) fn item(self, item: usize) -> Result<WorkItemId, InvalidId> {
        WorkItemId::new(format!("h{}-i{item}", self.history))
    }

    pub(super) fn operation(self, operation: usize) -> Result<OperationKey, InvalidId> {
        OperationKey::new(format!("tool-ledger:h{}-o{operation}", self.history))
    }

    /// The name of the model that a cache is asked for; its key begins with it.
    pub(super) fn model(self, cache: usize) -> String {
        format!("h{}-c{cache}", self.history)
    }

    /// The kind of its items, by which its claims take no others.
    pub(super) fn kind(self) -> Result<Label, InvalidId> {
        Label::new(format!("h{}", self.history))
    }

    pub(super) fn guard(self, lease: Lease) -> Result<Guard, InvalidId> {
        Ok(Guard { item: self.item(lease.item)?, fence: steadfast_store::Fence(lease.fence) })
    }

    /// The number in a name of this history.
    pub(super) fn number(self, name: &str, letter: char) -> Option<usize> {
        name.strip_prefix(&format!("h{}-{letter}", self.history))?.parse().ok()
    }

    pub(super) fn item_row(self, item: &WorkItem) -> Option<ItemRow> {
        let lease = match &item.lease {
            None => None,
            Some(lease) => Some(LeaseRow {
                holder: lease.holder.as_str().parse().ok()?,
                acquired: lease.acquired_at.as_millis(),
                expires: lease.expires_at.as_millis(),
            }),
        };
        Some(ItemRow {
            item: self.number(item.id.as_str(), 'i')?,
            status: item_status(item.status)?,
            fence: item.fence.0,
            attempt: item.attempt,
            available: item.available_at.as_millis(),
            lease,
            transition: none_or(item.transition, |id| number_of(id.as_bytes()))?,
            settled: none_or(item.settled, |(fence, how)| Some((fence.0, settlement(how.as_str())?)))?,
        })
    }

    pub(super) fn operation_row(self, record: &steadfast_store::OperationRecord) -> Option<OperationRow> {
        let steadfast_store::OperationRecord { operation, output } = record;
        let owner = &operation.owner;
        let lease =
            |guard: Guard| Some(Lease { item: self.number(guard.item.as_str(), 'i')?, fence: guard.fence.0 });
        Some(OperationRow {
            fingerprint: fingerprint_of(operation.fingerprint.as_bytes())?,
            status: operation_status(operation.status.as_str())?,
            is_retaken: operation.abandonment == steadfast_store::Abandonment::Retake,
            token: number_of(owner.token.as_bytes())?,
            lease: none_or(owner.lease.clone(), lease)?,
            expires: owner.expires_at.as_millis(),
            output: none_or(output.as_ref(), |output| value_of(output.bytes()))?,
            attempt: operation.attempt,
        })
    }

    pub(super) fn link(self, checkpoint: &Checkpoint) -> Option<Link> {
        let header = &checkpoint.header;
        let item = header.work_item.as_ref().map(WorkItemId::as_str);
        let payload = checkpoint.payload.as_ref().ok()?;
        self.link_of(header.id.as_bytes(), header.kind.as_str(), item, payload.bytes())
    }

    /// A checkpoint by what is stored of it.
    pub(super) fn link_of(self, id: &[u8], kind: &str, item: Option<&str>, payload: &[u8]) -> Option<Link> {
        if kind != "error_boundary" {
            // What it holds is its number once more, so that no other's payload passes for it.
            return number_of(id).filter(|id| value_of(payload) == Some(*id)).map(Link::Own);
        }
        let text = std::str::from_utf8(payload).ok()?;
        let fence = text.lines().find_map(|line| line.strip_prefix("stale fence: "))?.parse().ok()?;
        Some(Link::Boundary(Lease { item: self.number(item?, 'i')?, fence }))
    }

    pub(super) fn reclaimed(self, reclaimed: &steadfast_store::Reclaimed) -> Option<Reclaimed> {
        let item = self.number(reclaimed.item.as_str(), 'i')?;
        let lease = Lease { item, fence: reclaimed.stale.0 };
        let (status, has_boundary) = (item_status(reclaimed.status)?, reclaimed.checkpoint.is_some());
        Some(Reclaimed { lease, status, has_boundary })
    }
}

/// None stays none; what is there must be understood.
#[allow(clippy::option_option, reason = "the outer one says whether it was understood")]
fn none_or<T, U>(value: Option<T>, read: impl FnOnce(T) -> Option<U>) -> Option<Option<U>> {
    value.map_or(Some(None), |value| read(value).map(Some))
}

fn bytes_of(number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..].copy_from_slice(&ID_TAIL);
    bytes
}

/// The number of an id of 16 bytes.
pub(super) fn number_of(bytes: &[u8]) -> Option<u64> {
    let (number, tail) = bytes.split_first_chunk::<8>()?;
    (tail == ID_TAIL).then(|| u64::from_be_bytes(*number))
}

pub(super) fn transition(number: u64) -> TransitionId {
    TransitionId::from_bytes(bytes_of(number))
}

pub(super) fn checkpoint(number: u64) -> CheckpointId {
    CheckpointId::from_bytes(bytes_of(number))
}

pub(super) fn token(number: u64) -> OperationToken {
    OperationToken::from_bytes(bytes_of(number))
}

/// Whoever claims goes by the number of the claim.
pub(super) fn holder(number: u64) -> Result<HolderId, InvalidId> {
    HolderId::new(number.to_string())
}

pub(super) fn fingerprint(number: u8) -> Digest {
    Digest::of(&[number])
}

/// Which fingerprint it is.
pub(super) fn fingerprint_of(bytes: &[u8]) -> Option<u8> {
    (0..FINGERPRINTS).find(|number| fingerprint(*number).as_bytes() == bytes)
}

/// A number as the bytes of a result or a checkpoint.
pub(super) fn value(number: u64) -> Result<Payload, PayloadTooLarge> {
    Payload::new(number.to_le_bytes().to_vec())
}

/// The number in a result or a checkpoint.
pub(super) fn value_of(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// A status of an item, by its name in the store.
pub(super) fn item_status_of(text: &str) -> Option<ItemStatus> {
    Status::from_text(text).and_then(item_status)
}

pub(super) fn item_status(status: Status) -> Option<ItemStatus> {
    Some(match status {
        Status::Pending => ItemStatus::Pending,
        Status::InProgress => ItemStatus::InProgress,
        Status::Succeeded => ItemStatus::Succeeded,
        Status::Failed => ItemStatus::Failed,
        Status::Cancelled => ItemStatus::Cancelled,
        _ => return None,
    })
}

pub(super) fn settlement(text: &str) -> Option<Settlement> {
    Some(match text {
        "succeeded" => Settlement::Succeeded,
        "retried" => Settlement::Retried,
        "failed" => Settlement::Failed,
        "released" => Settlement::Released,
        _ => return None,
    })
}

pub(super) fn operation_status(text: &str) -> Option<OperationStatus> {
    Some(match text {
        "pending" => OperationStatus::Pending,
        "succeeded" => OperationStatus::Succeeded,
        "failed" => OperationStatus::Failed,
        "in_doubt" => OperationStatus::InDoubt,
        _ => return None,
    })
}

/// Why the store refused.
pub(super) fn why(reason: &Reason) -> Why {
    let known = match reason {
        Reason::StaleFence { current, .. } => Some(Why::StaleFence { current: current.0 }),
        Reason::NotLeased { status, .. } => item_status(*status).map(|status| Why::NotLeased { status }),
        Reason::WorkItemEnded { status, .. } => item_status(*status).map(|status| Why::ItemEnded { status }),
        Reason::NotRequeuable { status, .. } => {
            item_status(*status).map(|status| Why::NotRequeuable { status })
        }
        Reason::WrongParent { head, .. } => Some(Why::WrongParent { head: head.0 }),
        Reason::FingerprintConflict { .. } => Some(Why::Conflict),
        Reason::OperationInFlight { expires_at } => Some(Why::InFlight { expires: expires_at.as_millis() }),
        Reason::OperationInDoubt { token } => number_of(token.as_bytes()).map(|token| Why::InDoubt { token }),
        Reason::OperationEnded { status } => {
            operation_status(status.as_str()).map(|status| Why::Ended { status })
        }
        Reason::OperationUnfinished { status } => {
            operation_status(status.as_str()).map(|status| Why::Unfinished { status })
        }
        Reason::StaleToken => Some(Why::StaleToken),
        Reason::NoSuchOperation => Some(Why::NoOperation),
        Reason::OperationOwned { expires_at } => Some(Why::Owned { expires: expires_at.as_millis() }),
        _ => None,
    };
    known.unwrap_or_else(|| Why::Other(reason.to_string()))
}
