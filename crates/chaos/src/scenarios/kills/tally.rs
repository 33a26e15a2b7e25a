//! What a campaign of kills has counted: what hit where, what was broken, how long recovery took; and the checks that
//! come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steadfast_store::env::Failpoint;

use crate::report::{Check, Figure};
use crate::scenarios::faults::{Broken, Faults};
use crate::worker::board::{Phase, Posted, Stage};
use crate::worker::die::{DieAt, Place};

/// What a campaign looks for.
const KINDS: &[Broken] = &[
    Broken::AcknowledgedLost,
    Broken::IntegrityFaults,
    Broken::ChainBreaks,
    Broken::SequenceGaps,
    Broken::WrongResumePoints,
    Broken::FencesNotGrown,
    Broken::AtMostOnceRepeated,
    Broken::EffectsMissing,
    Broken::ResultsWithoutEffect,
    Broken::EffectsWithoutIntent,
    Broken::WrongDoubts,
    Broken::StepsUnaccounted,
    Broken::NotSettledOnce,
    Broken::ItemsNotConserved,
    Broken::TasksUnfinished,
];

/// Where a kill hit the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hit {
    /// Nothing was being written.
    Idle,
    /// A commit was about to begin.
    BeforeCommit,
    /// The write lock was held, COMMIT was not begun.
    InTransaction,
    /// In COMMIT.
    InCommit,
    /// COMMIT had returned, the caller was not answered.
    AfterCommit,
    /// The worker was answered, its parent was not told.
    BeforeAcknowledgement,
    /// The log was being folded into the database.
    InWalCheckpoint,
}

impl Hit {
    /// Those that a campaign must reach, each at least once.
    pub(crate) const NAMED: [Self; 6] = [
        Self::BeforeCommit,
        Self::InTransaction,
        Self::InCommit,
        Self::AfterCommit,
        Self::BeforeAcknowledgement,
        Self::InWalCheckpoint,
    ];

    /// The name of its figure.
    pub(crate) const fn check_name(self) -> &'static str {
        match self {
            Self::Idle => "kills_idle",
            Self::BeforeCommit => "kills_before_commit",
            Self::InTransaction => "kills_in_transaction",
            Self::InCommit => "kills_in_commit",
            Self::AfterCommit => "kills_after_commit",
            Self::BeforeAcknowledgement => "kills_before_acknowledgement",
            Self::InWalCheckpoint => "kills_in_wal_checkpoint",
        }
    }

    /// What the board of a killed worker says. Two, when the store's writer had gone on to something else while the
    /// worker was telling its parent.
    pub(crate) fn of(posted: Posted) -> Vec<Self> {
        let told_late = (posted.stage == Stage::Acknowledge).then_some(Self::BeforeAcknowledgement);
        let in_phase = match posted.phase {
            Phase::Idle => told_late.is_none().then_some(Self::Idle),
            Phase::BeforeBegin => Some(Self::BeforeCommit),
            Phase::InTransaction => Some(Self::InTransaction),
            Phase::InCommit => Some(Self::InCommit),
            Phase::BeforeAnswer => Some(Self::AfterCommit),
            Phase::InWalCheckpoint => Some(Self::InWalCheckpoint),
        };
        told_late.into_iter().chain(in_phase).collect()
    }

    /// The phase that a kill at a chosen place must hit; none where the place lies in no phase for sure.
    pub(super) fn planned(die_at: DieAt) -> Option<Self> {
        match (die_at.place, die_at.stage) {
            (Place::Stage, Some(Stage::Acknowledge)) => Some(Self::BeforeAcknowledgement),
            (Place::Point(Failpoint::BEGIN_BEFORE), _) => Some(Self::BeforeCommit),
            (Place::Point(Failpoint::BEGIN_AFTER | Failpoint::COMMIT_BEFORE), _) => Some(Self::InTransaction),
            (Place::WalWrite | Place::WalSync | Place::WalSynced, _) => Some(Self::InCommit),
            (Place::Point(Failpoint::COMMIT_AFTER), _) => Some(Self::AfterCommit),
            (Place::DatabaseWrite | Place::DatabaseSync, _) => Some(Self::InWalCheckpoint),
            _ => None,
        }
    }
}

/// What a campaign has counted.
#[derive(Debug)]
pub(super) struct Tally {
    /// What was broken.
    pub(super) faults: Faults,
    /// Workers that were killed.
    pub(super) kills: usize,
    hits: BTreeMap<Hit, usize>,
    places: BTreeSet<(Phase, Stage)>,
    recoveries: Vec<Duration>,
    /// Phases that a kill was planned in.
    pub(super) planned_hits: BTreeSet<Hit>,
    /// Workers that ended while a call that must not be repeated was between its intent and its record.
    ends_in_open_call: usize,
    /// Workers that were killed while the model worked for them.
    pub(super) kills_in_model_call: usize,
    /// Workers that were killed between an effect that must not be repeated, or its intent, and its record.
    pub(super) kills_in_open_call: usize,
    /// The results of finished tasks.
    pub(super) results: Vec<Vec<u8>>,
    /// The keys of the calls that were ever in doubt.
    pub(super) doubts_named: BTreeSet<String>,
    /// Calls that ended in doubt.
    pub(super) in_doubt: usize,
    /// Effects of idempotent calls beyond the first of each.
    pub(super) idempotent_repeated: usize,
    /// Acknowledgements that were looked for in the file.
    pub(super) acknowledged: usize,
    /// Cached answers of the model that were taken away between two workers.
    pub(super) answers_lost: usize,
    /// Artifacts that were damaged, and whether any was to be.
    pub(super) damaged: usize,
    /// See [`damaged`](Self::damaged).
    pub(super) damage_planned: bool,
}

impl Tally {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self {
            faults: Faults::new(KINDS),
            kills: 0,
            hits: BTreeMap::new(),
            places: BTreeSet::new(),
            recoveries: Vec::new(),
            planned_hits: BTreeSet::new(),
            ends_in_open_call: 0,
            kills_in_model_call: 0,
            kills_in_open_call: 0,
            results: Vec::new(),
            doubts_named: BTreeSet::new(),
            in_doubt: 0,
            idempotent_repeated: 0,
            acknowledged: 0,
            answers_lost: 0,
            damaged: 0,
            damage_planned: false,
        }
    }

    /// A worker was killed.
    pub(super) fn hit(&mut self, posted: Posted) {
        self.kills += 1;
        for hit in Hit::of(posted) {
            *self.hits.entry(hit).or_default() += 1;
        }
        self.places.insert((posted.phase, posted.stage));
        self.kills_in_model_call += usize::from(posted.stage == Stage::Model);
        self.kills_in_open_call += usize::from(is_open(posted));
        self.ended(posted);
    }

    /// A worker has ended before its task was done, killed or not.
    pub(super) fn ended(&mut self, posted: Posted) {
        self.ends_in_open_call += usize::from(is_open(posted));
    }

    /// From a kill to the first acknowledgement after it.
    pub(super) fn recovered(&mut self, took: Duration) {
        self.recoveries.push(took);
    }

    /// The checks of the campaign. `expected` is what recovery may take: the term, a sweep period and some slack.
    #[allow(clippy::cast_precision_loss, reason = "nothing here is counted up to 2^53")]
    pub(super) fn checks(&self, expected: Duration) -> Vec<Check> {
        let mut checks = self.faults.checks();
        checks.push(Figure::count("acknowledged_checked", self.acknowledged).at_least(1.0));
        checks
            .push(Figure::count("idempotent_repeated", self.idempotent_repeated).at_most(self.kills as f64));
        checks.push(Figure::count("in_doubt", self.in_doubt).at_most(self.ends_in_open_call as f64));
        checks.push(Figure::count("kills", self.kills).at_least(1.0));
        for hit in Hit::NAMED.into_iter().chain([Hit::Idle]) {
            let figure = Figure::count(hit.check_name(), self.hits.get(&hit).copied().unwrap_or(0));
            let is_planned = self.planned_hits.contains(&hit);
            checks.push(if is_planned { figure.at_least(1.0) } else { figure.reported() });
        }
        checks.push(Figure::count("distinct_kill_places", self.places.len()).reported());
        let damaged = Figure::count("artifacts_damaged", self.damaged);
        checks.push(if self.damage_planned { damaged.at_least(1.0) } else { damaged.reported() });
        let limit = expected.as_secs_f64() * 1_000.0;
        for (name, share) in [("recover_p50", 0.5), ("recover_p99", 0.99)] {
            if let Some(took) = quantile(&self.recoveries, share) {
                checks.push(Figure::duration(name, took).at_most(limit).advisory());
            }
        }
        checks
    }
}

/// Whether a call that must not be repeated was between its intent and its record.
fn is_open(posted: Posted) -> bool {
    let is_in_call = matches!(posted.stage, Stage::Intent | Stage::Effect | Stage::Record);
    is_in_call && posted.step.is_multiple_of(2)
}

/// The smallest that is at least as large as this share of all: the nearest-rank method.
pub(crate) fn quantile(all: &[Duration], share: f64) -> Option<Duration> {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // a share of a small count
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::CheckStatus;

    fn status(tally: &Tally, name: &str) -> CheckStatus {
        let checks = tally.checks(Duration::from_millis(500));
        checks.iter().find(|check| check.name == name).unwrap().status
    }

    #[test]
    fn a_phase_that_was_planned_must_be_hit() {
        let mut tally = Tally::new();
        assert_eq!(status(&tally, "kills_in_commit"), CheckStatus::Ok);
        tally.planned_hits.insert(Hit::InCommit);
        assert_eq!(status(&tally, "kills_in_commit"), CheckStatus::Failed);
        tally.hit(Posted { phase: Phase::InCommit, stage: Stage::Record, step: 2 });
        assert_eq!(status(&tally, "kills_in_commit"), CheckStatus::Ok);
    }

    #[test]
    fn a_kill_counts_where_the_writer_and_where_the_worker_stood() {
        let hits = |phase, stage| Hit::of(Posted { phase, stage, step: 1 });
        assert_eq!(hits(Phase::Idle, Stage::Record), [Hit::Idle]);
        assert_eq!(hits(Phase::Idle, Stage::Acknowledge), [Hit::BeforeAcknowledgement]);
        let both = [Hit::BeforeAcknowledgement, Hit::InWalCheckpoint];
        assert_eq!(hits(Phase::InWalCheckpoint, Stage::Acknowledge), both);
    }

    #[test]
    fn doubts_need_a_kill_that_explains_them() {
        let mut tally = Tally { in_doubt: 1, ..Tally::new() };
        tally.hit(Posted { phase: Phase::Idle, stage: Stage::Effect, step: 3 });
        assert_eq!(status(&tally, "in_doubt"), CheckStatus::Failed, "step 3 may be repeated");
        tally.hit(Posted { phase: Phase::Idle, stage: Stage::Effect, step: 4 });
        assert_eq!(status(&tally, "in_doubt"), CheckStatus::Ok);
    }

    #[test]
    fn quantiles_take_the_nearest_rank() {
        let all: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(quantile(&all, 0.5), Some(Duration::from_millis(50)));
        assert_eq!(quantile(&all, 0.99), Some(Duration::from_millis(99)));
        assert_eq!(quantile(&all[..1], 0.5), Some(Duration::from_millis(1)));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
