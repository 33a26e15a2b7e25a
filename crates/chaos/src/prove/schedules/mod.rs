//! Schedules: the writer, the wake-ups and single flight under other choices of who goes on, thousands of times. The
//! program that explores them is `crates/chaos/schedules`; here it is built with shuttle in the place of the store's
//! locks, channels and threads, started in portions, and its figures are added up. First it must find each of its
//! planted bugs.

mod plan;
mod program;

use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::report::Figure;

use self::plan::{Chooser, Plan, Portion};
use self::program::{Program, Told};

/// The campaign.
pub(super) const SCHEDULES: Case = Case {
    id: "schedules",
    title: "Schedules of Threads and Futures",
    shows: "Whoever goes on when: no wake-up is lost, nothing is acknowledged before its sync, no answer reaches another \
            caller, close() and dropped futures lose nothing, and one flight is enough for all.",
    needs: Needs::Anything,
    runs: Runs::levels(10_000, 100_000, 1_000_000),
    run,
};

/// Schedules in which a planted bug must be found.
const PLANTED_SCHEDULES_MAX: usize = 1_000;

fn run(context: &mut Context) -> Result<(), CaseError> {
    let program = Program::build(context.folder(), context.deadline())?;
    let catalogue = program.catalogue(context.deadline())?;
    for scenario in &catalogue.scenarios {
        let meets = scenario.meets.iter().map(|met| fault(&scenario.name, met));
        let meets: Vec<String> = meets.collect();
        context.name_faults(meets.iter().map(String::as_str));
    }
    find_planted(context, &program, &catalogue)?;
    let mut sums = Sums::default();
    let mut plan = Plan::new(&catalogue.scenarios);
    let mut begun = 0;
    while sums.failures.is_empty() && context.goes_on(begun) {
        let left = if context.settings().budget.is_some() { usize::MAX } else { context.runs() - begun };
        let seed = context.rng(begun).u64(..);
        let portion = plan.next(left, seed);
        begun += portion.schedules;
        if context.settings().budget.is_some() {
            context.plan(begun);
        }
        let told = program.explore(&portion, None, context.deadline())?;
        sums.add(context, &portion, told);
    }
    sums.check(context);
    Ok(())
}

/// How something that a scenario sets out to meet is named among the faults.
fn fault(scenario: &str, met: &str) -> String {
    format!("{scenario}: {met}")
}

/// Every planted bug must be found, and by no more schedules than a portion has.
fn find_planted(
    context: &mut Context,
    program: &Program,
    catalogue: &program::Catalogue,
) -> Result<(), CaseError> {
    let (mut found, mut most) = (0, 0);
    for (number, bug) in catalogue.bugs.iter().enumerate() {
        // Numbered from the end: the runs' own are numbered from the start.
        let seed = context.rng(usize::MAX - number).u64(..);
        let chooser = if number % 2 == 0 { Chooser::Random } else { Chooser::Pct };
        let schedules = PLANTED_SCHEDULES_MAX;
        let portion = Portion { scenario: bug.scenario.clone(), chooser, seed, schedules };
        let told = program.explore(&portion, Some(&bug.name), context.deadline())?;
        if told.failed.is_some_and(|failed| failed.contains(&bug.breaks)) {
            found += 1;
            most = most.max(told.schedules);
        } else {
            let command = Program::command(&portion, &bug.name);
            context.findings.notes.push(format!("planted and not found: {}: {command}", bug.name));
        }
    }
    let planted = catalogue.bugs.len();
    #[allow(clippy::cast_precision_loss, reason = "there are some ten")]
    context.check(Figure::count(format!("planted_found_of_{planted}"), found).at_least(planted as f64));
    context.check(Figure::count("schedules_to_find_the_hardest", most).reported());
    Ok(())
}

/// What all portions came to.
#[derive(Debug, Default)]
struct Sums {
    schedules: usize,
    different: usize,
    choices: u64,
    failures: Vec<String>,
}

impl Sums {
    fn add(&mut self, context: &mut Context, portion: &Portion, told: Told) {
        self.schedules += told.schedules;
        self.different += told.different;
        self.choices += told.choices;
        for (met, times) in &told.met {
            let name = fault(&portion.scenario, met);
            // Others happen by the way, and need not be named.
            if context.findings.faults.contains_key(&name) {
                context.fired(&name, *times);
            }
        }
        for _ in 0..told.schedules {
            context.advance(true);
        }
        if let Some(failed) = told.failed {
            let command = Program::command_of(portion);
            let scenario = &portion.scenario;
            let at = told.schedules;
            let note =
                format!("{scenario}, schedule {at} of the portion: {failed}; exactly this again: {command}");
            context.findings.notes.push(note);
            self.failures.push(failed);
        }
    }

    fn check(&self, context: &mut Context) {
        let count = |what: &str| self.failures.iter().filter(|failed| kind(failed) == what).count();
        for what in [LOST, EARLY, WRONG, OTHER] {
            context.check(Figure::count(what, count(what)).at_most(0.0));
        }
        context.check(Figure::count("schedules", self.schedules).reported());
        context.check(Figure::count("different_within_their_portion", self.different).reported());
        #[allow(clippy::cast_precision_loss, reason = "a mean is no exact number")]
        let mean = self.choices as f64 / self.schedules.max(1) as f64;
        context
            .check(Figure::new("choices_in_a_schedule", mean.round(), crate::report::Unit::Count).reported());
    }
}

const LOST: &str = "lost_wake_ups";
const EARLY: &str = "acknowledged_before_the_sync";
const WRONG: &str = "answers_to_the_wrong_caller";
const OTHER: &str = "other_broken_promises";

/// Which promise was broken, by the words of the program.
fn kind(failed: &str) -> &'static str {
    if failed.contains("deadlock") || failed.contains("max_steps") {
        LOST
    } else if failed.contains("was acknowledged before") {
        EARLY
    } else if failed.contains("was given") {
        WRONG
    } else {
        OTHER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_broke_is_counted_under_the_promise_that_it_breaks() {
        assert_eq!(kind("deadlock! blocked tasks: [main-thread]"), LOST);
        assert_eq!(kind("exceeded max_steps bound 50000. this might be"), LOST);
        assert_eq!(kind("batch 3 was acknowledged before it was synced"), EARLY);
        assert_eq!(kind("the caller of batch 3 was given the answer of batch Some(4)"), WRONG);
        assert_eq!(kind("batch 3 was applied twice"), OTHER);
    }
}
