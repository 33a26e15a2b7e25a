//! A gate before the writer's next group: whatever is submitted while it is held goes into one group.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use steadfast_chaos::prove::iofault::disk::Disk;
use steadfast_store::env::{Failpoint, Failpoints};

/// How long the writer may take to come to the gate.
const COMES_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Closed,
    /// Somebody waits.
    Holds,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    /// Whoever comes next has to wait.
    pub(super) fn close(&self) {
        *self.state.lock().unwrap() = State::Closed;
    }

    /// Ends when somebody waits.
    pub(super) fn holds_somebody(&self) {
        let state = self.state.lock().unwrap();
        let (state, _) =
            self.changed.wait_timeout_while(state, COMES_WITHIN, |state| *state != State::Holds).unwrap();
        assert_eq!(*state, State::Holds, "nobody came to the gate");
    }

    pub(super) fn open(&self) {
        *self.state.lock().unwrap() = State::Open;
        self.changed.notify_all();
    }

    /// Goes through, or waits until it is opened.
    pub(super) fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        if *state == State::Closed {
            *state = State::Holds;
            self.changed.notify_all();
            while *state != State::Open {
                state = self.changed.wait(state).unwrap();
            }
        }
    }
}

/// A gate before the writer's groups, on the way of every point to the disk.
#[derive(Debug)]
pub(super) struct Gated {
    pub(super) gate: Gate,
    pub(super) disk: Arc<Disk>,
}

impl Failpoints for Gated {
    fn reach(&self, point: Failpoint) {
        self.disk.reach(point);
        if point == Failpoint::BEGIN_BEFORE {
            self.gate.pass();
        }
    }
}
