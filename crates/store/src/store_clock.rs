//! Store time: the boot clock plus an anchor. No step of the wall clock moves it; within a boot all processes of one
//! machine read the same. A new boot ends every lease of the one before, because no holder can have survived it.

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

    /// The clock for this boot, and whether the saved one was that of an earlier boot: then every owner of then is
    /// gone. Where the kernel names no boot, a time that lies further behind the ceiling than it ever is within one
    /// tells them apart.
    #[cfg(any(feature = "sqlite", test))]
    pub(crate) fn resume(self, clock: &dyn Clock) -> (Self, bool) {
        let is_behind = self.now(clock).store.plus(CEILING_AHEAD) < self.ceiling;
        if self.boot == clock.boot().boot && !is_behind {
            return (self, false);
        }
        let wall = StoreTime::from_millis(clock.wall().as_millis());
        (Self::anchored(clock, wall.max(self.ceiling.plus(Duration::from_millis(1)))), true)
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
    fn a_new_boot_is_told_and_never_starts_behind() {
        let clock = ManualClock::new();
        let store = StoreClock::begin(&clock);
        assert_eq!(store.resume(&clock), (store, false));
        clock.step_wall(-1_000_000_000);
        clock.reboot();
        let (after, is_new) = store.resume(&clock);
        assert!(is_new && after.now(&clock).store > store.ceiling);
        assert_eq!(after.resume(&clock), (after, false), "the same boot keeps its anchor");
    }

    #[test]
    fn a_boot_without_a_name_is_told_by_its_clock() {
        let clock = ManualClock::new();
        let before = StoreClock::begin(&clock);
        clock.reboot();
        let nameless = StoreClock { boot: clock.boot().boot, ..before };
        let (after, is_new) = nameless.resume(&clock);
        assert!(is_new && after.now(&clock).store > before.ceiling);
    }
}
