//! The oracle's own account of operations: who owns each, what is in doubt, and what came of it.

use std::collections::BTreeMap;

use steadfast_store::{
    Abandonment, BeginOperation, Digest, FinishOperation, Guard, MODEL_KEYS, OperationBegun, OperationEnd,
    OperationKey, OperationRecord, OperationStatus, OperationToken, TOOL_KEYS, TaskId,
};

use super::items::Items;
use super::promise::Promise;
use super::{Said, Sender};

/// What an operation must be.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) status: OperationStatus,
    pub(super) token: OperationToken,
    pub(super) lease: Option<Guard>,
    pub(super) task: Option<TaskId>,
    pub(super) owner: Sender,
    may_retake: bool,
    expires_ms: i64,
    attempt: u32,
    output: Option<Digest>,
    finished_wall_ms: Option<i64>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Operations {
    pub(super) rows: BTreeMap<OperationKey, Row>,
}

/// When something is applied: by the store's time and by its wall clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) store_ms: i64,
    pub(super) wall_ms: i64,
}

impl Row {
    fn is_owned(&self, items: &Items, now_ms: i64) -> bool {
        self.status == OperationStatus::Pending
            && match &self.lease {
                Some(lease) => items.holds(lease),
                None => now_ms < self.expires_ms,
            }
    }

    fn has_ended(&self) -> bool {
        matches!(self.status, OperationStatus::Succeeded | OperationStatus::Failed)
    }
}

impl Operations {
    pub(super) fn begun(
        &mut self,
        (owner, command, outcome): (Sender, &BeginOperation, &OperationBegun),
        items: &Items,
        times: Times,
        said: &mut Said,
    ) {
        let key = &command.key;
        let before = self.rows.get(key);
        if let Some(row) = before {
            let fresh_ms =
                command.fresh_for.map(|fresh| i64::try_from(fresh.as_millis()).unwrap_or(i64::MAX));
            let is_stale =
                row.finished_wall_ms.zip(fresh_ms).is_some_and(|(at, fresh)| at + fresh <= times.wall_ms);
            if row.has_ended() && !is_stale {
                said.broken(Promise::Outcome, format!("{key} was begun again after it had ended"));
            } else if row.is_owned(items, times.store_ms) {
                said.broken(Promise::OneOwner, format!("{key} was begun again while {} owns it", row.token));
            } else if row.status == OperationStatus::InDoubt
                || row.status == OperationStatus::Pending && !row.may_retake
            {
                said.broken(Promise::Doubt, format!("{key} was begun again while it is in doubt"));
            }
        }
        let attempt = before.map_or(0, |row| row.attempt) + 1;
        if outcome.attempt != attempt {
            said.broken(Promise::Rows, format!("{key} is at attempt {}, not {attempt}", outcome.attempt));
        }
        let term_ms = i64::try_from(command.term.get().as_millis()).unwrap_or(i64::MAX);
        let row = Row {
            status: OperationStatus::Pending,
            token: command.token,
            lease: command.lease.clone(),
            task: command.task.clone(),
            owner,
            may_retake: command.abandonment == Abandonment::Retake,
            expires_ms: times.store_ms + term_ms,
            attempt,
            output: None,
            finished_wall_ms: None,
        };
        self.rows.insert(key.clone(), row);
    }

    pub(super) fn finished(
        &mut self,
        command: &FinishOperation,
        items: &Items,
        times: Times,
        said: &mut Said,
    ) {
        let key = &command.key;
        let Some(row) = self.rows.get_mut(key) else {
            return said.broken(Promise::Rows, format!("{key} was finished and never begun"));
        };
        if row.token != command.token {
            let what = format!("{key} was finished by {}, and {} owns it", command.token, row.token);
            return said.broken(Promise::OneOwner, what);
        }
        let (status, output) = match &command.end {
            OperationEnd::Succeeded(output) => (OperationStatus::Succeeded, Some(output.digest())),
            OperationEnd::Failed(output) => (OperationStatus::Failed, Some(output.digest())),
            OperationEnd::InDoubt => (OperationStatus::InDoubt, None),
            OperationEnd::Abandoned if !row.may_retake => (OperationStatus::InDoubt, None),
            OperationEnd::Abandoned | OperationEnd::DidNotHappen => (OperationStatus::Pending, None),
        };
        if row.has_ended() {
            if (row.status, row.output) != (status, output) {
                said.broken(
                    Promise::Outcome,
                    format!("{key} had ended as {}, and ended as {status}", row.status),
                );
            }
            return;
        }
        match command.end {
            OperationEnd::InDoubt if row.is_owned(items, times.store_ms) => {
                said.broken(Promise::OneOwner, format!("{key} was put in doubt while {} owns it", row.token));
            }
            OperationEnd::DidNotHappen | OperationEnd::Abandoned if status == OperationStatus::Pending => {
                (row.may_retake, row.lease, row.expires_ms) = (true, None, times.store_ms);
            }
            _ => {}
        }
        (row.status, row.output) = (status, output);
        row.finished_wall_ms = output.map(|_| times.wall_ms);
    }

    /// Keys of cached answers that there are.
    pub(super) fn cached(&self) -> Vec<OperationKey> {
        let is_answer =
            |key: &OperationKey, row: &Row| key.as_str().starts_with(MODEL_KEYS) && row.has_ended();
        self.rows.iter().filter(|(key, row)| is_answer(key, row)).map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn invalidated(&mut self, key: &OperationKey, said: &mut Said) {
        if self.rows.get(key).is_some_and(|row| !row.has_ended()) {
            said.broken(Promise::Outcome, format!("{key} was removed before it had ended"));
        }
        self.rows.remove(key);
    }

    /// Takes note of what a purge removed: `is_there` looks at the rows.
    pub(super) fn purged(
        &mut self,
        prefix: &str,
        is_there: impl Fn(&OperationKey) -> bool,
        goes_on: impl Fn(&TaskId) -> bool,
        said: &mut Said,
    ) -> u32 {
        let gone: Vec<OperationKey> = self
            .rows
            .keys()
            .filter(|key| key.as_str().starts_with(prefix) && !is_there(key))
            .cloned()
            .collect();
        for key in &gone {
            if let Some(row) = self.rows.remove(key)
                && (!row.has_ended() || prefix == TOOL_KEYS && row.task.as_ref().is_some_and(&goes_on))
            {
                said.broken(Promise::Outcome, format!("{key} was purged, and is still wanted"));
            }
        }
        u32::try_from(gone.len()).unwrap_or(u32::MAX)
    }

    /// How the stored row differs from what it must be.
    pub(super) fn difference(&self, key: &OperationKey, stored: Option<&OperationRecord>) -> Option<String> {
        let row = self.rows.get(key)?;
        let Some(OperationRecord { operation, .. }) = stored else { return Some(format!("{key} is gone")) };
        let is = (operation.status, operation.owner.token, operation.attempt, operation.output);
        let must = (row.status, row.token, row.attempt, row.output);
        (is != must).then(|| format!("{key} is {is:?}, and must be {must:?}"))
    }
}
