//! Opening a store by its URL: to swap the backend is to change one string.

use std::sync::Arc;

use crate::env::Env;
use crate::error::OpenError;
use crate::memory::MemoryStore;
use crate::store::Store;

/// Opens the store that `url` names: `memory:`, with feature `sqlite` also `sqlite:PATH?option=value&…` (see
/// `SqliteOptions::from_url`), with feature `postgres` also `postgres://USER:PASSWORD@HOST/DATABASE?option=value&…` (see
/// `PostgresOptions::from_url`).
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
    #[cfg(feature = "postgres")]
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        let options = crate::postgres::PostgresOptions::from_url(url)?;
        return Ok(Arc::new(crate::postgres::PostgresStore::open(options, env).await?));
    }
    Err(OpenError::UnknownScheme { url: without_password(url) })
}

/// As much of a URL as may be told: beyond its scheme a name and a password may stand anywhere.
fn without_password(url: &str) -> String {
    match url.split_once(':') {
        Some((scheme, rest)) if rest.starts_with("//") => format!("{scheme}://…"),
        Some((scheme, rest)) if rest.contains('@') => format!("{scheme}:…"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_that_is_not_understood_is_told_without_its_password() {
        let told = open("mysql://agent:secret@host/agents", Env::system()).await.unwrap_err().to_string();
        assert!(told.contains("mysql://…") && !told.contains("secret"), "{told}");
        for url in ["postgras://host/agents?password=secret", "mysql:agent:secret@host"] {
            let told = open(url, Env::system()).await.unwrap_err().to_string();
            assert!(!told.contains("secret"), "{told}");
        }
        let told = open("agent.db", Env::system()).await.unwrap_err().to_string();
        assert!(told.contains("\"agent.db\""), "{told}");
    }
}
