//! Sweeping: one pass, its stats as they are.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadfast_recovery::{SweepOptions, SweepStats, Sweeper};
use steadfast_store::WallTime;
use steadfast_store::env::{BootReading, Clock, Env, SystemClock};

use super::{CrewError, Member};
use crate::planted::Planted;

/// The stats of the pass.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SweepReport {
    /// Expired leases that this pass reclaimed.
    pub expired_found: u64,
    /// Of them, items that may be claimed again.
    pub recovered: u64,
    /// Of them, dead letters.
    pub failed: u64,
    /// Pages that could not be swept.
    pub errors: u64,
    /// What the last of these errors said.
    pub last_error: String,
    /// How long the pass took.
    pub scan_duration_ms: u64,
    /// Checkpoints that tell of a reclaim.
    pub checkpoints_created: u64,
}

impl From<SweepStats> for SweepReport {
    fn from(stats: SweepStats) -> Self {
        let SweepStats {
            expired_found,
            recovered,
            failed,
            errors,
            last_error,
            scan_duration_ms,
            checkpoints_created,
        } = stats;
        Self { expired_found, recovered, failed, errors, last_error, scan_duration_ms, checkpoints_created }
    }
}

/// The machine's clocks, an hour ahead of those of all other processes on it: with a planted fault the sweeper has it.
#[derive(Debug, Default)]
struct ClockAhead(SystemClock);

impl ClockAhead {
    const BY: Duration = Duration::from_hours(1);
}

impl Clock for ClockAhead {
    fn monotonic(&self) -> Duration {
        self.0.monotonic() + Self::BY
    }

    fn boot(&self) -> BootReading {
        let reading = self.0.boot();
        BootReading { elapsed: reading.elapsed + Self::BY, ..reading }
    }

    fn wall(&self) -> WallTime {
        self.0.wall()
    }
}

/// What a member reads the time from.
pub(super) fn env(planted: Option<Planted>, is_sweeper: bool) -> Env {
    let is_ahead = is_sweeper && planted == Some(Planted::ClockAhead);
    if is_ahead { Env::system().with_clock(Arc::new(ClockAhead::default())) } else { Env::system() }
}

impl Member {
    pub(super) async fn sweep(&mut self) -> Result<(), CrewError> {
        self.ready().await?;
        if self.has(Planted::SkipSweep) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            return self.report(&SweepReport::from(SweepStats::default()));
        }
        let sweeper = Sweeper::new(self.store.clone(), SweepOptions::default());
        self.report(&SweepReport::from(sweeper.run_once().await))
    }
}
