//! Store time: the boot clock plus an anchor. No step of the wall clock moves it; within a boot all processes of one
//! machine read the same; a new boot starts beyond every lease of the one before, because no holder can have
//! survived it.

use std::time::Duration;

use crate::env::{BootId, Clock};
use crate::time::{Now, StoreTime};

/// How far ahead of now the ceiling is kept: after a crash, a new boot starts at it, so that store time never runs
/// backwards although it is written down only once in this span.
pub(crate) const CEILING_AHEAD: Duration = Duration::from_secs(60);

/// The anchor of one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreClock {
    /// The boot that the anchor is for.
    pub(crate) boot: BootId,
    /// Store time less boot time, in milliseconds.
    pub(crate) anchor_ms: i64,
    /// No store time beyond this was ever written.
    pub(crate) ceiling: StoreTime,
}

impl StoreClock {
    /// The clock of a new store: near the wall clock.
    pub(crate) fn begin(clock: &dyn Clock) -> Self {
        Self::anchored(clock, StoreTime::from_millis(clock.wall().as_millis()))
    }

    #[cfg(any(feature = "sqlite", test))]
    /// The clock for this boot. `newest_lease` is the latest deadline of any lease in the store.
    pub(crate) fn resume(self, clock: &dyn Clock, newest_lease: Option<StoreTime>) -> Self {
        if self.boot == clock.boot().boot {
            return self;
        }
        let wall = StoreTime::from_millis(clock.wall().as_millis());
        let beyond = newest_lease.map_or(self.ceiling, |lease| lease.max(self.ceiling));
        Self::anchored(clock, wall.max(beyond.plus(Duration::from_millis(1))))
    }

    fn anchored(clock: &dyn Clock, now: StoreTime) -> Self {
        let boot = clock.boot();
        let anchor_ms = now.as_millis().saturating_sub(millis(boot.elapsed));
        Self { boot: boot.boot, anchor_ms, ceiling: now.plus(CEILING_AHEAD) }
    }

    /// Both times now.
    pub(crate) fn now(&self, clock: &dyn Clock) -> Now {
        let store = self.anchor_ms.saturating_add(millis(clock.boot().elapsed));
        Now { store: StoreTime::from_millis(store), wall: clock.wall() }
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::ManualClock;

    #[test]
    fn a_step_of_the_wall_clock_moves_no_store_time() {
        let clock = ManualClock::new();
        let store = StoreClock::begin(&clock);
        let before = store.now(&clock).store;
        clock.step_wall(-86_400_000);
        assert_eq!(store.now(&clock).store, before);
        clock.step_wall(2 * 86_400_000);
        clock.advance(Duration::from_secs(3));
        assert_eq!(store.now(&clock).store, before.plus(Duration::from_secs(3)));
    }

    #[test]
    fn a_new_boot_starts_beyond_every_lease_and_never_behind() {
        let clock = ManualClock::new();
        let store = StoreClock::begin(&clock);
        let lease = store.now(&clock).store.plus(Duration::from_secs(300));
        clock.step_wall(-1_000_000_000);
        clock.reboot();
        let after = store.resume(&clock, Some(lease));
        assert!(after.now(&clock).store > lease);
        assert!(after.now(&clock).store > store.ceiling);
        assert_eq!(after.resume(&clock, Some(lease)), after, "the same boot keeps its anchor");
    }
}
