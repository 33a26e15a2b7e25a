//! What all seeds of a campaign came to, as figures.

use std::collections::BTreeMap;
use std::time::Duration;

use super::oracle::Promise;
use super::plan::FAULTS;
use super::trial::{Again, Trial};
use super::world::Stats;
use crate::case::Context;
use crate::report::{Figure, Unit};

/// Fewer seeds need not meet every fault: they are runs of one seed again.
const RUNS_THAT_MEET_ALL: usize = 100;
/// What the campaign is to reach on one core.
const SEEDS_A_MINUTE: f64 = 500.0;
/// Failures that are told in full.
const FAILURES_TOLD: usize = 3;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tally {
    seeds: u64,
    last_seed: u64,
    stats: Stats,
    broken: BTreeMap<Promise, usize>,
    again: (usize, usize),
    on_both: (usize, usize),
    failures: usize,
}

impl Tally {
    /// Names the faults, where there are runs enough to meet them.
    pub(super) fn begin(context: &mut Context) -> Self {
        if context.settings().budget.is_some() || context.runs() >= RUNS_THAT_MEET_ALL {
            context.name_faults(FAULTS);
        }
        Self { last_seed: context.settings().seed, ..Self::default() }
    }

    /// Seeds that broke a promise.
    pub(super) fn failures(&self) -> usize {
        self.failures
    }

    pub(super) fn add(&mut self, context: &mut Context, trial: Result<Trial, String>) {
        let trial = match trial {
            Ok(trial) => trial,
            Err(error) => {
                context.findings.notes.push(format!("a seed could not be run: {error}"));
                return context.advance(false);
            }
        };
        self.seeds += 1;
        self.last_seed = self.last_seed.max(trial.seed);
        for broken in &trial.told.broken {
            *self.broken.entry(broken.promise).or_default() += 1;
        }
        for (fault, times) in &trial.told.fired {
            context.fired(fault, *times);
        }
        if let Some(Again { on_other_backend, is_same }) = trial.again {
            let (runs, differ) = if on_other_backend { &mut self.on_both } else { &mut self.again };
            *runs += 1;
            *differ += usize::from(!is_same);
            if !is_same {
                context.findings.notes.push(format!("seed {}: two runs of it differ", trial.seed));
            }
        }
        self.failures += usize::from(trial.failure.is_some());
        if let Some(failure) = trial.failure.filter(|_| self.failures <= FAILURES_TOLD) {
            context.findings.notes.push(failure);
        }
        let Stats { items, commits, polls, lines, repeated, asked } = trial.told.stats;
        self.stats = Stats {
            items: self.stats.items + items,
            commits: self.stats.commits + commits,
            polls: self.stats.polls + polls,
            lines: self.stats.lines + lines,
            repeated: self.stats.repeated + repeated,
            asked: self.stats.asked + asked,
        };
        context.advance(true);
    }

    /// Adds the figures.
    #[allow(clippy::cast_precision_loss, reason = "nothing here is counted up to 2^53")]
    pub(super) fn report(&self, context: &mut Context, took: Duration, threads: usize) {
        for promise in Promise::ALL {
            let count = self.broken.get(promise).copied().unwrap_or_default();
            context.check(Figure::count(promise.name(), count).at_most(0.0));
        }
        let ((again, differ), (both, unlike)) = (self.again, self.on_both);
        context.check(Figure::count("seeds_run_again", again).reported());
        context.check(Figure::count("seeds_that_differ_run_again", differ).at_most(0.0));
        context.check(Figure::count("seeds_run_on_both_backends", both).reported());
        context.check(Figure::count("seeds_that_differ_on_the_other_backend", unlike).at_most(0.0));
        let Stats { items, commits, repeated, asked, .. } = self.stats;
        for (name, count) in [
            ("simulated_hours", self.seeds),
            ("work_items", items),
            ("commits", commits),
            ("questions_to_the_model", asked),
            ("effects_of_idempotent_tools_repeated", repeated),
        ] {
            context.check(Figure::new(name, count as f64, Unit::Count).reported());
        }
        let rate = self.seeds as f64 * 60.0 / took.as_secs_f64().max(0.001) / threads as f64;
        let rate = Figure::ratio("seeds_a_minute_a_core", rate);
        context.check(rate.at_least(SEEDS_A_MINUTE).advisory());
        let (first, last) = (context.settings().seed, self.last_seed);
        let next = last.wrapping_add(1);
        context.findings.notes.push(format!("seeds {first} to {last}; to go on: --seed {next}"));
    }
}
