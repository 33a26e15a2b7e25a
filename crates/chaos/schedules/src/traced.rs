//! A scheduler that is watched: how many schedules it has begun, how many choices it made, and which of the schedules
//! were different.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

/// What was seen of it.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// Schedules begun.
    pub(crate) begun: usize,
    /// Choices made, in all of them.
    pub(crate) choices: u64,
    /// The schedules, each by a hash of its choices.
    pub(crate) different: BTreeSet<u64>,
    current: DefaultHasher,
}

impl Trace {
    /// The schedule that was begun last is over.
    pub(crate) fn end(&mut self) {
        if self.begun > 0 {
            self.different.insert(std::mem::take(&mut self.current).finish());
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Traced<S> {
    pub(crate) scheduler: S,
    pub(crate) trace: Arc<Mutex<Trace>>,
}

impl<S> Traced<S> {
    fn trace(&self) -> std::sync::MutexGuard<'_, Trace> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Scheduler> Scheduler for Traced<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        let next = self.scheduler.new_execution();
        let mut trace = self.trace();
        trace.end();
        trace.begun += usize::from(next.is_some());
        next
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let next = self.scheduler.next_task(runnable, current, is_yielding);
        let mut trace = self.trace();
        trace.choices += u64::from(runnable.len() > 1);
        next.map(usize::from).hash(&mut trace.current);
        next
    }

    fn next_u64(&mut self) -> u64 {
        self.scheduler.next_u64()
    }
}
