//! The only file that reads the machine's clocks.

use std::fmt::Debug;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::sync::Mutex;
use crate::time::WallTime;

/// Names one boot of one machine.
///
/// [`Clock`] has an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootId(pub [u8; 16]);

/// A reading of the boot clock, which counts suspended time and never steps.
///
/// [`Clock`] has an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootReading {
    /// Which boot.
    pub boot: BootId,
    /// Time since that boot.
    pub elapsed: Duration,
}

/// The clocks of the environment.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use steadfast_store::WallTime;
/// use steadfast_store::env::{BootReading, Clock, Env, SystemClock};
///
/// /// A machine whose wall clock is an hour ahead.
/// #[derive(Debug)]
/// struct Ahead(SystemClock);
///
/// impl Clock for Ahead {
///     fn monotonic(&self) -> Duration {
///         self.0.monotonic()
///     }
///     fn boot(&self) -> BootReading {
///         self.0.boot()
///     }
///     fn wall(&self) -> WallTime {
///         self.0.wall().plus(Duration::from_secs(3_600))
///     }
/// }
/// let env = Env::system().with_clock(Arc::new(Ahead(SystemClock::new())));
/// assert!(env.clock().wall() > SystemClock::new().wall());
/// ```
pub trait Clock: Debug + Send + Sync {
    /// Time since some fixed point of this process; never steps. For deadlines inside one process.
    fn monotonic(&self) -> Duration;
    /// Time since the machine's boot, the same for all processes on it.
    fn boot(&self) -> BootReading;
    /// The wall clock, as wrong as it may be.
    fn wall(&self) -> WallTime;
}

/// The clocks of a Linux machine: `CLOCK_BOOTTIME` (`clock_gettime(2)`) under the kernel's boot id, and the wall.
///
/// ```
/// use steadfast_store::env::{Clock, SystemClock};
///
/// let clock = SystemClock::new();
/// assert!(clock.monotonic() <= clock.monotonic());
/// ```
#[derive(Debug, Clone)]
pub struct SystemClock {
    boot: BootId,
}

impl SystemClock {
    /// Reads the boot id once. Where the kernel tells none, all boots look alike; then a restart of the machine
    /// ends leases by their terms and not at once.
    pub fn new() -> Self {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = uuid::Uuid::parse_str(text.trim()).map_or([0; 16], uuid::Uuid::into_bytes);
        Self { boot: BootId(boot) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

fn read(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        // Boottime, not monotonic: a holder that slept through its term with the machine must see that it did.
        read(ClockId::Boottime)
    }

    fn boot(&self) -> BootReading {
        BootReading { boot: self.boot, elapsed: read(ClockId::Boottime) }
    }

    fn wall(&self) -> WallTime {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
        };
        WallTime::from_millis(millis)
    }
}

/// A clock that stands still until it is moved. For tests and simulation.
///
/// ```
/// # use {steadfast_store::env::{Clock, ManualClock}, std::time::Duration};
/// let clock = ManualClock::new();
/// let before = clock.monotonic();
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(clock.monotonic() - before, Duration::from_secs(1));
/// ```
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<Manual>,
}

#[derive(Debug, Clone, Copy)]
struct Manual {
    boot: u8,
    elapsed: Duration,
    monotonic: Duration,
    wall_millis: i64,
}

impl ManualClock {
    /// A clock some hours after boot, in November 2026.
    pub fn new() -> Self {
        let elapsed = Duration::from_secs(10_000);
        let state = Manual { boot: 1, elapsed, monotonic: elapsed, wall_millis: 1_795_500_000_000 };
        Self { state: Mutex::new(state) }
    }

    /// Lets time pass, on every clock.
    pub fn advance(&self, span: Duration) {
        let mut state = self.state.lock();
        state.elapsed += span;
        state.monotonic += span;
        state.wall_millis += i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    }

    /// Steps the wall clock alone, by milliseconds forwards or backwards.
    pub fn step_wall(&self, millis: i64) {
        self.state.lock().wall_millis += millis;
    }

    /// Restarts the machine: a new boot id, the boot clock near zero, the wall clock as it was.
    pub fn reboot(&self) {
        let mut state = self.state.lock();
        state.boot = state.boot.wrapping_add(1);
        state.elapsed = Duration::from_secs(1);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        self.state.lock().monotonic
    }

    fn boot(&self) -> BootReading {
        let state = *self.state.lock();
        BootReading { boot: BootId([state.boot; 16]), elapsed: state.elapsed }
    }

    fn wall(&self) -> WallTime {
        WallTime::from_millis(self.state.lock().wall_millis)
    }
}
