//! Sweeping: one pass, its stats as they are.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadfast_recovery::{SweepOptions, SweepStats, Sweeper};

use super::{CrewError, Member, report};
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

impl Member {
    pub(super) async fn sweep(&mut self) -> Result<(), CrewError> {
        self.ready().await?;
        if self.has(Planted::SkipSweep) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            return report(&SweepReport::from(SweepStats::default()));
        }
        let sweeper = Sweeper::new(self.store.clone(), SweepOptions::default());
        report(&SweepReport::from(sweeper.run_once().await))
    }
}
