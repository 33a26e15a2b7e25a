//! What the leases tell the program around them, by the `metrics` and `tracing` facades.

use std::time::Duration;

use metrics::{counter, histogram};
use steadfast_store::{Guard, HolderId, Settle, Status};
use tracing::{Span, debug_span};

use crate::hold::Loss;

const CLAIMED: &str = "steadfast_leases_claimed_total";
const RENEWALS: &str = "steadfast_lease_renewals_total";
const LOST: &str = "steadfast_leases_lost_total";
const SETTLED: &str = "steadfast_leases_settled_total";
const CLAIM_SECONDS: &str = "steadfast_lease_claim_seconds";

/// How a lease can be ended, as a label.
const ENDS: [&str; 4] = ["succeeded", "retried", "failed", "released"];

/// Shows every counter at 0, so that its first increment is a change that an alert can see.
pub(crate) fn register() {
    for name in [CLAIMED, RENEWALS, LOST] {
        counter!(name).increment(0);
    }
    for how in ENDS {
        counter!(SETTLED, "how" => how).increment(0);
    }
}

/// Around one claim, and the hand-over of what it took.
pub(crate) fn claim(holder: &HolderId, limit: u32) -> Span {
    debug_span!("claim", %holder, limit)
}

/// Around one renewal, by the holder or by the heartbeat.
pub(crate) fn renew(guard: &Guard, heartbeat: bool) -> Span {
    debug_span!("renew", item = %guard.item, fence = guard.fence.0, heartbeat)
}

/// Around the end of a lease in a commit of its own.
pub(crate) fn finish(guard: &Guard, settle: Settle) -> Span {
    debug_span!("finish", item = %guard.item, fence = guard.fence.0, ?settle)
}

/// So many items were claimed, and the store took so long for it. An empty claim writes nothing, so its time says
/// nothing of the disk.
pub(crate) fn claimed(count: usize, took: Duration) {
    counter!(CLAIMED).increment(count as u64);
    if count > 0 {
        histogram!(CLAIM_SECONDS).record(took.as_secs_f64());
    }
}

pub(crate) fn renewed() {
    counter!(RENEWALS).increment(1);
}

/// A lease was ended, and its item stands so now: a retry without attempts left is a dead letter.
pub(crate) fn settled(settle: Settle, status: Status) {
    let how = match settle {
        _ if status == Status::Failed => "failed",
        Settle::Succeeded => "succeeded",
        Settle::Retry(_) => "retried",
        Settle::Failed => "failed",
        Settle::Released => "released",
    };
    counter!(SETTLED, "how" => how).increment(1);
}

/// A lease has ended otherwise than by its holder's will.
pub(crate) fn ended(guard: &Guard, loss: &Loss) {
    if *loss != Loss::GivenUp {
        counter!(LOST).increment(1);
        tracing::warn!(item = %guard.item, fence = guard.fence.0, %loss, "a lease was lost");
    }
}
