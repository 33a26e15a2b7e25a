//! One seed: its run, a second one to compare it with, and, when it fails, the smallest plan that still does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use super::oracle::{Broken, Promise};
use super::plan::Plan;
use super::planted::Plant;
use super::shrink::shrunk;
use super::world::{self, How, Told};

/// One seed in so many is run a second time.
const AGAIN_SHARE: u64 = 20;
/// Lines of the log that are told of a failure.
const LOG_TOLD: usize = 12;

/// What came of a seed.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) seed: u64,
    pub(super) told: Told,
    /// How a second run compared: on the same backend, or on memory after SQLite.
    pub(super) again: Option<Again>,
    /// A failure in words, with all that is needed to see it again.
    pub(super) failure: Option<String>,
}

/// A second run of the same plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Again {
    /// Whether it was on the other backend.
    pub(super) on_other_backend: bool,
    /// Whether its log was the same, byte for byte.
    pub(super) is_same: bool,
}

/// Runs a seed. The error says why it could not be run.
pub(super) fn trial(seed: u64, folder: &Path) -> Result<Trial, String> {
    let plan = Plan::draw(seed);
    let told = run(&plan, folder, None)?;
    let again = if plan.on_sqlite || seed % AGAIN_SHARE == 1 {
        let second = run(&Plan { on_sqlite: false, ..plan.clone() }, folder, None)?;
        Some(Again { on_other_backend: plan.on_sqlite, is_same: second.hash == told.hash })
    } else {
        None
    };
    let failure = told.broken.first().map(|broken| failure(&plan, broken, folder, None));
    Ok(Trial { seed, told, again, failure })
}

/// Runs a plan; a panic in it is a broken promise.
pub(super) fn run(plan: &Plan, folder: &Path, plant: Option<Plant>) -> Result<Told, String> {
    how(plan, How { folder, plant, keeps_log: false })
}

fn how(plan: &Plan, how: How<'_>) -> Result<Told, String> {
    match catch_unwind(AssertUnwindSafe(|| world::run(plan, how))) {
        Ok(Ok(told)) => Ok(told),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let what = format!("it panicked: {}", said.unwrap_or_default());
            let broken = vec![Broken { promise: Promise::Ends, at: Duration::ZERO, what }];
            Ok(Told { broken, ..Told::nothing() })
        }
    }
}

/// A failure in words: what broke, the smallest plan that breaks it, the end of its log, the command.
pub(super) fn failure(plan: &Plan, broken: &Broken, folder: &Path, plant: Option<Plant>) -> String {
    let fails = |plan: &Plan| run(plan, folder, plant).ok()?.broken.into_iter().next();
    let (small, last) = shrunk(plan, broken, fails);
    let told = how(&small, How { folder, plant, keeps_log: true });
    let log = told.map(|told| told.log).unwrap_or_default();
    let log = log[log.len().saturating_sub(LOG_TOLD)..].join("\n    ");
    let seed = plan.seed;
    format!(
        "seed {seed}: {broken}\n  smallest plan that breaks it too ({last}):\n  {small}\n  \
         the end of its log:\n    {log}\n  run it again: cargo xtask prove simulate --seed {seed} --runs 1"
    )
}
