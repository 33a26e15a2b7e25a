//! Which scenario is explored next, how often, and how the next to go on is chosen in it.

use super::program::Scenario;

/// Schedules of one start of the program.
const PORTION: usize = 500;

/// How the next to go on is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chooser {
    /// Each time by chance.
    Random,
    /// By priorities that change at few instants.
    Pct,
}

impl Chooser {
    /// Its name on the program's command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Pct => "pct",
        }
    }
}

/// One start of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Portion {
    pub(super) scenario: String,
    pub(super) chooser: Chooser,
    pub(super) seed: u64,
    pub(super) schedules: usize,
}

/// Spreads schedules over the scenarios by their shares, in any number of them.
#[derive(Debug)]
pub(super) struct Plan {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    share: usize,
    schedules: usize,
    portions: usize,
}

impl Plan {
    pub(super) fn new(scenarios: &[Scenario]) -> Self {
        let row = |scenario: &Scenario| Row {
            name: scenario.name.clone(),
            share: scenario.share.max(1),
            schedules: 0,
            portions: 0,
        };
        Self { rows: scenarios.iter().map(row).collect() }
    }

    /// Goes on with the scenario that has had the least of its share, for at most `left` schedules.
    pub(super) fn next(&mut self, left: usize, seed: u64) -> Portion {
        let behind = |row: &&mut Row| (row.schedules * 1_000 / row.share, usize::MAX - row.share);
        let Some(row) = self.rows.iter_mut().min_by_key(behind) else {
            return Portion { scenario: String::new(), chooser: Chooser::Random, seed, schedules: left };
        };
        // A scenario of a small share comes in small portions, so that few schedules are spread over all of them.
        let schedules = left.min(PORTION * row.share / 20).max(1);
        let chooser = if row.portions.is_multiple_of(2) { Chooser::Random } else { Chooser::Pct };
        row.schedules += schedules;
        row.portions += 1;
        Portion { scenario: row.name.clone(), chooser, seed, schedules }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(name: &str, share: usize) -> Scenario {
        Scenario { name: name.to_owned(), share, meets: Vec::new() }
    }

    #[test]
    fn each_scenario_gets_its_share_and_both_ways_of_choosing() {
        let mut plan = Plan::new(&[scenario("many", 20), scenario("some", 8), scenario("few", 2)]);
        let (mut left, mut portions) = (30_000, Vec::new());
        while left > 0 {
            let portion = plan.next(left, 1);
            left -= portion.schedules;
            portions.push(portion);
        }
        for (name, expected) in [("many", 20_000), ("some", 8_000), ("few", 2_000_usize)] {
            let own = || portions.iter().filter(|portion| portion.scenario == name);
            let done: usize = own().map(|portion| portion.schedules).sum();
            assert!(done.abs_diff(expected) <= PORTION, "{name}: {done}");
            assert!(own().any(|portion| portion.chooser == Chooser::Pct), "{name}");
            assert!(own().any(|portion| portion.chooser == Chooser::Random), "{name}");
        }
    }

    #[test]
    fn never_more_is_planned_than_is_left() {
        let mut plan = Plan::new(&[scenario("one", 20)]);
        assert_eq!(plan.next(7, 1).schedules, 7);
    }
}
