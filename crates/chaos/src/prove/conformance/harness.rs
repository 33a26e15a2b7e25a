//! The SQLite store as the suite wants it: each on a file in a folder of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use steadfast_store::conformance::{Harness, Instance};
use steadfast_store::env::Env;
use steadfast_store::{Source, SqliteOptions, SqliteStore, Store};

/// See the module.
#[derive(Debug)]
pub(super) struct Sqlite;

#[async_trait]
impl Harness for Sqlite {
    async fn create(&self, env: Env) -> Result<Box<dyn Instance>, Source> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("conformance.db");
        let store = open(&file, &env).await?;
        Ok(Box::new(Opened { store: Some(store), env, file, _folder: folder }))
    }
}

async fn open(file: &Path, env: &Env) -> Result<Arc<SqliteStore>, Source> {
    Ok(Arc::new(SqliteStore::open(SqliteOptions::new(file), env.clone()).await?))
}

struct Opened {
    store: Option<Arc<SqliteStore>>,
    env: Env,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

#[async_trait]
impl Instance for Opened {
    fn store(&self) -> Arc<dyn Store> {
        // The suite catches it, as the end of a case that went on from a reopening that failed.
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
