//! The protocol: what workers, sweepers, the network and time may do in a state, and what each step makes of it. A call
//! takes effect at one instant, since the store is linearizable; that its answer comes late is a pause of its worker.

use std::sync::atomic::{AtomicU64, Ordering};

use stateright::{Model, Property};
use steadfast_store::{Settlement, Status, WorkItem};

use super::promises;
use super::rows::{Rows, fence};
use super::state::{Age, Call, Held, ITEMS, Promise, State, Tag, WORKERS, Worker};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is applied or rejected, and the worker hears of it.
    Answered,
    /// It is applied, and its answer is lost: `Unknown`.
    AnswerLost,
    /// It is lost on its way: `Unknown`.
    CallLost,
    /// It is still on its way when its worker is told `Unknown`.
    StillUnderWay,
}

const FATES: [Fate; 4] = [Fate::Answered, Fate::AnswerLost, Fate::CallLost, Fate::StillUnderWay];

const SETTLEMENTS: [Settlement; 4] =
    [Settlement::Succeeded, Settlement::Retried, Settlement::Failed, Settlement::Released];

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A worker claims, or submits its claim again. The item that it gets, if any: which one is left open.
    Claim { worker: usize, item: Option<u8>, fate: Fate },
    /// A worker renews its lease.
    Renew { worker: usize, fate: Fate },
    /// A worker has an effect under its lease.
    Write { worker: usize, fate: Fate },
    /// A worker settles its item, or submits its settlement again.
    Settle { worker: usize, settlement: Settlement, fate: Fate },
    /// A worker dies, or gives up what it does not know; it starts anew without an item.
    Crash { worker: usize },
    /// The call that was still under way arrives; when it is a claim, it gets this item.
    StrayArrives { item: Option<u8> },
    /// It never does.
    StrayVanishes,
    /// Some sweeper reclaims an item.
    Sweep { item: u8 },
    /// Time passes.
    Tick,
}

/// What the campaign counts, in the order of [`Protocol::met`].
pub(super) const FAULTS: [&str; 6] =
    ["answer lost", "call lost", "call still under way", "crash", "reclaim", "stale call"];

/// The protocol over the store's decisions.
#[derive(Debug)]
pub(super) struct Protocol {
    pub(super) rows: Rows,
    /// Whether states that differ by the order of workers and items only are one.
    pub(super) symmetric: bool,
    /// How many transitions met each of [`FAULTS`].
    pub(super) met: [AtomicU64; FAULTS.len()],
}

/// What a worker is told.
enum Answer {
    Given(Held),
    Done,
    Refused,
}

impl Protocol {
    pub(super) fn new(rows: Rows, symmetric: bool) -> Self {
        Self { rows, symmetric, met: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    fn meet(&self, fault: usize) {
        self.met[fault].fetch_add(1, Ordering::Relaxed);
    }

    /// The store's part of a call.
    fn submit(&self, state: &mut State, call: Call, item: Option<u8>) -> Answer {
        if call.held().is_some_and(|held| !held.holds) {
            self.meet(5);
        }
        match call {
            Call::Claim(tag) => self.claim(state, tag, item),
            Call::Renew(held) => self.renew(state, held),
            Call::Write(held) => self.write(state, held),
            Call::Settle(held, settlement) => self.settle(state, held, settlement),
        }
    }

    fn claim(&self, state: &mut State, tag: Tag, item: Option<u8>) -> Answer {
        // A claim that was applied is recognised by its id, and names what it still holds.
        if let Some(at) = state.items.iter().position(|item| item.claimed_by == Some(tag)) {
            let known = state.items[at];
            return match known.status {
                Status::InProgress => Answer::Given(Held {
                    item: u8::try_from(at).unwrap_or(u8::MAX),
                    fence: Age::Newest,
                    holds: known.promised.is_some(),
                }),
                _ => Answer::Refused,
            };
        }
        let Some(index) = item else { return Answer::Refused };
        let before = state.items[usize::from(index)];
        let row = self.rows.row(index, before);
        let Some(claimed) = self.rows.claim(&row, tag) else { return Answer::Refused };
        let known = |held: Held| held.item == index && fence(held.fence) == claimed.fence;
        if before.promised.is_some() || state.held().any(known) {
            state.broken = Some(Promise::OneHolder);
        } else if claimed.fence <= row.fence {
            state.broken = Some(Promise::FencesGrow);
        }
        let counted = before.counted + 1;
        Self::put(state, index, &claimed);
        let after = &mut state.items[usize::from(index)];
        (after.promised, after.counted) = (Some(self.rows.size.term), counted);
        self.count(state, index);
        Answer::Given(Held { item: index, fence: Age::Newest, holds: true })
    }

    fn renew(&self, state: &mut State, held: Held) -> Answer {
        let row = self.rows.row(held.item, state.items[usize::from(held.item)]);
        let Some(renewed) = self.rows.renew(&row, held) else { return refused(state, held) };
        if !held.holds {
            state.broken = Some(Promise::NoRevival);
        }
        Self::put(state, held.item, &renewed);
        let after = &mut state.items[usize::from(held.item)];
        after.promised = after.promised.map(|left| left.max(self.rows.size.term));
        Answer::Done
    }

    fn write(&self, state: &mut State, held: Held) -> Answer {
        let row = self.rows.row(held.item, state.items[usize::from(held.item)]);
        if self.rows.write(&row, held).is_err() {
            return refused(state, held);
        }
        if !held.holds {
            state.broken = Some(Promise::NoStaleEffect);
        }
        Answer::Done
    }

    fn settle(&self, state: &mut State, held: Held, settlement: Settlement) -> Answer {
        let before = state.items[usize::from(held.item)];
        let row = self.rows.row(held.item, before);
        let Some(settled) = self.rows.settle(&row, held, settlement) else { return refused(state, held) };
        if !held.holds {
            state.broken = Some(Promise::NoStaleEffect);
        }
        Self::put(state, held.item, &settled);
        let counted = before.counted.saturating_sub(u8::from(settlement == Settlement::Released));
        self.end(state, held.item, counted);
        Answer::Done
    }

    fn sweep(&self, state: &mut State, index: u8) -> bool {
        let before = state.items[usize::from(index)];
        let row = self.rows.row(index, before);
        let Some(reclaimed) = self.rows.reclaim(&row) else { return false };
        self.meet(4);
        Self::put(state, index, &reclaimed);
        if before.promised.is_none_or(|left| left > 0) {
            state.broken = Some(Promise::FullTerm);
        } else if reclaimed.fence <= row.fence {
            state.broken = Some(Promise::FencesGrow);
        }
        self.end(state, index, before.counted);
        true
    }

    /// The lease of an item is over, as far as the model itself knows.
    fn end(&self, state: &mut State, index: u8, counted: u8) {
        let after = &mut state.items[usize::from(index)];
        (after.promised, after.counted) = (None, counted);
        state.each_held(|held| held.holds &= held.item != index);
        self.count(state, index);
    }

    fn count(&self, state: &mut State, index: u8) {
        let item = state.items[usize::from(index)];
        if state.broken.is_some() {
            return;
        }
        if item.attempt != item.counted {
            state.broken = Some(Promise::AttemptsOnce);
        } else if item.attempt > self.rows.size.attempts
            || (item.status == Status::Pending && item.attempt == self.rows.size.attempts)
        {
            state.broken = Some(Promise::CapHolds);
        }
    }

    /// Puts a decided row into its place.
    fn put(state: &mut State, index: u8, row: &WorkItem) {
        let before = state.items[usize::from(index)];
        let after = Rows::item(before, row);
        let was_settled = matches!(before.settled, Some((Age::Newest, _)));
        state.items[usize::from(index)] = after;
        if row.fence > fence(Age::Newest) {
            state.each_held(|held| {
                if held.item == index && held.fence == Age::Newest {
                    held.fence = if was_settled { Age::Settled } else { Age::Older };
                }
            });
        }
        if before.status.is_terminal() && before != after {
            state.broken = Some(Promise::NothingLost);
        }
    }

    /// A worker's call with its fate.
    fn call(&self, state: &mut State, worker: usize, call: Call, item: Option<u8>, fate: Fate) {
        let unknown = match (call, state.workers[worker]) {
            (Call::Claim(tag), _) => Worker::ClaimUnknown(tag),
            (Call::Settle(held, settlement), _) => Worker::SettleUnknown(held, settlement),
            // It sends the next one anyhow.
            (Call::Renew(_) | Call::Write(_), works) => works,
        };
        // Before the store's part, which may end the very lease that stands in it.
        state.workers[worker] = unknown;
        match fate {
            Fate::Answered => {
                let answer = self.submit(state, call, item);
                state.workers[worker] = match (answer, call) {
                    (Answer::Given(held), _) => Worker::Works(held),
                    (Answer::Done, Call::Renew(_) | Call::Write(_)) => state.workers[worker],
                    (Answer::Done | Answer::Refused, _) => Worker::Idle,
                };
            }
            Fate::AnswerLost => {
                self.meet(0);
                self.submit(state, call, item);
            }
            Fate::CallLost => self.meet(1),
            Fate::StillUnderWay => {
                self.meet(2);
                state.stray = Some(call);
            }
        }
    }

    /// Which items a claim can get; `None` when it is recognised, or gets none.
    fn choices(&self, state: &State, tag: Option<Tag>) -> Vec<Option<u8>> {
        if tag.is_some() && state.items.iter().any(|item| item.claimed_by == tag) {
            return vec![None];
        }
        let free = |index: &u8| {
            let row = self.rows.row(*index, state.items[usize::from(*index)]);
            self.rows.claim(&row, Tag::MAX).is_some()
        };
        (0..).take(ITEMS).filter(free).map(Some).collect()
    }

    fn calls_of(&self, state: &State, worker: usize, steps: &mut Vec<Step>) {
        let fates = FATES.into_iter().filter(|fate| *fate != Fate::StillUnderWay || state.stray.is_none());
        match state.workers[worker] {
            Worker::Idle | Worker::ClaimUnknown(_) => {
                let tag = match state.workers[worker] {
                    Worker::ClaimUnknown(tag) => Some(tag),
                    _ => None,
                };
                let choices = self.choices(state, tag);
                for fate in fates {
                    if matches!(fate, Fate::Answered | Fate::AnswerLost) {
                        steps.extend(choices.iter().map(|item| Step::Claim { worker, item: *item, fate }));
                    } else {
                        steps.push(Step::Claim { worker, item: None, fate });
                    }
                }
            }
            Worker::Works(_) => {
                for fate in fates {
                    steps.push(Step::Renew { worker, fate });
                    steps.push(Step::Write { worker, fate });
                    let settle = |settlement| Step::Settle { worker, settlement, fate };
                    steps.extend(SETTLEMENTS.into_iter().map(settle));
                }
            }
            Worker::SettleUnknown(_, settlement) => {
                steps.extend(fates.map(|fate| Step::Settle { worker, settlement, fate }));
            }
        }
        if state.workers[worker] != Worker::Idle {
            steps.push(Step::Crash { worker });
        }
    }

    /// The state after a step, before what is forgotten is forgotten; `None` when the step cannot be taken.
    fn after(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Claim { worker, item, fate } => {
                let tag = match state.workers[worker] {
                    Worker::ClaimUnknown(tag) => tag,
                    _ => state.fresh_tag(),
                };
                self.call(&mut state, worker, Call::Claim(tag), item, fate);
            }
            Step::Renew { worker, fate } => {
                let held = state.workers[worker].held()?;
                self.call(&mut state, worker, Call::Renew(held), None, fate);
            }
            Step::Write { worker, fate } => {
                let held = state.workers[worker].held()?;
                self.call(&mut state, worker, Call::Write(held), None, fate);
            }
            Step::Settle { worker, settlement, fate } => {
                let held = state.workers[worker].held()?;
                self.call(&mut state, worker, Call::Settle(held, settlement), None, fate);
            }
            Step::Crash { worker } => {
                self.meet(3);
                state.workers[worker] = Worker::Idle;
            }
            Step::StrayArrives { item } => {
                // Nobody hears the answer. It goes first, so that its own lease is told as any other.
                let call = state.stray?;
                self.submit(&mut state, call, item);
                state.stray = None;
            }
            Step::StrayVanishes => state.stray = None,
            Step::Sweep { item } => {
                if !self.sweep(&mut state, item) {
                    return None;
                }
            }
            Step::Tick => {
                for item in &mut state.items {
                    item.lease = item.lease.map(|left| left.saturating_sub(1));
                    item.promised = item.promised.map(|left| left.saturating_sub(1));
                    item.waits = item.waits.saturating_sub(1);
                }
            }
        }
        Some(state)
    }
}

/// Who holds the item must not be refused.
fn refused(state: &mut State, held: Held) -> Answer {
    if held.holds {
        state.broken = Some(Promise::HolderIsHeard);
    }
    Answer::Refused
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::first()]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.broken.is_some() {
            return;
        }
        for worker in 0..WORKERS {
            self.calls_of(state, worker, steps);
        }
        match state.stray {
            None => {}
            Some(Call::Claim(tag)) => {
                let choices = self.choices(state, Some(tag));
                steps.extend(choices.into_iter().map(|item| Step::StrayArrives { item }));
                steps.push(Step::StrayVanishes);
            }
            Some(_) => steps.extend([Step::StrayArrives { item: None }, Step::StrayVanishes]),
        }
        steps.extend((0..).take(ITEMS).map(|item| Step::Sweep { item }));
        steps.push(Step::Tick);
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let state = self.after(last, step)?.tidied();
        let state = if self.symmetric { state.canonical() } else { state };
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::properties()
    }
}
