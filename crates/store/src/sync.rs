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

    /// A bounded queue with one consumer.
    #[cfg(feature = "sqlite")]
    pub(crate) mod queue {
        pub(crate) use crossbeam::channel::{Receiver, Sender, bounded};
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
