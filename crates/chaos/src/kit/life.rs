//! One life of an agent: it passes numbered points, and at one of them it may be killed. From then on nothing that is
//! left of it does anything: its calls never answer, and its effects do not happen.

use std::sync::Mutex;
use std::sync::PoisonError;

use steadfast_store::{Batch, Command};
use tokio::sync::Notify;

use super::crash::{CrashPoint, Side};
use super::faulty::{StoreFault, StoreFaults};

/// See the module.
#[derive(Debug)]
pub(super) struct Life {
    crash: Option<(usize, Side)>,
    state: Mutex<State>,
    died: Notify,
}

/// What becomes of what is done at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is done, and the agent goes on.
    Go,
    /// It is done, and nobody hears of it.
    Last,
    /// It is not done.
    Never,
}

#[derive(Debug, Default)]
struct State {
    passed: Vec<String>,
    is_dead: bool,
}

impl Life {
    /// A life that ends at point `crash.0`, or by itself.
    pub(super) fn new(crash: Option<(usize, Side)>) -> Self {
        Self { crash, state: Mutex::default(), died: Notify::new() }
    }

    /// Comes to a point, unless the life is over already.
    pub(super) fn reach(&self, what: impl FnOnce() -> String) -> Step {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_dead {
            return Step::Never;
        }
        let number = state.passed.len();
        state.passed.push(what());
        let side = self.crash.filter(|(at, _)| *at == number).map(|(_, side)| side);
        // From before the point on: nothing else of it may come between.
        state.is_dead = side.is_some();
        drop(state);
        match side {
            None => Step::Go,
            Some(Side::After) => Step::Last,
            Some(Side::Before) => {
                self.died.notify_one();
                Step::Never
            }
        }
    }

    /// Something at a point was done: the last thing, if it was to die after that.
    pub(super) fn done(&self) {
        if self.is_over() {
            self.died.notify_one();
        }
    }

    /// Ends when it has died.
    pub(super) async fn died(&self) {
        self.died.notified().await;
    }

    /// Nothing that is left of it may do anything any more.
    pub(super) fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_dead = true;
    }

    /// The points that it came to, in order.
    pub(super) fn points(&self) -> Vec<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).passed.clone()
    }

    /// The point at which it was to end.
    pub(super) fn crash_point(&self) -> Option<CrashPoint> {
        let (index, side) = self.crash?;
        let what = self.points().get(index).cloned()?;
        Some(CrashPoint { index, what, side })
    }

    fn is_over(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_dead
    }
}

/// The store as one life sees it.
#[derive(Debug)]
pub(super) struct Mortal(pub(super) std::sync::Arc<Life>);

impl StoreFaults for Mortal {
    fn commit(&self, _commit: u64, batch: &Batch) -> StoreFault {
        match self.0.reach(|| described(batch)) {
            Step::Go => StoreFault::Pass,
            Step::Last => StoreFault::HangAfter,
            Step::Never => StoreFault::HangBefore,
        }
    }

    fn committed(&self, _commit: u64) {
        self.0.done();
    }

    fn read(&self) -> StoreFault {
        if self.0.is_over() { StoreFault::HangBefore } else { StoreFault::Pass }
    }
}

/// The commands of a batch by their names: `commit of AppendCheckpoint, SettleItem`.
fn described(batch: &Batch) -> String {
    let names: Vec<String> = batch.entries().iter().map(|entry| name(&entry.command)).collect();
    format!("commit of {}", names.join(", "))
}

/// The name of a command's variant, which its debug form begins with.
fn name(command: &Command) -> String {
    let debug = format!("{command:?}");
    debug.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}
