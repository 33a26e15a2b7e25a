//! Decides whether a history is linearizable: object by object, as the store promises it, and then everything together,
//! as one file with one writer at a time must have it.

use std::fmt::Write as _;

use super::call::{Call, History};
use super::model::{Scope, Span, World};
use super::search::{Found, Interval, search};

/// States that the search for one object may look at. More would mean that the history cannot be decided: it fails.
pub(super) const STATES_MAX: usize = 300_000;
/// Calls that a complaint tells of.
const CALLS_TOLD: usize = 12;

/// What came of a history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// States that were looked at, of all objects.
    pub(super) states: usize,
    /// States that the hardest object took.
    pub(super) hardest: usize,
    /// Objects that could not be decided.
    pub(super) exhausted: usize,
    /// In words, what could not have been answered so.
    pub(super) complaints: Vec<String>,
}

impl Judged {
    /// Whether there is a right order for every object, and for all of them.
    pub(super) fn is_right(&self) -> bool {
        self.complaints.is_empty() && self.exhausted == 0
    }
}

/// Every object of a history alone, and all together last.
fn scopes(history: &History) -> Vec<Scope> {
    let setting = &history.setting;
    let items = (0..setting.items.len()).map(Scope::Item);
    let chains = (0..setting.tasks).map(Scope::Chain);
    let operations = (0..setting.operations).map(Scope::Operation);
    let caches = (0..setting.caches).map(Scope::Cache);
    items.chain(chains).chain(operations).chain(caches).chain([Scope::Whole]).collect()
}

/// Decides `history`, whose calls need not be in any order.
pub(super) fn judge(history: &History) -> Judged {
    let mut judged = Judged::default();
    for scope in scopes(history) {
        judge_in(history, scope, &mut judged);
    }
    judged
}

fn judge_in(history: &History, scope: Scope, judged: &mut Judged) {
    let world = World::new(history, scope);
    let mut calls: Vec<&Call> = history.calls.iter().filter(|call| world.concerns(&call.asked)).collect();
    // What only looked and was not answered says nothing.
    calls.retain(|call| call.answer.is_some() || !call.asked.is_read());
    calls.sort_by_key(|call| call.start);
    let interval = |call: &&Call| {
        let Call { start, end, .. } = **call;
        Interval { start, end, must: call.answer.is_some() }
    };
    let intervals: Vec<_> = calls.iter().map(interval).collect();
    let within = |call: &Call| Span::new(history.store_time(call.start), history.store_time(call.end));
    let spans: Vec<_> = calls.iter().map(|call| within(call)).collect();
    let searched = search(&intervals, world, STATES_MAX, |world, call| match spans[call] {
        Some(span) => world.step(&history.setting, calls[call], span),
        None => Vec::new(),
    });
    judged.states += searched.states;
    judged.hardest = judged.hardest.max(searched.states);
    match searched.found {
        Found::Linear { .. } => {}
        Found::Exhausted => {
            judged.exhausted += 1;
            judged.complaints.push(format!("{scope:?}: not decided within {STATES_MAX} states"));
        }
        Found::Broken { order, state, stuck } => {
            judged.complaints.push(complaint(scope, &calls, &order, &state, &stuck));
        }
    }
}

fn complaint(scope: Scope, calls: &[&Call], order: &[usize], state: &World, stuck: &[usize]) -> String {
    let mut told = format!(
        "{scope:?}: no order of its {} calls explains their answers; {} of them can be ordered, the last of these being",
        calls.len(),
        order.len()
    );
    // Writing to a string cannot fail.
    for call in order.iter().rev().take(CALLS_TOLD).rev() {
        let _ = write!(told, "\n    {}", line(calls[*call]));
    }
    let _ = write!(told, "\n  which leaves {state:?}\n  and none of these can follow");
    for call in stuck.iter().take(CALLS_TOLD) {
        let _ = write!(told, "\n    {}", line(calls[*call]));
    }
    told
}

fn line(call: &Call) -> String {
    let Call { process, caller, asked, start, end, .. } = call;
    let again = if call.is_again { " again" } else { "" };
    let answer = call.answer.as_ref().map_or_else(|| "no answer".to_owned(), |answer| format!("{answer:?}"));
    format!("{process}/{caller} {}..{} us: {asked:?}{again} -> {answer}", start / 1_000, end / 1_000)
}
