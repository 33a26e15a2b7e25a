//! What the leases tell the program around them, by the `metrics` and `tracing` facades.

use metrics::counter;
use steadfast_store::{Guard, Settle};

use crate::hold::Loss;

pub(crate) fn claimed(count: usize) {
    counter!("steadfast_leases_claimed_total").increment(count as u64);
}

pub(crate) fn renewed() {
    counter!("steadfast_lease_renewals_total").increment(1);
}

pub(crate) fn settled(settle: Settle) {
    let how = match settle {
        Settle::Succeeded => "succeeded",
        Settle::Retry(_) => "retried",
        Settle::Failed => "failed",
        Settle::Released => "released",
    };
    counter!("steadfast_leases_settled_total", "how" => how).increment(1);
}

/// A lease has ended otherwise than by its holder's will.
pub(crate) fn ended(guard: &Guard, loss: &Loss) {
    if *loss != Loss::GivenUp {
        counter!("steadfast_leases_lost_total").increment(1);
        tracing::warn!(item = %guard.item, fence = guard.fence.0, %loss, "a lease was lost");
    }
}
