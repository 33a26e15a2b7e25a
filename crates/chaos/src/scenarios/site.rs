//! Where one run of a scenario takes place: a folder with a database, the artifacts of the workers, the recorder's
//! log; and how a task is submitted there and processes are started.

use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use steadfast_store::env::Env;
use steadfast_store::{
    CreateTask, Delay, Enqueue, Label, Payload, SqliteOptions, SqliteStore, StoreExt, TaskId, WorkItemId,
};

use super::hand::Hand;
use crate::audit::Audit;
use crate::case::{CaseError, Deadline};
use crate::planted::Planted;
use crate::process::Process;
use crate::recorder;
use crate::worker::ANSWER_BYTES;
use crate::worker::die::DieAt;

/// The task of every run: one database holds one.
pub(super) const TASK: &str = "report";
/// Its item.
pub(super) const ITEM: &str = "report/collect";
/// How many items are submitted.
pub(super) const ITEMS: usize = 1;
/// Claims that may count: more than any run kills workers.
const ATTEMPTS_MAX: u32 = 1_000;
/// Pages after which the log is folded into the database: the fewest that the store takes, so that it happens often.
const WAL_PAGES: u32 = 100;
/// How long an effect takes.
const EFFECT_DELAY: Duration = Duration::from_micros(500);

/// One run's place, and what its workers are told.
#[derive(Debug)]
pub(super) struct Site {
    folder: PathBuf,
    /// Steps of the task.
    pub(super) steps: u16,
    /// How long a lease lasts without renewal.
    pub(super) term: Duration,
    /// How often a worker without an item sweeps.
    pub(super) sweep_period: Duration,
    /// The fault that is planted in the workers.
    pub(super) planted: Option<Planted>,
    /// How long the model takes for an answer, if the workers ask one.
    pub(super) model_delay: Option<Duration>,
}

/// What one worker is told beside.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Orders {
    /// Where to die.
    pub(super) die_at: Option<DieAt>,
    /// After how many steps of its own to wait for a line.
    pub(super) pause_after: Option<u16>,
    /// Where the model listens, if there is one.
    pub(super) model: Option<SocketAddr>,
    /// Whether to try to write after the loss of its lease.
    pub(super) zombie: bool,
}

impl Site {
    /// Makes the folder, submits the task.
    pub(super) fn new(
        folder: PathBuf,
        steps: u16,
        term: Duration,
        sweep_period: Duration,
        planted: Option<Planted>,
    ) -> Result<Self, CaseError> {
        let site = Self { folder, steps, term, sweep_period, planted, model_delay: None };
        fs::create_dir_all(site.artifacts()).map_err(CaseError::io("making the folder of a run"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.map_err(CaseError::io("starting a runtime"))?.block_on(site.submit())?;
        Ok(site)
    }

    async fn submit(&self) -> Result<(), CaseError> {
        const WHAT: &str = "take the task";
        let options = SqliteOptions::new(self.database());
        let store =
            SqliteStore::open(options, Env::system()).await.map_err(CaseError::store("open the file"))?;
        let task = TaskId::new(TASK).map_err(CaseError::store(WHAT))?;
        let kind = Label::new("research").map_err(CaseError::store(WHAT))?;
        let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
        store.create_task(create).await.map_err(CaseError::store(WHAT))?;
        let item = WorkItemId::new(ITEM).map_err(CaseError::store(WHAT))?;
        let enqueue =
            Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: ATTEMPTS_MAX };
        store.enqueue(enqueue).await.map_err(CaseError::store(WHAT))?;
        // The log goes with the last connection: the workers begin with one of their own.
        store.close().await;
        Ok(())
    }

    /// The folder of what is evidence.
    pub(super) fn artifacts(&self) -> PathBuf {
        self.folder.join("artifacts")
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.join("agent.db")
    }

    fn recorder_log(&self) -> PathBuf {
        self.folder.join("recorder.log")
    }

    /// Where a worker posts what it is doing.
    pub(super) fn board(&self, worker: &str) -> PathBuf {
        self.folder.join(format!("{worker}.board"))
    }

    /// Looks at the database.
    pub(super) fn audit(&self) -> Result<Audit, CaseError> {
        Ok(Audit::open(&self.database())?)
    }

    /// The keys of all effects that have happened, from the recorder's own log.
    pub(super) fn effects(&self) -> Result<Vec<String>, CaseError> {
        let requests = recorder::requests(&self.recorder_log());
        let requests = requests.map_err(CaseError::io("reading the recorder's log"))?;
        Ok(requests.into_iter().map(|(key, _)| key).collect())
    }

    /// Starts the recorder, and waits until it can be asked.
    pub(super) fn start_recorder(&self, deadline: Deadline) -> Result<(Process, SocketAddr), CaseError> {
        recorder::start("recorder", &self.recorder_log(), EFFECT_DELAY, 0, deadline)
    }

    /// Starts the model, if there is to be one.
    pub(super) fn start_model(&self, deadline: Deadline) -> Result<Option<(Process, SocketAddr)>, CaseError> {
        let start = |delay| recorder::start("model", &self.model_log(), delay, ANSWER_BYTES, deadline);
        self.model_delay.map(start).transpose()
    }

    /// The prompts that the model was asked, from its own log.
    pub(super) fn model_calls(&self) -> Result<Vec<String>, CaseError> {
        let requests =
            recorder::requests(&self.model_log()).map_err(CaseError::io("reading the model's log"))?;
        Ok(requests.into_iter().map(|(prompt, _)| prompt).collect())
    }

    fn model_log(&self) -> PathBuf {
        self.folder.join("model.log")
    }

    /// Starts a worker.
    pub(super) fn start_worker(
        &self,
        name: &str,
        recorder: SocketAddr,
        orders: Orders,
    ) -> Result<Hand, CaseError> {
        let mut arguments = vec!["worker".to_owned()];
        push(&mut arguments, "--url", format!("sqlite:{}?wal_pages={WAL_PAGES}", self.database().display()));
        push(&mut arguments, "--artifacts", self.artifacts().display());
        push(&mut arguments, "--board", self.board(name).display());
        push(&mut arguments, "--recorder", recorder);
        push(&mut arguments, "--holder", name);
        push(&mut arguments, "--steps", self.steps);
        push(&mut arguments, "--term-ms", self.term.as_millis());
        push(&mut arguments, "--sweep-ms", self.sweep_period.as_millis());
        push(&mut arguments, "--parent", std::process::id());
        if let Some(die_at) = orders.die_at {
            push(&mut arguments, "--die-at", die_at);
        }
        if let Some(model) = orders.model {
            push(&mut arguments, "--model", model);
        }
        if let Some(steps) = orders.pause_after {
            push(&mut arguments, "--pause-after", steps);
        }
        if orders.zombie {
            arguments.push("--zombie".to_owned());
        }
        if let Some(planted) = self.planted {
            push(&mut arguments, "--planted", planted.name());
        }
        Ok(Hand::new(Process::start(name, &self.folder, arguments)?))
    }
}

fn push(arguments: &mut Vec<String>, option: &str, value: impl Display) {
    arguments.push(option.to_owned());
    arguments.push(value.to_string());
}
