//! The environment of a scenario: randomness of the explorer's, timers that never end or end at any moment, and a place
//! to run futures that gives each choice to the explorer. Its clock is in a file of its own.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use shuttle::rand::{Rng as _, RngCore as _, thread_rng};
use steadfast_store::env::{BoxFuture, Env, Rng, Runtime};

use crate::bugs::Outside;
use crate::clock::{ExploredClock, Time};
use crate::met::Met;

/// The longest sleep that is a mere pause between two tries, and no limit of a wait.
const PAUSE_MAX: Duration = Duration::from_millis(16);
/// An environment in which time stands; `waits` is counted whenever somebody waits with a limit.
pub(crate) fn environment(waits: Met) -> Env {
    environment_of(Arc::default(), waits)
}

/// The same under a clock.
pub(crate) fn environment_of(clock: Arc<ExploredClock>, waits: Met) -> Env {
    let time = clock.time();
    Env::system()
        .with_clock(clock)
        .with_rng(Arc::new(ExploredRng))
        .with_runtime(Arc::new(ExploredRuntime { time, waits }))
}

/// Whether it happens, this time: `of_hundred` times in a hundred.
pub(crate) fn chance(of_hundred: u32) -> bool {
    thread_rng().gen_range(0..100) < of_hundred
}

/// A number below `end`.
pub(crate) fn below(end: usize) -> usize {
    thread_rng().gen_range(0..end)
}

/// Whoever can go on may do so here.
pub(crate) fn choice() {
    shuttle::sync::atomic::AtomicBool::new(false).load(Ordering::SeqCst);
}

/// The same inside a future, a few times or not at all.
pub(crate) async fn some_choices() {
    for _ in 0..below(4) {
        shuttle::future::yield_now().await;
    }
}

/// Drops `future` as soon as it waits while `is_dropped` says so; `None` then.
pub(crate) async fn unless_dropped<F: Future>(future: F, is_dropped: Arc<AtomicBool>) -> Option<F::Output> {
    let mut future = Box::pin(future);
    poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if is_dropped.load(Ordering::Relaxed) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Polls it once.
pub(crate) async fn poll_once<F: Future>(future: &mut Pin<Box<F>>) -> Option<F::Output> {
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[derive(Debug)]
struct ExploredRng;

impl Rng for ExploredRng {
    fn fill(&self, buffer: &mut [u8]) {
        thread_rng().fill_bytes(buffer);
    }
}

#[derive(Debug)]
struct ExploredRuntime {
    time: Time,
    waits: Met,
}

impl Runtime for ExploredRuntime {
    fn spawn(&self, future: BoxFuture) {
        if !Outside::EndUntold.is_in() {
            drop(shuttle::future::spawn(future));
        }
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        drop(shuttle::thread::spawn(work));
    }

    fn sleep(&self, span: Duration) -> BoxFuture {
        if !span.is_zero() && span <= PAUSE_MAX {
            return self.yield_now();
        }
        self.waits.count();
        match self.time {
            Time::Stands => Box::pin(pending()),
            Time::Jumps => Box::pin(async {
                while !chance(10) {
                    shuttle::future::yield_now().await;
                }
                Met::TimerEnded.count();
            }),
        }
    }

    fn yield_now(&self) -> BoxFuture {
        Box::pin(shuttle::future::yield_now())
    }
}
