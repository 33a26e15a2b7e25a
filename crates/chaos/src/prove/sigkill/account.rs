//! The books of a round: what was submitted and acknowledged, held against the rows of the file and the log of the world
//! outside.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::tally::Tally;
use crate::audit::{Audit, BOUNDARY, CheckpointRow, ItemStanding};
use crate::case::CaseError;
use crate::scenarios::faults::Broken;
use crate::worker::{hex, item_of, key_of};

/// Every state that a work item can be in.
const STATES: [&str; 7] =
    ["pending", "in_progress", "waiting", "needs_attention", "succeeded", "failed", "cancelled"];

/// See the module.
#[derive(Debug)]
pub(super) struct Books {
    steps: u16,
    /// Tasks that the supervisor was told are durable.
    pub(super) submitted: BTreeSet<String>,
    /// Checkpoints that workers were told are durable: task, sequence number, id.
    pub(super) acknowledged: Vec<(String, u64, String)>,
}

/// What is wrong with the sum of all items: submitted = pending + in progress + waiting + needing attention +
/// succeeded + failed + cancelled, each once. `ordered` may have been submitted or not.
fn imbalance(submitted: &BTreeSet<String>, ordered: Option<&str>, items: &[ItemStanding]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut by_state: BTreeMap<&str, usize> = BTreeMap::new();
    let mut there = BTreeSet::new();
    for item in items {
        *by_state.entry(&item.status).or_default() += 1;
        if !there.insert(item.id.clone()) {
            wrong.push(format!("{} is there twice", item.id));
        }
    }
    let known: usize = STATES.iter().filter_map(|state| by_state.get(state)).sum();
    if known != items.len() {
        wrong.push(format!("{} items are in no known state: {by_state:?}", items.len() - known));
    }
    let expected: BTreeSet<String> = submitted.iter().map(|task| item_of(task)).collect();
    wrong.extend(expected.difference(&there).map(|item| format!("{item} was submitted and is gone")));
    let may_be = ordered.map(item_of);
    let strange = there.difference(&expected).filter(|item| Some(*item) != may_be.as_ref());
    wrong.extend(strange.map(|item| format!("{item} was never submitted")));
    wrong
}

impl Books {
    pub(super) fn new(steps: u16) -> Self {
        Self { steps, submitted: BTreeSet::new(), acknowledged: Vec::new() }
    }

    /// Looks at the sum of all items, in one statement and so at one moment.
    pub(super) fn check_sum(
        &self,
        audit: &Audit,
        round: &str,
        ordered: Option<&str>,
        tally: &mut Tally,
    ) -> Result<(), CaseError> {
        tally.sums_checked += 1;
        for wrong in imbalance(&self.submitted, ordered, &audit.items()?) {
            tally.faults.add(Broken::WorkNotConserved, format!("{round}: {wrong}"));
        }
        Ok(())
    }

    /// The end of a round, when nobody lives any more.
    pub(super) fn close(
        &self,
        audit: &Audit,
        effects: &[(String, String)],
        round: &str,
        ordered: Option<&str>,
        tally: &mut Tally,
    ) -> Result<(), CaseError> {
        tally.faults.look_at_whole(audit, round)?;
        self.check_sum(audit, round, ordered, tally)?;
        let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
        for (key, _) in effects {
            *counted.entry(key).or_default() += 1;
        }
        let mut acknowledged: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
        for (task, sequence, id) in &self.acknowledged {
            acknowledged.entry(task).or_default().push((*sequence, id));
        }
        let mut known = BTreeSet::new();
        for task in &self.submitted {
            let acknowledged = acknowledged.remove(task.as_str()).unwrap_or_default();
            known.extend(self.close_task(audit, task, &acknowledged, &counted, round, tally)?);
        }
        for key in counted.keys().filter(|key| !known.contains(**key)) {
            tally.faults.add(Broken::EffectsWithoutIntent, format!("{round}: {key}"));
        }
        Ok(())
    }

    /// One task; answers with the keys of its operations.
    fn close_task(
        &self,
        audit: &Audit,
        name: &str,
        acknowledged: &[(u64, &str)],
        effects: &BTreeMap<&str, usize>,
        round: &str,
        tally: &mut Tally,
    ) -> Result<Vec<String>, CaseError> {
        if audit.task(name)?.is_none() {
            tally.faults.add(Broken::WorkNotConserved, format!("{round}: {name} was submitted and is gone"));
            return Ok(Vec::new());
        }
        let (task, checkpoints) = tally.faults.look_at_chain(audit, name, round)?;
        find_acknowledged(&checkpoints, acknowledged, &format!("{round}, {name}"), tally);
        if task.status != "succeeded" {
            tally.faults.add(Broken::TasksUnfinished, format!("{round}: {name} is {}", task.status));
        }
        let item = audit.item(&item_of(name))?;
        let is_settled = item.is_some_and(|item| {
            item.status == "succeeded" && item.settled == Some((item.fence, "succeeded".to_owned()))
        });
        if !is_settled {
            let detail = format!("{round}: the item of {name} was not settled by its last holder");
            tally.faults.add(Broken::NotSettledOnce, detail);
        }
        let operations = audit.operations(&task)?;
        let by_key: BTreeMap<&str, &str> =
            operations.iter().map(|row| (row.key.as_str(), row.status.as_str())).collect();
        tally.in_doubt += operations.iter().filter(|row| row.is_doubtful()).count();
        for step in 1..=self.steps {
            let key = key_of(name, step);
            let status = by_key.get(key.as_str()).copied().unwrap_or("not begun");
            let times = effects.get(key.as_str()).copied().unwrap_or(0);
            let what = Step { key: &key, status, told_in_doubt: told_in_doubt(&checkpoints, step), times };
            what.close(step.is_multiple_of(2), round, tally);
        }
        Ok(operations.into_iter().map(|row| row.key).collect())
    }
}

fn find_acknowledged(rows: &[CheckpointRow], acknowledged: &[(u64, &str)], what: &str, tally: &mut Tally) {
    let there: BTreeMap<String, u64> = rows.iter().map(|row| (hex(&row.id), row.sequence)).collect();
    tally.acknowledged += acknowledged.len();
    for (sequence, id) in acknowledged {
        if there.get(*id) != Some(sequence) {
            let found = there.get(*id);
            let detail = format!("{what}: checkpoint {sequence} ({id}) stands at {found:?}");
            tally.faults.add(Broken::AcknowledgedLost, detail);
        }
    }
}

/// Whether the newest checkpoint of a step says that its call is in doubt; none without a checkpoint.
fn told_in_doubt(checkpoints: &[CheckpointRow], step: u16) -> Option<bool> {
    let states = checkpoints.iter().rev().filter(|row| row.kind != BOUNDARY);
    let mut states = states.filter_map(|row| serde_json::from_slice::<Value>(&row.payload).ok());
    states.find(|state| state["step"] == step).and_then(|state| state["is_in_doubt"].as_bool())
}

/// A step of a finished task: its call as the ledger, the checkpoint and the world outside know it.
struct Step<'a> {
    key: &'a str,
    status: &'a str,
    told_in_doubt: Option<bool>,
    times: usize,
}

impl Step<'_> {
    fn close(&self, must_not_repeat: bool, round: &str, tally: &mut Tally) {
        let Self { key, status, told_in_doubt, times } = *self;
        let is_accounted = match status {
            "succeeded" => told_in_doubt == Some(false),
            "in_doubt" => told_in_doubt == Some(true),
            _ => false,
        };
        if !is_accounted {
            let detail = format!("{round}: {key} is {status}, its checkpoint says {told_in_doubt:?}");
            tally.faults.add(Broken::StepsUnaccounted, detail);
        }
        if status == "succeeded" && times == 0 {
            tally.faults.add(Broken::ResultsWithoutEffect, format!("{round}: {key}"));
        }
        let calls = if must_not_repeat { &mut tally.at_most_once } else { &mut tally.idempotent };
        calls.made += usize::from(times > 0);
        calls.doubled += usize::from(times > 1);
        if must_not_repeat && times > 1 {
            tally.faults.add(Broken::AtMostOnceRepeated, format!("{round}: {key} happened {times} times"));
        }
        if !must_not_repeat && times == 0 {
            tally.faults.add(Broken::EffectsMissing, format!("{round}: {key} never happened"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(id: &str, status: &str) -> ItemStanding {
        let (holder, settlement) = (None, None);
        ItemStanding { id: item_of(id), status: status.to_owned(), holder, attempt: 0, settlement }
    }

    #[test]
    fn what_was_submitted_is_there_once_in_a_known_state() {
        let submitted: BTreeSet<String> = ["a", "b"].map(str::to_owned).into();
        let wrong = |items: &[ItemStanding]| imbalance(&submitted, Some("c"), items).len();
        let (a, b) = (standing("a", "pending"), standing("b", "succeeded"));
        assert_eq!(wrong(&[a.clone(), b.clone()]), 0);
        assert_eq!(wrong(&[a.clone(), b.clone(), standing("c", "waiting")]), 0, "it may have been submitted");
        assert_eq!(wrong(std::slice::from_ref(&a)), 1, "gone");
        assert_eq!(wrong(&[a.clone(), b.clone(), b.clone()]), 1, "twice");
        assert_eq!(wrong(&[a.clone(), standing("b", "lost")]), 1, "in no known state");
        assert_eq!(wrong(&[a, b, standing("d", "pending")]), 1, "never submitted");
    }

    #[test]
    fn a_step_is_accounted_for_by_ledger_checkpoint_and_world_alike() {
        let broken = |status, told_in_doubt, times, must_not_repeat| {
            let mut tally = Tally::default();
            Step { key: "k", status, told_in_doubt, times }.close(must_not_repeat, "round", &mut tally);
            tally
                .faults
                .details(5)
                .iter()
                .map(|line| line.split(':').next().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let nothing: [&str; 0] = [];
        assert_eq!(broken("succeeded", Some(false), 1, true), nothing);
        assert_eq!(broken("in_doubt", Some(true), 0, true), nothing);
        assert_eq!(broken("succeeded", Some(false), 2, false), nothing);
        assert_eq!(broken("succeeded", Some(false), 2, true), ["at_most_once_repeated"]);
        assert_eq!(broken("succeeded", Some(true), 1, true), ["steps_unaccounted"]);
        assert_eq!(broken("pending", Some(false), 1, true), ["steps_unaccounted"]);
        assert_eq!(broken("succeeded", Some(false), 0, true), ["results_without_effect"]);
        assert_eq!(broken("in_doubt", Some(true), 0, false), ["effects_missing"]);
    }
}
