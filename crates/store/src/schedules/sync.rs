//! What the store's `sync.rs` gives while schedules are explored: shuttle's own locks, numbers and threads, a queue
//! made of them, and tokio's waiting futures, which need no runtime, with a choice before each of their steps. Each
//! step is atomic: explored is how the store uses them, not how they are made.

use std::collections::VecDeque;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use shuttle::sync::atomic::AtomicBool;
use tokio::sync::{AcquireError, TryAcquireError};

use super::Planted;

/// Numbers that several threads change.
pub(crate) mod atomic {
    pub(crate) use shuttle::sync::atomic::{AtomicU32, AtomicU64};
    pub(crate) use std::sync::atomic::Ordering;
}

/// Whoever can go on may do so here: the load of a number is a choice, and says nothing to a scheduler beyond that.
fn choice() {
    AtomicBool::new(false).load(atomic::Ordering::SeqCst);
}

/// A lock that cannot be poisoned, as `parking_lot`'s.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Empty only while a [`Condvar`] waits with it.
pub(crate) struct MutexGuard<'a, T>(Option<shuttle::sync::MutexGuard<'a, T>>);

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(guard) => guard,
            None => unreachable!("the thread that holds it waits"),
        }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.0 {
            Some(guard) => guard,
            None => unreachable!("the thread that holds it waits"),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(shuttle::sync::Condvar);

impl Condvar {
    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(held) = guard.0.take() {
            guard.0 = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
        }
    }

    pub(crate) fn notify_one(&self) {
        if !Planted::PollNotTold.is_in() {
            self.0.notify_one();
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Notify(tokio::sync::Notify);

impl Notify {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notify_waiters(&self) {
        choice();
        self.0.notify_waiters();
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        choice();
        let listed = (!Planted::ListedLate.is_in()).then(|| Box::pin(self.0.notified()));
        Notified { notify: &self.0, listed }
    }
}

#[derive(Debug)]
pub(crate) struct Notified<'a> {
    notify: &'a tokio::sync::Notify,
    /// Nothing only when that is planted.
    listed: Option<Pin<Box<tokio::sync::futures::Notified<'a>>>>,
}

impl Notified<'_> {
    pub(crate) fn enable(mut self: Pin<&mut Self>) {
        choice();
        if let Some(listed) = &mut self.listed {
            listed.as_mut().enable();
        }
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        choice();
        let notify = self.notify;
        self.listed.get_or_insert_with(|| Box::pin(notify.notified())).as_mut().poll(context)
    }
}

/// One answer.
pub(crate) mod oneshot {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::sync::oneshot;
    use tokio::sync::oneshot::error::RecvError;

    use super::choice;

    pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Sender(sender), Receiver(receiver))
    }

    #[derive(Debug)]
    pub(crate) struct Sender<T>(oneshot::Sender<T>);

    impl<T> Sender<T> {
        pub(crate) fn send(self, value: T) -> Result<(), T> {
            choice();
            self.0.send(value)
        }

        /// Asked by a planted bug alone.
        pub(crate) fn is_closed(&self) -> bool {
            self.0.is_closed()
        }
    }

    #[derive(Debug)]
    pub(crate) struct Receiver<T>(oneshot::Receiver<T>);

    impl<T> Receiver<T> {
        pub(crate) fn blocking_recv(self) -> Result<T, RecvError> {
            shuttle::future::block_on(self)
        }
    }

    impl<T> Future for Receiver<T> {
        type Output = Result<T, RecvError>;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            choice();
            Pin::new(&mut self.0).poll(context)
        }
    }
}

#[derive(Debug)]
pub(crate) struct Semaphore(Arc<tokio::sync::Semaphore>);

impl Semaphore {
    pub(crate) fn new(permits: usize) -> Self {
        Self(Arc::new(tokio::sync::Semaphore::new(permits)))
    }

    pub(crate) fn try_acquire_many_owned(
        self: Arc<Self>,
        permits: u32,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        choice();
        Arc::clone(&self.0).try_acquire_many_owned(permits).map(|permit| OwnedSemaphorePermit(Some(permit)))
    }

    pub(crate) async fn acquire_many_owned(
        self: Arc<Self>,
        permits: u32,
    ) -> Result<OwnedSemaphorePermit, AcquireError> {
        choice();
        let permit = Arc::clone(&self.0).acquire_many_owned(permits).await?;
        choice();
        Ok(OwnedSemaphorePermit(Some(permit)))
    }
}

#[derive(Debug)]
pub(crate) struct OwnedSemaphorePermit(Option<tokio::sync::OwnedSemaphorePermit>);

impl Drop for OwnedSemaphorePermit {
    fn drop(&mut self) {
        choice();
        if let Some(permit) = self.0.take_if(|_| Planted::RoomKept.is_in()) {
            permit.forget();
        }
    }
}

/// A bounded queue with one producer and one consumer.
pub(crate) mod queue {
    use super::{Arc, Planted, PoisonError, VecDeque};

    pub(crate) fn bounded<T>(length: usize) -> (Sender<T>, Receiver<T>) {
        let state = State { items: VecDeque::new(), length, is_open: true };
        let shared = Arc::new(Shared {
            state: shuttle::sync::Mutex::new(state),
            arrived: shuttle::sync::Condvar::default(),
        });
        (Sender(Arc::clone(&shared)), Receiver(shared))
    }

    /// Nothing is there, and for who waits: nothing will come.
    #[derive(Debug)]
    pub(crate) struct Empty;

    #[derive(Debug)]
    struct Shared<T> {
        state: shuttle::sync::Mutex<State<T>>,
        arrived: shuttle::sync::Condvar,
    }

    #[derive(Debug)]
    struct State<T> {
        items: VecDeque<T>,
        length: usize,
        /// Both ends are there.
        is_open: bool,
    }

    impl<T> Shared<T> {
        fn lock(&self) -> shuttle::sync::MutexGuard<'_, State<T>> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn shut(&self) {
            self.lock().is_open = false;
            self.arrived.notify_all();
        }
    }

    pub(crate) struct Sender<T>(Arc<Shared<T>>);

    impl<T> std::fmt::Debug for Sender<T> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Sender")
        }
    }

    impl<T> Sender<T> {
        pub(crate) fn try_send(&self, item: T) -> Result<(), T> {
            let mut state = self.0.lock();
            if !state.is_open || state.items.len() == state.length {
                return Err(item);
            }
            state.items.push_back(item);
            self.0.arrived.notify_one();
            Ok(())
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            self.0.shut();
        }
    }

    pub(crate) struct Receiver<T>(Arc<Shared<T>>);

    impl<T> Receiver<T> {
        pub(crate) fn recv(&self) -> Result<T, Empty> {
            let mut state = self.0.lock();
            loop {
                if !state.is_open && Planted::QueueCut.is_in() {
                    return Err(Empty);
                }
                if let Some(item) = state.items.pop_front() {
                    return Ok(item);
                }
                if !state.is_open {
                    return Err(Empty);
                }
                state = self.0.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }

        pub(crate) fn try_recv(&self) -> Result<T, Empty> {
            self.0.lock().items.pop_front().ok_or(Empty)
        }
    }

    impl<T> Drop for Receiver<T> {
        fn drop(&mut self) {
            self.0.shut();
            let left = std::mem::take(&mut self.0.lock().items);
            drop(left);
        }
    }
}

/// Starts a thread of the explorer's.
pub(crate) fn spawn_thread(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<shuttle::thread::JoinHandle<()>> {
    shuttle::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Time is nothing here: others may go on.
pub(crate) fn sleep_thread(_: Duration) {
    shuttle::thread::yield_now();
}

/// The threads on which a pool of connections opens them: real ones, which no explorer knows. One of them still holds the
/// pool for a moment after it has opened a connection; a pool that is dropped then stays, to the explorer for ever.
/// Enough for a pool of one connection, which opens no further ones later.
#[cfg(feature = "sqlite")]
pub(crate) struct PoolThreads(Arc<scheduled_thread_pool::ScheduledThreadPool>);

#[cfg(feature = "sqlite")]
impl Default for PoolThreads {
    fn default() -> Self {
        Self(Arc::new(scheduled_thread_pool::ScheduledThreadPool::new(1)))
    }
}

#[cfg(feature = "sqlite")]
impl PoolThreads {
    /// For the pool.
    pub(crate) fn of_pool(&self) -> Arc<scheduled_thread_pool::ScheduledThreadPool> {
        Arc::clone(&self.0)
    }

    /// Waits until what they were given is done: they are one thread, so that all before this is.
    pub(crate) fn finish(&self) {
        let (end, ended) = std::sync::mpsc::channel();
        drop(self.0.execute(move || drop(end.send(()))));
        // An error is an end as well.
        drop(ended.recv());
    }
}
