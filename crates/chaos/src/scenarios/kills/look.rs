//! Looks at what is left of a run: by SQL and by the recorder's own log, while no worker lives.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use super::plan::Damage;
use super::tally::Tally;
use crate::audit::{BOUNDARY, CheckpointRow, OperationRow, TaskRow, newest_verified};
use crate::case::CaseError;
use crate::scenarios::faults::Broken;
use crate::scenarios::site::{ITEM, ITEMS, Site, TASK};
use crate::worker::{hex, key_of};

/// Where an item may stand. Every one that was submitted stands at one of these, for ever.
const STANDINGS: [&str; 7] =
    ["pending", "in_progress", "waiting", "needs_attention", "succeeded", "failed", "cancelled"];

/// What a dead worker has left.
#[derive(Debug)]
pub(super) struct Left {
    task: TaskRow,
    checkpoints: Vec<CheckpointRow>,
    operations: Vec<OperationRow>,
    effects: BTreeMap<String, usize>,
    /// Where the next worker must go on.
    pub(super) resume_point: u64,
}

impl Left {
    /// Reads everything, and counts what is wrong with it by itself.
    pub(super) fn look(site: &Site, run: &str, tally: &mut Tally) -> Result<Self, CaseError> {
        let audit = site.audit()?;
        let (task, checkpoints) = tally.faults.look_at_file(&audit, TASK, run)?;
        let mut effects = BTreeMap::new();
        for key in site.effects()? {
            *effects.entry(key).or_default() += 1;
        }
        let operations = audit.operations(&task)?;
        if let Some(loss) = not_conserved(&audit.items_by_status()?, ITEMS) {
            tally.faults.add(Broken::ItemsNotConserved, format!("{run}: {loss}"));
        }
        let resume_point = newest_verified(&task, &checkpoints, &site.artifacts());
        let left = Self { task, checkpoints, operations, effects, resume_point };
        left.hold_ledger_against_world(run, tally);
        Ok(left)
    }

    /// The ledger speaks of effects that happened, and of all of them.
    fn hold_ledger_against_world(&self, run: &str, tally: &mut Tally) {
        for operation in &self.operations {
            if operation.status == "succeeded" && !self.effects.contains_key(&operation.key) {
                tally.faults.add(Broken::ResultsWithoutEffect, format!("{run}: {}", operation.key));
            }
        }
        for key in self.effects.keys() {
            if !self.operations.iter().any(|operation| operation.key == *key) {
                tally.faults.add(Broken::EffectsWithoutIntent, format!("{run}: {key}"));
            }
        }
    }

    /// What the task says in the end.
    pub(super) fn result(&self) -> &[u8] {
        &self.task.result
    }

    /// Whether the task has ended: then nobody is left to be killed.
    pub(super) fn is_finished(&self) -> bool {
        self.task.status == "succeeded"
    }

    /// Every checkpoint that a worker was told is durable is there, in its place.
    pub(super) fn find_acknowledged(&self, acknowledged: &[(u64, String)], run: &str, tally: &mut Tally) {
        let there: BTreeMap<String, u64> =
            self.checkpoints.iter().map(|row| (hex(&row.id), row.sequence)).collect();
        tally.acknowledged += acknowledged.len();
        for (sequence, id) in acknowledged {
            match there.get(id) {
                Some(found) if found == sequence => {}
                Some(found) => {
                    let detail = format!("{run}: checkpoint {sequence} ({id}) stands at {found}");
                    tally.faults.add(Broken::AcknowledgedLost, detail);
                }
                None => {
                    tally.faults.add(
                        Broken::AcknowledgedLost,
                        format!("{run}: checkpoint {sequence} ({id}) is gone"),
                    );
                }
            }
        }
    }

    /// The calls that nobody may make again.
    pub(super) fn doubtful(&self) -> BTreeSet<String> {
        let doubtful = self.operations.iter().filter(|operation| operation.is_doubtful());
        doubtful.map(|operation| operation.key.clone()).collect()
    }

    /// Damages the artifact that proves the newest state, if there is one, and says where to go on now.
    pub(super) fn damage(&mut self, site: &Site, damage: Damage) -> Result<bool, CaseError> {
        let newest = self.checkpoints.iter().rev().find(|row| row.kind != BOUNDARY);
        let evidence = newest.and_then(|row| serde_json::from_slice::<Value>(&row.evidence).ok());
        let path = evidence.as_ref().and_then(|pack| pack["pieces"][0]["file_hash"]["path"].as_str());
        let Some(path) = path.map(|path| site.artifacts().join(path)) else { return Ok(false) };
        let done = fs::read(&path).and_then(|mut content| match damage {
            Damage::Overwritten => {
                content.reverse();
                fs::write(&path, content)
            }
            Damage::Cut => fs::write(&path, &content[..content.len() / 2]),
            Damage::Removed => fs::remove_file(&path),
        });
        done.map_err(CaseError::io(format!("damaging {}", path.display())))?;
        self.resume_point = newest_verified(&self.task, &self.checkpoints, &site.artifacts());
        Ok(true)
    }

    /// The end of a run: every step is accounted for, and no effect happened that must not have.
    pub(super) fn settle_accounts(
        &self,
        site: &Site,
        doubtful: &BTreeSet<String>,
        run: &str,
        tally: &mut Tally,
    ) -> Result<(), CaseError> {
        let by_key: BTreeMap<&str, &str> =
            self.operations.iter().map(|row| (row.key.as_str(), row.status.as_str())).collect();
        for step in 1..=site.steps {
            let key = key_of(TASK, step);
            let effects = self.effects.get(&key).copied().unwrap_or(0);
            let status = by_key.get(key.as_str()).copied().unwrap_or("not begun");
            let is_told_in_doubt = self.told_in_doubt(step);
            let is_accounted = match status {
                "succeeded" => is_told_in_doubt == Some(false),
                "in_doubt" => is_told_in_doubt == Some(true),
                _ => false,
            };
            if !is_accounted {
                let detail =
                    format!("{run}: step {step} is {status}, its checkpoint says {is_told_in_doubt:?}");
                tally.faults.add(Broken::StepsUnaccounted, detail);
            }
            let must_not_repeat = step.is_multiple_of(2);
            if must_not_repeat && effects > 1 {
                tally
                    .faults
                    .add(Broken::AtMostOnceRepeated, format!("{run}: {key} happened {effects} times"));
            }
            if !must_not_repeat {
                tally.idempotent_repeated += effects.saturating_sub(1);
                if effects == 0 {
                    tally.faults.add(Broken::EffectsMissing, format!("{run}: {key} never happened"));
                }
            }
        }
        self.settle_doubts(doubtful, run, tally);
        let item = site.audit()?.item(ITEM)?;
        let is_settled = item.is_some_and(|item| {
            item.status == "succeeded" && item.settled == Some((item.fence, "succeeded".to_owned()))
        });
        if !is_settled {
            tally
                .faults
                .add(Broken::NotSettledOnce, format!("{run}: the item was not settled by its last holder"));
        }
        if !self.is_finished() {
            tally.faults.add(Broken::TasksUnfinished, format!("{run}: the task is {}", self.task.status));
        }
        Ok(())
    }

    /// In doubt at the end is what was in doubt after some kill, and nothing else.
    fn settle_doubts(&self, doubtful: &BTreeSet<String>, run: &str, tally: &mut Tally) {
        let ended = self.doubtful();
        tally.in_doubt += ended.len();
        for key in ended.symmetric_difference(doubtful) {
            let how = if ended.contains(key) { "without a kill that explains it" } else { "no more" };
            tally.faults.add(Broken::WrongDoubts, format!("{run}: {key} is in doubt {how}"));
        }
    }

    /// Whether the newest checkpoint of a step says that its call is in doubt; none without a checkpoint.
    fn told_in_doubt(&self, step: u16) -> Option<bool> {
        let states = self.checkpoints.iter().rev().filter(|row| row.kind != BOUNDARY);
        let mut states = states.filter_map(|row| serde_json::from_slice::<Value>(&row.payload).ok());
        states.find(|state| state["step"] == step).and_then(|state| state["is_in_doubt"].as_bool())
    }
}

/// What is wrong with the items as they stand by their statuses, when so many were submitted.
fn not_conserved(by_status: &[(String, usize)], submitted: usize) -> Option<String> {
    let known = by_status.iter().filter(|(status, _)| STANDINGS.contains(&status.as_str()));
    let there: usize = known.map(|(_, count)| count).sum();
    let is_odd = by_status.iter().any(|(status, _)| !STANDINGS.contains(&status.as_str()));
    (there != submitted || is_odd)
        .then(|| format!("{submitted} items were submitted, there are {by_status:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_conserved_if_each_stands_somewhere_once() {
        let standing = |all: &[(&str, usize)]| -> Vec<(String, usize)> {
            all.iter().map(|(status, count)| ((*status).to_owned(), *count)).collect()
        };
        let each: Vec<_> = STANDINGS.iter().map(|status| (*status, 2)).collect();
        assert_eq!(not_conserved(&standing(&each), 14), None);
        assert_eq!(not_conserved(&standing(&[]), 0), None);
        for (all, submitted) in [
            (&[("pending", 1), ("succeeded", 1)][..], 3),
            (&[("pending", 1), ("succeeded", 1)], 1),
            (&[], 1),
            (&[("lost", 1)], 1),
            (&[("pending", 1), ("lost", 1)], 1),
        ] {
            assert!(not_conserved(&standing(all), submitted).is_some(), "{all:?}");
        }
    }
}
