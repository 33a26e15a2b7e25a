//! `sweep_large`: a holder of very many leases is killed, and one pass reclaims them all.

use std::time::{Duration, Instant};

use crate::audit::BOUNDARY;
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::crew::SweepReport;
use crate::crew::field::Field;
use crate::report::{Figure, Unit};
use crate::scenarios::faults::{Broken, Faults};

/// The case.
pub(super) const CASE: Case = Case {
    id: "sweep_large",
    title: "Recovery Sweep Large Scale",
    shows: "One pass reclaims a thousand leases within ten seconds, and a hundred thousand as well.",
    needs: Needs::Anything,
    runs: Runs::of(10_000, 100_000),
    run,
};

/// The reference's number of leases and its limit.
const FEW: usize = 1_000;
const FEW_MAX_MS: f64 = 10_000.0;
/// How long the leases of the holder last at least: it renews nothing, and must have claimed all before the first one
/// ends.
const TERM_MIN: Duration = Duration::from_secs(2);
/// And for each lease so much more.
const TERM_PER_LEASE: Duration = Duration::from_micros(100);
/// Items claimed at once.
const CLAIMED_AT_ONCE: usize = 1_000;
/// Items of a task.
const ITEMS_OF_TASK: usize = 1_000;
/// What is looked for in the file.
const KINDS: &[Broken] =
    &[Broken::IntegrityFaults, Broken::ChainBreaks, Broken::SequenceGaps, Broken::ReclaimedEarly];
/// Lines that tell what was broken.
const DETAILS_MAX: usize = 10;

fn run(context: &mut Context) -> Result<(), CaseError> {
    let many = context.runs();
    context.plan(FEW + many);
    let few = swept(context, FEW)?;
    context.check(few.at_most(FEW_MAX_MS));
    let took = swept(context, many)?;
    context.check(took.reported());
    Ok(())
}

/// One field with so many leases, whose holder is killed.
#[allow(clippy::cast_precision_loss, reason = "some thousand leases")]
fn swept(context: &mut Context, leases: usize) -> Result<Figure, CaseError> {
    let field = Field::new(context, &format!("leases-{leases}"))?;
    let tasks: Vec<String> =
        (0..leases.div_ceil(ITEMS_OF_TASK)).map(|task| format!("task-{task:03}")).collect();
    field.submit(&tasks, leases / tasks.len())?;
    let leases = leases / tasks.len() * tasks.len();
    let term = TERM_MIN + TERM_PER_LEASE * u32::try_from(leases).unwrap_or(u32::MAX);
    let idle: [(&str, &dyn std::fmt::Display); 4] = [
        ("items", &leases),
        ("batch", &CLAIMED_AT_ONCE),
        ("term-ms", &term.as_millis()),
        ("heartbeat", &false),
    ];
    let mut holder = field.start("holder", "hold", &idle)?;
    holder.wait_until_ready()?;
    // No lease is older than this, and none ends before its term.
    let first_end = Instant::now() + term;
    holder.go()?;
    holder.wait_until_holding()?;
    let killed = holder.kill()?;
    let mut faults = Faults::new(KINDS);
    let early = sweep(&field, "early")?;
    let is_early = Instant::now() < first_end;
    if is_early && early.expired_found > 0 {
        let detail =
            format!("{} of {leases} leases, before the first of them had ended", early.expired_found);
        faults.add(Broken::ReclaimedEarly, detail);
    }
    let over = killed + term;
    context.deadline().sleep(over.saturating_duration_since(Instant::now()), "the term of the holder")?;
    let pass = sweep(&field, "sweeper")?;
    let audit = field.audit()?;
    faults.look_at_whole(&*audit, "the file")?;
    for task in &tasks {
        faults.look_at_chain(&*audit, task, task)?;
    }
    let items = audit.items()?;
    let free = items.iter().filter(|item| item.status == "pending" && item.attempt == 1).count();
    let wanted = leases as f64;
    let named = |name: &str| format!("{name}_of_{leases}");
    context.check(Figure::count(named("leases_reclaimed"), free).at_least(wanted));
    // A pass that was to come early and came late, on a busy machine, has done its part of the work.
    let told = [
        early.expired_found + pass.expired_found,
        early.recovered + pass.recovered,
        early.checkpoints_created + pass.checkpoints_created,
    ];
    let off = told.iter().filter(|count| **count != leases as u64).count();
    context.check(Figure::count(named("wrong_stats"), off).at_most(0.0));
    let boundaries = audit.checkpoints_of_kind(BOUNDARY)?;
    context.check(Figure::count(named("boundary_checkpoints"), boundaries).at_least(wanted));
    let errors = early.errors + pass.errors;
    context.check(Figure::new(named("errors"), errors as f64, Unit::Count).at_most(0.0));
    // Without it `reclaimed_early` has shown nothing.
    let early_pass = Figure::count(named("passes_before_the_term"), usize::from(is_early));
    context.check(early_pass.at_least(1.0).advisory());
    for mut check in faults.checks() {
        check.name = named(&check.name);
        context.check(check);
    }
    context.findings.notes.extend(faults.details(DETAILS_MAX));
    for _ in 0..free {
        context.advance(true);
    }
    Ok(Figure::new(named("scan_duration_ms"), pass.scan_duration_ms as f64, Unit::Ms))
}

/// One pass, by a process of its own.
fn sweep(field: &Field, name: &str) -> Result<SweepReport, CaseError> {
    let mut sweeper = field.start(name, "sweep", &[])?;
    sweeper.wait_until_ready()?;
    sweeper.go()?;
    sweeper.report()
}
