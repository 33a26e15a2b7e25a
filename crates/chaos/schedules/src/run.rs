//! Runs a scenario so many times, and prints what came of it.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::{Map, Value, json};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

use crate::arguments::{Arguments, Chooser};
use crate::bugs::BUGS;
use crate::met::Met;
use crate::scenarios::{SCENARIOS, folder};
use crate::traced::{Trace, Traced};

/// Stack of each thread and future; SQLite and JSON take more than shuttle gives unasked.
const STACK_BYTES: usize = 512 * 1024;
/// Steps of one schedule at most: a scenario takes some hundreds. More of them means that nobody gets anywhere.
const STEPS_MAX: usize = 50_000;
/// Instants at which priorities change, and one more.
const PCT_DEPTH: usize = 4;

/// What broke first. What comes out of the explorer may be what followed from it: a thread that panics lets go of its
/// channels, and those at their other ends break too.
static BROKE_FIRST: OnceLock<String> = OnceLock::new();

/// The program: 0 when nothing broke, 1 when something did, 2 when it was not told rightly what to do.
pub(crate) fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).peekable();
    if words.peek().is_some_and(|word| word == "--list") {
        println!("{}", list());
        return ExitCode::SUCCESS;
    }
    match Arguments::read(words) {
        Ok(arguments) => explore(&arguments),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// What there is to explore, for the campaign.
fn list() -> Value {
    let scenario = |scenario: &crate::scenarios::Scenario| {
        let meets: Vec<&str> = scenario.meets.iter().map(|met| met.name()).collect();
        json!({ "name": scenario.name, "shows": scenario.shows, "share": scenario.share, "meets": meets })
    };
    let scenarios: Vec<Value> = SCENARIOS.iter().map(scenario).collect();
    let bug =
        |bug: &crate::bugs::Bug| json!({ "name": bug.name, "scenario": bug.scenario, "breaks": bug.breaks });
    let bugs: Vec<Value> = BUGS.iter().map(bug).collect();
    json!({ "scenarios": scenarios, "bugs": bugs })
}

fn explore(arguments: &Arguments) -> ExitCode {
    folder::choose(&arguments.folder);
    if let Some(bug) = arguments.planted {
        bug.plant();
    }
    let (seed, schedules) = (arguments.seed, arguments.schedules);
    let (trace, failed) = match arguments.chooser {
        Chooser::Random => run(arguments, RandomScheduler::new_from_seed(seed, schedules)),
        Chooser::Pct => run(arguments, PctScheduler::new_from_seed(seed, PCT_DEPTH, schedules)),
    };
    let met: Map<String, Value> = Met::ALL
        .into_iter()
        .filter(|met| met.times() > 0)
        .map(|met| (met.name().to_owned(), met.times().into()))
        .collect();
    let told = json!({
        "schedules": trace.begun,
        "different": trace.different.len(),
        "choices": trace.choices,
        "met": met,
        "failed": failed,
    });
    println!("{told}");
    // Not by returning: a schedule that broke leaves threads of the explorer's behind.
    std::process::exit(i32::from(failed.is_some()))
}

/// What was seen, and what broke.
fn run(arguments: &Arguments, scheduler: impl Scheduler + 'static) -> (Trace, Option<String>) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    let trace = Arc::new(Mutex::new(Trace::default()));
    let runner = Runner::new(Traced { scheduler, trace: Arc::clone(&trace) }, config);
    panic::set_hook(Box::new(|panic| drop(BROKE_FIRST.set(words_of(panic.payload())))));
    let scenario = arguments.scenario.run;
    let ran = catch_unwind(AssertUnwindSafe(|| runner.run(scenario)));
    let trace = std::mem::take(&mut *trace.lock().unwrap_or_else(PoisonError::into_inner));
    let broke = |panic: Box<dyn Any + Send>| BROKE_FIRST.get().cloned().unwrap_or_else(|| words_of(&*panic));
    (trace, ran.err().map(broke))
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}
