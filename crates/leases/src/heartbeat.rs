//! The heartbeat: renews a lease at a third of its term for as long as it lives, so that two renewals in a row may
//! fail before it is in danger.

use std::sync::Arc;
use std::time::Duration;

use steadfast_store::within;
use tracing::Instrument;

use crate::hold::Hold;
use crate::telemetry;

/// The term has this many parts; a renewal is sent after each.
const BEATS_PER_TERM: u32 = 3;
/// A failed renewal is tried again after this part of the term.
const RETRIES_PER_TERM: u32 = 30;
/// Bounds of the pause before that, so that short terms do not spin and long ones do not dawdle.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));

/// Starts the heartbeat of `hold` beside the caller. It ends with the lease.
pub(crate) fn start(hold: &Arc<Hold>) {
    let env = hold.store().env().clone();
    let hold = Arc::clone(hold);
    env.runtime().spawn(Box::pin(async move { beat(&hold).await }));
}

async fn beat(hold: &Hold) {
    let env = hold.store().env();
    let mut pause = until_next(hold);
    while within(env, pause, hold.ended()).await.is_none() {
        let renewal = hold.renew().instrument(telemetry::renew(hold.guard(), true));
        pause = match renewal.await {
            Ok(()) => until_next(hold),
            Err(error) if error.may_pass() => {
                (hold.term() / RETRIES_PER_TERM).clamp(RETRY_PAUSE.0, RETRY_PAUSE.1)
            }
            Err(_) => return,
        };
    }
}

/// A third of the term after the newest renewal was sent, not after its answer came.
fn until_next(hold: &Hold) -> Duration {
    hold.remaining().saturating_sub(hold.term() / BEATS_PER_TERM * (BEATS_PER_TERM - 1))
}
