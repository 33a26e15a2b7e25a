//! The channels of this crate: all of them come from here, so that a schedule explorer can put its own in their
//! place.

use steadfast_store::env::Env;
use tokio::sync::oneshot;

/// Runs work that may block off the threads that poll futures. `None` when it panicked or the runtime went away.
pub(crate) async fn off_thread<T: Send + 'static>(
    env: &Env,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    // Nobody may be waiting any more.
    env.runtime().spawn_blocking(Box::new(move || drop(answer.send(work()))));
    answered.await.ok()
}
