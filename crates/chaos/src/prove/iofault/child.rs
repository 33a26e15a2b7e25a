//! The store in a process of its own, whole, with its threads: it does the acts of a scenario while the kernel makes its
//! system calls fail, tells each answer, and kills itself.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use steadfast_store::{Batch, SqliteOptions, SqliteStore, Store};

use super::acts::{Act, ActError, Scenario};
use super::subject::{Answer, Told, env, unresolved};
use crate::process::{die_here, die_with};

/// How it is started.
#[derive(Debug, Clone, clap::Args)]
pub struct ChildArgs {
    /// The database file.
    #[arg(long)]
    database: PathBuf,
    /// The scenario.
    #[arg(long)]
    scenario: String,
    /// What the scenario is drawn from.
    #[arg(long)]
    seed: u64,
    /// A file that takes the device's room; it is removed after the acts, and what has no final answer is submitted
    /// again.
    #[arg(long)]
    ballast: Option<PathBuf>,
    /// The process to die with.
    #[arg(long)]
    parent: u32,
}

/// Why it could not do its part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// The runtime, the ballast, or the runner's ear.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What is told.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The scenario.
    #[error(transparent)]
    Act(#[from] ActError),
    /// There is none of this name.
    #[error("there is no scenario {0:?}")]
    NoScenario(String),
}

/// Its whole life, which it ends itself.
///
/// # Errors
/// [`ChildError`].
pub fn submit_all(args: &ChildArgs) -> Result<(), ChildError> {
    die_with(args.parent)?;
    let scenario = Scenario::named(&args.scenario, args.seed)?;
    let scenario = scenario.ok_or_else(|| ChildError::NoScenario(args.scenario.clone()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
    runtime.block_on(Child::new(args, scenario).live())?;
    die_here()
}

struct Child<'a> {
    args: &'a ChildArgs,
    scenario: Scenario,
    env: steadfast_store::env::Env,
    clock: std::sync::Arc<steadfast_store::env::ManualClock>,
    after: Duration,
    store: Option<SqliteStore>,
    told: Vec<Told>,
}

impl<'a> Child<'a> {
    fn new(args: &'a ChildArgs, scenario: Scenario) -> Self {
        let (env, clock) = env(Duration::ZERO);
        Self { args, scenario, env, clock, after: Duration::ZERO, store: None, told: Vec::new() }
    }

    async fn live(&mut self) -> Result<(), ChildError> {
        self.open().await;
        for (index, act) in self.scenario.acts.clone().into_iter().enumerate() {
            match act {
                Act::Submit(submission) => self.submit(index, submission.batch).await?,
                Act::Wait(span) => {
                    self.clock.advance(span);
                    self.after += span;
                }
                Act::Reopen => {
                    if let Some(store) = self.store.take() {
                        store.close().await;
                    }
                    self.open().await;
                }
            }
        }
        let Some(ballast) = &self.args.ballast else { return Ok(()) };
        std::fs::remove_file(ballast)?;
        self.open().await;
        for act in unresolved(&self.told) {
            let Some(submission) = self.scenario.submission(act).cloned() else { continue };
            self.submit(act, submission.batch).await?;
        }
        Ok(())
    }

    async fn open(&mut self) {
        if self.store.is_none() {
            let mut options = SqliteOptions::new(&self.args.database);
            options.wal_pages = self.scenario.wal_pages;
            // A fault may strike here; every later answer says so.
            self.store = SqliteStore::open(options, self.env.clone()).await.ok();
        }
    }

    async fn submit(&mut self, act: usize, batch: Batch) -> Result<(), ChildError> {
        let answer = match &self.store {
            Some(store) => Answer::of(store.commit(batch).await),
            None => Answer::NotOpen,
        };
        let told = Told { act, after: self.after, answer };
        let mut out = io::stdout().lock();
        out.write_all(format!("{}\n", serde_json::to_string(&told)?).as_bytes())?;
        out.flush()?;
        self.told.push(told);
        Ok(())
    }
}
