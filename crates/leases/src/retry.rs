//! When work that failed is tried again: later each time, and never by all at once.

use std::time::Duration;

use steadfast_store::env::Rng;
use steadfast_store::limits::DELAY_MAX;
use steadfast_store::{Delay, InvalidSpan};

/// How long an item waits after each failed attempt: `first`, then `factor` times as long each time, up to `longest`;
/// of that, a random part of up to `jitter` is taken off, so that items which failed together do not come back
/// together.
///
/// How many attempts there are stands on the item
/// ([`Enqueue::max_attempts`](steadfast_store::Enqueue::max_attempts)): after the last one it is a dead letter.
///
/// ```
/// use std::time::Duration;
/// use steadfast_leases::RetryPolicy;
///
/// let policy = RetryPolicy { first: Duration::from_secs(2), jitter: 0.0, ..RetryPolicy::default() };
/// assert_eq!(policy.span(1), Duration::from_secs(2));
/// assert_eq!(policy.span(3), Duration::from_secs(8));
/// assert_eq!(policy.span(99), Duration::from_secs(3_600));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// After the first attempt.
    pub first: Duration,
    /// By how much the wait grows with each attempt. Below 1 counts as 1.
    pub factor: f64,
    /// The longest wait; at most [`DELAY_MAX`].
    pub longest: Duration,
    /// The part of the wait, from 0 to 1, that chance may take off.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    /// One second, doubled each time, up to an hour, up to half of it taken off.
    fn default() -> Self {
        Self { first: Duration::from_secs(1), factor: 2.0, longest: Duration::from_secs(3_600), jitter: 0.5 }
    }
}

impl RetryPolicy {
    /// The longest that an item waits after its `attempt`th attempt, counted from 1.
    pub fn span(&self, attempt: u32) -> Duration {
        let longest = self.longest.min(DELAY_MAX);
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.first.as_secs_f64() * self.factor.max(1.0).powi(exponent);
        // Infinite, or no number at all, is beyond the longest.
        Duration::try_from_secs_f64(seconds).map_or(longest, |span| span.min(longest))
    }

    /// The wait after the `attempt`th attempt, drawn by chance.
    ///
    /// # Errors
    /// [`InvalidSpan`] never comes for a policy whose `longest` is within [`DELAY_MAX`].
    pub fn delay(&self, attempt: u32, rng: &dyn Rng) -> Result<Delay, InvalidSpan> {
        let mut draw = [0; 4];
        rng.fill(&mut draw);
        let share = f64::from(u32::from_le_bytes(draw)) / f64::from(u32::MAX);
        let jitter = if self.jitter.is_nan() { 0.0 } else { self.jitter.clamp(0.0, 1.0) };
        Delay::new(self.span(attempt).mul_f64(1.0 - jitter * share))
    }
}

#[cfg(test)]
mod tests {
    use steadfast_store::env::SeededRng;

    use super::*;

    #[test]
    fn chance_takes_off_up_to_its_part_and_never_more() {
        let (policy, rng) = (RetryPolicy::default(), SeededRng::new(1));
        for attempt in [1, 2, 5, 40] {
            let whole = policy.span(attempt);
            let drawn: Vec<Duration> =
                (0..1_000).map(|_| policy.delay(attempt, &rng).unwrap().get()).collect();
            assert!(drawn.iter().all(|delay| *delay >= whole / 2 && *delay <= whole));
            assert!(drawn.iter().any(|delay| *delay < whole * 6 / 10));
            assert!(drawn.iter().any(|delay| *delay > whole * 9 / 10));
        }
    }

    #[test]
    fn senseless_numbers_give_a_wait_within_bounds() {
        let rng = SeededRng::new(1);
        for odd in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            for attempt in [0, 1, 2, u32::MAX] {
                let policy = RetryPolicy { factor: odd, ..RetryPolicy::default() };
                assert!(policy.delay(attempt, &rng).unwrap().get() <= policy.longest);
                let policy = RetryPolicy { jitter: odd, longest: Duration::MAX, ..RetryPolicy::default() };
                assert!(policy.delay(attempt, &rng).unwrap().get() <= DELAY_MAX);
            }
        }
    }
}
