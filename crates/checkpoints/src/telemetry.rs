//! What checkpoints tell the program around them, by the `metrics` and `tracing` facades.

use std::time::Duration;

use metrics::{counter, histogram};
use steadfast_store::env::Env;
use steadfast_store::{CheckpointId, Guard, Label, TaskId};
use tracing::{Span, debug_span};

use crate::evidence::{EvidenceReport, Judgement};
use crate::step::Prepared;
use crate::verify::VerificationReport;

const CREATED: &str = "steadfast_checkpoints_created_total";
const REFUSED: &str = "steadfast_checkpoints_refused_total";
const VERIFICATIONS: &str = "steadfast_checkpoint_verifications_total";
const CREATE_SECONDS: &str = "steadfast_checkpoint_create_seconds";
const VERIFY_SECONDS: &str = "steadfast_checkpoint_verify_seconds";

/// Shows every counter at 0, so that its first increment is a change that an alert can see.
pub(crate) fn register() {
    counter!(CREATED).increment(0);
    counter!(REFUSED).increment(0);
    for judgement in [Judgement::Verified, Judgement::Failed, Judgement::Pending] {
        counter!(VERIFICATIONS, "verdict" => verdict(judgement)).increment(0);
    }
}

/// Around the commit of a step: the look at its evidence and the commit in the store.
pub(crate) fn commit_step(prepared: &Prepared, guard: Option<&Guard>) -> Span {
    let fence = guard.map(|guard| guard.fence.0);
    debug_span!("commit_step", task = %prepared.task(), checkpoint = %prepared.id(), fence)
}

/// Around the beginning of a step.
pub(crate) fn begin_step(task: &TaskId, step: &Label) -> Span {
    debug_span!("begin_step", %task, %step)
}

/// Around a look that records its verdict.
pub(crate) fn verify(checkpoint: CheckpointId) -> Span {
    debug_span!("verify", %checkpoint)
}

/// Around the search for a checkpoint to go on from.
pub(crate) fn last_verified(task: &TaskId) -> Span {
    debug_span!("last_verified", %task)
}

/// How long something takes by the clock of the environment.
pub(crate) struct Watch<'a> {
    env: &'a Env,
    began: Duration,
}

impl<'a> Watch<'a> {
    pub(crate) fn start(env: &'a Env) -> Self {
        Self { env, began: env.clock().monotonic() }
    }

    fn seconds(&self) -> f64 {
        self.env.clock().monotonic().saturating_sub(self.began).as_secs_f64()
    }
}

pub(crate) fn committed(watch: &Watch<'_>) {
    counter!(CREATED).increment(1);
    histogram!(CREATE_SECONDS).record(watch.seconds());
}

pub(crate) fn refused(checkpoint: CheckpointId, report: &EvidenceReport) {
    counter!(REFUSED).increment(1);
    tracing::warn!(%checkpoint, %report, "a checkpoint was not made: its evidence does not hold");
}

pub(crate) fn verified(report: &VerificationReport) {
    counter!(VERIFICATIONS, "verdict" => verdict(report.judgement())).increment(1);
    if !report.is_verified() {
        tracing::info!(%report, "a checkpoint does not verify");
    }
}

/// A look and the record of its verdict are done.
pub(crate) fn verdict_recorded(watch: &Watch<'_>) {
    histogram!(VERIFY_SECONDS).record(watch.seconds());
}

fn verdict(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Verified => "verified",
        Judgement::Failed => "failed",
        Judgement::Pending => "pending",
    }
}
