//! `concurrent_checkpoints`: processes append to one file at once, half of them to one task; then all of them as fast as
//! they can for a while, and nobody starves.

use std::fmt::Display;
use std::time::Duration;

use super::appends::Appends;
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::crew::field::{Field, Hand};
use crate::report::Figure;

/// The case.
pub(super) const CASE: Case = Case {
    id: "concurrent_checkpoints",
    title: "Concurrent Checkpoints",
    shows: "Ten processes append to one file: every checkpoint is there, none is refused, no process starves.",
    needs: Needs::Processes,
    runs: Runs::of(10, 10),
    run,
};

/// Processes.
const MEMBERS: usize = 10;
/// The task of the first half of them; the others have one each.
const SHARED: &str = "shared";
/// How long they append as fast as they can.
const RUSH_QUICK: Duration = Duration::from_secs(2);
const RUSH_FULL: Duration = Duration::from_secs(10);
/// Of a fair share.
const POOREST_MIN: f64 = 0.5;

fn run(context: &mut Context) -> Result<(), CaseError> {
    let of_each = context.runs();
    let planned = MEMBERS * of_each;
    context.plan(planned);
    let (field, tasks) = field(context, "burst")?;
    let hands = start(&field, "count", &of_each)?;
    let burst = Appends::gather(&field, &distinct(&tasks), hands)?;
    burst.advance(context);
    burst.tell(context, planned);
    context.check(burst.longest("longest_wait_ms"));

    let (field, tasks) = self::field(context, "rush")?;
    let span = if context.settings().is_quick() { RUSH_QUICK } else { RUSH_FULL };
    let hands = start(&field, "millis", &span.as_millis())?;
    let rush = Appends::gather(&field, &distinct(&tasks), hands)?;
    rush.tell_as(context, "rush_", 1);
    context.check(Figure::ratio("poorest_process_share", rush.poorest_share()).at_least(POOREST_MIN));
    context.check(rush.longest("rush_longest_wait_ms"));
    Ok(())
}

/// A file with the tasks of the members, in their order.
fn field(context: &Context, name: &str) -> Result<(Field, Vec<String>), CaseError> {
    let tasks: Vec<String> = (0..MEMBERS).map(task_of).collect();
    let field = Field::new(context, name)?;
    field.submit(&distinct(&tasks), 0)?;
    Ok((field, tasks))
}

fn task_of(member: usize) -> String {
    if member < MEMBERS / 2 { SHARED.to_owned() } else { format!("own-{member}") }
}

fn distinct(tasks: &[String]) -> Vec<String> {
    let mut tasks = tasks.to_vec();
    tasks.dedup();
    tasks
}

fn start(
    field: &Field,
    limit: &'static str,
    value: &(impl Display + Clone + 'static),
) -> Result<Vec<Hand>, CaseError> {
    field.start_together((0..MEMBERS).map(|member| {
        let options: Vec<(&str, Box<dyn Display>)> =
            vec![("task", Box::new(task_of(member))), (limit, Box::new(value.clone()))];
        (format!("member-{member}"), "append", options)
    }))
}
