//! What the tests share: a folder for one database, the commands they are made of, and the look at what must have
//! been kept.

use std::collections::HashMap;
use std::fmt::{Debug, Display};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use steadfast_store::env::{Env, Failpoint, Failpoints};
use steadfast_store::{
    AppendCheckpoint, Applied, Batch, Checkpoint, CheckpointId, CheckpointPage, Claim, CreateTask, Delay,
    Digest, Durability, Enqueue, HolderId, Label, Payload, SealedPayload, SequenceNumber, SqliteOptions,
    SqliteStore, Store, StoreExt, TaskId, Term, TransitionId, TypedCommand, WorkItemId,
};
use tempfile::TempDir;

/// A folder with room for one database.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("agent.db")
    }

    /// The file that SQLite keeps beside the database under this suffix.
    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("agent.db{suffix}"))
    }

    pub(crate) fn options(&self) -> SqliteOptions {
        SqliteOptions::new(self.database())
    }

    pub(crate) async fn open(&self) -> SqliteStore {
        self.open_in(Env::system()).await
    }

    pub(crate) async fn open_in(&self, env: Env) -> SqliteStore {
        SqliteStore::open(self.options(), env).await.unwrap()
    }

    /// A connection that is none of the store's.
    pub(crate) fn raw(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }

    /// Names of the files in the folder, in order.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(crate) fn task(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

pub(crate) fn item(name: &str) -> WorkItemId {
    WorkItemId::new(name).unwrap()
}

pub(crate) fn label(name: &str) -> Label {
    Label::new(name).unwrap()
}

pub(crate) fn payload(text: &str) -> Payload {
    Payload::new(text.to_owned()).unwrap()
}

pub(crate) fn create(name: &str) -> CreateTask {
    CreateTask { task: task(name), kind: label("test"), input: payload("input") }
}

pub(crate) fn enqueue(name: &str, of: &str) -> Enqueue {
    Enqueue {
        item: item(name),
        task: task(of),
        kind: label("test"),
        priority: 0,
        delay: Delay::ZERO,
        max_attempts: 5,
    }
}

pub(crate) fn claim(env: &Env, term: Duration) -> Claim {
    let holder = HolderId::new("holder").unwrap();
    Claim {
        claim: TransitionId::generate(env),
        holder,
        term: Term::new(term).unwrap(),
        limit: 10,
        kinds: Vec::new(),
        task: None,
    }
}

/// A new checkpoint with this payload.
pub(crate) fn append(name: &str, state: impl Into<Vec<u8>>) -> AppendCheckpoint {
    let env = Env::system();
    AppendCheckpoint {
        checkpoint: CheckpointId::generate(&env),
        task: task(name),
        kind: label("step"),
        work_item: None,
        expected_head: None,
        payload: SealedPayload::seal(state.into(), &env).unwrap(),
        evidence: payload("evidence"),
        copy_of: None,
    }
}

pub(crate) fn batch(durability: Durability, command: impl TypedCommand) -> Batch {
    let mut batch = Batch::new(durability);
    batch.add(command);
    batch
}

pub(crate) fn durable(command: impl TypedCommand) -> Batch {
    batch(Durability::Durable, command)
}

/// Commits a batch that must be applied.
pub(crate) async fn apply(store: &impl Store, batch: Batch) -> Applied {
    store.commit(batch).await.unwrap().into_applied().unwrap()
}

/// All checkpoints of a task, after a look that their numbers are dense and their links hold.
pub(crate) async fn chain(store: &impl Store, name: &str) -> Vec<Checkpoint> {
    let id = task(name);
    let page = CheckpointPage::OldestFirst { after: SequenceNumber(0), limit: 1_000 };
    let found = store.checkpoints(&id, page).await.unwrap();
    let mut parent = Digest::ZERO;
    for (checkpoint, sequence) in found.iter().zip(1..) {
        let header = &checkpoint.header;
        assert_eq!(header.sequence.0, sequence, "the numbers of {name} have a gap");
        assert_eq!(header.parent_link, parent, "{name} is forked at {sequence}");
        assert_eq!(
            checkpoint.payload.as_ref().unwrap().digest(),
            header.payload,
            "payload {sequence} of {name}"
        );
        assert_eq!(
            checkpoint.evidence.as_ref().unwrap().digest(),
            header.evidence,
            "evidence {sequence} of {name}"
        );
        parent = header.computed_link();
        assert_eq!(header.link, parent, "link {sequence} of {name}");
    }
    let head = store.task(&id).await.unwrap().unwrap();
    assert_eq!((head.head.0, head.head_link), (found.len() as u64, parent), "the head of {name}");
    found
}

/// Something acknowledged before the trouble of a test begins.
pub(crate) struct Kept {
    acknowledged: Vec<CheckpointId>,
}

const KEPT: &str = "kept";

impl Kept {
    pub(crate) async fn begin(store: &impl Store) -> Self {
        store.create_task(create(KEPT)).await.unwrap();
        let mut kept = Self { acknowledged: Vec::new() };
        kept.goes_on(store).await;
        kept
    }

    /// What was acknowledged is still there, and the store takes more.
    pub(crate) async fn goes_on(&mut self, store: &impl Store) {
        let command = append(KEPT, format!("state {}", self.acknowledged.len()));
        self.acknowledged.push(command.checkpoint);
        store.append_checkpoint(command).await.unwrap();
        self.is_there(store).await;
    }

    /// What was acknowledged is still there.
    pub(crate) async fn is_there(&self, store: &impl Store) {
        let found = chain(store, KEPT).await;
        for (index, (checkpoint, id)) in found.iter().zip(&self.acknowledged).enumerate() {
            assert_eq!(checkpoint.header.id, *id);
            let state = checkpoint.payload.as_ref().unwrap().bytes();
            assert_eq!(state.as_ref(), format!("state {index}").as_bytes());
        }
        assert_eq!(
            found.len(),
            self.acknowledged.len(),
            "something acknowledged is gone, or something else is there"
        );
    }
}

/// The error's sentence tells the caller what to do, once.
#[track_caller]
pub(crate) fn says(error: &(impl Display + Debug), advice: &str) {
    let sentence = error.to_string();
    assert_eq!(
        sentence.matches(advice).count(),
        1,
        "{sentence:?} does not say {advice:?}, or repeats itself"
    );
}

/// Fails naming what came instead.
macro_rules! assert_is {
    ($value:expr, $pattern:pat $(if $guard:expr)?) => {
        match &$value {
            $pattern $(if $guard)? => {}
            other => panic!("expected {}, got {other:?}", stringify!($pattern $(if $guard)?)),
        }
    };
}
pub(crate) use assert_is;

/// Counts failpoints.
#[derive(Debug, Default)]
pub(crate) struct Points {
    counts: Mutex<HashMap<Failpoint, usize>>,
}

impl Points {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The real environment, and these failpoints.
    pub(crate) fn env(self: &Arc<Self>) -> Env {
        Env::system().with_failpoints(Arc::<Self>::clone(self))
    }

    pub(crate) fn count(&self, point: Failpoint) -> usize {
        self.counts.lock().unwrap().get(&point).copied().unwrap_or(0)
    }
}

impl Failpoints for Points {
    fn reach(&self, point: Failpoint) {
        *self.counts.lock().unwrap().entry(point).or_default() += 1;
    }
}

/// Waits until something holds that should hold at once.
pub(crate) async fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it did not come about that {what}");
}

/// Says that something was not tried; shown although the test passes.
pub(crate) fn skipped(what: &str) {
    io::stderr().write_all(format!("SKIPPED: {what}\n").as_bytes()).unwrap();
}
