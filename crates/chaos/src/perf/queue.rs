//! Work items on both sides: a store with a queue, and a thread with a bare one.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use steadfast_store::env::Env;
use steadfast_store::{
    Batch, Claim, CreateTask, Delay, Enqueue, HolderId, Label, Payload, SqliteOptions, SqliteStore, Store,
    StoreExt, TaskId, Term, TransitionId, WorkItemId,
};
use tokio::sync::oneshot;

use super::file::{self, FileOptions};
use super::subject::{commit, refused};
use super::{PerfError, sql};
use crate::case::{CaseError, Deadline};

/// Items of a task, and as many in a batch when a queue is filled.
const ITEMS_OF_TASK: usize = 500;
/// Claims that may count: no item becomes a dead letter however often it is reclaimed.
const ATTEMPTS_MAX: u32 = 1_000_000;
/// Pages in the bare log at which it is folded: as many as the store's default.
const WAL_PAGES: u32 = 4_000;
const PAGE_BYTES: u32 = 4096;
/// Rows in a transaction of the bare queue when it is filled.
const FILLING_GROUP: usize = 1_000;

/// A store with a queue, as its users have it.
pub(super) struct Queue {
    store: Arc<SqliteStore>,
    kind: Label,
    tasks: usize,
    items: usize,
}

impl Queue {
    /// Opens the store. To be called inside a runtime.
    pub(super) async fn open(options: SqliteOptions, env: Env) -> Result<Self, CaseError> {
        let store = SqliteStore::open(options, env).await.map_err(refused("open the file"))?;
        let kind = Label::new("load").map_err(refused("take a label"))?;
        Ok(Self { store: Arc::new(store), kind, tasks: 0, items: 0 })
    }

    pub(super) fn store(&self) -> &Arc<SqliteStore> {
        &self.store
    }

    /// The task of that number, counted from 0.
    pub(super) fn task(number: usize) -> Result<TaskId, CaseError> {
        TaskId::new(format!("{number:08}-0000-4000-8000-{number:012}")).map_err(refused("take a name"))
    }

    /// How many tasks there are.
    pub(super) fn tasks(&self) -> usize {
        self.tasks
    }

    /// Puts so many items in, a task for every few hundred. Not measured.
    pub(super) async fn enqueue(&mut self, items: usize, deadline: Deadline) -> Result<(), CaseError> {
        let mut left = items;
        while left > 0 {
            let mut batch = Batch::relaxed();
            let task = Self::task(self.tasks)?;
            self.tasks += 1;
            let (kind, input) = (self.kind.clone(), Payload::empty());
            batch.add(CreateTask { task: task.clone(), kind: kind.clone(), input });
            for _ in 0..left.min(ITEMS_OF_TASK) {
                batch.add(self.item(&task)?);
            }
            left -= left.min(ITEMS_OF_TASK);
            commit(&self.store, batch, "fill the queue").await?;
            if deadline.left().is_zero() {
                return Err(CaseError::TimedOut { what: "the queue to be filled".to_owned() });
            }
        }
        Ok(())
    }

    /// The next item, for this task.
    pub(super) fn item(&mut self, task: &TaskId) -> Result<Enqueue, CaseError> {
        self.items += 1;
        let item = WorkItemId::new(format!("item-{:09}", self.items)).map_err(refused("take a name"))?;
        let (task, kind, delay) = (task.clone(), self.kind.clone(), Delay::ZERO);
        Ok(Enqueue { item, task, kind, priority: 0, delay, max_attempts: ATTEMPTS_MAX })
    }

    /// Leases every item for so long. Not measured.
    pub(super) async fn claim_all(&self, term: Duration) -> Result<usize, CaseError> {
        const WHAT: &str = "lease items";
        let limit = steadfast_store::limits::PAGE_ROWS_MAX;
        let mut claimed = 0;
        loop {
            let claim = Claim {
                claim: TransitionId::generate(self.store.env()),
                holder: HolderId::new("holder").map_err(refused(WHAT))?,
                term: Term::new(term).map_err(refused(WHAT))?,
                limit,
                kinds: Vec::new(),
                task: None,
            };
            let items = self.store.claim(claim).await.map_err(refused(WHAT))?.items.len();
            claimed += items;
            if items < limit as usize {
                return Ok(claimed);
            }
        }
    }

    /// Closes the file, so that nothing of it is under way when the next one is measured.
    pub(super) async fn close(self) {
        if let Some(store) = Arc::into_inner(self.store) {
            store.close().await;
        }
    }
}

/// An item that was claimed from the bare queue.
pub(super) struct Ticket {
    id: i64,
    fence: i64,
}

enum Request {
    Claim { holder: String, answer: oneshot::Sender<Option<Ticket>> },
    Settle { ticket: Ticket, answer: oneshot::Sender<bool> },
}

/// What is told once the transaction is durable.
enum Answer {
    Claimed(oneshot::Sender<Option<Ticket>>, Option<Ticket>),
    Settled(oneshot::Sender<bool>, bool),
}

/// The file of a bare queue.
pub(super) struct BareQueueFile {
    connection: Connection,
    rows: usize,
}

impl BareQueueFile {
    pub(super) fn create(path: std::path::PathBuf, vfs: Option<String>) -> Result<Self, PerfError> {
        let options = FileOptions { path, page_size: PAGE_BYTES, vfs, wal_pages: WAL_PAGES };
        let connection = file::create(&options)?;
        connection.execute_batch(sql::queue::CREATE)?;
        file::make_durable(&connection)?;
        Ok(Self { connection, rows: 0 })
    }

    fn begin(&self) -> Result<(), PerfError> {
        self.connection.prepare_cached(sql::file::BEGIN)?.execute([])?;
        Ok(())
    }

    fn commit(&self) -> Result<(), PerfError> {
        self.connection.prepare_cached(sql::file::COMMIT)?.execute([])?;
        Ok(())
    }

    /// Puts so many items in. Not measured.
    pub(super) fn enqueue(&mut self, items: usize) -> Result<(), PerfError> {
        file::make_hasty(&self.connection)?;
        let mut left = items;
        while left > 0 {
            let group = left.min(FILLING_GROUP);
            self.begin()?;
            for _ in 0..group {
                self.rows += 1;
                let name = format!("item-{:09}", self.rows);
                self.connection.prepare_cached(sql::queue::ENQUEUE)?.execute([name])?;
            }
            self.commit()?;
            left -= group;
        }
        file::make_durable(&self.connection)
    }

    fn apply(&self, request: Request) -> Result<Answer, PerfError> {
        Ok(match request {
            Request::Claim { holder, answer } => {
                let mut claim = self.connection.prepare_cached(sql::queue::CLAIM)?;
                let claimed =
                    claim.query_row([holder], |row| Ok(Ticket { id: row.get(0)?, fence: row.get(1)? }));
                Answer::Claimed(answer, claimed.optional()?)
            }
            Request::Settle { ticket, answer } => {
                let mut settle = self.connection.prepare_cached(sql::queue::SETTLE)?;
                Answer::Settled(answer, settle.execute([ticket.id, ticket.fence])? == 1)
            }
        })
    }

    /// Whatever waits is one transaction; whoever asked is told after it.
    fn serve(self, requests: &mpsc::Receiver<Request>) -> Result<Self, PerfError> {
        while let Ok(first) = requests.recv() {
            self.begin()?;
            let mut answers = vec![self.apply(first)?];
            for request in requests.try_iter() {
                answers.push(self.apply(request)?);
            }
            self.commit()?;
            for answer in answers {
                // A caller that has gone away needs no answer.
                match answer {
                    Answer::Claimed(answer, claimed) => drop(answer.send(claimed)),
                    Answer::Settled(answer, settled) => drop(answer.send(settled)),
                }
            }
        }
        Ok(self)
    }
}

/// The thread that serves a bare queue until this is stopped.
pub(super) struct BareQueue {
    requests: mpsc::Sender<Request>,
    thread: thread::JoinHandle<Result<BareQueueFile, PerfError>>,
}

impl BareQueue {
    pub(super) fn start(file: BareQueueFile) -> Result<Self, CaseError> {
        let (requests, waiting) = mpsc::channel();
        let serve = move || file.serve(&waiting);
        let thread = thread::Builder::new().name("bare-queue".to_owned()).spawn(serve);
        Ok(Self { requests, thread: thread.map_err(CaseError::io("starting the bare queue"))? })
    }

    /// The file again, once nobody asks any more.
    pub(super) fn stop(self) -> Result<BareQueueFile, CaseError> {
        let Self { requests, thread } = self;
        drop(requests);
        thread.join().map_err(|_| ended())?.map_err(CaseError::Measurement)
    }

    /// A way to ask.
    pub(super) fn desk(&self) -> Desk {
        Desk(self.requests.clone())
    }
}

/// A way to ask a bare queue.
#[derive(Clone)]
pub(super) struct Desk(mpsc::Sender<Request>);

impl Desk {
    pub(super) async fn claim(&self, holder: &str) -> Result<Option<Ticket>, CaseError> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Request::Claim { holder: holder.to_owned(), answer }).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())
    }

    pub(super) async fn settle(&self, ticket: Ticket) -> Result<bool, CaseError> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Request::Settle { ticket, answer }).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())
    }
}

fn ended() -> CaseError {
    CaseError::Process { process: "the bare queue".to_owned(), what: "ended".to_owned() }
}
