//! Runs cases: each on a store of its own, its panics caught, its time bounded, its seed named.

use std::fmt;
use std::time::Duration;

use crate::conformance::cases::{CASES, Case};
use crate::conformance::failure::{Failure, Outcome, caught};
use crate::conformance::harness::Harness;
use crate::conformance::world::World;
use crate::env::Env;
use crate::sync::within;

/// The seed when the environment names none. Always the same, so that a test run can be repeated.
pub const SEED_DEFAULT: u64 = 20_261_101;

/// The variable that names another seed.
const SEED_VARIABLE: &str = "STEADFAST_SEED";

/// A case that takes longer hangs: it is reported as failed.
const CASE_TIME_MAX: Duration = Duration::from_secs(300);

/// The seed for this process: `STEADFAST_SEED` from the environment, or [`SEED_DEFAULT`].
///
/// # Errors
/// When the variable holds no number.
pub fn seed() -> Result<u64, Failure> {
    let Ok(text) = std::env::var(SEED_VARIABLE) else { return Ok(SEED_DEFAULT) };
    let wrong = |error| {
        Failure::new(format_args!("{SEED_VARIABLE} is {text:?}, which is no seed ({error}): give a number"))
    };
    text.trim().parse().map_err(wrong)
}

/// What became of the cases.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a report may tell of failed cases"]
pub struct Report {
    /// The names of the cases that passed.
    pub passed: Vec<&'static str>,
    /// The names of those that failed, each with what it found.
    pub failed: Vec<(&'static str, Failure)>,
}

impl Report {
    /// Whether the case of this name failed.
    pub fn has_failed(&self, name: &str) -> bool {
        self.failed.iter().any(|(failed, _)| *failed == name)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, failure) in &self.failed {
            writeln!(f, "{name}: {failure}")?;
        }
        write!(f, "{} passed, {} failed", self.passed.len(), self.failed.len())
    }
}

/// Runs every case, one after the other, whatever becomes of those before it. Call it inside a multi-thread tokio
/// runtime.
pub async fn run(harness: &dyn Harness) -> Report {
    let mut report = Report::default();
    for case in CASES {
        match started(harness, case).await {
            Ok(()) => report.passed.push(case.name()),
            Err(failure) => report.failed.push((case.name(), failure)),
        }
    }
    report
}

/// Runs the case of this name. See [`run`].
///
/// # Errors
/// What the case found, with its name and seed; or that there is no such case.
pub async fn run_case(harness: &dyn Harness, name: &str) -> Result<(), Failure> {
    let case = named(name)?;
    started(harness, case).await.map_err(|failure| failure.within(format_args!("\n{name}")))
}

/// Runs the case of this name under this seed, whatever the environment says. See [`run`].
///
/// # Errors
/// As [`run_case`].
pub async fn run_case_seeded(harness: &dyn Harness, name: &str, seed: u64) -> Result<(), Failure> {
    let case = named(name)?;
    outcome(harness, case, seed).await.map_err(|failure| failure.within(format_args!("\n{name}")))
}

fn named(name: &str) -> Outcome<&'static Case> {
    let case = CASES.iter().find(|case| case.name() == name);
    case.ok_or_else(|| Failure::new(format_args!("there is no case {name}: CASES names them all")))
}

async fn started(harness: &dyn Harness, case: &Case) -> Outcome {
    outcome(harness, case, seed()?).await
}

async fn outcome(harness: &dyn Harness, case: &Case, seed: u64) -> Outcome {
    let whole = caught(async { case.start(World::create(harness, seed).await?).await });
    let ended = within(&Env::system(), CASE_TIME_MAX, whole).await;
    let hung = || Err(Failure::new(format_args!("it did not end within {CASE_TIME_MAX:?}")));
    let outcome = ended.unwrap_or_else(hung).and_then(|outcome| outcome);
    outcome.map_err(|failure| failure.within(format_args!("with {SEED_VARIABLE}={seed}")))
}
