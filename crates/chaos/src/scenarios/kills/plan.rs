//! What is done to one run: which kills, and whether a file is damaged in between. Drawn from the seed alone.

use std::time::Duration;

use fastrand::Rng;
use steadfast_store::env::Failpoint;

use super::tally::Hit;
use crate::worker::board::Stage;
use crate::worker::die::{DieAt, Place};

/// Steps of the task in every short run.
pub(super) const STEPS: u16 = 40;
/// In a full campaign one run in so many kills at a chosen place, the others at random instants.
const CHOSEN_EVERY: usize = 3;

/// One kill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kill {
    /// After this share of the time that an undisturbed worker takes from its start to its end.
    Random(f64),
    /// Where the worker was told to die.
    Chosen(DieAt),
    /// So long after it has its item.
    Working(Duration),
    /// While the model works on the nth answer that the worker asks for.
    InModelCall(usize),
}

/// What becomes of the artifact that proves the newest checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// Other content of the same length.
    Overwritten,
    /// Half of its content.
    Cut,
    /// None at all.
    Removed,
}

/// What is done to one run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    /// The first kills the first worker, the second the one that recovers from it, and so on.
    pub(super) kills: Vec<Kill>,
    /// Done after the first kill.
    pub(super) damage: Option<Damage>,
    /// Whether all cached answers of the model are taken away after each kill.
    pub(super) loses_cache: bool,
}

impl Plan {
    /// The phases that its chosen kills must hit.
    pub(super) fn planned_hits(&self) -> impl Iterator<Item = Hit> {
        self.kills.iter().filter_map(|kill| match kill {
            Kill::Chosen(die_at) => Hit::planned(*die_at),
            Kill::Random(_) | Kill::Working(_) | Kill::InModelCall(_) => None,
        })
    }
}

/// The kinds of chosen places, in the order in which a campaign goes through them.
const KINDS: usize = 16;
/// The one that kills a worker in the first commit that writes: a claim, or for a worker that recovers the reclaim.
const RECLAIM: usize = 14;

/// A place of the given kind, somewhere in steps 4 to 13, or in 20 to 29 for a worker that recovers: by then even a
/// damaged predecessor has come so far.
fn place(kind: usize, recovers: bool, rng: &mut Rng) -> DieAt {
    let step = rng.u16(4..14) + if recovers { 16 } else { 0 };
    // The calls of even steps are the ones that must never be repeated.
    let even = step & !1;
    let at = |place, stage, step, nth| DieAt { place, stage: Some(stage), step: Some(step), nth };
    let anywhere = |place, nth| DieAt { place, stage: None, step: None, nth };
    let point = Place::Point;
    match kind % KINDS {
        0 => at(Place::WalSync, Stage::Record, step, 1),
        1 => at(point(Failpoint::COMMIT_AFTER), Stage::Record, step, 1),
        2 => anywhere(Place::DatabaseWrite, rng.u32(1..9)),
        3 => at(point(Failpoint::BEGIN_BEFORE), Stage::Intent, even, 1),
        4 => at(Place::Stage, Stage::Record, even, 1),
        5 => at(Place::Stage, Stage::Acknowledge, step, 1),
        6 => at(point(Failpoint::BEGIN_AFTER), Stage::Record, step, 1),
        7 => at(point(Failpoint::COMMIT_BEFORE), Stage::Record, step, 1),
        8 => at(Place::WalWrite, Stage::Record, step, rng.u32(1..7)),
        9 => at(Place::WalSynced, Stage::Record, step, 1),
        10 => at(point(Failpoint::BEGIN_BEFORE), Stage::Record, step, 1),
        11 => at(point(Failpoint::COMMIT_AFTER), Stage::Intent, even, 1),
        12 => at(Place::Stage, Stage::Effect, even, 1),
        13 => anywhere(Place::DatabaseSync, 1),
        RECLAIM => DieAt { place: Place::WalSync, stage: Some(Stage::Start), step: None, nth: 1 },
        _ => anywhere(point(Failpoint::WAL_CHECKPOINT_BEFORE), 1),
    }
}

/// The few runs of a quick campaign: every phase once, a reclaim that is killed, a damaged artifact.
fn quick(run: usize, rng: &mut Rng) -> Plan {
    let chosen = |kind, recovers, rng: &mut Rng| Kill::Chosen(place(kind, recovers, rng));
    let kills = match run % 5 {
        0 => vec![Kill::Random(rng.f64()), Kill::Random(rng.f64())],
        1 => vec![chosen(0, false, rng), chosen(4, true, rng)],
        2 => vec![chosen(1, false, rng), chosen(RECLAIM, true, rng)],
        3 => vec![chosen(3, false, rng), chosen(2, true, rng)],
        _ => vec![chosen(5, false, rng), chosen(6, true, rng)],
    };
    Plan { kills, damage: (run % 5 == 4).then_some(Damage::Overwritten), loses_cache: false }
}

/// The plan of one run.
pub(super) fn plan(run: usize, is_quick: bool, rng: &mut Rng) -> Plan {
    if is_quick {
        return quick(run, rng);
    }
    let is_chosen = run % CHOSEN_EVERY == CHOSEN_EVERY - 1;
    let mut kills = vec![if is_chosen {
        Kill::Chosen(place(run / CHOSEN_EVERY, false, rng))
    } else {
        Kill::Random(rng.f64())
    }];
    if rng.u8(0..3) == 0 {
        // After a random kill nobody knows how many steps are left: only the reclaim is sure to come.
        kills.push(match (rng.bool(), is_chosen) {
            (true, true) => Kill::Chosen(place(rng.usize(0..KINDS), true, rng)),
            (true, false) => Kill::Chosen(place(RECLAIM, true, rng)),
            (false, _) => Kill::Random(rng.f64()),
        });
    }
    let damages = [Damage::Overwritten, Damage::Cut, Damage::Removed];
    let damage = (rng.u8(0..4) == 0).then(|| damages[rng.usize(0..damages.len())]);
    Plan { kills, damage, loses_cache: false }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tally::Hit;
    use super::*;

    fn planned_hits(runs: usize, is_quick: bool) -> BTreeSet<Hit> {
        let mut rng = Rng::with_seed(7);
        let plans = (0..runs).map(|run| plan(run, is_quick, &mut rng)).collect::<Vec<_>>();
        plans.iter().flat_map(Plan::planned_hits).collect()
    }

    #[test]
    fn every_campaign_plans_a_kill_in_each_phase() {
        for (runs, is_quick) in [(5, true), (50, false)] {
            assert_eq!(planned_hits(runs, is_quick), Hit::NAMED.into_iter().collect(), "{runs} runs");
        }
    }

    #[test]
    fn a_full_campaign_goes_through_every_kind_of_place_and_kills_mostly_at_random() {
        let mut rng = Rng::with_seed(1);
        let plans: Vec<Plan> = (0..50).map(|run| plan(run, false, &mut rng)).collect();
        let random = plans.iter().filter(|plan| matches!(plan.kills[0], Kill::Random(_))).count();
        assert!(random > 30, "{random} of 50");
        assert!(50 - random >= KINDS);
        assert!(plans.iter().any(|plan| plan.damage.is_some()));
        assert!(plans.iter().any(|plan| plan.kills.len() > 1));
    }

    #[test]
    fn the_same_seed_draws_the_same_plan() {
        let draw = || plan(3, false, &mut Rng::with_seed(5));
        assert_eq!(draw(), draw());
    }
}
