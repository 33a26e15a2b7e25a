//! The laboratory: a store's file, processes that go through a list of steps on it and kill themselves, and the looks
//! at what they leave.
//!
//! A process is this test binary started again, on the one ignored test below.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use steadfast_chaos::prove::iofault::disk::{Loss, StrikeAt, unplug};
use steadfast_chaos::vfs::FileRole;
use steadfast_store::env::{Env, ManualClock};
use steadfast_store::{CreateTask, Label, Payload, SqliteOptions, SqliteStore, Store, StoreExt};

use super::deed::{Answer, Deed, Survived, Told, task};
use super::worker::Worker;

const STEPS: &str = "STORE_FAULTS_STEPS";
const DATABASE: &str = "STORE_FAULTS_DATABASE";

/// Simulated power losses per end, beside those that take everything.
const SEEDS: u64 = 4;

/// What a process does next with its one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    /// Opens the store, which folds its log at so many pages, on a device of which powersafe overwrite is assumed or
    /// not. When that fails, so does every commit until the next.
    Open { wal_pages: u32, psow: bool },
    /// Creates the task that all deeds belong to. A failure is noted, and left alone.
    CreateTask,
    /// The nth sync of this file from now on fails with EIO, and the later ones too if they are to.
    SyncFails { file: Which, nth: u64, lasting: bool },
    /// The same of writes.
    WriteFails { file: Which, nth: u64 },
    /// An operation of any kind fails with EIO.
    StrikeAt(StrikeAt),
    /// The device takes so many more bytes.
    BytesLeft(u64),
    /// The device takes no byte of the log beyond so many: it fails, or is full.
    LogEnds { bytes: u64, full: bool },
    /// The device is well again.
    Heal,
    /// Commits one deed.
    Commit(Deed),
    /// Commits them in one group.
    Group(Vec<Deed>),
    /// Reads the chain through the store; what it shows must agree with what callers were told.
    Read,
    /// The kernel takes the memory of a page of the log whose write-out failed.
    Evict,
    /// It gives it back, as no real one would.
    Restore,
    /// While the log is written over itself, another process looks at the file. To come before `Open`.
    PeerDuringRewrite,
    /// Between the first marker and that, another process folds the log and begins it anew. To come before `Open`.
    PeerBeforeRewrite,
    /// Closes the store in good order.
    Close,
    /// SIGKILL, to itself.
    Kill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Which {
    Database,
    Log,
}

impl Which {
    pub(super) fn role(self) -> FileRole {
        match self {
            Self::Database => FileRole::Database,
            Self::Log => FileRole::Wal,
        }
    }
}

/// The store as it is opened by default.
pub(super) const OPEN: Step = Step::Open { wal_pages: 4_000, psow: true };

/// The next sync of the log fails.
pub(super) const SYNC_FAILS: Step = Step::SyncFails { file: Which::Log, nth: 1, lasting: false };

/// All syncs of the log fail.
pub(super) const SYNCS_FAIL: Step = Step::SyncFails { file: Which::Log, nth: 1, lasting: true };

/// What a process tells before it kills itself.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Report {
    /// What earlier processes on the same file told comes first.
    pub(super) told: Told,
    pub(super) told_before: usize,
    /// What the errors said, for whoever reads a failed test.
    pub(super) errors: Vec<String>,
    /// Operations that were struck.
    pub(super) struck: u64,
    /// Markers that synced, and logs written over themselves.
    pub(super) markers: usize,
    pub(super) rewrites: usize,
    /// WAL checkpoints that were begun.
    pub(super) folds: usize,
    /// Whether the store was open at the end.
    pub(super) open: bool,
}

impl Report {
    /// What the newest process on this file has told.
    pub(super) fn of(database: &Path) -> Option<Self> {
        let report = std::fs::read(database.with_extension("report")).ok()?;
        Some(serde_json::from_slice(&report).unwrap())
    }

    pub(super) fn save(&self, database: &Path) {
        std::fs::write(database.with_extension("report"), serde_json::to_vec(self).unwrap()).unwrap();
    }

    /// What this process told.
    pub(super) fn answers(&self) -> Vec<Answer> {
        self.told.answers().split_off(self.told_before)
    }

    #[track_caller]
    pub(super) fn told_exactly(&self, expected: &[Answer]) {
        assert_eq!(self.answers(), expected, "{:#?}", self.errors);
    }
}

/// A store's file in a folder of its own.
#[derive(Debug)]
pub(super) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// With a store that has the task and was closed in good order.
    pub(super) fn new() -> Self {
        let place = Self::empty();
        on_runtime(async {
            let store = SqliteStore::open(SqliteOptions::new(place.database()), env()).await.unwrap();
            store.create_task(create_task()).await.unwrap();
            store.close().await;
        });
        place
    }

    /// With nothing.
    pub(super) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.path().join("agent.db")
    }

    /// Sends a process through the steps, the last of which is `Kill`.
    pub(super) fn run(&self, steps: &[Step]) -> Report {
        assert_eq!(steps.last(), Some(&Step::Kill));
        process(&self.database(), steps);
        Report::of(&self.database()).unwrap()
    }

    /// The files as they are in memory.
    fn copy(&self) -> Self {
        let copy = Self::empty();
        for file in ["agent.db", "agent.db-wal"] {
            let from = self.folder.path().join(file);
            if from.exists() {
                std::fs::copy(&from, copy.folder.path().join(file)).unwrap();
            }
        }
        copy
    }

    /// The files as the device holds them after a simulated power loss.
    pub(super) fn unplugged(&self, loss: Loss) -> Self {
        let copy = self.copy();
        unplug(&self.database(), &copy.database(), loss).unwrap();
        copy
    }

    /// Looks at what there is after SIGKILL and after simulated power losses: both must agree with what callers were
    /// told, and every deed submitted again must be applied once.
    #[track_caller]
    pub(super) fn audit(&self, told: &Told) {
        let seeds = (0..SEEDS).map(Loss::Some);
        self.audit_after(told, &[Loss::All, Loss::Ghost].into_iter().chain(seeds).collect::<Vec<_>>());
    }

    /// The same after SIGKILL and these power losses.
    #[track_caller]
    pub(super) fn audit_after(&self, told: &Told, losses: &[Loss]) {
        let killed = self.copy();
        told.agrees_with(&killed.found(), Survived::Kill, "after SIGKILL");
        killed.resolves(told);
        for loss in losses {
            let unplugged = self.unplugged(*loss);
            let what = format!("after a simulated power loss: {loss:?}");
            told.agrees_with(&unplugged.found(), Survived::PowerLoss, &what);
            unplugged.resolves(told);
        }
    }

    /// The numbers in the chain, by a connection that is none of the store's. Whoever comes first after a crash
    /// recovers the file.
    pub(super) fn found(&self) -> Vec<u8> {
        let database = Connection::open(self.database()).unwrap();
        let whole: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(whole, "ok");
        let tables: i64 = database
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'checkpoints'", [], |row| row.get(0))
            .unwrap();
        if tables == 0 {
            return Vec::new();
        }
        let query = "SELECT checkpoint_id, sequence_number FROM checkpoints ORDER BY sequence_number";
        let mut statement = database.prepare(query).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get::<_, [u8; 16]>(0)?[0], row.get::<_, i64>(1)?)));
        let rows: Vec<(u8, i64)> = rows.unwrap().map(Result::unwrap).collect();
        assert!(rows.iter().zip(1..).all(|(row, sequence)| row.1 == sequence), "gaps: {rows:?}");
        rows.into_iter().map(|(number, _)| number).collect()
    }

    /// Submits every deed again, without faults.
    fn resolves(&self, told: &Told) {
        let before = self.found();
        on_runtime(async {
            let store = SqliteStore::open(SqliteOptions::new(self.database()), env()).await.unwrap();
            store.create_task(create_task()).await.unwrap();
            for deed in told.deeds() {
                let expected = if before.contains(&deed.number) { Answer::Replayed } else { Answer::Applied };
                assert_eq!(Answer::of(store.commit(deed.batch()).await), expected, "{deed:?} again");
            }
            let head = store.task(&task()).await.unwrap().unwrap().head;
            assert_eq!(head.0, told.deeds().len() as u64);
            store.close().await;
        });
        let mut after = self.found();
        assert_eq!(after[..before.len()], before);
        after.sort_unstable();
        let mut expected: Vec<u8> = told.deeds().iter().map(|deed| deed.number).collect();
        expected.sort_unstable();
        assert_eq!(after, expected, "each deed once");
    }
}

pub(super) fn create_task() -> CreateTask {
    CreateTask { task: task(), kind: Label::new("test").unwrap(), input: Payload::empty() }
}

/// Time stands still, so that no group is cut short on a slow machine.
pub(super) fn env() -> Env {
    Env::system().with_clock(Arc::new(ManualClock::new()))
}

pub(super) fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Starts this binary again, sends it through the steps, and waits for its end.
fn process(database: &Path, steps: &[Step]) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "store_faults::lab::a_process_of_its_own"])
        .env(STEPS, serde_json::to_string(steps).unwrap())
        .env(DATABASE, database)
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let panicked = stderr.contains("panicked at");
    assert!(
        output.status.signal() == Some(9) && !panicked,
        "{steps:?} ended with {}\n{stdout}\n{stderr}",
        output.status
    );
}

#[test]
#[ignore = "the tests start it in processes of their own"]
fn a_process_of_its_own() {
    let (Ok(steps), Ok(database)) = (std::env::var(STEPS), std::env::var(DATABASE)) else { return };
    let steps: Vec<Step> = serde_json::from_str(&steps).unwrap();
    let mut worker = Worker::new(Path::new(&database));
    on_runtime(async {
        for step in &steps {
            worker.take(step).await;
        }
    });
}
