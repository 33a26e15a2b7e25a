//! `memory`: the most memory that a process has whose hundred tasks write at once.

use std::fmt::Display;

use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::crew::AppendReport;
use crate::crew::field::Field;
use crate::report::{Figure, Unit};

/// The case.
pub(super) const CASE: Case = Case {
    id: "memory",
    title: "Memory",
    shows: "A process with a hundred concurrent tasks stays under 64 MiB.",
    needs: Needs::Processes,
    runs: Runs::of(1, 5),
    run,
};

const TASKS: usize = 100;
const CHECKPOINTS: usize = 5;
const PEAK_MAX_BYTES: f64 = 64.0 * 1024.0 * 1024.0;

#[allow(clippy::cast_precision_loss, reason = "kibibytes of a process")]
fn run(context: &mut Context) -> Result<(), CaseError> {
    let tasks: Vec<String> = (0..TASKS).map(|task| format!("task-{task:03}")).collect();
    let mut peak = 0;
    for run in 0..context.runs() {
        let field = Field::new(context, &format!("run-{run}"))?;
        field.submit(&tasks, 0)?;
        let mut options: Vec<(&str, &dyn Display)> = tasks.iter().map(|task| ("task", task as _)).collect();
        options.extend([("writers", &TASKS as &dyn Display), ("count", &CHECKPOINTS as _)]);
        let mut hand = field.start("member", "append", &options)?;
        hand.wait_until_ready()?;
        hand.go()?;
        let report: AppendReport = hand.report()?;
        context.advance(report.appended.len() == TASKS * CHECKPOINTS);
        peak = peak.max(report.peak_kib);
    }
    context
        .check(Figure::new("peak_memory_bytes", peak as f64 * 1024.0, Unit::Bytes).at_most(PEAK_MAX_BYTES));
    Ok(())
}
