//! The PostgreSQL backend under the conformance suite, one test per case.

use std::sync::Arc;

use async_trait::async_trait;
use steadfast_store::conformance::{Harness, Instance};
use steadfast_store::env::Env;
use steadfast_store::{OpenError, PostgresOptions, PostgresStore, Source, Store};

use crate::clocked::{Clocked, TestClock};
use crate::kit::Schema;

/// The PostgreSQL store, each in a schema of its own.
#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) server: &'static str,
    /// Added to the URL of each store.
    pub(crate) options: &'static str,
}

impl Postgres {
    fn options(&self, schema: &Schema) -> Result<PostgresOptions, OpenError> {
        PostgresOptions::from_url(&format!("{}{}", schema.url(), self.options))
    }
}

#[async_trait]
impl Harness for Postgres {
    async fn create(&self, env: Env) -> Result<Box<dyn Instance>, Source> {
        let schema = Schema::new(self.server).await?;
        let options = self.options(&schema)?;
        let inner = PostgresStore::open(options.clone(), env.clone()).await?;
        let clock = Arc::new(TestClock::install(Arc::clone(&schema), env.clone()).await?);
        let store = Some(Arc::new(Clocked { inner, clock: Arc::clone(&clock) }));
        Ok(Box::new(Opened { store, env, options, clock }))
    }
}

struct Opened {
    store: Option<Arc<Clocked>>,
    env: Env,
    options: PostgresOptions,
    clock: Arc<TestClock>,
}

impl Opened {
    async fn open(&self) -> Result<Arc<Clocked>, Source> {
        let inner = PostgresStore::open(self.options.clone(), self.env.clone()).await?;
        Ok(Arc::new(Clocked { inner, clock: Arc::clone(&self.clock) }))
    }
}

#[async_trait]
impl Instance for Opened {
    fn store(&self) -> Arc<dyn Store> {
        let Some(store) = &self.store else { panic!("a reopening that failed was gone on from") };
        store.clone()
    }

    async fn reopen(&mut self) -> Result<(), Source> {
        // The suite has let go of its handles, so this is the last one.
        if let Some(store) = self.store.take().and_then(Arc::into_inner) {
            store.inner.close().await;
        }
        self.store = Some(self.open().await?);
        Ok(())
    }

    async fn peer(&self) -> Result<Arc<dyn Store>, Source> {
        let peer: Arc<dyn Store> = self.open().await?;
        Ok(peer)
    }
}

macro_rules! cases {
    ({} $($theme:ident { $($name:ident)+ })+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                let Some(server) = crate::server::url() else { return };
                let case = stringify!($name);
                let harness = Postgres { server, options: "" };
                if let Err(failure) = steadfast_store::conformance::run_case(&harness, case).await {
                    panic!("{failure}");
                }
            }
        )+)+
    };
}

steadfast_store::for_each_conformance_case!(cases, {});
