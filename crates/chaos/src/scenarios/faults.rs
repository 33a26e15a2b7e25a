//! What a scenario found broken: each kind has a check of its own, which fails from the first one on.

use std::collections::BTreeMap;

use crate::audit::{CheckpointRow, Look, TaskRow, chain_faults};
use crate::case::CaseError;
use crate::report::{Check, Figure};

/// What must never happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Broken {
    /// A checkpoint that a worker was told is durable is not there.
    AcknowledgedLost,
    /// `integrity_check` or `foreign_key_check` complains, or an item is leased by half.
    IntegrityFaults,
    /// A link, a digest or a head does not fit.
    ChainBreaks,
    /// Sequence numbers are missing or there twice.
    SequenceGaps,
    /// A worker went on from another checkpoint than the newest that verified.
    WrongResumePoints,
    /// A call that must not be repeated reached the world outside more than once.
    AtMostOnceRepeated,
    /// A call of a finished task never reached the world outside.
    EffectsMissing,
    /// The ledger knows a result of a call that the world outside never saw.
    ResultsWithoutEffect,
    /// The world outside saw a call of which the ledger had no intent.
    EffectsWithoutIntent,
    /// A call is in doubt that need not be, or is not although it must.
    WrongDoubts,
    /// A step has neither a result nor a doubt, or no checkpoint.
    StepsUnaccounted,
    /// Work items are lost, there more than once, or stand where none may.
    ItemsNotConserved,
    /// The task did not end well.
    TasksUnfinished,
    /// The store took something from a holder whose lease was gone.
    StaleWritesTaken,
    /// A lease was reclaimed before its term was over, by the store's clock.
    ReclaimedEarly,
    /// The fence of a new holder is not larger than the one before.
    FencesNotGrown,
    /// Two holders were given the same fence.
    FencesShared,
    /// A holder did not hear that its lease was gone.
    HoldersNotTold,
    /// A holder heard of it, but not by its own deadline.
    NotByOwnDeadline,
    /// The item was not settled exactly once, by its last holder.
    NotSettledOnce,
    /// What was submitted is not what is there: something is missing, there twice, or in no known state.
    WorkNotConserved,
}

impl Broken {
    /// The name of its check.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AcknowledgedLost => "acknowledged_lost",
            Self::IntegrityFaults => "integrity_faults",
            Self::ChainBreaks => "chain_breaks",
            Self::SequenceGaps => "sequence_gaps",
            Self::WrongResumePoints => "wrong_resume_points",
            Self::AtMostOnceRepeated => "at_most_once_repeated",
            Self::EffectsMissing => "effects_missing",
            Self::ResultsWithoutEffect => "results_without_effect",
            Self::EffectsWithoutIntent => "effects_without_intent",
            Self::WrongDoubts => "wrong_doubts",
            Self::StepsUnaccounted => "steps_unaccounted",
            Self::ItemsNotConserved => "items_not_conserved",
            Self::TasksUnfinished => "tasks_unfinished",
            Self::StaleWritesTaken => "stale_writes_taken",
            Self::ReclaimedEarly => "reclaimed_early",
            Self::FencesNotGrown => "fences_not_grown",
            Self::FencesShared => "fences_shared",
            Self::HoldersNotTold => "holders_not_told",
            Self::NotByOwnDeadline => "not_by_own_deadline",
            Self::NotSettledOnce => "not_settled_once",
            Self::WorkNotConserved => "work_not_conserved",
        }
    }
}

/// What was found so far, of the kinds that a scenario looks for.
#[derive(Debug)]
pub(crate) struct Faults {
    kinds: &'static [Broken],
    found: BTreeMap<Broken, Vec<String>>,
}

impl Faults {
    /// Nothing so far.
    pub(crate) fn new(kinds: &'static [Broken]) -> Self {
        Self { kinds, found: BTreeMap::new() }
    }

    /// Something of this kind happened.
    pub(crate) fn add(&mut self, kind: Broken, detail: String) {
        debug_assert!(self.kinds.contains(&kind), "{kind:?} is not looked for");
        self.found.entry(kind).or_default().push(detail);
    }

    /// How much was found.
    pub(crate) fn count(&self) -> usize {
        self.found.values().map(Vec::len).sum()
    }

    /// A check for each kind.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let count = |kind| self.found.get(kind).map_or(0, Vec::len);
        self.kinds.iter().map(|kind| Figure::count(kind.name(), count(kind)).at_most(0.0)).collect()
    }

    /// What was found, a line each, at most `limit`.
    pub(crate) fn details(&self, limit: usize) -> Vec<String> {
        let lines = self
            .found
            .iter()
            .flat_map(|(kind, details)| details.iter().map(|detail| format!("{}: {detail}", kind.name())));
        lines.take(limit).collect()
    }

    /// Looks at the file as a whole and at the chain of a task: what every scenario looks at.
    pub(crate) fn look_at_file(
        &mut self,
        audit: &dyn Look,
        task: &str,
        run: &str,
    ) -> Result<(TaskRow, Vec<CheckpointRow>), CaseError> {
        self.look_at_whole(audit, run)?;
        self.look_at_chain(audit, task, run)
    }

    /// Looks at the file as a whole.
    pub(crate) fn look_at_whole(&mut self, audit: &dyn Look, run: &str) -> Result<(), CaseError> {
        for fault in audit.faults()? {
            self.add(Broken::IntegrityFaults, format!("{run}: {fault}"));
        }
        Ok(())
    }

    /// Looks at the chain of a task.
    pub(crate) fn look_at_chain(
        &mut self,
        audit: &dyn Look,
        task: &str,
        run: &str,
    ) -> Result<(TaskRow, Vec<CheckpointRow>), CaseError> {
        let Some(task) = audit.task(task)? else {
            return Err(CaseError::Process { process: run.to_owned(), what: "its task is gone".to_owned() });
        };
        let checkpoints = audit.checkpoints(&task)?;
        let faults = chain_faults(&task, &checkpoints);
        for gap in faults.gaps {
            self.add(Broken::SequenceGaps, format!("{run}: {gap}"));
        }
        for fault in faults.breaks {
            self.add(Broken::ChainBreaks, format!("{run}: {fault}"));
        }
        Ok((task, checkpoints))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::CheckStatus;

    const KINDS: &[Broken] = &[Broken::AcknowledgedLost, Broken::StaleWritesTaken];

    #[test]
    fn whatever_is_found_fails_the_check_of_its_name() {
        for kind in KINDS {
            let mut faults = Faults::new(KINDS);
            assert!(faults.checks().iter().all(|check| check.status == CheckStatus::Ok));
            faults.add(*kind, "run 1: so and so".to_owned());
            for check in faults.checks() {
                let expected = if check.name == kind.name() { CheckStatus::Failed } else { CheckStatus::Ok };
                assert_eq!(check.status, expected, "{}", check.name);
            }
            assert_eq!(
                (faults.count(), faults.details(5)),
                (1, vec![format!("{}: run 1: so and so", kind.name())])
            );
        }
    }
}
