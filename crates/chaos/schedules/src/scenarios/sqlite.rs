//! The whole SQLite store, on a file. What it has committed is read by SQL, on a connection of the scenario's own.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use shuttle::future::{block_on, spawn};
use steadfast_store::env::{Failpoint, Failpoints};
use steadfast_store::{Committed, Outcome, SqliteOptions, SqliteStore, Store};

use super::folder::Folder;
use crate::books::batch;
use crate::met::Met;
use crate::sql;
use crate::world::{below, choice, environment, poll_once, some_choices};

/// Callers that wait for their answers.
const CALLERS: u32 = 2;
/// The batch of one that does not.
const DROPPED: u32 = 7;
/// Long: time stands, so the limit is never reached.
const LIMIT: Duration = Duration::from_secs(3_600);

/// Notes, each time that COMMIT has returned, what is there; nobody has been answered then.
#[derive(Debug)]
struct Notes {
    path: PathBuf,
    committed: Mutex<BTreeSet<String>>,
}

impl Notes {
    fn committed(&self) -> BTreeSet<String> {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Failpoints for Notes {
    fn reach(&self, point: Failpoint) {
        if point == Failpoint::COMMIT_AFTER {
            Met::Sqlite.count();
            let there = tasks(&self.path);
            *self.committed.lock().unwrap_or_else(PoisonError::into_inner) = there;
        }
        choice();
    }
}

/// The tasks that are in the file.
fn tasks(path: &PathBuf) -> BTreeSet<String> {
    let look = || -> rusqlite::Result<_> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let mut statement = connection.prepare(sql::TASKS)?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    look().unwrap_or_else(|error| panic!("reading the file: {error}"))
}

pub(super) fn whole() {
    let folder = Folder::make();
    let path = folder.database();
    let notes = Arc::new(Notes { path: path.clone(), committed: Mutex::default() });
    let env = environment(Met::ChangeAwaited).with_failpoints(notes.clone());
    let mut options = SqliteOptions::new(&path);
    options.readers = 1;
    let store = block_on(SqliteStore::open(options, env));
    let store = Arc::new(store.unwrap_or_else(|error| panic!("opening the file: {error}")));
    let mut ends: Vec<_> = (0..CALLERS)
        .map(|number| {
            let (store, notes) = (Arc::clone(&store), Arc::clone(&notes));
            spawn(async move { caller(&store, &notes, number).await })
        })
        .collect();
    let dropping = Arc::clone(&store);
    ends.push(spawn(async move {
        let mut future = Box::pin(dropping.commit(batch(DROPPED, 0)));
        for _ in 0..=below(3) {
            if poll_once(&mut future).await.is_some() {
                return;
            }
            some_choices().await;
        }
        Met::CallerGone.count();
    }));
    let (waiting, looked_at) = (Arc::clone(&store), Arc::clone(&notes));
    ends.push(spawn(async move {
        loop {
            let seen = waiting.change_stamp();
            if looked_at.committed().len() == CALLERS as usize + 1 {
                return;
            }
            waiting.changed(seen, LIMIT).await;
        }
    }));
    block_on(async {
        for end in ends {
            drop(end.await);
        }
        let Ok(store) = Arc::try_unwrap(store) else { panic!("every caller has ended") };
        store.close().await;
    });
    // Before the file is opened again, which would tidy up.
    assert!(!folder.has_log(), "close() has left a write-ahead log behind");
    let there = tasks(&path);
    assert!(
        there.contains(&DROPPED.to_string()),
        "a dropped future lost a batch that the queue had accepted"
    );
    assert_eq!(there.len(), CALLERS as usize + 1, "after close(): {there:?}");
}

/// Makes a task, and then the same again: the answers tell whose they are.
async fn caller(store: &SqliteStore, notes: &Notes, number: u32) {
    let batch = batch(number, usize::try_from(number).unwrap_or(0));
    for is_replayed in [false, true] {
        match store.commit(batch.clone()).await {
            Ok(Committed::Applied(applied)) => {
                assert!(
                    notes.committed().contains(&number.to_string()),
                    "batch {number} was acknowledged before COMMIT had returned"
                );
                assert_eq!(applied.is_replayed(), is_replayed, "batch {number} was given another answer");
                let [Outcome::TaskCreated(_)] = applied.outcomes() else {
                    panic!("batch {number} was given another answer: {applied:?}")
                };
            }
            other => panic!("batch {number} was refused: {other:?}"),
        }
    }
}
