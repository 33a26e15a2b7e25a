//! The clock of a scenario: it stands, or it jumps between any two looks. It knows since when each batch waits, from
//! the very look that the store took. Its lock is the standard library's and held for a look only, as that of the
//! books.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadfast_store::WallTime;
use steadfast_store::env::{BootId, BootReading, Clock};

use crate::world::chance;

/// What it reads at first.
const START: Duration = Duration::from_secs(10_000);
/// How far it jumps.
const JUMP: Duration = Duration::from_millis(700);
/// How far it jumps while the core waits for its lock: past the patience of most.
const LONG_JUMP: Duration = Duration::from_millis(1_400);

/// Whether limits of waits are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Time {
    /// Never: who is not woken waits for ever, and the explorer tells of it.
    #[default]
    Stands,
    /// At any moment, and the clock jumps between any two looks.
    Jumps,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct ExploredClock {
    time: Time,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Since some instant of no meaning.
    reading: Duration,
    /// Whose batch the next look is for.
    asking: Option<u32>,
    asked_at: BTreeMap<u32, Duration>,
}

impl Default for State {
    fn default() -> Self {
        Self { reading: START, asking: None, asked_at: BTreeMap::new() }
    }
}

impl ExploredClock {
    pub(crate) fn new(time: Time) -> Self {
        Self { time, state: Mutex::default() }
    }

    pub(crate) fn time(&self) -> Time {
        self.time
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next look is the one with which the store notes when batch `number` came: to be told with no choice between.
    pub(crate) fn asks(&self, number: u32) {
        let before = self.lock().asking.replace(number);
        assert_eq!(before, None, "the store has noted of no batch when it came");
    }

    /// How long batch `number` has waited by now. Looking here moves nothing.
    pub(crate) fn waited(&self, number: u32) -> Duration {
        let state = self.lock();
        let asked_at = state.asked_at.get(&number);
        let asked_at = asked_at.unwrap_or_else(|| panic!("nobody has asked for batch {number}"));
        state.reading.saturating_sub(*asked_at)
    }

    /// Time may have passed while the core waited for its lock.
    pub(crate) fn lock_waited_for(&self) {
        if self.time == Time::Jumps && chance(20) {
            self.lock().reading += LONG_JUMP;
        }
    }

    fn look(&self) -> Duration {
        let jump = if self.time == Time::Jumps && chance(10) { JUMP } else { Duration::ZERO };
        let mut state = self.lock();
        state.reading += jump;
        let reading = state.reading;
        if let Some(number) = state.asking.take() {
            state.asked_at.insert(number, reading);
        }
        reading
    }
}

impl Clock for ExploredClock {
    fn monotonic(&self) -> Duration {
        self.look()
    }

    fn boot(&self) -> BootReading {
        BootReading { boot: BootId([1; 16]), elapsed: self.look() }
    }

    fn wall(&self) -> WallTime {
        WallTime::from_millis(1_795_500_000_000)
    }
}
