//! The campaigns: each tries to break promises in one way, many times over, and counts what it met. A campaign is a
//! [`Case`] like those of the matrices, with a number of runs for each [`Level`](crate::case::Level); the rules that
//! make it honest are the runner's: nine tenths of what was planned must be carried out, and each fault that a
//! campaign names must have happened.

mod args;
mod components;
mod conformance;
pub mod fuzz;
pub mod histories;
pub mod iofault;
#[cfg(feature = "model")]
mod model;
mod mutants;
mod parts;
mod powerloss;
mod record;
mod schedules;
mod sigkill;
mod simulate;

use crate::case::Case;

pub use args::ProveArgs;
pub use components::VisitArgs;

/// The verb of the command line, and the name of the report.
pub const NAME: &str = "prove";

/// What a run of a program with a planted bug prints first, before the bug's name.
const PLANTED: &str = "planted: ";

/// The campaigns, in the order they run.
pub const CAMPAIGNS: &[Case] = &[
    powerloss::CASE,
    iofault::CASE,
    sigkill::CASE,
    simulate::CAMPAIGN,
    histories::CASE,
    #[cfg(feature = "model")]
    model::CASE,
    schedules::SCHEDULES,
    fuzz::FUZZ,
    conformance::CASE,
    components::CASE,
    mutants::CASE,
];
