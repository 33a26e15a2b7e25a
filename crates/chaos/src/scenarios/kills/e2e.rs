//! `full_e2e`: one long task with a model, tools and evidence, whose workers are killed again and again until one of them
//! finishes it. Model and tools are other processes with logs of their own. Then once more, and after each death the whole
//! cache of the model is lost: that costs questions, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::plan::{Kill, Plan};
use super::tally::Tally;
use super::trial::{self, Outcome, Terms};
use super::{DETAILS_MAX, SWEEP_PERIOD, TERM, recovery_max};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::report::Figure;
use crate::scenarios::site::{Site, TASK};
use crate::worker::board::Stage;
use crate::worker::die::{DieAt, Place};
use crate::worker::right_result;

/// The case.
pub(in crate::scenarios) const CASE: Case = Case {
    id: "full_e2e",
    title: "Full E2E Recovery",
    shows: "An agent killed dozens of times gives the right result; no model is paid twice, no mail sent twice.",
    needs: Needs::Processes,
    runs: Runs::of(10, 50),
    run,
};

/// How long the model takes: long enough to be killed in the middle.
const MODEL_DELAY: Duration = Duration::from_millis(8);
/// What a recovery may take beside: a predecessor's call of the model is taken over when its own term has run out.
const MODEL_SLACK: Duration = Duration::from_millis(250);
/// How long a worker works before it is killed at random.
const LIFE_MS: std::ops::Range<u64> = 5..150;
/// Steps for each kill: more than a worker does in its life.
const STEPS_PER_KILL: u16 = 20;
/// In which step of its own a worker dies at a chosen place.
const NTH: std::ops::Range<u32> = 1..8;
/// How often the whole cache is lost, in a full campaign and in a quick one.
const LOSSES: usize = 10;
/// See [`LOSSES`].
const LOSSES_QUICK: usize = 3;
/// Tries, where a worker was done, or lost its lease by itself, before its kill came.
const TRIES_MAX: usize = 3;

fn run(context: &mut Context) -> Result<(), CaseError> {
    let kills = context.runs();
    let mut rng = context.rng(0);
    let plan = Plan {
        kills: (0..kills).map(|index| kill(index, &mut rng)).collect(),
        damage: None,
        loses_cache: false,
    };
    let (site, tally, done) = tried(context, "run", &plan)?;
    for _ in 0..tally.kills.min(kills) {
        context.advance(true);
    }
    tell(context, &site, &tally)?;
    done?;
    // Again, and after each death the whole cache is gone. The first death is one that has an answer in it which no
    // checkpoint has yet.
    let losses = kills.min(if context.settings().is_quick() { LOSSES_QUICK } else { LOSSES });
    let plan = Plan {
        kills: (0..losses).map(|index| kill(index + 1, &mut rng)).collect(),
        damage: None,
        loses_cache: true,
    };
    let (site, tally, done) = tried(context, "without-cache", &plan)?;
    tell_of_losses(context, &site, &tally)?;
    done
}

/// Carries out a plan in a folder of its own, anew where a kill came too late: where it was, what was counted, and
/// how it ended.
fn tried(
    context: &Context,
    name: &str,
    plan: &Plan,
) -> Result<(Site, Tally, Result<(), CaseError>), CaseError> {
    let kills = u16::try_from(plan.kills.len()).unwrap_or(u16::MAX);
    let steps = kills.saturating_mul(STEPS_PER_KILL).min(u16::MAX - 1);
    for attempt in 0..TRIES_MAX {
        let mut tally = Tally::new();
        let name = format!("{name}-{attempt}");
        let folder = context.folder().join(&name);
        let mut site = Site::new(folder.clone(), steps, TERM, SWEEP_PERIOD, context.settings().planted)?;
        site.model_delay = Some(MODEL_DELAY);
        let terms = Terms { name: &name, pace: Duration::ZERO, attempt: 0, deadline: context.deadline() };
        let done = trial::run(&site, plan, terms, &mut tally);
        if matches!(done, Ok(Outcome::Missed(_))) {
            drop(fs::remove_dir_all(&folder));
            continue;
        }
        return Ok((site, tally, done.map(drop)));
    }
    let what = format!("{TRIES_MAX} workers ended before they could be killed");
    Err(CaseError::Process { process: CASE.id.to_owned(), what })
}

/// Kills come while the model works, between an effect and its record, before an acknowledgement, and at random.
fn kill(index: usize, rng: &mut fastrand::Rng) -> Kill {
    let at = |stage, nth| Kill::Chosen(DieAt { place: Place::Stage, stage: Some(stage), step: None, nth });
    match index % 5 {
        0 => Kill::InModelCall(rng.usize(1..6)),
        // The calls of every second step must not be repeated. Whoever comes after a death in one step begins with
        // that step and dies in the next: one of the two is such a call.
        1 => at(Stage::Record, 1),
        2 => at(Stage::Record, 2),
        3 => at(Stage::Acknowledge, rng.u32(NTH)),
        _ => Kill::Working(Duration::from_millis(rng.u64(LIFE_MS))),
    }
}

/// Whether the task ended with the one result that the model's answers lead to.
fn is_right(site: &Site, tally: &Tally) -> bool {
    tally.results == [right_result(TASK, site.steps).into_bytes()]
}

/// What the loss of the whole cache may cost: questions that were paid before, and nothing else.
fn tell_of_losses(context: &mut Context, site: &Site, tally: &Tally) -> Result<(), CaseError> {
    let calls = site.model_calls()?;
    let prompts: BTreeSet<&String> = calls.iter().collect();
    let right = usize::from(is_right(site, tally));
    let checks = &mut context.findings.checks;
    checks.push(Figure::count("results_right_without_cache", right).at_least(1.0));
    checks.push(Figure::count("cached_answers_lost", tally.answers_lost).at_least(1.0));
    checks.push(Figure::count("paid_again_without_cache", calls.len() - prompts.len()).at_least(1.0));
    checks.push(Figure::count("faults_without_cache", tally.faults.count()).at_most(0.0));
    context.findings.notes.extend(tally.faults.details(DETAILS_MAX));
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "a few thousand calls")]
fn tell(context: &mut Context, site: &Site, tally: &Tally) -> Result<(), CaseError> {
    let (steps, calls) = (usize::from(site.steps), site.model_calls()?);
    let mut prompts = calls.clone();
    prompts.sort_unstable();
    prompts.dedup();
    let is_right = is_right(site, tally);
    let planned = context.runs() as f64;
    let mut checks = tally.checks(recovery_max() + MODEL_SLACK);
    checks.push(Figure::count("results_right", usize::from(is_right)).at_least(1.0));
    checks.push(Figure::count("workers_killed", tally.kills).at_least(planned));
    checks.push(Figure::count("kills_in_model_call", tally.kills_in_model_call).at_least(1.0));
    checks.push(Figure::count("kills_between_effect_and_record", tally.kills_in_open_call).at_least(1.0));
    checks.push(Figure::count("distinct_prompts", prompts.len()).at_most(steps as f64));
    let paid_again = calls.len() - prompts.len();
    checks
        .push(Figure::count("model_calls_paid_again", paid_again).at_most(tally.kills_in_model_call as f64));
    checks.push(Figure::count("model_calls", calls.len()).at_least(steps as f64));
    checks.push(
        Figure::count("doubts_named", tally.doubts_named.len()).at_most(tally.kills_in_open_call as f64),
    );
    context.findings.checks = checks;
    context.findings.notes.extend(tally.faults.details(DETAILS_MAX));
    if !tally.doubts_named.is_empty() {
        let named: Vec<&str> = tally.doubts_named.iter().map(String::as_str).collect();
        context.findings.notes.push(format!("in doubt: {}", named.join(", ")));
    }
    Ok(())
}
