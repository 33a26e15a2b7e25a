//! `lease_expiration`: a holder is stopped with SIGSTOP past its term, another takes over, the first wakes and is
//! fenced off.

mod round;

use std::fs;
use std::time::Duration;

use super::faults::{Broken, Faults};
use super::site::Site;
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::report::Figure;
use round::{Outcome, Plan, Round};

/// The case.
pub(super) const CASE: Case = Case {
    id: "lease_expiration",
    title: "Lease Expiration",
    shows: "A holder stopped past its term is replaced, and fenced off when it wakes: nothing of it reaches the store.",
    needs: Needs::Processes,
    runs: Runs::of(2, 10),
    run,
};

/// How long a lease lasts without renewal.
const TERM: Duration = Duration::from_secs(1);
/// How often a worker that waits for an item sweeps.
const SWEEP_PERIOD: Duration = Duration::from_millis(25);
/// Steps of the task: more than a holder does before it is stopped.
const STEPS: u16 = 120;
/// What a reclaim may take beside a sweep period.
const TAKEOVER_SLACK: Duration = Duration::from_millis(100);
/// How long a holder that wakes may take to hear that its lease is gone.
const TOLD_MAX: Duration = Duration::from_millis(100);
/// How often a round is tried whose holder lost its lease before it was stopped, on a machine that stood still.
const TRIES_MAX: usize = 3;
/// Lines that tell what was broken.
const DETAILS_MAX: usize = 10;

/// What the case looks for.
const KINDS: &[Broken] = &[
    Broken::StaleWritesTaken,
    Broken::ReclaimedEarly,
    Broken::FencesNotGrown,
    Broken::FencesShared,
    Broken::HoldersNotTold,
    Broken::NotByOwnDeadline,
    Broken::NotSettledOnce,
    Broken::IntegrityFaults,
    Broken::ChainBreaks,
    Broken::SequenceGaps,
    Broken::TasksUnfinished,
];

/// What all rounds have counted.
struct Tally {
    faults: Faults,
    stops: usize,
    stops_in_vain: usize,
    rejected: usize,
    takeovers: Vec<Duration>,
    told: Vec<Duration>,
}

fn run(context: &mut Context) -> Result<(), CaseError> {
    let (takeovers, told) = (Vec::new(), Vec::new());
    let mut tally =
        Tally { faults: Faults::new(KINDS), stops: 0, stops_in_vain: 0, rejected: 0, takeovers, told };
    let done = rounds(context, &mut tally);
    let ms = |span: Duration| span.as_secs_f64() * 1_000.0;
    #[allow(clippy::cast_precision_loss, reason = "a handful of rounds")]
    let carried_out = context.findings.succeeded as f64;
    let mut checks = tally.faults.checks();
    checks.push(Figure::count("stops_outside_transaction", tally.stops).at_least(carried_out.max(1.0)));
    checks.push(Figure::count("stops_repeated", tally.stops_in_vain).reported());
    let wanted = carried_out * 3.0;
    checks.push(Figure::count("stale_attempts_rejected", tally.rejected).at_least(wanted.max(1.0)));
    let limits = [
        ("takeover_after_term_max", &tally.takeovers, SWEEP_PERIOD + SWEEP_PERIOD / 10 + TAKEOVER_SLACK),
        ("told_of_loss_max", &tally.told, TOLD_MAX),
    ];
    for (name, spans, limit) in limits {
        if let Some(longest) = spans.iter().max() {
            checks.push(Figure::duration(name, *longest).at_most(ms(limit)).advisory());
        }
    }
    context.findings.checks = checks;
    context.findings.notes.extend(tally.faults.details(DETAILS_MAX));
    done
}

fn rounds(context: &mut Context, tally: &mut Tally) -> Result<(), CaseError> {
    for number in 0..context.runs() {
        let is_complete = match tried(context, number, tally) {
            Ok(Outcome::Complete) => true,
            Ok(Outcome::LostBefore) => {
                let note =
                    format!("round {number}: the holder lost its lease by itself in {TRIES_MAX} tries");
                context.findings.notes.push(note);
                false
            }
            Err(error @ CaseError::TimedOut { .. }) => return Err(error),
            Err(error) => {
                context.findings.notes.push(format!("round {number}: {error}"));
                false
            }
        };
        context.advance(is_complete);
    }
    Ok(())
}

fn tried(context: &Context, number: usize, tally: &mut Tally) -> Result<Outcome, CaseError> {
    for attempt in 0..TRIES_MAX {
        let name = if attempt == 0 { format!("round-{number}") } else { format!("round-{number}-{attempt}") };
        let folder = context.folder().join(&name);
        let before = tally.faults.count();
        let plan = Plan::new(number, &mut context.rng(number));
        let planted = context.settings().planted;
        let site = Site::new(folder.clone(), STEPS, TERM, SWEEP_PERIOD, planted)?;
        let outcome = Round { site: &site, name: &name, deadline: context.deadline(), tally }.run(&plan)?;
        if tally.faults.count() == before {
            // What cannot be removed now goes with the folder of the case.
            drop(fs::remove_dir_all(&folder));
        }
        if outcome == Outcome::Complete {
            return Ok(outcome);
        }
    }
    Ok(Outcome::LostBefore)
}
