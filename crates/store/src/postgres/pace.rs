//! Whether a sweep may believe the server's clock. A step of that clock makes leases look expired that are not; fencing
//! keeps that harmless, but work would be taken from those who are at it. So each look at the server's clock is compared
//! with this process's own monotonic clock, and when the two disagree sweeps find nothing for one term: by then every
//! holder that lives has renewed under the new time.

use std::time::Duration;

use crate::sync::Mutex;
use crate::time::StoreTime;

/// How far the clocks may drift apart between two looks, whatever the time between them.
const TOLERATED_MS: i64 = 1_000;
/// How far they may drift in so many milliseconds: a clock that is slewed runs wrong by half of this.
const TOLERATED_ONE_IN: i64 = 1_000;

/// A look at the server's clock: what it showed, and this process's clock before and after.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) shown: StoreTime,
    pub(super) before: Duration,
    pub(super) after: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    hold_off: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Look>,
    /// Sweeps hold off until then, by this process's clock.
    until: Option<Duration>,
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

impl Pace {
    /// Holds sweeps off for so long after a disagreement.
    pub(super) fn new(hold_off: Duration) -> Self {
        Self { hold_off, state: Mutex::new(State::default()) }
    }

    /// Takes a look into account; says whether a sweep may go by it.
    pub(super) fn may_sweep(&self, look: Look) -> bool {
        let mut known = self.state.lock();
        if known.last.is_some_and(|last| disagree(last, look)) {
            tracing::warn!(hold_off = ?self.hold_off, "the server's clock was stepped: sweeps hold off");
            known.until = Some(look.after + self.hold_off);
        }
        known.last = Some(look);
        known.until.is_none_or(|until| look.after >= until)
    }
}

/// Whether more time, or less, has passed on the server than can have passed here.
fn disagree(earlier: Look, look: Look) -> bool {
    let passed = look.shown.as_millis().saturating_sub(earlier.shown.as_millis());
    let at_least = millis(look.before) - millis(earlier.after);
    let at_most = millis(look.after) - millis(earlier.before);
    let tolerated = TOLERATED_MS + at_most.abs() / TOLERATED_ONE_IN;
    passed < at_least - tolerated || passed > at_most + tolerated
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Duration = Duration::from_secs(300);

    fn look(shown_s: i64, at_s: u64) -> Look {
        let at = Duration::from_secs(at_s);
        Look {
            shown: StoreTime::from_millis(shown_s * 1_000),
            before: at,
            after: at + Duration::from_millis(5),
        }
    }

    #[test]
    fn clocks_that_go_alike_hold_nothing_off() {
        let pace = Pace::new(TERM);
        for second in 0..100_000 {
            assert!(pace.may_sweep(look(1_000_000 + i64::try_from(second).unwrap(), second)));
        }
    }

    #[test]
    fn a_step_holds_sweeps_off_for_one_term() {
        for step in [3_600, -3_600, 3, -3] {
            let pace = Pace::new(TERM);
            assert!(pace.may_sweep(look(1_000_000, 10)));
            assert!(!pace.may_sweep(look(1_000_000 + step, 10)), "{step}");
            assert!(!pace.may_sweep(look(1_000_000 + step + 299, 309)), "{step}");
            assert!(pace.may_sweep(look(1_000_000 + step + 301, 311)), "{step}");
        }
    }

    #[test]
    fn a_server_that_was_frozen_has_not_stepped() {
        let pace = Pace::new(TERM);
        assert!(pace.may_sweep(look(1_000_000, 10)));
        let waited = Look {
            shown: StoreTime::from_millis(1_000_050_000),
            before: Duration::from_secs(11),
            after: Duration::from_secs(61),
        };
        assert!(pace.may_sweep(waited), "the answer came late, and the clock went on");
    }

    #[test]
    fn looks_that_cross_one_another_do_not_disagree() {
        let pace = Pace::new(TERM);
        assert!(pace.may_sweep(look(1_000_020, 30)));
        assert!(pace.may_sweep(look(1_000_019, 29)));
    }
}
