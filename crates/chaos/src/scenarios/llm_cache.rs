//! `llm_cache`: one process asks a thousand prompts, another one asks them again. The model counts.

use std::time::Duration;

use steadfast_store::MODEL_KEYS;

use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::crew::AskReport;
use crate::crew::field::Field;
use crate::report::{Figure, Unit};

/// The case.
pub(super) const CASE: Case = Case {
    id: "llm_cache",
    title: "LLM Cache Stress",
    shows: "Every prompt is paid for once: the second asker gets the same bytes, from another process.",
    needs: Needs::Anything,
    runs: Runs::of(1_000, 1_000),
    run,
};

const MODEL: &str = "model";
/// How long an answer takes to make, and its length.
const MODEL_DELAY: Duration = Duration::from_micros(100);
const ANSWER_BYTES: usize = 2_048;
/// How long one asker has for an answer: the reference's default would do as well.
const TERM: Duration = Duration::from_mins(5);

#[allow(clippy::cast_precision_loss, reason = "some thousand prompts")]
fn run(context: &mut Context) -> Result<(), CaseError> {
    let prompts = context.runs();
    context.plan(2 * prompts);
    let field = Field::new(context, "run")?;
    let (_model, model) = field.start_outside(MODEL, MODEL_DELAY, ANSWER_BYTES)?;
    let ask = |name| {
        let term = TERM.as_millis();
        let options: [(&str, &dyn std::fmt::Display); 4] =
            [("model", &model), ("prompts", &prompts), ("callers", &1), ("term-ms", &term)];
        let mut hand = field.start(name, "ask", &options)?;
        hand.wait_until_ready()?;
        hand.go()?;
        hand.report::<AskReport>()
    };
    let (first, second) = (ask("first")?, ask("second")?);
    let calls = field.asked_outside(MODEL)?.len();
    let equal = first
        .answers
        .iter()
        .filter(|(prompt, bytes)| bytes.len() == 1 && second.answers.get(*prompt) == Some(bytes));
    let equal = equal.count();
    let wanted = prompts as f64;
    let (hits, misses) = (first.hits + second.hits, first.misses + second.misses);
    let rate = hits as f64 / (hits + misses) as f64;
    let exactly = |name: &str, value: f64| {
        Figure::new(format!("{name}_off_by"), (value - wanted).abs(), Unit::Count).at_most(0.0)
    };
    context.check(Figure::new("misses", misses as f64, Unit::Count).at_least(wanted));
    context.check(Figure::new("hits", hits as f64, Unit::Count).at_least(wanted));
    context.check(exactly("misses", misses as f64));
    context.check(exactly("hits", hits as f64));
    context.check(exactly("model_calls", calls as f64));
    context.check(exactly("cached_answers", field.audit()?.succeeded_operations(MODEL_KEYS)? as f64));
    context.check(Figure::count("answers_with_equal_bytes", equal).at_least(wanted));
    context.check(Figure::new("hit_rate", rate * 100.0, Unit::Percent).at_least(50.0).exact());
    context.check(Figure::ratio("hit_rate_of_second", second.hit_rate).at_least(1.0).exact());
    context.check(Figure::new("tokens_saved", second.tokens_saved as f64, Unit::Count).at_least(wanted));
    context.check(
        Figure::new("cost_saved_micros", second.cost_saved_micros as f64, Unit::Count).at_least(wanted),
    );
    context.check(Figure::count("unanswered", first.trouble.count + second.trouble.count).at_most(0.0));
    let told = first.trouble.told.into_iter().chain(second.trouble.told);
    context.findings.notes.extend(told);
    for answers in [&first.answers, &second.answers] {
        for _ in answers {
            context.advance(true);
        }
    }
    Ok(())
}
