//! The channels of this crate: all of them come from here, so that a schedule explorer can put its own in their
//! place.

use std::panic::{AssertUnwindSafe, catch_unwind};

use steadfast_store::env::Env;
use tokio::sync::oneshot;

/// Runs work that may block off the threads that poll futures. `None` when it panicked or the runtime went away.
pub(crate) async fn off_thread<T: Send + 'static>(
    env: &Env,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    let work = move || {
        // Caught here, whatever the runtime does about it: the work may be the user's.
        if let Ok(done) = catch_unwind(AssertUnwindSafe(work)) {
            // Nobody may be waiting any more.
            drop(answer.send(done));
        }
    };
    env.runtime().spawn_blocking(Box::new(work));
    answered.await.ok()
}
