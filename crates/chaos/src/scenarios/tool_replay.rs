//! `tool_replay`: one process runs five hundred real shell commands, another one asks for them again. The commands count
//! themselves, in a file that nobody else writes.

use std::collections::BTreeMap;
use std::fs;

use steadfast_store::TOOL_KEYS;

use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::crew::ToolsReport;
use crate::crew::field::Field;
use crate::report::{Figure, Unit};

/// The case.
pub(super) const CASE: Case = Case {
    id: "tool_replay",
    title: "Tool Replay Stress",
    shows: "Every command runs once: asked for again by another process, it is answered with its first output.",
    needs: Needs::Anything,
    runs: Runs::of(100, 500),
    run,
};

#[allow(clippy::cast_precision_loss, reason = "some hundred commands")]
fn run(context: &mut Context) -> Result<(), CaseError> {
    let commands = context.runs();
    context.plan(2 * commands);
    let field = Field::new(context, "run")?;
    let counter = field.path("counter.log");
    let call = |name| {
        let mut hand =
            field.start(name, "tools", &[("count", &commands), ("counter", &counter.display())])?;
        hand.wait_until_ready()?;
        hand.go()?;
        hand.report::<ToolsReport>()
    };
    let (first, second) = (call("first")?, call("second")?);
    let text = fs::read_to_string(&counter).map_err(CaseError::io("reading the counter"))?;
    let mut runs: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines() {
        *runs.entry(line).or_default() += 1;
    }
    let again = runs.values().filter(|count| **count > 1).count();
    let equal = first.outputs.iter().zip(&second.outputs).filter(|(one, other)| one == other).count();
    let wanted = commands as f64;
    let (executions, replays) = (first.executions + second.executions, first.replays + second.replays);
    context.check(Figure::count("commands_counted_outside", text.lines().count()).at_least(wanted));
    context.check(Figure::count("commands_run_again", again).at_most(0.0));
    context.check(Figure::new("executions", executions as f64, Unit::Count).at_most(wanted));
    context.check(Figure::new("replays", replays as f64, Unit::Count).at_least(wanted));
    let rate = replays as f64 / (executions + replays) as f64;
    context.check(Figure::new("replay_rate", rate * 100.0, Unit::Percent).at_least(50.0).exact());
    context.check(Figure::ratio("replay_rate_of_second", second.replay_rate).at_least(1.0).exact());
    context.check(Figure::count("equal_outputs", equal).at_least(wanted));
    context.check(Figure::count("without_outcome", first.trouble.count + second.trouble.count).at_most(0.0));
    let recorded = field.audit()?.succeeded_operations(TOOL_KEYS)?;
    context.check(Figure::count("recorded_outcomes", recorded).at_least(wanted));
    context.findings.notes.extend(first.trouble.told.into_iter().chain(second.trouble.told));
    for _ in 0..first.outputs.len() + second.outputs.len() {
        context.advance(true);
    }
    Ok(())
}
