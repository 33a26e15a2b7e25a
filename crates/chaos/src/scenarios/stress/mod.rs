//! The stress matrix: many processes, each with many workers, on one shared file.

mod cache_stampede;
mod concurrent_tasks;
mod lease_contention;
mod same_task_contention;
mod sweep_large;

use std::fmt::Display;

use crate::case::{Case, CaseError};
use crate::crew::field::{Field, Hand};

/// The matrix, in the order of the reference.
pub(super) const CASES: &[Case] = &[
    concurrent_tasks::CASE,
    same_task_contention::CASE,
    lease_contention::CASE,
    sweep_large::CASE,
    cache_stampede::CASE,
];

/// Processes of each case.
const MEMBERS: usize = 4;

/// Options of one member.
type Options = Vec<(&'static str, Box<dyn Display>)>;

/// Starts the members, each with options of its own, and lets them go together.
fn start(
    field: &Field,
    job: &'static str,
    options_of: impl Fn(usize) -> Options,
) -> Result<Vec<Hand>, CaseError> {
    let member = |number| (format!("member-{number}"), job, options_of(number));
    field.start_together((0..MEMBERS).map(member))
}
