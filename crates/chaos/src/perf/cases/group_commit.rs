//! `group_commit`: many producers at once, each waiting for its row to be durable, against the same producers in front
//! of a bare group-commit loop.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::{Ground, in_time, median_ratio, ms, pairs, runtime, spread};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::perf::bare::{BareLoop, BareOptions};
use crate::perf::closed::{Drive, Load, drive};
use crate::perf::stats::{Paired, Samples, paired};
use crate::perf::subject::Subject;
use crate::perf::{Floor, FloorOptions};
use crate::report::{Figure, Unit};

/// The case.
pub(super) const CASE: Case = Case {
    id: "group_commit",
    title: "Group Commit",
    shows: "A hundred callers at once get 0.7 of the durable rows a second of a bare group-commit loop, and none stalls.",
    needs: Needs::File,
    runs: Runs::of(15, 21),
    run,
};

/// Rows a second, as a share of the bare loop's.
const RATIO_MIN: f64 = 0.7;
/// The same with rows in both files before.
const RATIO_PRELOADED_MIN: f64 = 0.65;
/// How long a caller may wait for its row.
const STALL_MAX_MS: f64 = 50.0;
/// What an ordinary disk takes longer to sync than that of a sandbox.
const SLOW_DISK: Duration = Duration::from_millis(2);
/// Rows that are there before.
const PRELOAD_FULL: usize = 300_000;
const PRELOAD_QUICK: usize = 30_000;
/// The group of the loop that neither waits for anybody nor answers anybody.
const SYNC_GROUP: usize = 100;
/// Runs of quick cases are so much shorter.
const QUICK_DIVISOR: usize = 5;

/// One measurement: a load on files made for it.
#[derive(Clone, Copy)]
struct Trial {
    /// What its figures are called.
    name: &'static str,
    producers: usize,
    /// Rows of a run.
    rows: usize,
    preload_rows: usize,
    ratio_min: Option<f64>,
    /// Slower syncs than the command line asks for.
    delay: Option<Duration>,
}

/// What a trial found.
struct Outcome {
    rates: Paired,
    /// The longest that a caller waited, of each run, in the order of the pairs and in milliseconds.
    stalls: Vec<f64>,
    bare_stalls: Vec<f64>,
}

impl Trial {
    const fn of(name: &'static str, producers: usize, rows: usize) -> Self {
        Self { name, producers, rows, preload_rows: 0, ratio_min: None, delay: None }
    }
}

fn trials(is_quick: bool, delay: Option<Duration>) -> Vec<Trial> {
    let hundred = Trial { ratio_min: Some(RATIO_MIN), ..Trial::of("100", 100, 12_000) };
    let preloaded = Trial {
        name: "100_preloaded",
        preload_rows: PRELOAD_FULL,
        ratio_min: Some(RATIO_PRELOADED_MIN),
        ..hundred
    };
    let mut trials =
        vec![Trial::of("1", 1, 2_000), Trial::of("8", 8, 6_000), hundred, Trial::of("1000", 1_000, 20_000)];
    if is_quick {
        // Another file, so another name: nobody shall take it for the promise.
        let name = "100_preloaded_quick";
        trials.push(Trial { name, preload_rows: PRELOAD_QUICK, ratio_min: None, ..preloaded });
    } else {
        trials.push(preloaded);
        if delay.is_none() {
            trials.push(Trial { name: "100_sync_2ms", rows: 4_000, delay: Some(SLOW_DISK), ..hundred });
        }
    }
    let divisor = if is_quick { QUICK_DIVISOR } else { 1 };
    for trial in &mut trials {
        trial.rows = (trial.rows / divisor).max(trial.producers);
        if delay.is_some() && trial.producers < 100 {
            // One sync a row, or nearly.
            trial.rows = (trial.rows / 5).max(trial.producers);
        }
    }
    trials
}

fn run(context: &mut Context) -> Result<(), CaseError> {
    let runtime = runtime()?;
    let settings = context.settings();
    let trials = trials(settings.is_quick(), settings.sync_delay);
    context.plan((trials.len() + 1) * pairs(context).get());
    let (mut stalls, mut bare_stalls) = (Vec::new(), Vec::new());
    for trial in trials {
        let outcome = measure(context, &runtime, trial)?;
        let name = format!("ratio_{}", trial.name);
        let ratio = median_ratio(context, &name, &outcome.rates.ratio);
        context.check(match trial.ratio_min {
            Some(limit) => ratio.at_least(limit),
            None => ratio.reported(),
        });
        context.check(spread(&name, &outcome.rates.ratio).reported());
        let rate = |side: &str, rate: &Samples| {
            Figure::new(format!("{side}rows_{}", trial.name), rate.median(), Unit::PerSecond).reported()
        };
        context.check(rate("", &outcome.rates.subject));
        context.check(rate("floor_", &outcome.rates.base));
        match trial.name {
            "8" | "100" => {
                worst_of_both(&mut stalls, &outcome.stalls);
                worst_of_both(&mut bare_stalls, &outcome.bare_stalls);
            }
            name => {
                let stall = Samples::new(outcome.stalls).median();
                context.check(ms(format!("longest_stall_{name}_ms"), stall).reported());
            }
        }
    }
    report_stalls(context, stalls, bare_stalls);
    against_sync_loop(context, &runtime)
}

/// The k-th stall of either load into the k-th of both.
fn worst_of_both(worst: &mut Vec<f64>, stalls: &[f64]) {
    if worst.is_empty() {
        worst.extend_from_slice(stalls);
    }
    for (worst, stall) in worst.iter_mut().zip(stalls) {
        *worst = worst.max(*stall);
    }
}

/// Judged is the median, over the pairs, of the longest wait in a pair's runs with 8 and 100 producers, and not the
/// longest of all: what a stall of ours comes from, the fold of the log, happens in every run, while a shared machine
/// that does not run us for a while, or whose disk is busy for others, stalls a few runs of either side. The worst
/// of all is told beside it, and so are the floor's.
fn report_stalls(context: &mut Context, stalls: Vec<f64>, bare_stalls: Vec<f64>) {
    let (stalls, bare_stalls) = (Samples::new(stalls), Samples::new(bare_stalls));
    context.check(ms("longest_stall_ms", stalls.median()).at_most(STALL_MAX_MS));
    context.check(ms("longest_stall_worst_ms", stalls.max()).reported());
    context.check(ms("floor_longest_stall_ms", bare_stalls.median()).reported());
    context.check(ms("floor_longest_stall_worst_ms", bare_stalls.max()).reported());
}

fn measure(context: &mut Context, runtime: &Runtime, trial: Trial) -> Result<Outcome, CaseError> {
    let ground = match trial.delay {
        Some(delay) => Ground::delayed(context, Some(delay))?,
        None => Ground::new(context)?,
    };
    let deadline = context.deadline();
    let load = Load::new(trial.producers, trial.rows);
    let bare = Arc::new(BareLoop::start(BareOptions {
        path: ground.path("floor.db"),
        vfs: ground.vfs.clone(),
        tasks: load.tasks,
        preload_rows: trial.preload_rows,
        seed: ground.seed,
    })?);
    let subject = runtime.block_on(ready_subject(&ground, load.tasks, trial.preload_rows, context))?;
    let (mut stalls, mut bare_stalls) = (Vec::new(), Vec::new());
    let told = |drive: Drive, stalls: &mut Vec<f64>| {
        stalls.push(drive.longest.as_secs_f64() * 1_000.0);
        drive.rows_per_second
    };
    let rates = paired::<CaseError>(
        pairs(context),
        || {
            context.advance(true);
            in_time(context, "the pairs")?;
            Ok(told(runtime.block_on(drive(&subject, load, &ground.pool, deadline))?, &mut stalls))
        },
        || Ok(told(runtime.block_on(drive(&bare, load, &ground.pool, deadline))?, &mut bare_stalls)),
    )?;
    runtime.block_on(subject.close());
    Ok(Outcome { rates, stalls, bare_stalls })
}

async fn ready_subject(
    ground: &Ground,
    tasks: usize,
    preload_rows: usize,
    context: &Context,
) -> Result<Arc<Subject>, CaseError> {
    let subject = ground.subject(tasks).await?;
    subject.fill(preload_rows, context.deadline()).await?;
    subject.warm(context.deadline()).await?;
    Ok(subject)
}

/// The strictest view: a loop without any producers, whose groups are always full.
fn against_sync_loop(context: &mut Context, runtime: &Runtime) -> Result<(), CaseError> {
    let ground = Ground::new(context)?;
    let deadline = context.deadline();
    let rows = if context.settings().is_quick() { 2_400 } else { 12_000 };
    let load = Load::new(SYNC_GROUP, rows);
    let mut options = FloorOptions::new(ground.path("floor.db"), ground.seed);
    options.vfs.clone_from(&ground.vfs);
    let mut floor = Floor::create(&options)?;
    floor.warm()?;
    let subject = runtime.block_on(ready_subject(&ground, load.tasks, 0, context))?;
    let rates = paired::<CaseError>(
        pairs(context),
        || {
            context.advance(true);
            in_time(context, "the pairs")?;
            Ok(runtime.block_on(drive(&subject, load, &ground.pool, deadline))?.rows_per_second)
        },
        || Ok(floor.group_loop(SYNC_GROUP, rows)?.rows_per_second()),
    )?;
    runtime.block_on(subject.close());
    let name = "ratio_100_to_sync_loop";
    let ratio = median_ratio(context, name, &rates.ratio);
    context.check(ratio.reported());
    context.check(spread(name, &rates.ratio).reported());
    context.check(Figure::new("sync_loop_rows_100", rates.base.median(), Unit::PerSecond).reported());
    Ok(())
}
