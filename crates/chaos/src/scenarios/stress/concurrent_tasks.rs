//! `concurrent_tasks`: a hundred tasks at once, five checkpoints each.

use super::{MEMBERS, Options, start};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::crew::field::Field;
use crate::report::{Figure, Unit};
use crate::scenarios::appends::Appends;

/// The case.
pub(super) const CASE: Case = Case {
    id: "concurrent_tasks",
    title: "Concurrent Task Execution",
    shows: "A hundred tasks write at once: every one of their checkpoints is there.",
    needs: Needs::Anything,
    runs: Runs::of(100, 100),
    run,
};

/// Checkpoints of each task.
const CHECKPOINTS: usize = 5;

#[allow(clippy::cast_precision_loss, reason = "kibibytes of a process")]
fn run(context: &mut Context) -> Result<(), CaseError> {
    let tasks: Vec<String> = (0..context.runs()).map(|task| format!("task-{task:03}")).collect();
    let planned = tasks.len() * CHECKPOINTS;
    context.plan(planned);
    let field = Field::new(context, "run")?;
    field.submit(&tasks, 0)?;
    let share = tasks.len().div_ceil(MEMBERS);
    let options = |member: usize| {
        let own = tasks.iter().skip(member * share).take(share);
        let mut options: Options = own.map(|task| ("task", Box::new(task.clone()) as _)).collect();
        let writers = options.len();
        options.push(("writers", Box::new(writers)));
        options.push(("count", Box::new(CHECKPOINTS)));
        options
    };
    let appends = Appends::gather(&field, &tasks, start(&field, "append", options)?)?;
    appends.advance(context);
    appends.tell(context, planned);
    context.check(appends.success(planned));
    context.check(appends.longest("longest_wait_ms"));
    context
        .check(Figure::new("peak_memory_bytes", appends.peak_kib() as f64 * 1024.0, Unit::Bytes).reported());
    Ok(())
}
