//! Opening a store by its URL: to swap the backend is to change one string.

use std::sync::Arc;

use crate::env::Env;
use crate::error::OpenError;
use crate::memory::MemoryStore;
use crate::store::Store;

/// Opens the store that `url` names: `memory:`, or with feature `sqlite` also `sqlite:PATH?option=value&…` (see
/// `SqliteOptions::from_url`).
///
/// ```
/// # use steadfast_store::{Store, env::Env, open};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = open("memory:", Env::system()).await?;
/// assert_eq!(store.health().await?.checkpoints, 0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`OpenError`]; what is there already is left as it is.
pub async fn open(url: &str, env: Env) -> Result<Arc<dyn Store>, OpenError> {
    if url == "memory:" {
        return Ok(Arc::new(MemoryStore::new(env)));
    }
    #[cfg(feature = "sqlite")]
    if url.starts_with("sqlite:") {
        let options = crate::sqlite::SqliteOptions::from_url(url)?;
        return Ok(Arc::new(crate::sqlite::SqliteStore::open(options, env).await?));
    }
    Err(OpenError::UnknownScheme { url: url.to_owned() })
}
