//! The environment that every component is given: clocks, randomness, a place to run, and the failpoints. Nothing
//! else in the workspace reads a clock, draws randomness, sleeps or spawns, so that a whole system can be run from
//! one seed.

mod clock;
mod failpoint;
mod rng;
mod runtime;

use std::sync::Arc;
use std::time::Duration;

pub use clock::{BootId, BootReading, Clock, ManualClock, SystemClock};
pub use failpoint::{Failpoint, Failpoints};
pub use rng::{Rng, SeededRng, SystemRng};
pub use runtime::{BoxFuture, Runtime, TokioRuntime};

/// What a component may know of the world outside. Cloning shares it.
///
/// ```
/// # use steadfast_store::env::Env;
/// let env = Env::system();
/// assert!(env.clock().wall().as_millis() > 0);
/// ```
#[derive(Debug, Clone)]
pub struct Env {
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    runtime: Arc<dyn Runtime>,
    failpoints: Option<Arc<dyn Failpoints>>,
}

impl Env {
    /// The real one: the machine's clocks, the kernel's randomness, the tokio runtime of the caller, no failpoints.
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            rng: Arc::new(SystemRng),
            runtime: Arc::new(TokioRuntime),
            failpoints: None,
        }
    }

    /// The same with another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The same with another source of randomness.
    #[must_use]
    pub fn with_rng(mut self, rng: Arc<dyn Rng>) -> Self {
        self.rng = rng;
        self
    }

    /// The same with another runtime.
    #[must_use]
    pub fn with_runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = runtime;
        self
    }

    /// The same with somebody who is told of every failpoint that is reached.
    #[must_use]
    pub fn with_failpoints(mut self, failpoints: Arc<dyn Failpoints>) -> Self {
        self.failpoints = Some(failpoints);
        self
    }

    /// The clocks.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The randomness.
    pub fn rng(&self) -> &dyn Rng {
        &*self.rng
    }

    /// Where futures and blocking work run.
    pub fn runtime(&self) -> &dyn Runtime {
        &*self.runtime
    }

    /// Sleeps. Dropping the future ends the sleep.
    pub fn sleep(&self, span: Duration) -> BoxFuture {
        self.runtime.sleep(span)
    }

    /// Tells whoever listens that this point of the code was reached.
    pub fn reach(&self, point: Failpoint) {
        if let Some(failpoints) = &self.failpoints {
            failpoints.reach(point);
        }
    }

    /// The bytes of a UUID of version 7 (RFC 9562): wall-clock milliseconds first, then randomness.
    pub fn time_ordered_bytes(&self) -> [u8; 16] {
        let mut random = [0; 10];
        self.rng.fill(&mut random);
        let millis = u64::try_from(self.clock.wall().as_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().into_bytes()
    }
}
