//! The campaigns: each tries to break promises in one way, many times over, and counts what it met. A campaign is a
//! [`Case`] like those of the matrices, with a number of runs for each [`Level`](crate::case::Level); the rules that
//! make it honest are the runner's: nine tenths of what was planned must be carried out, and each fault that a
//! campaign names must have happened.

mod args;
mod record;
mod schedules;

use crate::case::Case;

pub use args::ProveArgs;

/// The verb of the command line, and the name of the report.
pub const NAME: &str = "prove";

/// The campaigns, in the order they run.
pub const CAMPAIGNS: &[Case] = &[schedules::SCHEDULES];
