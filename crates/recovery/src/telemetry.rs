//! What sweeps and housekeeping tell the program around them, by the `metrics` and `tracing` facades.

use metrics::{counter, histogram};
use steadfast_store::TaskId;
use tracing::{Span, debug_span};

use crate::housekeeping::HousekeepingStats;
use crate::sweep::SweepStats;

/// Shows every counter at 0, so that its first increment is a change that an alert can see.
pub(crate) fn register() {
    for name in [
        "steadfast_sweeps_total",
        "steadfast_sweep_expired_found_total",
        "steadfast_sweep_recovered_total",
        "steadfast_sweep_failed_total",
        "steadfast_sweep_errors_total",
        "steadfast_checkpoints_pruned_total",
        "steadfast_operations_purged_total",
        "steadfast_housekeeping_errors_total",
    ] {
        counter!(name).increment(0);
    }
}

/// Around one pass over the expired leases.
pub(crate) fn sweep(page: u32) -> Span {
    debug_span!("sweep", page)
}

/// Around one round of housekeeping.
pub(crate) fn housekeeping(keep_checkpoints: Option<u32>) -> Span {
    debug_span!("housekeeping", keep_checkpoints)
}

/// Around the making of a plan.
pub(crate) fn resume_plan(task: &TaskId) -> Span {
    debug_span!("resume_plan", %task)
}

pub(crate) fn swept(stats: &SweepStats) {
    counter!("steadfast_sweeps_total").increment(1);
    counter!("steadfast_sweep_expired_found_total").increment(stats.expired_found);
    counter!("steadfast_sweep_recovered_total").increment(stats.recovered);
    counter!("steadfast_sweep_failed_total").increment(stats.failed);
    counter!("steadfast_sweep_errors_total").increment(stats.errors);
    #[allow(clippy::cast_precision_loss, reason = "a duration to be shown")]
    histogram!("steadfast_sweep_seconds").record(stats.scan_duration_ms as f64 / 1_000.0);
    if stats.errors > 0 {
        tracing::warn!(errors = stats.errors, last = stats.last_error, "a sweep met errors");
    }
    if stats.expired_found > 0 {
        let (found, recovered, failed) = (stats.expired_found, stats.recovered, stats.failed);
        tracing::info!(found, recovered, failed, "expired leases were reclaimed");
    }
}

pub(crate) fn kept_house(stats: &HousekeepingStats) {
    counter!("steadfast_checkpoints_pruned_total").increment(stats.checkpoints_pruned);
    counter!("steadfast_operations_purged_total").increment(stats.operations_purged);
    counter!("steadfast_housekeeping_errors_total").increment(stats.errors);
    if stats.errors > 0 {
        tracing::warn!(errors = stats.errors, last = stats.last_error, "housekeeping met errors");
    }
}
