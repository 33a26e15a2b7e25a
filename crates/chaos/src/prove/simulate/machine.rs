//! A simulated machine: its clocks, which drift and step, and the environment that its process is given.

use std::sync::Arc;
use std::time::Duration;

use steadfast_store::WallTime;
use steadfast_store::env::{BootId, BootReading, BoxFuture, Clock, Env, Runtime, SeededRng};

use super::executor::Shared;

/// How long each machine has been up when a run begins.
const UP_BEFORE: Duration = Duration::from_secs(10_000);
/// What every wall clock shows when a run begins, in milliseconds: some day in November 2026.
pub(super) const WALL_AT_START_MS: i64 = 1_795_500_000_000;
/// A drift is told in parts of this.
const MILLION: i128 = 1_000_000;

/// Names a machine of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct MachineId(pub(super) usize);

impl MachineId {
    /// The one that the store is on. It is never paused or killed: what becomes of a store that dies is another
    /// campaign's subject.
    pub(super) const SERVER: Self = Self(0);
    /// Where work is handed in, and where people settle doubts.
    pub(super) const OFFICE: Self = Self(1);
    /// The first that works.
    pub(super) const FIRST_WORKER: usize = 2;
}

/// How one machine stands.
#[derive(Debug)]
pub(super) struct Machine {
    /// How much faster its clocks run than true time, in parts of a million.
    pub(super) drift_ppm: i32,
    /// How far its wall clock has been stepped, in milliseconds.
    pub(super) wall_ms: i64,
    /// Its boot clock follows the wall: only a planted bug does that.
    pub(super) boots_by_wall: bool,
    /// Time may pass, but nothing of it runs.
    pub(super) is_paused: bool,
    /// Whatever is ready waits up to so long before it runs.
    pub(super) slow: Duration,
    /// It has a process.
    pub(super) is_up: bool,
    /// How many processes it has had before.
    process: u32,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            drift_ppm: 0,
            wall_ms: 0,
            boots_by_wall: false,
            is_paused: false,
            slow: Duration::ZERO,
            is_up: true,
            process: 0,
        }
    }
}

impl Machine {
    /// Whether that process is the one that lives.
    pub(super) fn runs(&self, process: u32) -> bool {
        self.is_up && self.process == process
    }

    /// Its process is no more; the next one has another number.
    pub(super) fn end_process(&mut self) {
        self.is_up = false;
        self.process += 1;
    }

    /// Which process it has, or would have.
    pub(super) fn process(&self) -> u32 {
        self.process
    }

    /// So much of its own time as passes in `span` of true time.
    fn own(&self, span: Duration) -> Duration {
        scaled(span, MILLION + i128::from(self.drift_ppm), MILLION)
    }

    /// So much true time that `span` of its own time has surely passed. Never less: whoever sleeps towards a deadline
    /// and wakes before it sleeps again, and must come nearer each time.
    pub(super) fn of_true(&self, span: Duration) -> Duration {
        let passes = scaled(span, MILLION, MILLION + i128::from(self.drift_ppm));
        if span.is_zero() { passes } else { passes + Duration::from_micros(1) }
    }

    /// Its monotonic clock at a true time.
    pub(super) fn monotonic(&self, now: Duration) -> Duration {
        UP_BEFORE + self.own(now)
    }

    fn boot(&self, now: Duration) -> Duration {
        let elapsed = self.monotonic(now);
        if !self.boots_by_wall {
            return elapsed;
        }
        let step = Duration::from_millis(self.wall_ms.unsigned_abs());
        if self.wall_ms < 0 { elapsed.saturating_sub(step) } else { elapsed + step }
    }

    /// Its wall clock at a true time.
    pub(super) fn wall(&self, now: Duration) -> WallTime {
        WallTime::from_millis(WALL_AT_START_MS + self.wall_ms).plus(self.own(now))
    }
}

fn scaled(span: Duration, by: i128, of: i128) -> Duration {
    let nanos = i128::try_from(span.as_nanos()).unwrap_or(i128::MAX / MILLION / 2);
    Duration::from_nanos(u64::try_from(nanos * by / of).unwrap_or(u64::MAX))
}

/// The environment of a machine's present process. `seed` is that of its randomness.
pub(super) fn env(shared: &Arc<Shared>, machine: MachineId, seed: u64) -> Env {
    let process = shared.look(machine, |machine, _| machine.process());
    let seat = Arc::new(Seat { shared: Arc::clone(shared), machine, process });
    let rng = SeededRng::new(seed ^ (u64::from(process) << 32) ^ ((machine.0 as u64) << 56));
    Env::system().with_clock(seat.clone()).with_rng(Arc::new(rng)).with_runtime(seat)
}

/// Clock and runtime of one process.
#[derive(Debug)]
struct Seat {
    shared: Arc<Shared>,
    machine: MachineId,
    process: u32,
}

impl Clock for Seat {
    fn monotonic(&self) -> Duration {
        self.shared.look(self.machine, Machine::monotonic)
    }

    fn boot(&self) -> BootReading {
        BootReading { boot: BootId([1; 16]), elapsed: self.shared.look(self.machine, Machine::boot) }
    }

    fn wall(&self) -> WallTime {
        self.shared.look(self.machine, Machine::wall)
    }
}

impl Runtime for Seat {
    fn spawn(&self, future: BoxFuture) {
        self.shared.spawn(self.machine, self.process, future);
    }

    /// There is one thread: what may block takes no simulated time, and has its turn among the others.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        self.spawn(Box::pin(async move { work() }));
    }

    fn sleep(&self, span: Duration) -> BoxFuture {
        let span = self.shared.look(self.machine, |machine, _| machine.of_true(span));
        Box::pin(self.shared.sleep(span))
    }

    fn yield_now(&self) -> BoxFuture {
        let mut has_yielded = false;
        Box::pin(std::future::poll_fn(move |context| {
            if std::mem::replace(&mut has_yielded, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_drifts_sleeps_by_its_own_clock() {
        let fast = Machine { drift_ppm: 10_000, ..Machine::default() };
        let hour = Duration::from_secs(3_600);
        assert_eq!(fast.monotonic(hour), fast.monotonic(Duration::ZERO) + Duration::from_secs(3_636));
        assert!(fast.of_true(hour) < hour && fast.of_true(hour) > Duration::from_secs(3_560));
    }

    #[test]
    fn a_sleep_of_its_own_time_is_never_too_short() {
        for drift_ppm in [-20_000, -1, 0, 1, 20_000] {
            let machine = Machine { drift_ppm, ..Machine::default() };
            for nanos in [1, 7, 999, 1_000_003, 90_000_000_001] {
                let (began, span) = (Duration::from_nanos(123_456_789), Duration::from_nanos(nanos));
                let after = machine.monotonic(began + machine.of_true(span));
                assert!(after >= machine.monotonic(began) + span, "{nanos} ns at {drift_ppm} ppm");
            }
        }
        assert_eq!(Machine::default().of_true(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a_step_of_the_wall_moves_no_other_clock() {
        let stepped = Machine { wall_ms: -86_400_000, ..Machine::default() };
        let straight = Machine::default();
        let now = Duration::from_secs(5);
        assert_eq!(stepped.boot(now), straight.boot(now));
        assert_eq!(straight.wall(now).as_millis() - stepped.wall(now).as_millis(), 86_400_000);
    }
}
