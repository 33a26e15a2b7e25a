//! What the campaign has counted, and the checks that come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::bounds::upper95;
use crate::report::{Check, Figure};
use crate::scenarios::faults::{Broken, Faults};
use crate::scenarios::kills::tally::{Hit, quantile};
use crate::worker::board::{Phase, Posted, Stage};

/// What the campaign looks for.
const KINDS: &[Broken] = &[
    Broken::AcknowledgedLost,
    Broken::IntegrityFaults,
    Broken::ChainBreaks,
    Broken::SequenceGaps,
    Broken::WorkNotConserved,
    Broken::AtMostOnceRepeated,
    Broken::EffectsMissing,
    Broken::ResultsWithoutEffect,
    Broken::EffectsWithoutIntent,
    Broken::StepsUnaccounted,
    Broken::NotSettledOnce,
    Broken::TasksUnfinished,
];
/// What a recovery may take beside the term on a machine that has other things to do; beyond it the campaign warns.
const SLACK: Duration = Duration::from_secs(1);

/// Calls of one effect class, and those of them that reached the world outside more than once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Calls {
    /// Calls that reached it at least once.
    pub(super) made: usize,
    /// Calls that reached it again.
    pub(super) doubled: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tally {
    /// What was broken.
    pub(super) faults: Faults,
    /// Processes that were killed.
    pub(super) kills: usize,
    /// Of them, supervisors.
    pub(super) supervisors_killed: usize,
    /// Processes that ended in another way.
    pub(super) ended_otherwise: Vec<String>,
    hits: BTreeMap<Hit, usize>,
    places: BTreeSet<(Phase, Stage)>,
    /// From the kill of a holder to the next sign of life of its item.
    pub(super) recoveries: Vec<Duration>,
    /// Items whose holder was killed.
    pub(super) orphaned: usize,
    /// Of them, those whose next holder was killed too, before it had done anything: they are in no recovery time.
    pub(super) disturbed: usize,
    /// Tasks that were submitted.
    pub(super) submitted: usize,
    /// Looks at the sum of all items while they were worked on.
    pub(super) sums_checked: usize,
    /// Acknowledgements that were looked for in the file.
    pub(super) acknowledged: usize,
    /// Calls that ended in doubt.
    pub(super) in_doubt: usize,
    /// Calls that must not be repeated.
    pub(super) at_most_once: Calls,
    /// Calls that may be.
    pub(super) idempotent: Calls,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            faults: Faults::new(KINDS),
            kills: 0,
            supervisors_killed: 0,
            ended_otherwise: Vec::new(),
            hits: BTreeMap::new(),
            places: BTreeSet::new(),
            recoveries: Vec::new(),
            orphaned: 0,
            disturbed: 0,
            submitted: 0,
            sums_checked: 0,
            acknowledged: 0,
            in_doubt: 0,
            at_most_once: Calls::default(),
            idempotent: Calls::default(),
        }
    }
}

impl Tally {
    /// A process was killed while its board said this.
    pub(super) fn hit(&mut self, posted: Posted) {
        self.kills += 1;
        for hit in Hit::of(posted) {
            *self.hits.entry(hit).or_default() += 1;
        }
        self.places.insert((posted.phase, posted.stage));
    }

    /// The checks of the campaign.
    pub(super) fn checks(&self, term: Duration) -> Vec<Check> {
        let mut checks = self.faults.checks();
        checks.push(Figure::count("processes_ended_otherwise", self.ended_otherwise.len()).at_most(0.0));
        for (name, count) in [
            ("acknowledged_checked", self.acknowledged),
            ("sums_checked", self.sums_checked),
            ("supervisors_killed", self.supervisors_killed),
        ] {
            checks.push(Figure::count(name, count).at_least(1.0));
        }
        checks.push(Figure::count("kills", self.kills).at_least(1.0));
        checks.push(Figure::count("tasks_submitted", self.submitted).at_least(1.0));
        for hit in Hit::NAMED {
            let hits = self.hits.get(&hit).copied().unwrap_or(0);
            checks.push(Figure::count(hit.check_name(), hits).at_least(1.0));
        }
        let idle = self.hits.get(&Hit::Idle).copied().unwrap_or(0);
        checks.push(Figure::count(Hit::Idle.check_name(), idle).reported());
        checks.push(Figure::count("distinct_kill_places", self.places.len()).reported());
        checks.push(Figure::count("in_doubt", self.in_doubt).at_most(as_limit(self.kills)));
        for (name, calls) in [("at_most_once", self.at_most_once), ("idempotent", self.idempotent)] {
            checks.push(Figure::count(format!("{name}_calls"), calls.made).at_least(1.0));
            checks.push(Figure::count(format!("{name}_doubled"), calls.doubled).reported());
            let most = upper95(calls.doubled, calls.made) * 1e6;
            let name = format!("{name}_doubled_per_million_at_most_95");
            checks.push(Figure::new(name, most.ceil(), crate::report::Unit::Count).reported());
        }
        // One more than once doubled by each kill is one that no kill explains.
        let doubled = self.idempotent.doubled;
        checks.push(Figure::count("doubled_beyond_kills", doubled.saturating_sub(self.kills)).at_most(0.0));
        checks.push(Figure::count("holders_killed", self.orphaned).at_least(1.0));
        checks.push(Figure::count("successors_killed_too", self.disturbed).reported());
        checks.push(Figure::count("recoveries_seen", self.recoveries.len()).at_least(1.0));
        checks.push(Figure::duration("lease_term", term).reported());
        let limit = (term + SLACK).as_secs_f64() * 1_000.0;
        for (name, share) in [("recover_p50", 0.5), ("recover_p99", 0.99)] {
            if let Some(took) = quantile(&self.recoveries, share) {
                checks.push(Figure::duration(name, took).at_most(limit).advisory());
            }
        }
        checks
    }
}

#[allow(clippy::cast_precision_loss, reason = "nothing here is counted up to 2^53")]
fn as_limit(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_must_be_hit_and_every_class_of_calls_be_made() {
        let failed = |tally: &Tally| {
            let checks = tally.checks(Duration::from_millis(500));
            checks.into_iter().filter(Check::is_failure).map(|check| check.name).collect::<Vec<_>>()
        };
        let mut tally = Tally::default();
        let names = failed(&tally);
        for name in ["kills_in_commit", "at_most_once_calls", "sums_checked", "recoveries_seen"] {
            assert!(names.iter().any(|failed| failed == name), "{names:?}");
        }
        tally.hit(Posted { phase: Phase::InCommit, stage: Stage::Record, step: 2 });
        assert!(!failed(&tally).contains(&"kills_in_commit".to_owned()));
        tally.ended_otherwise.push("worker-1".to_owned());
        assert!(failed(&tally).contains(&"processes_ended_otherwise".to_owned()));
    }
}
