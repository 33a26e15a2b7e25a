//! The backends of this crate under the conformance suite, one test per case.

use std::sync::Arc;

use async_trait::async_trait;
use steadfast_store::conformance::{Harness, Instance, run_case};
use steadfast_store::env::Env;
use steadfast_store::{MemoryStore, Source, Store};

/// The in-memory store. What it keeps lives as long as the instance: opening it again is a fresh handle on it.
#[derive(Debug, Default)]
struct Memory {
    yields: bool,
}

#[async_trait]
impl Harness for Memory {
    async fn create(&self, env: Env) -> Result<Box<dyn Instance>, Source> {
        let store = MemoryStore::new(env);
        let store = if self.yields { store.with_yields() } else { store };
        Ok(Box::new(OpenMemory { store: Arc::new(store) }))
    }
}

struct OpenMemory {
    store: Arc<MemoryStore>,
}

#[async_trait]
impl Instance for OpenMemory {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    async fn reopen(&mut self) -> Result<(), Source> {
        self.store = Arc::new(self.store.peer());
        Ok(())
    }

    async fn peer(&self) -> Result<Arc<dyn Store>, Source> {
        Ok(Arc::new(self.store.peer()))
    }
}

mod memory {
    use super::Memory;

    steadfast_store::conformance::conformance_tests!(Memory::default());
}

mod memory_with_yields {
    use super::Memory;

    steadfast_store::conformance::conformance_tests!(Memory { yields: true });
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::path::PathBuf;
    use std::sync::Arc;

    use async_trait::async_trait;
    use steadfast_store::conformance::{Harness, Instance};
    use steadfast_store::env::Env;
    use steadfast_store::{Source, SqliteOptions, SqliteStore, Store};

    /// The SQLite store, each on a file in a folder of its own.
    #[derive(Debug)]
    struct Sqlite;

    #[async_trait]
    impl Harness for Sqlite {
        async fn create(&self, env: Env) -> Result<Box<dyn Instance>, Source> {
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("conformance.db");
            let store = open(&file, &env).await?;
            Ok(Box::new(OpenSqlite { store: Some(store), env, file, _folder: folder }))
        }
    }

    async fn open(file: &PathBuf, env: &Env) -> Result<Arc<SqliteStore>, Source> {
        Ok(Arc::new(SqliteStore::open(SqliteOptions::new(file), env.clone()).await?))
    }

    struct OpenSqlite {
        store: Option<Arc<SqliteStore>>,
        env: Env,
        file: PathBuf,
        _folder: tempfile::TempDir,
    }

    #[async_trait]
    impl Instance for OpenSqlite {
        fn store(&self) -> Arc<dyn Store> {
            let Some(store) = &self.store else { panic!("a reopening that failed was gone on from") };
            store.clone()
        }

        async fn reopen(&mut self) -> Result<(), Source> {
            // The suite has let go of its handles, so this is the last one and the file is really closed.
            if let Some(store) = self.store.take().and_then(Arc::into_inner) {
                store.close().await;
            }
            self.store = Some(open(&self.file, &self.env).await?);
            Ok(())
        }

        async fn peer(&self) -> Result<Arc<dyn Store>, Source> {
            let peer: Arc<dyn Store> = open(&self.file, &self.env).await?;
            Ok(peer)
        }
    }

    steadfast_store::conformance::conformance_tests!(Sqlite);
}

#[tokio::test]
async fn a_name_that_is_no_case_is_refused() {
    let failure = run_case(&Memory::default(), "a_case_that_nobody_wrote").await.unwrap_err();
    assert!(failure.to_string().starts_with("there is no case a_case_that_nobody_wrote"), "{failure}");
}
