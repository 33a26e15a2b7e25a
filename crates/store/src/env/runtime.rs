//! Where futures, blocking work and timers run: the only file of the workspace that spawns or sleeps on tokio.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A boxed future without a result.
pub type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// A place to run things.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use steadfast_store::env::{BoxFuture, Env, Runtime, TokioRuntime};
///
/// /// Tests do not wait for timers.
/// #[derive(Debug)]
/// struct Hurried;
///
/// impl Runtime for Hurried {
///     fn spawn(&self, future: BoxFuture) {
///         TokioRuntime.spawn(future);
///     }
///     fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
///         TokioRuntime.spawn_blocking(work);
///     }
///     fn sleep(&self, _span: Duration) -> BoxFuture {
///         self.yield_now()
///     }
///     fn yield_now(&self) -> BoxFuture {
///         TokioRuntime.yield_now()
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let env = Env::system().with_runtime(Arc::new(Hurried));
/// env.sleep(Duration::from_secs(3_600)).await;
/// # }
/// ```
pub trait Runtime: Debug + Send + Sync {
    /// Runs a future beside the caller until it ends.
    fn spawn(&self, future: BoxFuture);
    /// Runs work that may block, off the threads that poll futures.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>);
    /// Ends after `span`.
    fn sleep(&self, span: Duration) -> BoxFuture;
    /// Lets others run once.
    fn yield_now(&self) -> BoxFuture;
    /// Whether [`spawn`](Self::spawn) can be called here and now. Asked by what is dropped, which cannot choose where.
    fn is_running(&self) -> bool {
        true
    }
}

/// The tokio runtime of the calling task, current-thread or multi-thread.
///
/// # Panics
/// Its methods panic outside of a tokio runtime, as tokio's own do.
///
/// ```
/// use steadfast_store::env::{Runtime, TokioRuntime};
///
/// assert!(!TokioRuntime.is_running(), "nothing of tokio runs here");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TokioRuntime;

impl Runtime for TokioRuntime {
    fn spawn(&self, future: BoxFuture) {
        drop(tokio::spawn(future));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        drop(tokio::task::spawn_blocking(work));
    }

    fn sleep(&self, span: Duration) -> BoxFuture {
        Box::pin(async move { tokio::time::sleep(span).await })
    }

    fn yield_now(&self) -> BoxFuture {
        Box::pin(tokio::task::yield_now())
    }

    fn is_running(&self) -> bool {
        tokio::runtime::Handle::try_current().is_ok()
    }
}
