//! The crew: processes that load one shared store. Each opens it, says that it is ready, does one job when it is told
//! to, and reports in one line of JSON. The runner's side of it is [`field`]. A store in memory is shared by members
//! that are threads of the runner, each with a runtime of its own (`inside`); all else is the same for them.

mod append;
mod ask;
pub mod field;
mod hold;
mod inside;
mod sweep;
mod tools;
mod work;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::sync::Arc;

use serde::Serialize;
use steadfast_checkpoints::CheckpointError;
use steadfast_idempotency::LedgerError;
use steadfast_store::{CommandError, InvalidId, InvalidSpan, OpenError, Store, StoreError, open};
use tokio::sync::mpsc;

pub use append::{AppendArgs, AppendReport, Appended};
pub use ask::{AskArgs, AskReport};
pub use hold::{HoldArgs, HoldReport};
pub use sweep::SweepReport;
pub use tools::{ToolsArgs, ToolsReport};
pub use work::{WorkArgs, WorkReport};

use crate::planted::Planted;
use crate::process::{die_with, words};

/// What a member prints once it can be told to go.
const READY: &str = "READY";
/// What a member prints when it holds what it was sent for.
const HOLDING: &str = "HOLDING";
/// What stands before the report.
const REPORT: &str = "REPORT ";
/// Errors that a report tells in words.
const ERRORS_TOLD: usize = 5;

/// How a member is started.
#[derive(Debug, Clone, clap::Args)]
pub struct CrewArgs {
    /// The store.
    #[arg(long)]
    url: String,
    /// Its name.
    #[arg(long)]
    name: String,
    /// A fault that is built in on purpose.
    #[arg(long, value_enum)]
    planted: Option<Planted>,
    /// The process to die with.
    #[arg(long)]
    parent: u32,
    #[command(subcommand)]
    job: Job,
}

/// What a member does.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Job {
    /// Appends checkpoints.
    Append(AppendArgs),
    /// Claims and settles items until there are none.
    Work(WorkArgs),
    /// Claims many items and keeps them until it is told to settle them.
    Hold(HoldArgs),
    /// One pass over the expired leases.
    Sweep,
    /// Asks a model through the cache.
    Ask(AskArgs),
    /// Runs shell commands through the ledger.
    Tools(ToolsArgs),
}

/// Why a member could not do its job. What the job itself met is in its report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CrewError {
    /// Its runtime, or the runner's ear.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The store could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A name.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// A term.
    #[error(transparent)]
    Span(#[from] InvalidSpan),
    /// The storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The checkpoints.
    #[error(transparent)]
    Checkpoints(#[from] CheckpointError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The report.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// One of its own tasks.
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
}

/// A member at work.
struct Member {
    name: String,
    store: Arc<dyn Store>,
    planted: Option<Planted>,
    words: mpsc::UnboundedReceiver<String>,
    voice: Voice,
}

/// Where a member's lines go.
enum Voice {
    /// To the runner, which reads what this process prints.
    Print,
    /// To the runner, in the same process.
    Inside(std::sync::mpsc::Sender<String>),
}

/// A member's whole life.
///
/// # Errors
/// [`CrewError`].
pub fn crew(args: CrewArgs) -> Result<(), CrewError> {
    die_with(args.parent)?;
    tokio::runtime::Builder::new_multi_thread().enable_time().build()?.block_on(async {
        let CrewArgs { url, name, planted, job, .. } = args;
        let store = open(&url, sweep::env(planted, matches!(job, Job::Sweep))).await?;
        Member { name, store, planted, words: words(), voice: Voice::Print }.serve(job).await
    })
}

impl Member {
    async fn serve(mut self, job: Job) -> Result<(), CrewError> {
        match job {
            Job::Append(args) => self.append(args).await,
            Job::Work(args) => self.work(args).await,
            Job::Hold(args) => self.hold(args).await,
            Job::Sweep => self.sweep().await,
            Job::Ask(args) => self.ask(args).await,
            Job::Tools(args) => self.tools(args).await,
        }
    }

    /// Says that it is ready, and waits to be told to go.
    async fn ready(&mut self) -> Result<(), CrewError> {
        self.say(READY)?;
        self.word().await
    }

    /// Waits for a line from the runner.
    async fn word(&mut self) -> Result<(), CrewError> {
        let silence = || io::Error::other("the runner says nothing more");
        self.words.recv().await.map(drop).ok_or_else(|| silence().into())
    }

    /// One line for the runner, written whole.
    fn say(&self, line: &str) -> Result<(), CrewError> {
        match &self.voice {
            Voice::Print => {
                let mut out = io::stdout().lock();
                out.write_all(format!("{line}\n").as_bytes())?;
                Ok(out.flush()?)
            }
            Voice::Inside(lines) => {
                Ok(lines.send(line.to_owned()).map_err(|_| io::Error::other("the runner does not listen"))?)
            }
        }
    }

    fn report<T: Serialize>(&self, report: &T) -> Result<(), CrewError> {
        self.say(&format!("{REPORT}{}", serde_json::to_string(report)?))
    }

    fn has(&self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }
}

/// What went wrong, counted and partly told.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
pub struct Trouble {
    /// How often.
    pub count: usize,
    /// The first ones in words.
    pub told: Vec<String>,
}

impl Trouble {
    fn add(&mut self, error: impl Display) {
        self.count += 1;
        if self.told.len() < ERRORS_TOLD {
            self.told.push(error.to_string());
        }
    }

    /// Takes in another's.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        let room = ERRORS_TOLD.saturating_sub(self.told.len());
        self.told.extend(other.told.iter().take(room).cloned());
    }
}
