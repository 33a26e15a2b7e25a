//! `cache_stampede`: two hundred callers in four processes want the answer to one prompt at the same moment. Then again,
//! and the process whose caller asks the model is killed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{MEMBERS, Options, start};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::crew::AskReport;
use crate::crew::field::Field;
use crate::report::Figure;

/// The case.
pub(super) const CASE: Case = Case {
    id: "cache_stampede",
    title: "Cache Stampede",
    shows: "Two hundred callers cost one answer; when the one who asks is killed, one other takes over.",
    needs: Needs::Anything,
    runs: Runs::of(50, 50),
    run,
};

const MODEL: &str = "model";
/// How long the model takes: longer than it takes to find out who asked it.
const MODEL_DELAY: Duration = Duration::from_millis(400);
const ANSWER_BYTES: usize = 2_048;
/// How long one caller may take for an answer before another one asks.
const TERM: Duration = Duration::from_millis(1_500);
/// How often the model's log is looked at.
const LOG_POLL: Duration = Duration::from_millis(2);

#[allow(clippy::cast_precision_loss, reason = "some hundred callers")]
fn run(context: &mut Context) -> Result<(), CaseError> {
    let callers = context.runs();
    context.plan(callers * (2 * MEMBERS - 1));
    let field = Field::new(context, "run")?;
    let (_model, model) = field.start_outside(MODEL, MODEL_DELAY, ANSWER_BYTES)?;
    let options = |first: usize| {
        move |_| -> Options {
            vec![
                ("model", Box::new(model)),
                ("first", Box::new(first)),
                ("prompts", Box::new(1)),
                ("callers", Box::new(callers)),
                ("term-ms", Box::new(TERM.as_millis())),
            ]
        }
    };
    let hands = start(&field, "ask", options(1))?;
    let reports = hands.into_iter().map(crate::crew::field::Hand::report).collect::<Result<Vec<_>, _>>()?;
    tell(context, "", &reports, callers * MEMBERS);
    let generations = askers(&field, 1)?.len();
    context.check(Figure::count("generations_missing", usize::from(generations == 0)).at_most(0.0));
    context.check(Figure::count("generations", generations).at_most(1.0));

    let mut hands = start(&field, "ask", options(2))?;
    let owner = loop {
        if let Some(owner) = askers(&field, 2)?.into_iter().next() {
            break owner;
        }
        context.deadline().sleep(LOG_POLL, "the model to be asked")?;
    };
    let place = hands.iter().position(|hand| hand.name() == owner);
    let place = place.ok_or_else(|| CaseError::Process { process: owner, what: "is not ours".to_owned() })?;
    hands.remove(place).kill()?;
    let reports = hands.into_iter().map(crate::crew::field::Hand::report).collect::<Result<Vec<_>, _>>()?;
    tell(context, "_after_kill", &reports, callers * (MEMBERS - 1));
    let takeovers = askers(&field, 2)?.len() - 1;
    context.check(Figure::count("takeovers", takeovers).at_least(1.0));
    context.check(Figure::count("takeovers_beyond_one", takeovers.saturating_sub(1)).at_most(0.0));
    Ok(())
}

/// Who asked the model this, in that order.
fn askers(field: &Field, prompt: usize) -> Result<Vec<String>, CaseError> {
    let prompt = format!("prompt-{prompt}");
    let asked = field.asked_outside(MODEL)?.into_iter();
    Ok(asked.filter(|(asked, _)| *asked == prompt).map(|(_, asker)| asker).collect())
}

#[allow(clippy::cast_precision_loss, reason = "some hundred callers")]
fn tell(context: &mut Context, when: &str, reports: &[AskReport], callers: usize) {
    let named = |name: &str| format!("{name}{when}");
    let unanswered: usize = reports.iter().map(|report| report.trouble.count).sum();
    let answered = callers - unanswered;
    let misses: u64 = reports.iter().map(|report| report.misses).sum();
    let distinct: BTreeSet<&String> =
        reports.iter().flat_map(|report| report.answers.values().flatten()).collect();
    context.check(Figure::count(named("callers_answered"), answered).at_least(callers as f64));
    context.check(Figure::count(named("distinct_answers"), distinct.len()).at_most(1.0));
    context.check(Figure::count(named("misses"), usize::try_from(misses).unwrap_or(usize::MAX)).at_most(1.0));
    context.findings.notes.extend(reports.iter().flat_map(|report| report.trouble.told.iter().cloned()));
    for _ in 0..answered {
        context.advance(true);
    }
}
