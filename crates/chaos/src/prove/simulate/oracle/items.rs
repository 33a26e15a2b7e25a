//! The oracle's own account of work items: what each row must be after the commands that were applied, written from
//! the invariants and not from the decisions.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_store::{
    Claim, Claimed, Enqueue, Guard, Settle, SettleItem, Settled, Status, SweepExpired, Swept, TaskId,
    WorkItem, WorkItemId,
};

use super::Said;
use super::promise::Promise;

/// What a row must be.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) task: TaskId,
    pub(super) status: Status,
    pub(super) fence: u64,
    pub(super) attempt: u32,
    pub(super) max_attempts: u32,
    pub(super) priority: i32,
    pub(super) available_ms: i64,
    /// While it is in progress.
    pub(super) expires_ms: Option<i64>,
    /// The settlement that was applied last: its fence, and how.
    pub(super) settled: Option<(u64, &'static str)>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Items {
    pub(super) rows: BTreeMap<WorkItemId, Row>,
    /// True time at which a fence was taken back by a sweep.
    pub(super) reclaimed: BTreeMap<(WorkItemId, u64), Duration>,
}

fn how(settle: Settle) -> &'static str {
    match settle {
        Settle::Succeeded => "succeeded",
        Settle::Retry(_) => "retried",
        Settle::Failed => "failed",
        Settle::Released => "released",
    }
}

impl Items {
    /// Whether a guard is the current lease of its item.
    pub(super) fn holds(&self, guard: &Guard) -> bool {
        self.rows
            .get(&guard.item)
            .is_some_and(|row| row.fence == guard.fence.0 && row.status == Status::InProgress)
    }

    pub(super) fn enqueued(&mut self, command: &Enqueue, now_ms: i64) {
        let available_ms = now_ms + i64::try_from(command.delay.get().as_millis()).unwrap_or(i64::MAX);
        self.rows.entry(command.item.clone()).or_insert_with(|| Row {
            task: command.task.clone(),
            status: Status::Pending,
            fence: 0,
            attempt: 0,
            max_attempts: command.max_attempts,
            priority: command.priority,
            available_ms,
            expires_ms: None,
            settled: None,
        });
    }

    /// What a claim now must take, the best first.
    fn due(&self, now_ms: i64, limit: u32) -> Vec<WorkItemId> {
        let is_due = |row: &Row| row.status == Status::Pending && row.available_ms <= now_ms;
        let mut due: Vec<_> = self.rows.iter().filter(|(_, row)| is_due(row)).collect();
        due.sort_by_key(|(id, row)| (Reverse(row.priority), row.available_ms, (*id).clone()));
        due.into_iter().take(limit as usize).map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn claimed(&mut self, command: &Claim, claimed: &Claimed, now_ms: i64, said: &mut Said) {
        let due = self.due(now_ms, command.limit);
        let taken: Vec<WorkItemId> = claimed.items.iter().map(|item| item.id.clone()).collect();
        if due != taken {
            said.broken(Promise::ClaimOrder, format!("a claim took {taken:?}, and {due:?} were due"));
        }
        let term_ms = i64::try_from(command.term.get().as_millis()).unwrap_or(i64::MAX);
        for item in &claimed.items {
            self.claimed_one(item, now_ms + term_ms, said);
        }
    }

    fn claimed_one(&mut self, item: &WorkItem, expires_ms: i64, said: &mut Said) {
        let Some(row) = self.rows.get_mut(&item.id) else {
            return said.broken(Promise::Rows, format!("{} was claimed and never enqueued", item.id));
        };
        if row.status == Status::InProgress {
            said.broken(
                Promise::OneHolder,
                format!("{} was claimed while fence {} holds it", item.id, row.fence),
            );
        }
        if item.fence.0 <= row.fence {
            let (old, new) = (row.fence, item.fence);
            said.broken(Promise::FenceGrows, format!("{} was claimed with fence {new} after {old}", item.id));
        }
        if item.attempt != row.attempt + 1 || item.attempt > row.max_attempts {
            let (attempt, before, most) = (item.attempt, row.attempt, row.max_attempts);
            let what = format!("{} is at attempt {attempt} of {most} after {before}", item.id);
            said.broken(Promise::Attempts, what);
        }
        if item.lease.as_ref().map(|lease| lease.expires_at.as_millis()) != Some(expires_ms) {
            let what = format!("{} was claimed until {:?}, not {expires_ms}", item.id, item.lease);
            said.broken(Promise::NotEarly, what);
        }
        (row.status, row.fence, row.attempt) = (Status::InProgress, item.fence.0, item.attempt);
        row.expires_ms = Some(expires_ms);
    }

    pub(super) fn renewed(&mut self, guard: &Guard, term: Duration, now_ms: i64, said: &mut Said) {
        if !self.holds(guard) {
            let what = format!("{}#{} was renewed, and is not the lease", guard.item, guard.fence);
            return said.broken(Promise::Renewal, what);
        }
        if let Some(row) = self.rows.get_mut(&guard.item) {
            let until = now_ms + i64::try_from(term.as_millis()).unwrap_or(i64::MAX);
            row.expires_ms = Some(row.expires_ms.unwrap_or(until).max(until));
        }
    }

    pub(super) fn settled(&mut self, command: &SettleItem, outcome: &Settled, now_ms: i64, said: &mut Said) {
        let (guard, how) = (&command.guard, how(command.settle));
        let holds = self.holds(guard);
        let Some(row) = self.rows.get_mut(&guard.item) else {
            return said.broken(Promise::Rows, format!("{} was settled and never enqueued", guard.item));
        };
        if !holds {
            if row.settled != Some((guard.fence.0, how)) {
                let what = format!("{}#{} was settled as {how} under a stale guard", guard.item, guard.fence);
                said.broken(Promise::StaleGuard, what);
            }
            return;
        }
        row.status = match command.settle {
            Settle::Succeeded => Status::Succeeded,
            Settle::Failed => Status::Failed,
            Settle::Retry(_) if row.attempt >= row.max_attempts => Status::Failed,
            Settle::Retry(_) | Settle::Released => Status::Pending,
        };
        match command.settle {
            Settle::Retry(delay) if row.status == Status::Pending => {
                row.available_ms = now_ms + i64::try_from(delay.get().as_millis()).unwrap_or(i64::MAX);
            }
            Settle::Released => {
                row.attempt -= 1;
                row.available_ms = now_ms;
            }
            _ => {}
        }
        (row.expires_ms, row.settled) = (None, Some((guard.fence.0, how)));
        if outcome.status != row.status {
            let what = format!("{} was settled as {}, not {}", guard.item, outcome.status, row.status);
            said.broken(Promise::Attempts, what);
        }
    }

    /// A sweep: what it took, and whether it left anything.
    pub(super) fn swept(
        &mut self,
        (command, swept): (&SweepExpired, &Swept),
        has_ended: impl Fn(&TaskId) -> bool,
        (now, now_ms): (Duration, i64),
        said: &mut Said,
    ) {
        for reclaimed in &swept.reclaimed {
            let id = &reclaimed.item;
            let Some(row) = self.rows.get_mut(id) else {
                said.broken(Promise::Rows, format!("{id} was reclaimed and never enqueued"));
                continue;
            };
            if row.status != Status::InProgress || reclaimed.stale.0 != row.fence {
                let (fence, status) = (row.fence, row.status);
                let what = format!("{id}#{} was reclaimed, and stands at {fence}, {status}", reclaimed.stale);
                said.broken(Promise::FenceGrows, what);
            }
            let early_ms = row.expires_ms.map_or(0, |expires_ms| expires_ms - now_ms);
            if early_ms > 0 {
                let what = format!("{id}#{} was reclaimed {early_ms} ms before its term", reclaimed.stale);
                said.broken(Promise::NotEarly, what);
            }
            let expected = if has_ended(&row.task) {
                Status::Cancelled
            } else if row.attempt >= row.max_attempts {
                Status::Failed
            } else {
                Status::Pending
            };
            if reclaimed.status != expected {
                let (attempt, most) = (row.attempt, row.max_attempts);
                let what = format!("{id} is {} after attempt {attempt} of {most}", reclaimed.status);
                said.broken(Promise::Attempts, what);
            }
            self.reclaimed.insert((id.clone(), row.fence), now);
            row.fence += 1;
            (row.status, row.expires_ms, row.available_ms) = (expected, None, now_ms);
        }
        let left = |row: &Row| row.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms);
        if swept.reclaimed.len() < command.limit as usize
            && let Some((id, row)) = self.rows.iter().find(|(_, row)| left(row))
        {
            said.broken(Promise::Attempts, format!("a sweep left {id}#{}, whose term is over", row.fence));
        }
    }

    pub(super) fn cancelled(&mut self, id: &WorkItemId) {
        if let Some(row) = self.rows.get_mut(id)
            && !row.status.is_terminal()
        {
            row.fence += 1;
            (row.status, row.expires_ms) = (Status::Cancelled, None);
        }
    }

    pub(super) fn requeued(&mut self, id: &WorkItemId, available_ms: i64) {
        if let Some(row) = self.rows.get_mut(id) {
            row.fence += 1;
            (row.status, row.attempt, row.available_ms) = (Status::Pending, 0, available_ms);
        }
    }

    /// How the stored row differs from what it must be.
    pub(super) fn difference(&self, id: &WorkItemId, stored: Option<&WorkItem>) -> Option<String> {
        let row = self.rows.get(id)?;
        let Some(stored) = stored else { return Some(format!("{id} is gone")) };
        let expires_ms = stored.lease.as_ref().map(|lease| lease.expires_at.as_millis());
        let is = (stored.status, stored.fence.0, stored.attempt, expires_ms);
        let must = (row.status, row.fence, row.attempt, row.expires_ms);
        (is != must).then(|| format!("{id} is {is:?}, and must be {must:?}"))
    }
}
