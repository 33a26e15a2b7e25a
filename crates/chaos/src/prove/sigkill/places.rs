//! Where kills come: at random, at every failpoint, at the file operations inside COMMIT and a WAL checkpoint, and
//! between the parts of a worker's step.

use steadfast_store::env::Failpoint;

use crate::worker::board::Stage;
use crate::worker::die::{DieAt, Place};

/// The fault that is no place.
pub(super) const RANDOM: &str = "at_random";

/// Places that a process passes often.
const OFTEN: [Place; 8] = [
    Place::Point(Failpoint::BEGIN_BEFORE),
    Place::Point(Failpoint::BEGIN_AFTER),
    Place::Point(Failpoint::COMMIT_BEFORE),
    Place::WalWrite,
    Place::WalSync,
    Place::WalSynced,
    Place::Point(Failpoint::COMMIT_AFTER),
    Place::Point(Failpoint::ANSWER_AFTER),
];
/// Places that it passes now and then: the first time is taken.
const RARE: [Place; 8] = [
    Place::Point(Failpoint::WAL_CHECKPOINT_BEFORE),
    Place::DatabaseWrite,
    Place::DatabaseSync,
    Place::Point(Failpoint::WAL_CHECKPOINT_AFTER),
    Place::Point(Failpoint::MARKER_BEFORE),
    Place::Point(Failpoint::MARKER_AFTER),
    Place::Point(Failpoint::LOG_REWRITE_BEFORE),
    Place::Point(Failpoint::LOG_REWRITE_AFTER),
];
/// Places that only whoever makes a file passes, in the order of their coming, each with the times that it surely comes
/// after the deaths before it.
const OPENING: [(Failpoint, u32); 7] = [
    (Failpoint::WAL_MODE_BEFORE, 1),
    (Failpoint::WAL_MODE_AFTER, 1),
    (Failpoint::MIGRATION_STATEMENT, 20),
    (Failpoint::MIGRATION_COMMIT_BEFORE, 2),
    (Failpoint::MIGRATION_COMMIT_AFTER, 1),
    (Failpoint::CLOCK_COMMIT_BEFORE, 1),
    (Failpoint::CLOCK_COMMIT_AFTER, 1),
];
/// Stages at whose beginning a worker dies.
const STAGES: [Stage; 4] = [Stage::Intent, Stage::Effect, Stage::Record, Stage::Acknowledge];
/// How often a place that is passed often is passed before the death.
const NTH: std::ops::Range<u32> = 1..12;

/// The name of the fault of dying there.
pub(super) fn name_of(die_at: DieAt) -> String {
    match (die_at.place, die_at.stage) {
        (Place::Stage, Some(stage)) => format!("stage.{}", stage.name()),
        (place, _) => place.name().to_owned(),
    }
}

/// Every fault of the campaign.
pub(super) fn names() -> Vec<&'static str> {
    let opening = OPENING.map(|(point, _)| point.name());
    let stages = ["stage.intent", "stage.effect", "stage.record", "stage.acknowledge"];
    let places = OFTEN.into_iter().chain(RARE).map(Place::name);
    [RANDOM].into_iter().chain(opening).chain(places).chain(stages).collect()
}

/// Where the processes die that make the file of a round.
pub(super) fn opening(rng: &mut fastrand::Rng) -> Vec<DieAt> {
    let at = |(point, times): (Failpoint, u32)| DieAt {
        place: Place::Point(point),
        stage: None,
        step: None,
        nth: rng.u32(1..=times),
    };
    OPENING.map(at).to_vec()
}

/// The place of this number; all of them take turns.
pub(super) fn chosen(number: usize, rng: &mut fastrand::Rng) -> DieAt {
    let at = |place, stage, nth| DieAt { place, stage, step: None, nth };
    let number = number % (OFTEN.len() + RARE.len() + STAGES.len());
    if let Some(place) = OFTEN.get(number) {
        return at(*place, None, rng.u32(NTH));
    }
    match RARE.get(number - OFTEN.len()) {
        Some(place) => at(*place, None, 1),
        None => at(Place::Stage, Some(STAGES[number - OFTEN.len() - RARE.len()]), rng.u32(NTH)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_failpoint_of_the_store_is_a_place() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut places: BTreeSet<String> = opening(&mut rng).into_iter().map(name_of).collect();
        places.extend((0..20).map(|number| name_of(chosen(number, &mut rng))));
        for point in Failpoint::ALL {
            assert!(places.contains(point.name()), "{}", point.name());
        }
        places.insert(RANDOM.to_owned());
        assert_eq!(places, names().into_iter().map(str::to_owned).collect(), "all that are named are met");
    }
}
