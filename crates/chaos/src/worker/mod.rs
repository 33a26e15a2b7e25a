//! The worker: the slice through every crate, in a process of its own that is meant to be killed. It sweeps, claims
//! under a short real term, makes a resume plan, and does step after step: intent, effect outside, one commit of
//! checkpoint and result.

pub mod board;
pub mod die;
mod model;
mod step;
mod supervise;
pub mod told;
mod zombie;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use steadfast_checkpoints::{CheckpointError, CheckpointManager, CheckpointOptions};
use steadfast_idempotency::{LedgerError, LedgerOptions, ToolLedger};
use steadfast_leases::{Lease, LeaseManager, LeaseOptions, Loss};
use steadfast_recovery::{Housekeeping, RecoveryError, SweepOptions, Sweeper, resume_plan};
use steadfast_store::env::Env;
use steadfast_store::{
    Checkpoint, CheckpointPage, Delay, Durability, Enqueue, HolderId, InvalidId, InvalidSpan, OpenError,
    Reason, Store, StoreError, TaskId, WorkItem, WorkItemId, commit_one, open,
};
use tokio::sync::mpsc;

use crate::audit::BOUNDARY;
use crate::planted::Planted;
use crate::process::{die_with, words};
use crate::recorder::Outside;
use crate::vfs::{FaultVfs, RegisterError};
use board::Board;
use die::{DieAt, Listener};
use model::Model;
pub use model::{ANSWER_BYTES, right_result};
use step::State;
pub use step::{hex, key_of};
pub use supervise::item_of;
use told::Told;

/// The name of the VFS that kills inside COMMIT.
const VFS_NAME: &str = "steadfast-chaos";
/// How long a worker waits for its item.
const WORK_MAX: Duration = Duration::from_secs(60);
/// Threads that poll futures: one for the work, which blocks on files and sockets, and one for the heartbeat.
const THREADS: usize = 2;

/// How a worker is started.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkerArgs {
    /// The store.
    #[arg(long)]
    url: String,
    /// The folder of the artifacts that are its evidence.
    #[arg(long)]
    artifacts: PathBuf,
    /// Where to post what it is doing.
    #[arg(long)]
    board: PathBuf,
    /// Where the effect recorder listens.
    #[arg(long)]
    recorder: SocketAddr,
    /// Where the model listens that each step asks.
    #[arg(long)]
    model: Option<SocketAddr>,
    /// Its name.
    #[arg(long)]
    holder: String,
    /// How many steps the task has.
    #[arg(long)]
    steps: u16,
    /// How long its lease lasts without renewal, in milliseconds.
    #[arg(long)]
    term_ms: u64,
    /// How often it sweeps while it has no item, in milliseconds.
    #[arg(long)]
    sweep_ms: u64,
    /// Where to die.
    #[arg(long)]
    die_at: Option<DieAt>,
    /// After how many steps of its own to wait for a line from the runner.
    #[arg(long)]
    pause_after: Option<u16>,
    /// Try to write after the loss of the lease, as a program would that does not listen.
    #[arg(long)]
    zombie: bool,
    /// Take one item after the other, until it is killed.
    #[arg(long)]
    forever: bool,
    /// Take no item: sweep, and submit each task that the runner names, as long as it lives.
    #[arg(long, conflicts_with = "forever")]
    supervise: bool,
    /// A fault that is built in on purpose.
    #[arg(long, value_enum)]
    planted: Option<Planted>,
    /// The process to die with.
    #[arg(long)]
    parent: u32,
}

/// Why a worker stops before its task is done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkError {
    /// Its lease is gone; the runner has been told.
    #[error("the lease is lost")]
    Lost,
    /// Nothing came to work on.
    #[error("no item came within {WORK_MAX:?}")]
    NoWork,
    /// A call is under way elsewhere although this worker holds the task's only item.
    #[error("step {step} is in flight although the lease is held")]
    InFlight {
        /// The step.
        step: u16,
    },
    /// The state that it goes on from is not one of its own.
    #[error("the state of checkpoint {sequence} cannot be read: {why}")]
    State {
        /// Its sequence number.
        sequence: u64,
        /// Why.
        why: String,
    },
    /// A file, a socket, the runner.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The VFS.
    #[error(transparent)]
    Vfs(#[from] RegisterError),
    /// The store could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The checkpoints.
    #[error(transparent)]
    Checkpoints(#[from] CheckpointError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The plan.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// A name on the command line.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// A term on the command line.
    #[error(transparent)]
    Span(#[from] InvalidSpan),
}

impl WorkError {
    /// What the store has refused because the lease is stale, if that was it.
    fn fenced(&self) -> Option<&'static str> {
        let (rejection, what) = match self {
            Self::Checkpoints(CheckpointError::Rejected(rejection)) => (rejection, "append"),
            Self::Ledger(LedgerError::LeaseLost(rejection)) => (rejection, "intent"),
            _ => return None,
        };
        is_stale(&rejection.reason).then_some(what)
    }
}

/// Whether the store refused something because its lease is not the current one.
fn is_stale(reason: &Reason) -> bool {
    matches!(reason, Reason::StaleFence { .. } | Reason::NotLeased { .. })
}

/// The worker's whole life.
///
/// # Errors
/// [`WorkError`], when it stopped before its task was done.
pub fn work(args: WorkerArgs) -> Result<(), WorkError> {
    die_with(args.parent)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_time().build()?;
    // On a thread of the runtime: what it polls wakes on the spot.
    let work = runtime.spawn(async move { Worker::start(args).await?.live().await });
    match runtime.block_on(work) {
        Ok(done) => done,
        Err(broken) => Err(std::io::Error::other(broken).into()),
    }
}

/// A worker at work.
struct Worker {
    args: WorkerArgs,
    listener: Arc<Listener>,
    store: Arc<dyn Store>,
    leases: LeaseManager,
    checkpoints: CheckpointManager,
    ledger: ToolLedger,
    outside: Outside,
    model: Option<Model>,
    /// All answers of the model so far, in short.
    chain: String,
    /// Lines from the runner.
    words: mpsc::UnboundedReceiver<String>,
}

impl Worker {
    async fn start(args: WorkerArgs) -> Result<Self, WorkError> {
        let outside = Outside::connect(args.recorder)?;
        let listener = Arc::new(Listener::new(Board::create(&args.board)?, args.die_at));
        let mut url = args.url.clone();
        if args.die_at.is_some_and(|die_at| die_at.place.needs_vfs()) {
            let vfs = FaultVfs::register(VFS_NAME, listener.clone())?;
            url.push_str("&vfs=");
            url.push_str(vfs.name());
        }
        let store = open(&url, Env::system().with_failpoints(listener.clone())).await?;
        let term = Duration::from_millis(args.term_ms);
        let options = LeaseOptions { term, ..LeaseOptions::new(HolderId::new(&args.holder)?) };
        let leases = LeaseManager::new(store.clone(), options)?;
        let checkpoints = CheckpointManager::new(store.clone(), CheckpointOptions::new(&args.artifacts));
        let ledger = ToolLedger::new(store.clone(), LedgerOptions::default())?;
        let connect = |address| Model::connect(store.clone(), address, term);
        let model = args.model.map(connect).transpose()?;
        let (chain, words) = (String::new(), words());
        Ok(Self { args, listener, store, leases, checkpoints, ledger, outside, model, chain, words })
    }

    async fn live(mut self) -> Result<(), WorkError> {
        if self.args.supervise {
            return self.supervise().await;
        }
        loop {
            match self.one_item().await {
                Ok(()) | Err(WorkError::Lost | WorkError::NoWork) if self.args.forever => {}
                done => return done,
            }
        }
    }

    async fn one_item(&mut self) -> Result<(), WorkError> {
        let lease = self.claim().await?;
        Told::Took { task: lease.item().task.as_str().to_owned() }.tell()?;
        Told::Held { fence: lease.guard().fence.0 }.tell()?;
        if self.args.planted == Some(Planted::SubmitTwice) {
            self.submit_again(&lease).await?;
        }
        let from = self.resume(&lease.item().task.clone()).await?;
        Told::Resume { sequence: from.as_ref().map_or(0, |checkpoint| checkpoint.header.sequence.0) }
            .tell()?;
        let state = from.map(|checkpoint| State::read(&checkpoint)).transpose()?;
        let first = state.as_ref().map_or(0, |state| state.step) + 1;
        self.chain = state.map(|state| state.chain).unwrap_or_default();
        let pause = self.args.pause_after.map(|steps| first.saturating_add(steps) - 1);
        for step in first..=self.args.steps {
            match self.step_while_held(&lease, step, pause == Some(step)).await {
                Ok(()) => {}
                Err(WorkError::Lost) => return self.lost(&lease).await,
                Err(error) => {
                    let Some(what) = error.fenced() else { return Err(error) };
                    Told::Fenced { what: what.to_owned() }.tell()?;
                    // The store was quicker to say so than the holder's own clock; that says so too.
                    if !self.is_deaf() {
                        tell_loss(&lease.lost().await)?;
                    }
                    return self.lost(&lease).await;
                }
            }
        }
        Told::Done.tell()?;
        Ok(())
    }

    /// Sweeps until there is an item to be had: the one of a worker that was killed comes when its term has run out.
    async fn claim(&self) -> Result<Lease, WorkError> {
        let sweeping = self.sweeper().run_every(Duration::from_millis(self.args.sweep_ms));
        let claimed = loop {
            match self.leases.wait_for_work(WORK_MAX).await {
                // A machine that stood still for half a term: nothing was claimed, so it is asked for again.
                Err(StoreError::Overloaded { .. }) => {}
                answer => break answer,
            }
        };
        sweeping.stop().await;
        claimed?.ok_or(WorkError::NoWork)
    }

    /// So that nobody claims it, it is for later.
    async fn submit_again(&self, lease: &Lease) -> Result<(), WorkError> {
        let WorkItem { id, task, kind, priority, max_attempts, .. } = lease.item().clone();
        let (item, delay) = (WorkItemId::new(format!("{id}/again"))?, Delay::new(Duration::from_hours(1))?);
        let again = Enqueue { item, task, kind, priority, delay, max_attempts };
        commit_one(&*self.store, Durability::Durable, again).await.map_err(std::io::Error::other)?;
        Ok(())
    }

    fn sweeper(&self) -> Sweeper {
        // Every checkpoint is looked for in the end, so none may be pruned.
        let housekeeping = Housekeeping { keep_checkpoints: None, ..Housekeeping::default() };
        let options = SweepOptions { housekeeping, ..SweepOptions::default() };
        Sweeper::new(self.store.clone(), options)
    }

    async fn resume(&self, task: &TaskId) -> Result<Option<Checkpoint>, WorkError> {
        if self.args.planted == Some(Planted::ResumeUnverified) {
            let page = CheckpointPage::NewestFirst { before: None, limit: 100 };
            let newest = self.checkpoints.list(task, page).await?.into_iter();
            return Ok(newest.into_iter().find(|checkpoint| checkpoint.header.kind.as_str() != BOUNDARY));
        }
        Ok(resume_plan(&self.checkpoints, task).await?.from)
    }

    /// One step, then the pause if there is one here; broken off by the loss of the lease.
    async fn step_while_held(&mut self, lease: &Lease, step: u16, pauses: bool) -> Result<(), WorkError> {
        let is_deaf = self.is_deaf();
        let loss = lease.lost();
        let work = async {
            self.step(lease, step).await?;
            if pauses {
                Told::Paused.tell()?;
                self.word().await?;
                if self.args.zombie && is_deaf {
                    return Err(WorkError::Lost);
                }
            }
            Ok(())
        };
        if is_deaf {
            return work.await;
        }
        tokio::select! {
            biased;
            loss = loss => {
                tell_loss(&loss)?;
                Err(WorkError::Lost)
            }
            done = work => done,
        }
    }

    fn is_deaf(&self) -> bool {
        self.args.planted == Some(Planted::IgnoreLoss)
    }

    /// Waits for a line from the runner.
    async fn word(&mut self) -> Result<(), WorkError> {
        let silence = || std::io::Error::other("the runner says nothing more");
        self.words.recv().await.map(drop).ok_or_else(|| silence().into())
    }

    /// The lease is gone. Whoever listens stops here; a zombie waits for its cue and tries to write all the same.
    async fn lost(&mut self, lease: &Lease) -> Result<(), WorkError> {
        if self.args.zombie {
            if !self.is_deaf() {
                self.word().await?;
            }
            self.write_all_the_same(lease).await?;
        }
        Err(WorkError::Lost)
    }
}

/// Tells the runner of the loss, with one word for how the holder came to know.
fn tell_loss(loss: &Loss) -> std::io::Result<()> {
    let how = match loss {
        Loss::DeadlinePassed => "deadline",
        Loss::Rejected(_) => "rejected",
        _ => "otherwise",
    };
    Told::Lost { how: how.to_owned() }.tell()
}
