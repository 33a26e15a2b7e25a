//! What a backend gives the suite: empty stores, second handles, and the same data opened again.

use std::sync::Arc;

use async_trait::async_trait;

use crate::env::Env;
use crate::error::Source;
use crate::store::Store;

/// Makes stores for the suite.
///
/// # Contract
/// - **Fresh**: every call of [`create`](Self::create) gives an empty store on data of its own; what two instances
///   hold never meets. Whatever was made for an instance (a folder, a schema) may go when the instance is dropped.
/// - **In the given environment**: the store reads the clock and draws randomness through the [`Env`] it is given
///   and nowhere else. The suite passes a [`ManualClock`](crate::env::ManualClock), which stands still until a
///   case moves it, so that all backends run under one test clock; only sleeping takes real time.
/// - **On tokio**: the suite calls it inside a multi-thread tokio runtime.
///
/// ```
/// use std::sync::Arc;
///
/// use async_trait::async_trait;
/// use steadfast_store::conformance::{Harness, Instance, run_case};
/// use steadfast_store::env::Env;
/// use steadfast_store::{MemoryStore, Source, Store};
///
/// struct Memory;
///
/// #[async_trait]
/// impl Harness for Memory {
///     async fn create(&self, env: Env) -> Result<Box<dyn Instance>, Source> {
///         Ok(Box::new(Opened(MemoryStore::new(env).into())))
///     }
/// }
///
/// struct Opened(Arc<MemoryStore>);
///
/// #[async_trait]
/// impl Instance for Opened {
///     fn store(&self) -> Arc<dyn Store> {
///         self.0.clone()
///     }
///
///     async fn reopen(&mut self) -> Result<(), Source> {
///         self.0 = self.0.peer().into();
///         Ok(())
///     }
///
///     async fn peer(&self) -> Result<Arc<dyn Store>, Source> {
///         Ok(Arc::new(self.0.peer()))
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() {
/// run_case(&Memory, "a_stale_fence_is_rejected_with_every_effect_it_guards").await.unwrap();
/// # }
/// ```
#[async_trait]
pub trait Harness: Send + Sync {
    /// Makes an empty store on fresh data, in this environment.
    ///
    /// # Errors
    /// Whatever kept the backend from it; the case fails with it.
    async fn create(&self, env: Env) -> Result<Box<dyn Instance>, Source>;
}

/// One store of the suite and its data.
///
/// # Contract
/// - **Same data**: [`store`](Self::store), after any [`reopen`](Self::reopen), and every
///   [`peer`](Self::peer) speak of the same data, in the environment that the instance was created with.
/// - **Acknowledged is kept**: what was acknowledged before a `reopen` is there after it.
#[async_trait]
pub trait Instance: Send + Sync {
    /// The store. The same handle until the next [`reopen`](Self::reopen).
    fn store(&self) -> Arc<dyn Store>;

    /// Closes every handle that this instance gave out, as far as the backend can, and opens the same data again,
    /// as a process started anew would. The suite has let go of its handles before, and none of its commits is
    /// under way.
    ///
    /// # Errors
    /// Whatever kept the backend from it; the case fails with it.
    async fn reopen(&mut self) -> Result<(), Source>;

    /// A second handle on the same data, as another process would have: it shares nothing with the first one but
    /// the data.
    ///
    /// # Errors
    /// Whatever kept the backend from it; the case fails with it.
    async fn peer(&self) -> Result<Arc<dyn Store>, Source>;
}
