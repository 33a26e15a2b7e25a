//! `recovery_sweep`: two holders have a hundred leases each; one is killed, the other lives on. Two sweepers at once
//! reclaim what the first one held, and nothing else.

use std::time::{Duration, Instant};

use super::faults::{Broken, Faults};
use crate::audit::{BOUNDARY, ItemStanding};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::crew::field::Field;
use crate::crew::{HoldReport, SweepReport};
use crate::report::{Figure, Unit};

/// The case.
pub(super) const CASE: Case = Case {
    id: "recovery_sweep",
    title: "Recovery Sweep Stress",
    shows: "A sweep reclaims every lease of a killed holder once, within seconds, and none of a holder that lives.",
    needs: Needs::Anything,
    runs: Runs::of(100, 100),
    run,
};

const TASK: &str = "sweep";
const VICTIM: &str = "victim";
const SURVIVOR: &str = "survivor";
/// How long a lease lasts without renewal. A hundred leases are renewed within a third of it.
const TERM: Duration = Duration::from_secs(2);
/// The reference's limit for a pass.
const PASS_MAX_MS: f64 = 5_000.0;
/// What is looked for in the file.
const KINDS: &[Broken] = &[Broken::IntegrityFaults, Broken::ChainBreaks, Broken::SequenceGaps];
/// Lines that tell what was broken.
const DETAILS_MAX: usize = 10;

#[allow(clippy::cast_precision_loss, reason = "some hundred leases")]
fn run(context: &mut Context) -> Result<(), CaseError> {
    let of_each = context.runs();
    context.plan(of_each);
    let field = Field::new(context, "run")?;
    field.submit(&[TASK.to_owned()], 2 * of_each)?;
    let hold = |name| {
        let term = TERM.as_millis();
        let mut hand = field.start(name, "hold", &[("items", &of_each), ("term-ms", &term)])?;
        hand.wait_until_ready()?;
        hand.go()?;
        hand.wait_until_holding()?;
        Ok::<_, CaseError>(hand)
    };
    let victim = hold(VICTIM)?;
    let mut survivor = hold(SURVIVOR)?;
    let killed = victim.kill()?;
    let early = sweep(&field, "early")?;
    // Its last renewal came at most at its death.
    let over = killed + TERM;
    context.deadline().sleep(over.saturating_duration_since(Instant::now()), "the term of the victim")?;
    let passes = sweep(&field, "sweeper")?;
    let items = field.audit()?.items()?;
    survivor.go()?;
    let kept: HoldReport = survivor.report()?;

    let total = |of: fn(&SweepReport) -> u64| passes.iter().map(of).sum::<u64>() as f64;
    let slowest = passes.iter().map(|pass| pass.scan_duration_ms).max().unwrap_or(u64::MAX);
    let reclaimed = items.iter().filter(|item| item.holder.is_none() && item.status == "pending").count();
    let wanted = of_each as f64;
    let exactly = |context: &mut Context, name: &str, value: f64| {
        context.check(Figure::new(name, (value - wanted).abs(), Unit::Count).at_most(0.0));
    };
    context.check(Figure::count("leases_reclaimed", reclaimed).at_least(wanted));
    exactly(context, "leases_reclaimed_off_by", reclaimed as f64);
    exactly(context, "expired_found_off_by", total(|pass| pass.expired_found));
    exactly(context, "recovered_off_by", total(|pass| pass.recovered));
    exactly(context, "checkpoints_created_off_by", total(|pass| pass.checkpoints_created));
    exactly(context, "boundary_checkpoints_off_by", field.audit()?.checkpoints_of_kind(BOUNDARY)? as f64);
    context.check(Figure::new("errors", total(|pass| pass.errors), Unit::Count).at_most(0.0));
    context.check(Figure::count("reclaimed_early", early_finds(&early)).at_most(0.0));
    let taken = of_each.saturating_sub(items.iter().filter(|item| is_kept(item)).count());
    context.check(Figure::count("live_leases_taken", taken + kept.lost + kept.trouble.count).at_most(0.0));
    context.check(Figure::count("live_leases_settled", kept.claimed - kept.trouble.count).at_least(wanted));
    context.check(Figure::new("scan_duration_ms", slowest as f64, Unit::Ms).at_most(PASS_MAX_MS));
    let mut faults = Faults::new(KINDS);
    faults.look_at_file(&*field.audit()?, TASK, "the file")?;
    context.findings.checks.extend(faults.checks());
    context.findings.notes.extend(faults.details(DETAILS_MAX));
    for _ in 0..reclaimed {
        context.advance(true);
    }
    Ok(())
}

fn is_kept(item: &ItemStanding) -> bool {
    item.holder.as_deref() == Some(SURVIVOR) && item.attempt == 1
}

fn early_finds(passes: &[SweepReport]) -> usize {
    passes.iter().map(|pass| usize::try_from(pass.expired_found).unwrap_or(usize::MAX)).sum()
}

/// Two passes at once, by two processes.
fn sweep(field: &Field, name: &str) -> Result<Vec<SweepReport>, CaseError> {
    let members = (0..2).map(|number| (format!("{name}-{number}"), "sweep", Vec::new()));
    let hands = field.start_together(members)?;
    hands.into_iter().map(crate::crew::field::Hand::report).collect()
}
