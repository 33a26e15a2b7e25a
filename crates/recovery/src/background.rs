//! Sweeping in the background, and the handle that ends it.

use std::time::Duration;

use steadfast_store::within;

use crate::housekeeping::HousekeepingStats;
use crate::sweep::{SweepStats, Sweeper};
use crate::sync::watch;

/// The period of a sweep, when nobody says otherwise: an item comes back at most this much after the end of its lease.
pub const SWEEP_PERIOD_DEFAULT: Duration = Duration::from_mins(1);
/// A period varies by up to one part in this many, so that the sweepers of many processes drift apart.
const JITTER_PART: u32 = 10;

/// What a background sweep has done so far.
#[derive(Debug, Default)]
struct Progress {
    passes: u64,
    total: SweepStats,
    housekeeping: HousekeepingStats,
    ended: bool,
}

/// A sweep in the background. Dropping it ends the sweep after the pass under way.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// # use steadfast_recovery::{SweepOptions, Sweeper};
/// # use steadfast_store::{MemoryStore, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let store = Arc::new(MemoryStore::new(Env::system()));
/// let sweeping = Sweeper::new(store, SweepOptions::default()).run_every(Duration::from_millis(5));
/// // The first pass begins at once.
/// sweeping.passed(1).await;
/// let total = sweeping.stop().await;
/// assert_eq!(total.errors, 0);
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping it ends the sweep"]
pub struct Sweeping {
    stop: watch::Sender<bool>,
    progress: watch::Receiver<Progress>,
}

impl Sweeper {
    /// Sweeps every [`SWEEP_PERIOD_DEFAULT`]; see [`run_every`](Self::run_every).
    ///
    /// # Panics
    /// As [`run_every`](Self::run_every).
    pub fn run(self) -> Sweeping {
        self.run_every(SWEEP_PERIOD_DEFAULT)
    }

    /// Sweeps now and then every `period`, give or take a tenth, until the handle is stopped or dropped. A period is
    /// counted from the end of the pass before, so passes never overlap. A pass that met errors is followed by the
    /// next one like any other. Housekeeping follows a pass whenever it is due.
    ///
    /// # Panics
    /// Outside of a tokio runtime, when the store's environment is the system's.
    pub fn run_every(self, period: Duration) -> Sweeping {
        let (stop, stopped) = watch::channel(false);
        let (report, progress) = watch::channel(Progress::default());
        let env = self.store().env().clone();
        env.runtime().spawn(Box::pin(async move {
            self.sweep_until(stopped, &report, period).await;
            report.send_modify(|progress| progress.ended = true);
        }));
        Sweeping { stop, progress }
    }

    async fn sweep_until(
        &self,
        mut stopped: watch::Receiver<bool>,
        report: &watch::Sender<Progress>,
        period: Duration,
    ) {
        let env = self.store().env();
        let mut cleaned: Option<Duration> = None;
        while !*stopped.borrow() {
            let stats = self.run_once().await;
            report.send_modify(|progress| progress.total += &stats);
            let now = env.clock().monotonic();
            if cleaned.is_none_or(|cleaned| now.saturating_sub(cleaned) >= self.housekeeping().every) {
                cleaned = Some(now);
                let round = self.housekeeping().run_once(self.store()).await;
                report.send_modify(|progress| progress.housekeeping += &round);
            }
            report.send_modify(|progress| progress.passes += 1);
            // A change is a stop, and so is a handle that is gone.
            if within(env, jittered(period, env.rng()), stopped.changed()).await.is_some() {
                return;
            }
        }
    }
}

impl Sweeping {
    /// The sums over all passes so far.
    pub fn total(&self) -> SweepStats {
        self.progress.borrow().total.clone()
    }

    /// The sums over all rounds of housekeeping so far.
    pub fn housekeeping(&self) -> HousekeepingStats {
        self.progress.borrow().housekeeping.clone()
    }

    /// Waits until at least so many passes have ended, or the sweep itself has.
    pub async fn passed(&self, passes: u64) {
        let mut progress = self.progress.clone();
        // An error says that the sweep is gone: there is nothing left to wait for.
        let _ = progress.wait_for(|progress| progress.passes >= passes || progress.ended).await;
    }

    /// Ends the sweep: waits for the pass under way, and returns the sums over all passes.
    pub async fn stop(mut self) -> SweepStats {
        self.stop.send_replace(true);
        let _ = self.progress.wait_for(|progress| progress.ended).await;
        self.total()
    }
}

/// The period, up to a tenth longer or shorter.
fn jittered(period: Duration, rng: &dyn steadfast_store::env::Rng) -> Duration {
    let mut draw = [0; 2];
    rng.fill(&mut draw);
    let share = f64::from(u16::from_le_bytes(draw)) / f64::from(u16::MAX);
    let part = period / JITTER_PART;
    period.saturating_sub(part) + part.mul_f64(2.0 * share)
}

#[cfg(test)]
mod tests {
    use steadfast_store::env::SeededRng;

    use super::*;

    #[test]
    fn a_period_varies_by_a_tenth_at_most() {
        let (rng, period) = (SeededRng::new(1), Duration::from_secs(60));
        let drawn: Vec<Duration> = (0..1_000).map(|_| jittered(period, &rng)).collect();
        assert!(drawn.iter().all(|drawn| (54..=66).contains(&drawn.as_secs())));
        assert!(drawn.iter().any(|drawn| *drawn < Duration::from_secs(55)));
        assert!(drawn.iter().any(|drawn| *drawn > Duration::from_secs(65)));
        assert_eq!(jittered(Duration::ZERO, &rng), Duration::ZERO);
    }
}
