//! Decides whether a history is linearizable: object by object, as the store promises it, and then everything together,
//! as one file with one writer at a time must have it.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::call::{Call, History};
use super::model::{Scope, Span, World};
use super::search::{Found, Interval, search};

/// States that the search for one object may look at. More would mean that the history cannot be decided: it fails. One
/// history in a thousand of eight processes on a busy machine needed millions, and a gigabyte for them.
pub(super) const STATES_MAX: usize = 3_000_000;
/// States that may be looked at to try a guess.
const GUESS_STATES_MAX: usize = 20_000;
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
    fn count(&mut self, states: usize) {
        self.states += states;
        self.hardest = self.hardest.max(states);
    }

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
    judge_within(history, STATES_MAX)
}

/// The same, with another bound for each search.
pub(super) fn judge_within(history: &History, states_max: usize) -> Judged {
    let mut judged = Judged::default();
    let mut guess = Guess::default();
    for scope in scopes(history) {
        judge_in(history, scope, states_max, &mut guess, &mut judged);
    }
    judged
}

/// Which calls without an answer seem to have happened, and when they are due: after what comes before them in the
/// order that was found for one object.
#[derive(Debug, Default)]
struct Guess(HashMap<usize, u64>);

impl Guess {
    /// Learns from the order found for one object.
    fn learn(&mut self, history: &History, order: impl Iterator<Item = usize>) {
        let mut before = 0;
        for number in order {
            let call = &history.calls[number];
            if call.answer.is_some() {
                before = call.end;
            } else {
                let due = self.0.entry(number).or_default();
                *due = (*due).max(before).max(call.start);
                before = *due;
            }
        }
    }
}

fn judge_in(history: &History, scope: Scope, states_max: usize, guess: &mut Guess, judged: &mut Judged) {
    let world = World::new(history, scope);
    let concerned = history.calls.iter().enumerate().filter(|(_, call)| world.concerns(&call.asked));
    // What only looked and was not answered says nothing.
    let mut calls: Vec<(usize, &Call)> =
        concerned.filter(|(_, call)| call.answer.is_some() || !call.asked.is_read()).collect();
    calls.sort_by_key(|(_, call)| call.start);
    let look = |calls: &[(usize, &Call)], intervals: &[Interval], states_max| {
        search(intervals, world.clone(), states_max, |world, call, end| {
            let (_, call) = calls[call];
            let within = Span::new(history.store_time(call.start), history.store_time(end));
            within.map_or_else(Vec::new, |within| world.step(&history.setting, call, within))
        })
    };
    if scope == Scope::Whole {
        // A call that took effect long before anybody saw it makes the search for everything long: first it is tried
        // with what the objects alone say of such calls. If that leads nowhere, nothing is said by it.
        let mut guessed = calls.clone();
        guessed.retain(|(number, call)| call.answer.is_some() || guess.0.contains_key(number));
        let interval = |(number, call): &(usize, &Call)| {
            let due = guess.0.get(number).copied().unwrap_or(call.end);
            Interval { start: call.start, end: call.end, must: true, due }
        };
        let intervals: Vec<_> = guessed.iter().map(interval).collect();
        let searched = look(&guessed, &intervals, GUESS_STATES_MAX);
        judged.count(searched.states);
        if matches!(searched.found, Found::Linear { .. }) {
            return;
        }
    }
    let interval = |(_, call): &(usize, &Call)| {
        let must = call.answer.is_some();
        Interval { start: call.start, end: call.end, must, due: if must { call.end } else { u64::MAX } }
    };
    let intervals: Vec<_> = calls.iter().map(interval).collect();
    let searched = look(&calls, &intervals, states_max);
    judged.count(searched.states);
    match searched.found {
        Found::Linear { order } => guess.learn(history, order.into_iter().map(|call| calls[call].0)),
        Found::Exhausted => {
            judged.exhausted += 1;
            judged.complaints.push(format!("{scope:?}: not decided within {states_max} states"));
        }
        Found::Broken { order, state, stuck } => {
            let calls: Vec<_> = calls.iter().map(|(_, call)| *call).collect();
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
