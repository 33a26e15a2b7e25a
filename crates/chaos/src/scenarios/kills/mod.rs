//! Killing workers: one run is a task, worker after worker killed over it with SIGKILL, and after each death a look at
//! what is left. [`kill9`] has many short runs, [`e2e`] one long one with a model.

pub(super) mod e2e;
pub(super) mod kill9;
mod look;
mod lose;
mod plan;
mod sql;
pub(crate) mod tally;
mod trial;

use std::time::Duration;

/// How long a lease lasts without renewal: real, and short enough for dozens of recoveries.
const TERM: Duration = Duration::from_millis(1_000);
/// How often a worker that waits for an item sweeps.
const SWEEP_PERIOD: Duration = Duration::from_millis(25);
/// What a recovery may take beside the term and a sweep: starting a process, opening the file, one step.
const SLACK: Duration = Duration::from_millis(250);
/// Lines that tell what was broken.
const DETAILS_MAX: usize = 10;

/// What a recovery may take.
fn recovery_max() -> Duration {
    TERM + SWEEP_PERIOD + SWEEP_PERIOD / 10 + SLACK
}
