//! What the campaign counts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::call::{Answer, Call, History, Why};
use super::corrupt::Corruption;
use super::judge::{Judged, judge};
use crate::case::Context;
use crate::report::{Figure, Unit};

/// From so many histories on, every kind of answer must have been met, and every class of corruption tried.
const HISTORIES_FOR_ALL: usize = 40;
/// Of the calls of a process that was not killed, so many must be answered with more than "nothing was done".
const ANSWERED_MIN: f64 = 0.9;

/// Every kind of answer that must be met: histories without them test nothing of what they are about.
const KINDS: [&str; 33] = [
    "claimed",
    "claimed nothing",
    "renewed",
    "settled",
    "cancelled",
    "requeued",
    "swept",
    "swept nothing",
    "appended",
    "stepped",
    "begun",
    "begun again",
    "finished",
    "invalidated",
    "told",
    "told again",
    "item",
    "head",
    "chain",
    "operation",
    "superseded",
    "stale fence",
    "not leased",
    "item ended",
    "not requeuable",
    "wrong parent",
    "conflict",
    "in flight",
    "in doubt",
    "ended",
    "unfinished",
    "stale token",
    "no operation",
];

/// Of one class of corruption: how many were planted, and how many caught.
#[derive(Debug, Clone, Copy, Default)]
struct Caught {
    planted: usize,
    caught: usize,
}

/// Counts over all histories.
#[derive(Debug, Default)]
pub(super) struct Tally {
    histories: usize,
    /// Histories that no order explains.
    pub(super) wrong: usize,
    exhausted: usize,
    calls: usize,
    refused: usize,
    unknown: usize,
    killed: usize,
    asked_again: usize,
    states: usize,
    hardest: usize,
    most_open: usize,
    longest: Duration,
    kinds: BTreeSet<&'static str>,
    refusals: BTreeSet<String>,
    corruptions: BTreeMap<Corruption, Caught>,
}

impl Tally {
    /// Judges a history, and counts it.
    pub(super) fn take(&mut self, history: &History, is_killed: bool) -> Judged {
        let judged = judge(history);
        self.histories += 1;
        self.wrong += usize::from(!judged.is_right() && judged.exhausted == 0);
        self.exhausted += judged.exhausted;
        self.killed += usize::from(is_killed);
        self.calls += history.calls.len();
        self.states += judged.states;
        self.hardest = self.hardest.max(judged.hardest);
        self.most_open = self.most_open.max(most_open(&history.calls));
        for call in &history.calls {
            self.asked_again += usize::from(call.is_again);
            match &call.answer {
                None => self.unknown += 1,
                Some(Answer::Nothing(why)) => {
                    self.refused += 1;
                    self.refusals.insert(why.clone());
                }
                Some(answer) => {
                    self.longest = self.longest.max(Duration::from_nanos(call.end - call.start));
                    self.kinds.extend(kind_of(answer));
                }
            }
        }
        judged
    }

    /// Plants corruptions in a right history, and counts those that are caught.
    pub(super) fn corrupt(&mut self, history: &History, number: usize, rng: &mut fastrand::Rng) {
        // Two of each history, in turn.
        for place in [2 * number, 2 * number + 1] {
            let corruption = Corruption::ALL[place % Corruption::ALL.len()];
            if let Some(wrong) = corruption.plant(history, rng) {
                let caught = self.corruptions.entry(corruption).or_default();
                caught.planted += 1;
                caught.caught += usize::from(!judge(&wrong).complaints.is_empty());
            }
        }
    }

    /// Tells it all.
    #[allow(clippy::cast_precision_loss, reason = "nothing here is counted up to 2^53")]
    pub(super) fn tell(&self, context: &mut Context) {
        context.check(Figure::count("histories_judged", self.histories).reported());
        context.check(Figure::count("not_linearizable", self.wrong).at_most(0.0));
        context.check(Figure::count("searches_exhausted", self.exhausted).at_most(0.0));
        context.check(Figure::count("calls", self.calls).reported());
        context.check(Figure::count("calls_without_an_answer", self.unknown).reported());
        context.check(Figure::count("calls_asked_again", self.asked_again).reported());
        context.check(Figure::count("histories_with_a_process_killed", self.killed).reported());
        let done = 1.0 - self.refused as f64 / self.calls.max(1) as f64;
        context.check(Figure::ratio("calls_that_the_store_took", done).at_least(ANSWERED_MIN).exact());
        context.check(Figure::count("states_searched", self.states).reported());
        context.check(Figure::count("states_of_the_hardest_search", self.hardest).reported());
        context.check(Figure::count("most_calls_open_at_once", self.most_open).reported());
        context.check(Figure::new("longest_call", self.longest.as_secs_f64() * 1_000.0, Unit::Ms).reported());
        self.tell_coverage(context);
        self.tell_corruptions(context);
    }

    fn tell_coverage(&self, context: &mut Context) {
        let unmet: Vec<&str> = KINDS.into_iter().filter(|kind| !self.kinds.contains(kind)).collect();
        let figure = Figure::count("kinds_of_answers_never_met", unmet.len());
        let is_due = self.histories >= HISTORIES_FOR_ALL;
        context.check(if is_due { figure.at_most(0.0) } else { figure.reported() });
        if !unmet.is_empty() {
            context.findings.notes.push(format!("never answered: {}", unmet.join(", ")));
        }
        for refusal in self.refusals.iter().take(3) {
            context.findings.notes.push(format!("refused: {refusal}"));
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "nothing here is counted up to 2^53")]
    fn tell_corruptions(&self, context: &mut Context) {
        let all: Vec<_> = Corruption::ALL
            .into_iter()
            .map(|class| (class, self.corruptions.get(&class).copied().unwrap_or_default()))
            .collect();
        let planted: usize = all.iter().map(|(_, counted)| counted.planted).sum();
        let caught: usize = all.iter().map(|(_, counted)| counted.caught).sum();
        context.check(Figure::count("corruptions_planted", planted).reported());
        let share = 100.0 * caught as f64 / planted.max(1) as f64;
        context.check(Figure::new("corruptions_caught", share, Unit::Percent).reported());
        let uncaught = all.iter().filter(|(_, counted)| counted.caught == 0);
        let is_due = self.histories >= HISTORIES_FOR_ALL && self.wrong == 0;
        let figure = Figure::count("classes_of_corruption_never_caught", uncaught.count());
        context.check(if is_due { figure.at_most(0.0) } else { figure.reported() });
        let told =
            all.iter().map(|(class, counted)| format!("{class:?} {}/{}", counted.caught, counted.planted));
        context.findings.notes.push(format!("corruptions caught: {}", told.collect::<Vec<_>>().join(", ")));
    }
}

/// Most calls under way at one moment.
fn most_open(calls: &[Call]) -> usize {
    let answered = calls.iter().filter(|call| call.answer.is_some());
    let mut edges: Vec<(u64, bool)> =
        answered.flat_map(|call| [(call.start, true), (call.end, false)]).collect();
    edges.sort_unstable();
    let (mut open, mut most) = (0_usize, 0);
    for (_, is_start) in edges {
        open = if is_start { open + 1 } else { open.saturating_sub(1) };
        most = most.max(open);
    }
    most
}

/// What kind of answer it is.
fn kind_of(answer: &Answer) -> Option<&'static str> {
    Some(match answer {
        Answer::Claimed(rows) if rows.is_empty() => "claimed nothing",
        Answer::Claimed(_) => "claimed",
        Answer::Renewed { .. } => "renewed",
        Answer::Settled { .. } => "settled",
        Answer::Cancelled => "cancelled",
        Answer::Requeued { .. } => "requeued",
        Answer::Swept(reclaimed) if reclaimed.is_empty() => "swept nothing",
        Answer::Swept(_) => "swept",
        Answer::Appended { .. } => "appended",
        Answer::Stepped { .. } => "stepped",
        Answer::Begun { attempt: 1, .. } => "begun",
        Answer::Begun { .. } => "begun again",
        Answer::Finished { .. } => "finished",
        Answer::Invalidated { .. } => "invalidated",
        Answer::Told { is_hit: false, .. } => "told",
        Answer::Told { .. } => "told again",
        Answer::Item(_) => "item",
        Answer::Head(_) => "head",
        Answer::Chain(_) => "chain",
        Answer::Operation(_) => "operation",
        Answer::Superseded => "superseded",
        Answer::Rejected(why) => match why {
            Why::StaleFence { .. } => "stale fence",
            Why::NotLeased { .. } => "not leased",
            Why::ItemEnded { .. } => "item ended",
            Why::NotRequeuable { .. } => "not requeuable",
            Why::WrongParent { .. } => "wrong parent",
            Why::Conflict => "conflict",
            Why::InFlight { .. } => "in flight",
            Why::InDoubt { .. } => "in doubt",
            Why::Ended { .. } => "ended",
            Why::Unfinished { .. } => "unfinished",
            Why::StaleToken => "stale token",
            Why::NoOperation => "no operation",
            Why::Owned { .. } | Why::Other(_) => return None,
        },
        Answer::Sight(_) | Answer::Nothing(_) => return None,
    })
}
