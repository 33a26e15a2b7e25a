//! What checkpoints tell the program around them, by the `metrics` and `tracing` facades.

use metrics::counter;
use steadfast_store::CheckpointId;

use crate::evidence::EvidenceReport;
use crate::verify::VerificationReport;

pub(crate) fn committed() {
    counter!("steadfast_checkpoints_created_total").increment(1);
}

pub(crate) fn refused(checkpoint: CheckpointId, report: &EvidenceReport) {
    counter!("steadfast_checkpoints_refused_total").increment(1);
    tracing::warn!(%checkpoint, %report, "a checkpoint was not made: its evidence does not hold");
}

pub(crate) fn verified(report: &VerificationReport) {
    let verdict = if report.is_verified() { "verified" } else { "failed" };
    counter!("steadfast_checkpoint_verifications_total", "verdict" => verdict).increment(1);
    if !report.is_verified() {
        tracing::info!(%report, "a checkpoint does not verify");
    }
}
