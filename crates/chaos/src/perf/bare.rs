//! The floor of group commit: a thread with bare SQLite that takes whatever is waiting into the next transaction, and
//! answers after COMMIT. No digest, no ids, no decisions: what any program with tasks and one writer has to do.

use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::closed::Sink;
use super::data::Data;
use super::file::{self, FileOptions};
use super::table::{self, Table, row_of};
use super::{PAYLOAD_BYTES, PerfError, sql};
use crate::case::CaseError;

/// Pages in the log at which it is folded: SQLite's own default.
const WAL_PAGES: u32 = 1_000;
const PAGE_BYTES: u32 = 4096;

/// The floor's table, rows of `tasks` tasks in turn.
struct BareFile {
    connection: Connection,
    data: Data,
    /// The last number of each task.
    last: Vec<i64>,
    rows: usize,
}

impl Table for BareFile {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn insert(&mut self, rows: usize) -> Result<(), PerfError> {
        let mut insert = self.connection.prepare_cached(sql::floor::INSERT)?;
        for row in self.rows..self.rows + rows {
            let task = row % self.last.len();
            self.last[task] += 1;
            insert.execute(params![row_of(task), self.last[task], self.data.bytes(PAYLOAD_BYTES)])?;
        }
        self.rows += rows;
        Ok(())
    }
}

struct Request {
    task: usize,
    payload: Bytes,
    answer: oneshot::Sender<()>,
}

impl BareFile {
    /// Every request in one transaction.
    fn commit(&mut self, group: &[Request]) -> Result<(), PerfError> {
        self.connection.prepare_cached(sql::file::BEGIN)?.execute([])?;
        {
            let mut insert = self.connection.prepare_cached(sql::floor::INSERT)?;
            for Request { task, payload, .. } in group {
                self.last[*task] += 1;
                insert.execute(params![row_of(*task), self.last[*task], &payload[..]])?;
            }
        }
        self.connection.prepare_cached(sql::file::COMMIT)?.execute([])?;
        Ok(())
    }

    /// Until nobody can ask any more. An error ends it: whoever waits is told by the end.
    fn serve(&mut self, requests: &mpsc::Receiver<Request>) -> Result<(), PerfError> {
        let mut group = Vec::new();
        while let Ok(first) = requests.recv() {
            group.push(first);
            group.extend(requests.try_iter());
            self.commit(&group)?;
            for Request { answer, .. } in group.drain(..) {
                // A caller that has gone away needs no answer.
                let _ = answer.send(());
            }
        }
        Ok(())
    }
}

/// What the file is to be.
#[derive(Debug)]
pub(super) struct BareOptions {
    pub(super) path: std::path::PathBuf,
    pub(super) vfs: Option<String>,
    pub(super) tasks: usize,
    pub(super) preload_rows: usize,
    pub(super) seed: u64,
}

/// The thread and the way to it.
#[derive(Debug)]
pub(super) struct BareLoop {
    requests: mpsc::Sender<Request>,
}

impl BareLoop {
    /// Makes the file with its rows, warms its log, and starts the thread, which ends when this is dropped.
    pub(super) fn start(options: BareOptions) -> Result<Self, PerfError> {
        let BareOptions { path, vfs, tasks, preload_rows, seed } = options;
        let connection =
            file::create(&FileOptions { path, page_size: PAGE_BYTES, vfs, wal_pages: WAL_PAGES })?;
        connection.execute_batch(sql::floor::CREATE)?;
        let mut file = BareFile { connection, data: Data::new(seed), last: vec![0; tasks], rows: 0 };
        table::fill(&mut file, preload_rows)?;
        table::warm(&mut file)?;
        let (requests, waiting) = mpsc::channel();
        // It ends by itself; what went wrong in it is seen by those who wait for an answer.
        drop(thread::Builder::new().name("bare-writer".to_owned()).spawn(move || file.serve(&waiting))?);
        Ok(Self { requests })
    }
}

impl Sink for BareLoop {
    async fn put(&self, task: usize, payload: Bytes) -> Result<(), CaseError> {
        let (answer, answered) = oneshot::channel();
        let ended = || CaseError::Process { process: "the bare loop".to_owned(), what: "ended".to_owned() };
        self.requests.send(Request { task, payload, answer }).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())
    }
}
