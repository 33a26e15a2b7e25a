//! `same_task_contention`: twenty writers, one task.

use super::{MEMBERS, Options, start};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::crew::field::Field;
use crate::scenarios::appends::Appends;

/// The case.
pub(super) const CASE: Case = Case {
    id: "same_task_contention",
    title: "Database Contention",
    shows: "Twenty writers in four processes append to one task: every checkpoint has a number of its own.",
    needs: Needs::Anything,
    runs: Runs::of(20, 20),
    run,
};

const TASK: &str = "contended";
/// Writers of each process.
const WRITERS: usize = 5;

fn run(context: &mut Context) -> Result<(), CaseError> {
    let of_each = context.runs();
    let planned = MEMBERS * WRITERS * of_each;
    context.plan(planned);
    let field = Field::new(context, "run")?;
    let tasks = [TASK.to_owned()];
    field.submit(&tasks, 0)?;
    let options = |_| -> Options {
        vec![("task", Box::new(TASK)), ("writers", Box::new(WRITERS)), ("count", Box::new(of_each))]
    };
    let appends = Appends::gather(&field, &tasks, start(&field, "append", options)?)?;
    appends.advance(context);
    appends.tell(context, planned);
    context.check(appends.success(planned));
    context.check(appends.longest("longest_wait_ms"));
    Ok(())
}
