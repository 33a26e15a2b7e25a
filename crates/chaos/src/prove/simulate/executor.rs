//! One thread, one virtual clock: runs the tasks of all machines, chooses among those that are ready by its seed, and
//! lets time jump to the next timer when none is. So a simulated hour takes as long as what happens in it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use steadfast_store::env::BoxFuture;

use super::machine::{Machine, MachineId};

/// A run that polls more often than this does not come to an end.
const POLLS_MAX: u64 = 3_000_000;

/// One spawned future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct TaskId(u64);

/// The tasks did not come to rest within [`POLLS_MAX`] polls.
#[derive(Debug)]
pub(super) struct Spinning;

/// Why a run stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The time is reached.
    Reached,
    /// A task asked for it, in this instant.
    Interrupted,
}

/// Drives what is spawned through its [`Shared`] side.
#[derive(Debug)]
pub(super) struct Executor {
    pub(super) shared: Arc<Shared>,
    choice: fastrand::Rng,
    polls: u64,
}

/// The side of the executor that machines hold: clocks, spawning, sleeping.
pub(super) struct Shared {
    core: Mutex<Core>,
    /// Tasks woken since the last look, in an order that may come from outside the seed: it is sorted before use.
    woken: Arc<Mutex<Vec<TaskId>>>,
    is_interrupted: AtomicBool,
}

struct Core {
    now: Duration,
    tasks: BTreeMap<TaskId, Task>,
    next_task: u64,
    ready: Vec<TaskId>,
    timers: BinaryHeap<Reverse<Timer>>,
    next_timer: u64,
    seats: Vec<Seat>,
    slowness: fastrand::Rng,
}

/// A machine, and the tasks of it that wait for the end of its pause.
#[derive(Default)]
struct Seat {
    machine: Machine,
    parked: Vec<TaskId>,
}

struct Task {
    machine: MachineId,
    /// Taken out while it is polled.
    future: Option<BoxFuture>,
    flag: Arc<Flag>,
}

/// Wakes one task, once until it is polled.
struct Flag {
    id: TaskId,
    is_woken: AtomicBool,
    woken: Arc<Mutex<Vec<TaskId>>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::SeqCst) {
            self.woken.lock().push(self.id);
        }
    }
}

/// Something that is due at a time; those due at once come in the order in which they were set.
struct Timer {
    at: Duration,
    order: u64,
    due: Due,
}

enum Due {
    /// A sleep ends, unless it was dropped.
    Sleeper(Arc<Mutex<Option<Waker>>>),
    /// A task of a slow machine comes to be polled.
    Slowed(TaskId),
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl Executor {
    /// With these machines, all up.
    pub(super) fn new(seed: u64, machines: usize) -> Self {
        let mut seeds = fastrand::Rng::with_seed(seed);
        let core = Core {
            now: Duration::ZERO,
            tasks: BTreeMap::new(),
            next_task: 0,
            ready: Vec::new(),
            timers: BinaryHeap::new(),
            next_timer: 0,
            seats: (0..machines).map(|_| Seat::default()).collect(),
            slowness: fastrand::Rng::with_seed(seeds.u64(..)),
        };
        let shared =
            Shared { core: Mutex::new(core), woken: Arc::default(), is_interrupted: AtomicBool::new(false) };
        Self { shared: Arc::new(shared), choice: fastrand::Rng::with_seed(seeds.u64(..)), polls: 0 }
    }

    /// How often a task was polled so far.
    pub(super) fn polls(&self) -> u64 {
        self.polls
    }

    /// Runs everything that is due up to `end`, which it then is, unless a task interrupts it.
    pub(super) fn run_until(&mut self, end: Duration) -> Result<Stop, Spinning> {
        loop {
            while self.poll_one() {
                if self.shared.is_interrupted.swap(false, Ordering::SeqCst) {
                    return Ok(Stop::Interrupted);
                }
                if self.polls > POLLS_MAX {
                    return Err(Spinning);
                }
            }
            if !self.shared.jump(end) {
                return Ok(Stop::Reached);
            }
        }
    }

    /// Polls one of the tasks that are ready, if there is one.
    fn poll_one(&mut self) -> bool {
        let (id, mut future, flag) = {
            let mut core = self.shared.core.lock();
            core.settle(&self.shared.woken);
            if core.ready.is_empty() {
                return false;
            }
            let chosen = self.choice.usize(..core.ready.len());
            let id = core.ready.swap_remove(chosen);
            let Some(task) = core.tasks.get_mut(&id) else { return true };
            let Some(future) = task.future.take() else { return true };
            (id, future, Arc::clone(&task.flag))
        };
        self.polls += 1;
        flag.is_woken.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&flag));
        // No lock is held: the task may spawn, sleep and read clocks.
        let is_done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        if is_done {
            drop(future);
            self.shared.core.lock().tasks.remove(&id);
        } else if let Some(task) = self.shared.core.lock().tasks.get_mut(&id) {
            task.future = Some(future);
        }
        true
    }

    /// Stops polling the tasks of a machine, until it is resumed.
    pub(super) fn pause(&self, machine: MachineId) {
        let mut core = self.shared.core.lock();
        core.settle(&self.shared.woken);
        core.seats[machine.0].machine.is_paused = true;
        let (stays, parked): (Vec<_>, Vec<_>) = {
            let ready = std::mem::take(&mut core.ready);
            ready.into_iter().partition(|id| core.tasks.get(id).is_some_and(|task| task.machine != machine))
        };
        core.ready = stays;
        core.seats[machine.0].parked.extend(parked);
    }

    /// Ends a pause. True when something had been waiting for it.
    pub(super) fn resume(&self, machine: MachineId) -> bool {
        let mut core = self.shared.core.lock();
        core.seats[machine.0].machine.is_paused = false;
        let parked = std::mem::take(&mut core.seats[machine.0].parked);
        let waited = !parked.is_empty();
        core.ready.extend(parked);
        waited
    }

    /// Ends the process on a machine: its tasks are gone, and what they spawn on their way is not run. The number of
    /// tasks that it had.
    pub(super) fn kill(&self, machine: MachineId) -> usize {
        let gone: Vec<Task> = {
            let mut core = self.shared.core.lock();
            core.seats[machine.0].machine.end_process();
            core.seats[machine.0].parked.clear();
            let ids: Vec<TaskId> =
                core.tasks.iter().filter(|(_, task)| task.machine == machine).map(|(id, _)| *id).collect();
            ids.iter().filter_map(|id| core.tasks.remove(id)).collect()
        };
        // Without the lock: what is dropped may read a clock.
        gone.len()
    }

    /// Starts a process on a machine that has none.
    pub(super) fn restart(&self, machine: MachineId) {
        self.shared.core.lock().seats[machine.0].machine.is_up = true;
    }

    /// Lets someone change how a machine behaves.
    pub(super) fn adjust(&self, machine: MachineId, change: impl FnOnce(&mut Machine)) {
        change(&mut self.shared.core.lock().seats[machine.0].machine);
    }
}

impl Shared {
    /// True time since the beginning of the run.
    pub(super) fn now(&self) -> Duration {
        self.core.lock().now
    }

    /// Has the run stand still after the poll under way, so that something is done from outside in this instant.
    pub(super) fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::SeqCst);
    }

    /// Runs a future on a machine, as long as the process lives that asked for it.
    pub(super) fn spawn(&self, machine: MachineId, process: u32, future: BoxFuture) {
        let refused = {
            let mut core = self.core.lock();
            if core.seats[machine.0].machine.runs(process) {
                let id = TaskId(core.next_task);
                core.next_task += 1;
                let flag = Flag { id, is_woken: AtomicBool::new(true), woken: Arc::clone(&self.woken) };
                core.tasks.insert(id, Task { machine, future: Some(future), flag: Arc::new(flag) });
                core.ready_at(id);
                None
            } else {
                Some(future)
            }
        };
        drop(refused);
    }

    /// Ends after `span` of true time.
    pub(super) fn sleep(self: &Arc<Self>, span: Duration) -> Sleep {
        let at = self.now().saturating_add(span);
        Sleep { shared: Arc::clone(self), at, waker: None }
    }

    /// Looks at a machine.
    pub(super) fn look<T>(&self, machine: MachineId, look: impl FnOnce(&Machine, Duration) -> T) -> T {
        let core = self.core.lock();
        look(&core.seats[machine.0].machine, core.now)
    }

    /// Lets time pass to the next timer that anybody waits for, at most to `end`. False when that came first.
    fn jump(&self, end: Duration) -> bool {
        let mut core = self.core.lock();
        loop {
            match core.timers.peek() {
                Some(Reverse(timer)) if timer.at <= end => {}
                _ => {
                    core.now = core.now.max(end);
                    return false;
                }
            }
            let Some(Reverse(Timer { at, due, .. })) = core.timers.pop() else { return false };
            match due {
                Due::Sleeper(waiting) => {
                    let Some(waker) = waiting.lock().take() else { continue };
                    core.now = core.now.max(at);
                    waker.wake();
                }
                Due::Slowed(id) => {
                    core.now = core.now.max(at);
                    core.ready_or_parked(id);
                }
            }
            return true;
        }
    }
}

impl Core {
    /// Finds a place for all that were woken, in an order that the seed alone decides.
    fn settle(&mut self, woken: &Mutex<Vec<TaskId>>) {
        let mut woken = std::mem::take(&mut *woken.lock());
        woken.sort_unstable();
        for id in woken {
            self.ready_at(id);
        }
    }

    /// The task is ready, at once or when its machine gets to it.
    fn ready_at(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get(&id) else { return };
        let slow = self.seats[task.machine.0].machine.slow;
        if slow.is_zero() {
            self.ready_or_parked(id);
        } else {
            let micros = self.slowness.u64(..=u64::try_from(slow.as_micros()).unwrap_or(u64::MAX));
            let at = self.now + Duration::from_micros(micros);
            self.set(at, Due::Slowed(id));
        }
    }

    fn ready_or_parked(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get(&id) else { return };
        let seat = &mut self.seats[task.machine.0];
        if seat.machine.is_paused { seat.parked.push(id) } else { self.ready.push(id) }
    }

    fn set(&mut self, at: Duration, due: Due) {
        let order = self.next_timer;
        self.next_timer += 1;
        self.timers.push(Reverse(Timer { at, order, due }));
    }
}

/// See [`Shared::sleep`]. Dropping it ends the sleep.
pub(super) struct Sleep {
    shared: Arc<Shared>,
    at: Duration,
    waker: Option<Arc<Mutex<Option<Waker>>>>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.get_mut();
        let mut core = sleep.shared.core.lock();
        if core.now >= sleep.at {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        if let Some(waiting) = &sleep.waker {
            *waiting.lock() = Some(waker);
        } else {
            let waiting = Arc::new(Mutex::new(Some(waker)));
            core.set(sleep.at, Due::Sleeper(Arc::clone(&waiting)));
            sleep.waker = Some(waiting);
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(waiting) = &self.waker {
            *waiting.lock() = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    const A: MachineId = MachineId(0);
    const B: MachineId = MachineId(1);

    /// Counts the seconds on a machine.
    fn ticking(executor: &Executor, machine: MachineId) -> Arc<AtomicU32> {
        let (shared, ticks) = (Arc::clone(&executor.shared), Arc::new(AtomicU32::new(0)));
        let counted = Arc::clone(&ticks);
        executor.shared.spawn(
            machine,
            0,
            Box::pin(async move {
                loop {
                    shared.sleep(Duration::from_secs(1)).await;
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            }),
        );
        ticks
    }

    #[test]
    fn what_is_paused_is_late_and_what_is_killed_is_gone() {
        let mut executor = Executor::new(1, 2);
        let (a, b) = (ticking(&executor, A), ticking(&executor, B));
        let at = |seconds: u64| Duration::from_millis(seconds * 1_000 + 500);
        executor.run_until(at(10)).unwrap();
        executor.pause(A);
        executor.run_until(at(20)).unwrap();
        assert_eq!((a.load(Ordering::SeqCst), b.load(Ordering::SeqCst)), (10, 20));
        assert!(executor.resume(A));
        assert_eq!(executor.kill(B), 1);
        executor.run_until(at(30)).unwrap();
        // Its sleep of ten seconds ago ends with the pause, at half past twenty.
        assert_eq!((a.load(Ordering::SeqCst), b.load(Ordering::SeqCst)), (21, 20));
        executor.restart(B);
        executor.shared.spawn(B, 0, Box::pin(async { panic!("the process that asked is gone") }));
        executor.run_until(at(40)).unwrap();
    }

    #[test]
    fn tasks_that_never_rest_end_the_run() {
        let mut executor = Executor::new(1, 1);
        executor.shared.spawn(
            A,
            0,
            Box::pin(std::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                Poll::Pending
            })),
        );
        assert!(executor.run_until(Duration::from_secs(1)).is_err());
    }
}
