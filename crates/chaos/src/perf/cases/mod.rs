//! The cases of the performance matrix: each holds a promise of speed against the floor beside it, or against a limit
//! in milliseconds where a person waits.

mod checkpoint_create;
mod checkpoint_verify;
mod claim_settle;
mod full_workflow;
mod group_commit;
mod growth;
mod heartbeat;
mod hits;
mod layouts;
mod llm_lookup;
mod memory;
mod sweep;
mod tool_replay;
mod wake_up;

use std::fs;
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use steadfast_store::env::Env;
use steadfast_store::{MemoryStore, SqliteOptions, SqliteStore, Store};
use tokio::runtime::Runtime;

use super::closed::Pool;
use super::stats::{Samples, Summary};
use super::subject::{Subject, SubjectOptions};
use crate::case::{Backend, Case, CaseError, Context};
use crate::report::{Figure, Unit};
use crate::vfs::{FaultVfs, RegisterError, SyncDelay};

pub use wake_up::{CommitterArgs, CommitterError, commit_at_random};

/// The matrix: first what the reference measures, in its order.
pub(super) const CASES: &[Case] = &[
    checkpoint_create::CASE,
    checkpoint_verify::CASE,
    llm_lookup::CASE,
    tool_replay::CASE,
    full_workflow::CASE,
    group_commit::CASE,
    claim_settle::CASE,
    sweep::CASE,
    growth::CASE,
    memory::CASE,
    heartbeat::CASE,
    wake_up::CASE,
    layouts::CASE,
];

/// Those that run when none is named. The others show what changes seldom, and run by their names.
pub(super) const BY_DEFAULT: &[&str] = &[
    checkpoint_create::CASE.id,
    checkpoint_verify::CASE.id,
    llm_lookup::CASE.id,
    tool_replay::CASE.id,
    full_workflow::CASE.id,
    group_commit::CASE.id,
    claim_settle::CASE.id,
    sweep::CASE.id,
    growth::CASE.id,
    memory::CASE.id,
];

/// Callers at a time when a store is filled through one of its components.
const FILLERS: usize = 100;

/// A folder for the files of one measurement, below the case's and removed or kept with it, and what all sides have
/// alike.
struct Ground {
    folder: PathBuf,
    vfs: Option<String>,
    pool: Pool,
    seed: u64,
    backend: Backend,
}

/// A store of the backend under test.
enum Opened {
    File(Arc<SqliteStore>),
    Memory(Arc<MemoryStore>),
}

impl Opened {
    fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::File(store) => store.clone(),
            Self::Memory(store) => store.clone(),
        }
    }

    /// Closes it once nobody uses it any more, so that nothing of it is under way when the next one is measured.
    async fn close(self) {
        if let Self::File(store) = self
            && let Some(store) = Arc::into_inner(store)
        {
            store.close().await;
        }
    }
}

impl Ground {
    /// On the device that the command line asked for.
    fn new(context: &Context) -> Result<Self, CaseError> {
        Self::delayed(context, context.settings().sync_delay)
    }

    /// On a device whose every sync takes this much longer.
    fn delayed(context: &Context, delay: Option<Duration>) -> Result<Self, CaseError> {
        let folder = new_folder(context.folder()).map_err(CaseError::io("a folder for the files"))?;
        let vfs = delay.map(slow_device).transpose()?;
        let (seed, backend) = (context.settings().seed, context.settings().backend);
        Ok(Self { folder, vfs, pool: Pool::new(context.rng(0)), seed, backend })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A store with its defaults, for the components on top. To be called inside a runtime.
    async fn store(&self, name: &str) -> Result<Opened, CaseError> {
        if self.backend == Backend::Memory {
            return Ok(Opened::Memory(Arc::new(MemoryStore::new(Env::system()))));
        }
        let mut options = SqliteOptions::new(self.path(name));
        options.vfs.clone_from(&self.vfs);
        let store = SqliteStore::open(options, Env::system()).await;
        let store = store.map_err(CaseError::store("open the file"))?;
        Ok(Opened::File(Arc::new(store)))
    }

    /// A store with that many tasks. To be called inside a runtime.
    async fn subject(&self, tasks: usize) -> Result<Arc<Subject>, CaseError> {
        let path = self.path("subject.db");
        Subject::open(SubjectOptions::new(&path, self.vfs.clone(), tasks, self.pool.clone())).await
    }
}

/// A folder below `parent`, named by the first number that is free.
fn new_folder(parent: &Path) -> io::Result<PathBuf> {
    for number in 1_u32.. {
        let folder = parent.join(format!("measurement-{number}"));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("every number is taken"))
}

/// Does `make` for the numbers from 0, some at a time.
async fn fill<F>(count: usize, at_once: usize, make: impl Fn(usize) -> F) -> Result<(), CaseError>
where
    F: Future<Output = Result<(), CaseError>> + Send + 'static,
{
    let mut running = tokio::task::JoinSet::new();
    for number in 0..count {
        running.spawn(make(number));
        if running.len() >= at_once
            && let Some(done) = running.join_next().await
        {
            done.map_err(|broken| CaseError::broken("a filler", &broken))??;
        }
    }
    while let Some(done) = running.join_next().await {
        done.map_err(|broken| CaseError::broken("a filler", &broken))??;
    }
    Ok(())
}

/// The name of a VFS whose syncs take so much longer. Both sides of a pair go through the same one.
fn slow_device(delay: Duration) -> Result<String, CaseError> {
    let name = format!("steadfast-perf-{}us", delay.as_micros());
    match FaultVfs::register(&name, Arc::new(SyncDelay(delay))) {
        // Registered by an earlier case, for the same delay.
        Ok(_) | Err(RegisterError::NameTaken(_)) => Ok(name),
        Err(error) => Err(CaseError::store("take a slow device")(error)),
    }
}

/// A runtime as `#[tokio::main]` gives it.
fn runtime() -> Result<Runtime, CaseError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_time().build().map_err(CaseError::io("starting a runtime"))
}

/// Pairs to run.
fn pairs(context: &Context) -> NonZeroUsize {
    NonZeroUsize::new(context.runs()).unwrap_or(NonZeroUsize::MIN)
}

/// Fails once the time of the case is over.
fn in_time(context: &Context, what: &str) -> Result<(), CaseError> {
    if context.deadline().left().is_zero() {
        return Err(CaseError::TimedOut { what: what.to_owned() });
    }
    Ok(())
}

/// A ratio of many pairs: its median as a figure, to be given its limit, with the middle half beside it.
fn median_ratio(context: &mut Context, name: &str, ratio: &Samples) -> Figure {
    let summary = ratio.summary();
    context.findings.notes.push(format!("{name}: {summary}, {} pairs", summary.count));
    Figure::ratio(name, summary.p50)
}

/// The distance between the quartiles of a ratio.
fn spread(name: &str, ratio: &Samples) -> Figure {
    Figure::ratio(format!("{name}_spread"), ratio.summary().interquartile_range())
}

/// Something in milliseconds.
fn ms(name: impl Into<String>, value: f64) -> Figure {
    Figure::new(name, value, Unit::Ms)
}

/// Latencies as the reference reports them: p50 without a limit here, average and p95 below theirs, p99 without one.
fn latencies(context: &mut Context, name: &str, samples: &Samples, average_max_ms: f64, p95_max_ms: f64) {
    let Summary { p50, p95, p99, .. } = samples.summary();
    context.check(ms(format!("{name}_average_ms"), mean(samples)).at_most(average_max_ms));
    context.check(ms(format!("{name}_p50_ms"), p50).reported());
    context.check(ms(format!("{name}_p95_ms"), p95).at_most(p95_max_ms));
    context.check(ms(format!("{name}_p99_ms"), p99).reported());
}

#[allow(clippy::cast_precision_loss, reason = "nobody takes 2^53 samples")]
fn mean(samples: &Samples) -> f64 {
    samples.values().iter().sum::<f64>() / samples.len() as f64
}
