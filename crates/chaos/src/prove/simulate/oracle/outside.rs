//! The world outside: tools and the effects they had, the model and what it said, and who is at work. It keeps its own
//! books, and knows nothing of the store's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use steadfast_leases::Lease;
use steadfast_store::{Guard, OperationKey, OperationToken, WorkItemId};

use super::MachineId;
use super::Oracle;

/// What the world says about a call in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Truth {
    /// It happened, and this is what the tool said.
    Happened(String),
    /// It did not, and never will by this attempt.
    DidNotHappen,
    /// Whoever began it may still be at it.
    MayHappen,
}

/// A lease in the hands of a worker.
#[derive(Debug)]
pub(in super::super) struct Held {
    pub(in super::super) machine: MachineId,
    pub(in super::super) lease: Weak<Lease>,
}

/// See the module.
#[derive(Debug, Default)]
pub(in super::super) struct Outside {
    /// Of each call, the attempts that had their effect.
    effects: BTreeMap<OperationKey, Vec<OperationToken>>,
    /// Attempts that the world was asked about before they came: they are refused.
    refused: BTreeSet<OperationToken>,
    delivered: BTreeMap<OperationKey, Vec<u8>>,
    /// What the model said to each request.
    answers: BTreeMap<String, Vec<String>>,
    at_work: BTreeMap<(WorkItemId, u64), Held>,
    /// Leases under which somebody has begun to work since this was emptied.
    pub(super) begun: BTreeSet<(WorkItemId, u64)>,
    /// Effects of idempotent tools that happened again: the price of a crash.
    pub(in super::super) repeated: u64,
    pub(in super::super) asked: u64,
    /// Machines whose next effect is the last thing that their process does.
    pub(in super::super) doomed: BTreeMap<MachineId, Duration>,
    /// Those that have had it, and after how long they start again.
    pub(in super::super) dying: Vec<(MachineId, Duration)>,
}

impl Outside {
    pub(super) fn happened(&mut self, key: &OperationKey, token: OperationToken) -> (usize, String) {
        let attempts = self.effects.entry(key.clone()).or_default();
        attempts.push(token);
        self.repeated += u64::from(attempts.len() > 1);
        (attempts.len(), said(key, token))
    }

    pub(super) fn is_refused(&self, token: OperationToken) -> bool {
        self.refused.contains(&token)
    }

    /// The tool itself is asked whether it was called by this attempt; if not, it will refuse it from now on.
    pub(in super::super) fn look_up(&mut self, key: &OperationKey, token: OperationToken) -> Option<String> {
        let happened = self.effects.get(key).is_some_and(|attempts| attempts.contains(&token));
        if !happened {
            self.refused.insert(token);
        }
        happened.then(|| said(key, token))
    }

    pub(super) fn truth(&self, key: &OperationKey, token: OperationToken, is_at_it: bool) -> Truth {
        if self.effects.get(key).is_some_and(|attempts| attempts.contains(&token)) {
            Truth::Happened(said(key, token))
        } else if is_at_it {
            Truth::MayHappen
        } else {
            Truth::DidNotHappen
        }
    }

    /// What was handed out before, if it was something else.
    pub(super) fn delivered(&mut self, key: &OperationKey, output: &[u8]) -> Option<String> {
        let first = self.delivered.entry(key.clone()).or_insert_with(|| output.to_vec());
        (first != output).then(|| String::from_utf8_lossy(first).into_owned())
    }

    /// The model says something new to a request, each time it is asked.
    pub(in super::super) fn answer(&mut self, request: &str) -> String {
        self.asked += 1;
        let answers = self.answers.entry(request.to_owned()).or_default();
        let body = format!("{request} #{}", answers.len());
        answers.push(body.clone());
        body
    }

    pub(super) fn was_said(&self, request: &str, body: &String) -> bool {
        self.answers.get(request).is_some_and(|answers| answers.contains(body))
    }

    pub(super) fn is_at_work(&self, guard: &Guard) -> bool {
        self.at_work.contains_key(&(guard.item.clone(), guard.fence.0))
    }

    /// The machine of an item's holder, and its own deadline, while it believes that it has one.
    pub(super) fn deadline(&self, item: &WorkItemId, fence: u64) -> Option<(MachineId, Duration)> {
        let held = self.at_work.get(&(item.clone(), fence))?;
        let lease = held.lease.upgrade()?;
        // Asked without looking at its clock: a lease that was given up has no deadline to speak of.
        Some((held.machine, lease.deadline()))
    }
}

fn said(key: &OperationKey, token: OperationToken) -> String {
    format!("{key} done by {token}")
}

/// Somebody is at work under a lease, until this is dropped: with its process, if that dies.
#[derive(Debug)]
pub(in super::super) struct Working {
    oracle: Arc<Mutex<Oracle>>,
    guard: Guard,
}

impl Working {
    pub(in super::super) fn begin(oracle: &Arc<Mutex<Oracle>>, guard: Guard, held: Held) -> Self {
        let at = (guard.item.clone(), guard.fence.0);
        let outside = &mut oracle.lock().outside;
        outside.begun.insert(at.clone());
        outside.at_work.insert(at, held);
        Self { oracle: Arc::clone(oracle), guard }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let at = (self.guard.item.clone(), self.guard.fence.0);
        self.oracle.lock().outside.at_work.remove(&at);
    }
}
