//! The search for a linearization: an order of all calls that keeps to their intervals and that a sequential object could
//! have answered. Depth first, as Wing and Gong ("Testing and verifying concurrent objects", 1993) describe it, with the
//! memory of Lowe ("Testing for linearizability", 2017): a set of calls and a state that have been met are not met again.

use std::collections::HashSet;
use std::hash::Hash;

/// When a call can have taken effect, and whether it must have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interval {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Of a call without an answer nobody knows.
    pub(super) must: bool,
    /// When it should be tried: the earlier, the sooner. It decides how long the search takes, not what it finds.
    pub(super) due: u64,
}

/// What the search came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found<S> {
    /// There is such an order.
    Linear { order: Vec<usize> },
    /// There is none. The longest beginning of one: its calls, the state after them, and the calls that could have come
    /// next if the state had allowed it.
    Broken { order: Vec<usize>, state: S, stuck: Vec<usize> },
    /// More states than it may look at.
    Exhausted,
}

/// What was found, and how many states it took.
#[derive(Debug, Clone)]
pub(super) struct Searched<S> {
    pub(super) found: Found<S>,
    pub(super) states: usize,
}

/// One call that was put into the order, and what else could have been.
struct Frame<S> {
    state: S,
    /// The latest start of what is in the order.
    latest: u64,
    /// The earliest end of what must still come: what comes before it is over by then.
    horizon: u64,
    call: Option<usize>,
    /// Calls that can come next and were not tried yet, the best last.
    open: Vec<usize>,
    /// What the one that is being tried can leave behind.
    ahead: Vec<S>,
    trying: usize,
}

/// Calls as bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Set(Box<[u64]>);

impl Set {
    fn new(size: usize) -> Self {
        Self(vec![0; size.div_ceil(64)].into_boxed_slice())
    }

    fn has(&self, call: usize) -> bool {
        self.0[call / 64] & (1 << (call % 64)) != 0
    }

    fn flip(&mut self, call: usize) {
        self.0[call / 64] ^= 1 << (call % 64);
    }
}

/// Looks for a linearization of calls with these intervals, which must be ordered by their starts. `step` gives every
/// state that a call can leave behind if it takes effect by the given moment and is answered as it was; none when it
/// cannot have been. Looks at `states_max` states at most.
pub(super) fn search<S: Clone + Eq + Hash>(
    intervals: &[Interval],
    initial: S,
    states_max: usize,
    mut step: impl FnMut(&S, usize, u64) -> Vec<S>,
) -> Searched<S> {
    let needed = intervals.iter().filter(|interval| interval.must).count();
    let mut set = Set::new(intervals.len());
    let mut seen = HashSet::new();
    let mut placed = 0;
    let mut best = (Vec::new(), initial.clone(), Vec::new());
    let mut best_placed = None;
    let mut frames = Vec::<Frame<S>>::new();
    let mut next = Some((initial, 0, None));
    loop {
        if let Some((state, latest, call)) = next.take() {
            if let Some(call) = call {
                set.flip(call);
                placed += usize::from(intervals[call].must);
            }
            let order = |frames: &[Frame<S>], last: Option<usize>| {
                frames.iter().filter_map(|frame| frame.call).chain(last).collect::<Vec<_>>()
            };
            if placed == needed {
                let found = Found::Linear { order: order(&frames, call) };
                return Searched { found, states: seen.len() + 1 };
            }
            let is_new = seen.insert((set.clone(), state.clone()));
            if seen.len() > states_max {
                return Searched { found: Found::Exhausted, states: seen.len() };
            }
            let (open, horizon) = if is_new { candidates(intervals, &set, latest) } else { (Vec::new(), 0) };
            if is_new && best_placed.is_none_or(|best| placed > best) {
                best_placed = Some(placed);
                best = (order(&frames, call), state.clone(), open.iter().rev().copied().collect());
            }
            frames.push(Frame { state, latest, horizon, call, open, ahead: Vec::new(), trying: 0 });
        }
        let Some(frame) = frames.last_mut() else {
            let (order, state, stuck) = best;
            return Searched { found: Found::Broken { order, state, stuck }, states: seen.len() };
        };
        while frame.ahead.is_empty() {
            let Some(call) = frame.open.pop() else { break };
            frame.trying = call;
            frame.ahead = step(&frame.state, call, frame.horizon.min(intervals[call].end));
            // The best last, as everywhere here.
            frame.ahead.reverse();
        }
        if let Some(state) = frame.ahead.pop() {
            let call = frame.trying;
            next = Some((state, frame.latest.max(intervals[call].start), Some(call)));
        } else if let Some(call) = frames.pop().and_then(|frame| frame.call) {
            set.flip(call);
            placed -= usize::from(intervals[call].must);
        }
    }
}

/// The calls that can be next, because none that must come earlier is left, the one that is due first last; and the
/// earliest end of those that must come.
fn candidates(intervals: &[Interval], set: &Set, latest: u64) -> (Vec<usize>, u64) {
    let mut horizon = u64::MAX;
    let mut open = Vec::new();
    for (call, interval) in intervals.iter().enumerate() {
        if interval.start > horizon {
            break;
        }
        if set.has(call) {
            continue;
        }
        if interval.must {
            horizon = horizon.min(interval.end);
            open.push(call);
        } else if interval.end >= latest {
            open.push(call);
        }
    }
    open.retain(|call| intervals[*call].start <= horizon);
    open.sort_by_key(|call| std::cmp::Reverse(intervals[*call].due));
    (open, horizon)
}
