//! Enqueue, claim, renew, settle, call off, requeue, and the guard. The fence of an item grows with every claim and every reclaim, so a
//! current fence on an item in progress *is* the lease.

use crate::command::{CancelItem, Claim, Enqueue, Renew, Requeue, Settle, SettleItem};
use crate::decide::Decision;
use crate::limits::DETAIL_BYTES_MAX;
use crate::outcome::{Enqueued, ItemCancelled, Reason, Renewed, Requeued, Settled};
use crate::planted::{self, Bug};
use crate::record::{Fence, Guard, LeaseRecord, Settlement, Status, Task, WorkItem};
use crate::time::Now;

/// An item id means one task, kind, priority and number of attempts, for ever.
pub fn decide_enqueue(
    existing: Option<&WorkItem>,
    task: Option<&Task>,
    command: &Enqueue,
    now: Now,
) -> Decision<WorkItem, Enqueued> {
    if let Some(item) = existing {
        let equal = item.task == command.task
            && item.kind == command.kind
            && item.priority == command.priority
            && item.max_attempts == command.max_attempts;
        return if equal {
            Decision::Replayed(Enqueued)
        } else {
            Decision::Rejected(Reason::WorkItemExists { item: item.id.clone() })
        };
    }
    match task {
        None => return Decision::Rejected(Reason::NoSuchTask { task: command.task.clone() }),
        Some(task) if task.status.is_terminal() => {
            return Decision::Rejected(Reason::TaskEnded { task: task.id.clone(), status: task.status });
        }
        Some(_) => {}
    }
    let item = WorkItem {
        id: command.item.clone(),
        task: command.task.clone(),
        kind: command.kind.clone(),
        status: Status::Pending,
        priority: command.priority,
        available_at: now.store.plus(command.delay.get()),
        fence: Fence(0),
        attempt: 0,
        max_attempts: command.max_attempts,
        lease: None,
        transition: None,
        settled: None,
        detail: String::new(),
        created_at: now.wall,
    };
    Decision::Apply(item, Enqueued)
}

/// Whether a claim asks for such an item, whenever it is available.
pub fn is_asked_for(item: &WorkItem, command: &Claim) -> bool {
    (command.kinds.is_empty() || command.kinds.contains(&item.kind))
        && command.task.as_ref().is_none_or(|task| *task == item.task)
}

/// The item under its new lease, or `None` when it may not be claimed now.
pub fn decide_claim(item: &WorkItem, command: &Claim, now: Now) -> Option<WorkItem> {
    if item.status != Status::Pending || item.available_at > now.store || !is_asked_for(item, command) {
        return None;
    }
    Some(WorkItem {
        status: Status::InProgress,
        fence: Fence(item.fence.0 + 1),
        attempt: item.attempt + 1,
        lease: Some(LeaseRecord {
            holder: command.holder.clone(),
            acquired_at: now.store,
            expires_at: now.store.plus(command.term.get()),
        }),
        transition: Some(command.claim),
        ..item.clone()
    })
}

/// Whether `guard` is the current lease. A lease past its term that nobody has reclaimed is still one: nobody else
/// can hold the item before its fence has grown.
///
/// # Errors
/// The reason why it is not.
pub fn decide_guard(item: Option<&WorkItem>, guard: &Guard) -> Result<(), Reason> {
    match item {
        None => Err(Reason::NoSuchWorkItem { item: guard.item.clone() }),
        Some(item) if item.fence != guard.fence && !planted::is(Bug::NoFenceCheck) => {
            Err(Reason::StaleFence { item: item.id.clone(), shown: guard.fence, current: item.fence })
        }
        Some(item) if item.status != Status::InProgress => {
            Err(Reason::NotLeased { item: item.id.clone(), fence: guard.fence, status: item.status })
        }
        Some(_) => Ok(()),
    }
}

/// Moves the deadline to one term from now, never nearer.
pub fn decide_renew(item: Option<&WorkItem>, command: &Renew, now: Now) -> Decision<WorkItem, Renewed> {
    if let Err(reason) = decide_guard(item, &command.guard) {
        return Decision::Rejected(reason);
    }
    let Some((item, lease)) = item.and_then(|item| item.lease.as_ref().map(|lease| (item, lease))) else {
        return Decision::Rejected(Reason::NoSuchWorkItem { item: command.guard.item.clone() });
    };
    let expires_at = lease.expires_at.max(now.store.plus(command.term.get()));
    let renewed = WorkItem { lease: Some(LeaseRecord { expires_at, ..lease.clone() }), ..item.clone() };
    Decision::Apply(renewed, Renewed { expires_at })
}

/// Ends the lease.
pub fn decide_settle(item: Option<&WorkItem>, command: &SettleItem, now: Now) -> Decision<WorkItem, Settled> {
    let settlement = match command.settle {
        Settle::Succeeded => Settlement::Succeeded,
        Settle::Retry(_) => Settlement::Retried,
        Settle::Failed => Settlement::Failed,
        Settle::Released => Settlement::Released,
    };
    if let Err(reason) = decide_guard(item, &command.guard) {
        return match item {
            Some(item) if item.settled == Some((command.guard.fence, settlement)) => {
                if item.fence == command.guard.fence {
                    Decision::Replayed(Settled { status: item.status, available_at: item.available_at })
                } else {
                    Decision::Superseded
                }
            }
            _ => Decision::Rejected(reason),
        };
    }
    let Some(item) = item else {
        return Decision::Rejected(Reason::NoSuchWorkItem { item: command.guard.item.clone() });
    };
    let mut settled = WorkItem {
        lease: None,
        settled: Some((item.fence, settlement)),
        detail: kept_detail(&command.detail),
        ..item.clone()
    };
    match command.settle {
        Settle::Succeeded => settled.status = Status::Succeeded,
        Settle::Failed => settled.status = Status::Failed,
        Settle::Retry(_) if item.attempt >= item.max_attempts => settled.status = Status::Failed,
        Settle::Retry(delay) => {
            settled.status = Status::Pending;
            settled.available_at = now.store.plus(delay.get());
        }
        Settle::Released => {
            settled.status = Status::Pending;
            settled.attempt = item.attempt.saturating_sub(1);
            settled.available_at = now.store;
        }
    }
    let answer = Settled { status: settled.status, available_at: settled.available_at };
    Decision::Apply(settled, answer)
}

/// The item called off; whoever holds it is fenced off.
pub fn decide_cancel_item(
    item: Option<&WorkItem>,
    command: &CancelItem,
) -> Decision<WorkItem, ItemCancelled> {
    match item {
        None => Decision::Rejected(Reason::NoSuchWorkItem { item: command.item.clone() }),
        Some(item) if item.status == Status::Cancelled => Decision::Replayed(ItemCancelled),
        Some(item) if item.status.is_terminal() => {
            Decision::Rejected(Reason::WorkItemEnded { item: item.id.clone(), status: item.status })
        }
        Some(item) => Decision::Apply(called_off(item), ItemCancelled),
    }
}

/// An item that nobody shall do any more, and whoever held it fenced off.
pub(crate) fn called_off(item: &WorkItem) -> WorkItem {
    WorkItem { status: Status::Cancelled, fence: Fence(item.fence.0 + 1), lease: None, ..item.clone() }
}

/// The item available again, with all its attempts, unless its task has ended.
pub fn decide_requeue(
    item: Option<&WorkItem>,
    task: Option<&Task>,
    command: &Requeue,
    now: Now,
) -> Decision<WorkItem, Requeued> {
    let Some(item) = item else {
        return Decision::Rejected(Reason::NoSuchWorkItem { item: command.item.clone() });
    };
    if item.transition == Some(command.requeue) {
        return Decision::Replayed(Requeued { available_at: item.available_at });
    }
    if !matches!(item.status, Status::Failed | Status::NeedsAttention | Status::Cancelled) {
        return Decision::Rejected(Reason::NotRequeuable { item: item.id.clone(), status: item.status });
    }
    if let Some(task) = task.filter(|task| task.status.is_terminal()) {
        return Decision::Rejected(Reason::TaskEnded { task: task.id.clone(), status: task.status });
    }
    let available_at = now.store.plus(command.delay.get());
    let requeued = WorkItem {
        status: Status::Pending,
        available_at,
        fence: Fence(item.fence.0 + 1),
        attempt: 0,
        transition: Some(command.requeue),
        ..item.clone()
    };
    Decision::Apply(requeued, Requeued { available_at })
}

/// As much of a detail as is kept.
pub(crate) fn kept_detail(detail: &str) -> String {
    detail[..detail.floor_char_boundary(DETAIL_BYTES_MAX)].to_owned()
}
