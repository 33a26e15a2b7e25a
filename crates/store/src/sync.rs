//! Locks, channels, threads and waits: all of the store's come from here, so that a schedule explorer can put its
//! own in their place.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

#[cfg(steadfast_shuttle)]
pub(crate) use crate::schedules::sync::*;

/// For what outlives everything else in the process, and is held for a look only: no explorer takes its place.
pub(crate) use parking_lot::Mutex as ProcessMutex;

#[cfg(not(steadfast_shuttle))]
pub(crate) use self::ordinary::*;

#[cfg(not(steadfast_shuttle))]
mod ordinary {
    #[cfg(feature = "sqlite")]
    use std::time::Duration;

    #[cfg(feature = "sqlite")]
    pub(crate) use parking_lot::Condvar;
    pub(crate) use parking_lot::Mutex;
    pub(crate) use tokio::sync::{Notify, oneshot};
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) use tokio::sync::{OwnedSemaphorePermit, Semaphore};

    /// Numbers that several threads change.
    pub(crate) mod atomic {
        #[cfg(feature = "sqlite")]
        pub(crate) use std::sync::atomic::AtomicU32;
        pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
    }

    /// A bounded queue with one consumer, who sleeps at once when it is empty. A channel's own `recv` spins first: after
    /// every commit for some 20 µs, which whoever was just answered needs for himself where there are few cores.
    #[cfg(feature = "sqlite")]
    pub(crate) mod queue {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicBool, Ordering};

        use crossbeam::channel;
        use crossbeam::channel::{RecvError, TryRecvError, TrySendError};
        use crossbeam::sync::{Parker, Unparker};

        pub(crate) fn bounded<T>(length: usize) -> (Sender<T>, Receiver<T>) {
            let (sender, items) = channel::bounded(length);
            let (parker, is_gone) = (Parker::new(), Arc::new(AtomicBool::new(false)));
            let consumer = Waking(parker.unparker().clone());
            let left = Left { items: items.clone(), is_gone: Arc::clone(&is_gone) };
            (Sender { items: sender, consumer, left }, Receiver { left: Left { items, is_gone }, parker })
        }

        /// The consumer's end of the channel, and whether he is gone. A bounded channel keeps what is in it for as long as
        /// any end lives, and who waits for the answer to that would wait for ever.
        struct Left<T> {
            items: channel::Receiver<T>,
            is_gone: Arc<AtomicBool>,
        }

        impl<T> Left<T> {
            fn drop_all(&self) {
                while self.items.try_recv().is_ok() {}
            }
        }

        pub(crate) struct Sender<T> {
            items: channel::Sender<T>,
            /// Dropped after the channel's end: the consumer wakes and finds it gone.
            consumer: Waking,
            left: Left<T>,
        }

        impl<T> std::fmt::Debug for Sender<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("Sender")
            }
        }

        struct Waking(Unparker);

        impl Drop for Waking {
            fn drop(&mut self) {
                self.0.unpark();
            }
        }

        impl<T> Sender<T> {
            pub(crate) fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
                if self.left.is_gone.load(Ordering::SeqCst) {
                    return Err(TrySendError::Disconnected(item));
                }
                self.items.try_send(item)?;
                // Either he who goes sees the item, or this sees that he is gone.
                if self.left.is_gone.load(Ordering::SeqCst) {
                    self.left.drop_all();
                }
                self.consumer.0.unpark();
                Ok(())
            }
        }

        pub(crate) struct Receiver<T> {
            left: Left<T>,
            parker: Parker,
        }

        impl<T> Drop for Receiver<T> {
            fn drop(&mut self) {
                self.left.is_gone.store(true, Ordering::SeqCst);
                self.left.drop_all();
            }
        }

        impl<T> Receiver<T> {
            pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
                self.left.items.try_recv()
            }

            /// Waits for the next one; an error once there will be none.
            pub(crate) fn recv(&self) -> Result<T, RecvError> {
                loop {
                    match self.left.items.try_recv() {
                        Ok(item) => return Ok(item),
                        Err(TryRecvError::Disconnected) => return Err(RecvError),
                        // What was sent since is announced: then this returns at once.
                        Err(TryRecvError::Empty) => self.parker.park(),
                    }
                }
            }
        }
    }

    /// Starts a named thread.
    #[cfg(feature = "sqlite")]
    pub(crate) fn spawn_thread(
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<std::thread::JoinHandle<()>> {
        std::thread::Builder::new().name(name.to_owned()).spawn(work)
    }

    /// Sleeps on a thread of the store's own; never on one that polls futures.
    #[cfg(feature = "sqlite")]
    pub(crate) fn sleep_thread(span: Duration) {
        std::thread::sleep(span);
    }
}

/// Waits for `future`, at most `span` by the environment's timer. `None` when the time ran out; the future is
/// dropped then.
///
/// ```
/// # use steadfast_store::env::Env;
/// # use steadfast_store::{
/// #     AppendCheckpoint, Batch, CheckpointId, CheckpointPage, Claim, CommandError, Committed, CreateTask, Delay, Enqueue,
/// #     FinishTask, HolderId, Label, MemoryStore, Payload, Reason, Renew, SealedPayload, Settle, SettleItem, Store, StoreExt,
/// #     TaskEnd, TaskId, TaskPage, Term, TransitionId, WorkItemId, WorkItemPage,
/// # };
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new(Env::system());
/// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// # let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
/// use steadfast_store::within;
///
/// let span = std::time::Duration::from_secs(1);
/// let found = within(store.env(), span, store.task(&task)).await.ok_or("it took longer than a second")??;
/// assert!(found.is_none());
/// # let _ = create;
/// # Ok(())
/// # }
/// ```
pub async fn within<F: Future>(env: &crate::env::Env, span: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut timer = env.sleep(span);
    poll_fn(move |context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        timer.as_mut().poll(context).map(|()| None)
    })
    .await
}

#[cfg(all(test, feature = "sqlite", not(steadfast_shuttle)))]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread;
    use std::time::Duration;

    use super::queue::bounded;

    const PATIENCE: Duration = Duration::from_secs(20);
    /// Long enough to fall asleep in.
    const A_WHILE: Duration = Duration::from_millis(30);

    #[test]
    fn a_consumer_that_sleeps_hears_of_each_item_and_of_the_end() {
        let (sender, receiver) = bounded(2);
        let (tell, told) = mpsc::channel();
        let consumer = thread::spawn(move || {
            loop {
                let item = receiver.recv();
                let is_over = item.is_err();
                tell.send(item.ok()).unwrap();
                if is_over {
                    return;
                }
            }
        });
        for item in 0..2 {
            thread::sleep(A_WHILE);
            sender.try_send(item).unwrap();
            assert_eq!(told.recv_timeout(PATIENCE), Ok(Some(item)));
        }
        thread::sleep(A_WHILE);
        drop(sender);
        assert_eq!(told.recv_timeout(PATIENCE), Ok(None));
        consumer.join().unwrap();
    }

    #[test]
    fn what_was_sent_before_the_end_is_received_and_nothing_is_taken_without_a_consumer() {
        let (sender, receiver) = bounded(1);
        sender.try_send(1).unwrap();
        assert!(sender.try_send(2).is_err(), "it is full");
        drop(sender);
        assert_eq!((receiver.recv(), receiver.recv().is_err()), (Ok(1), true));
        let (sender, receiver) = bounded(2);
        let item = Arc::new(());
        sender.try_send(Arc::clone(&item)).unwrap();
        drop(receiver);
        assert_eq!(Arc::strong_count(&item), 1, "who waits for the answer to it would wait for ever");
        assert!(sender.try_send(item).is_err());
    }

    #[test]
    fn no_item_of_many_threads_is_missed_however_they_meet_the_consumer() {
        let (sender, receiver) = bounded(4_000);
        let sender = Arc::new(sender);
        let threads: Vec<_> = (0..4_u64)
            .map(|number| {
                let sender = Arc::clone(&sender);
                thread::spawn(move || {
                    for item in 0..1_000 {
                        sender.try_send(item).unwrap();
                        // From none at all to longer than it takes to fall asleep.
                        for _ in 0..(item * 7 + number) % 300 {
                            std::hint::spin_loop();
                        }
                        if item % 50 == number {
                            thread::sleep(Duration::from_micros(200));
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        let (tell, told) = mpsc::channel();
        let consumer = thread::spawn(move || {
            let mut sum = 0;
            while let Ok(item) = receiver.recv() {
                sum += item;
            }
            tell.send(sum).unwrap();
        });
        assert_eq!(told.recv_timeout(PATIENCE), Ok(4 * (0..1_000).sum::<u64>()));
        for thread in threads {
            thread.join().unwrap();
        }
        consumer.join().unwrap();
    }
}
