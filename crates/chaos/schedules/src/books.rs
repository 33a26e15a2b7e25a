//! A core that commits into books, and what must hold between the books and what callers were told. Its locks are the
//! standard library's and held for a look only, so that the explorer sees no choice in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadfast_store::schedules::Core;
use steadfast_store::{
    Answer, Applied, Batch, Command, Committed, CreateTask, InvalidId, Label, OperationBegun, Outcome,
    Payload, StoreError, StoreTime, TaskId,
};

use crate::bugs::Outside;
use crate::met::Met;
use crate::world::{below, chance, choice};

/// What a caller was told of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Applied,
    NotApplied,
    Unknown,
}

/// What was synced, and what was told.
#[derive(Debug, Default)]
pub(crate) struct Books(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    synced: BTreeSet<u32>,
    told: BTreeMap<u32, Told>,
    watcher_closed: bool,
    core_closed: bool,
    closed_in_order: bool,
}

impl Books {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many batches have been synced.
    pub(crate) fn synced(&self) -> usize {
        self.lock().synced.len()
    }

    fn sync(&self, numbers: &[u32]) {
        for number in numbers {
            assert!(self.lock().synced.insert(*number), "batch {number} was applied twice");
        }
    }

    /// Batch `number` was answered in this way: it must be its own answer, and it must be true already.
    pub(crate) fn tell(&self, number: u32, answer: &Answer) {
        let (whose, told) = read(answer);
        assert!(
            whose.is_none_or(|whose| whose == number),
            "the caller of batch {number} was given the answer of batch {whose:?}"
        );
        let mut entries = self.lock();
        let is_synced = entries.synced.contains(&number);
        assert!(told != Told::Applied || is_synced, "batch {number} was acknowledged before it was synced");
        assert!(entries.told.insert(number, told).is_none(), "batch {number} was answered twice");
    }

    /// The store has been closed: everything that was told must be true in the end, and these batches, which the queue
    /// had accepted, must be there.
    pub(crate) fn settle(&self, accepted: &[u32]) {
        let entries = self.lock();
        for (number, told) in &entries.told {
            let is_synced = entries.synced.contains(number);
            match told {
                Told::Applied => assert!(is_synced, "batch {number} was acknowledged and is not there"),
                Told::NotApplied => {
                    assert!(
                        !is_synced,
                        "batch {number} is there, and its caller was told that it surely is not"
                    );
                }
                Told::Unknown => {}
            }
        }
        for number in accepted {
            assert!(
                entries.synced.contains(number),
                "batch {number} was accepted, its caller dropped the future, and it is not there after close()"
            );
        }
        assert!(entries.core_closed, "close() returned before the core was closed");
        assert!(entries.closed_in_order, "the core was closed before the watcher's connection");
    }
}

/// Whose answer it is, where it says so, and what it says.
fn read(answer: &Answer) -> (Option<u32>, Told) {
    let number = |text: String| text.parse().unwrap_or(u32::MAX);
    match answer {
        Ok(Committed::Applied(applied)) => match applied.outcomes() {
            [Outcome::OperationBegun(begun)] => (Some(begun.attempt), Told::Applied),
            other => panic!("an answer that the core never gave: {other:?}"),
        },
        Err(StoreError::Failed { source }) => (Some(number(source.to_string())), Told::NotApplied),
        Err(StoreError::Unknown { source }) => (Some(number(source.to_string())), Told::Unknown),
        Err(StoreError::Overloaded { .. }) => {
            Met::PatienceOver.count();
            (None, Told::NotApplied)
        }
        other => panic!("an answer that the core never gave: {other:?}"),
    }
}

/// A batch that is known by its number.
pub(crate) fn batch(number: u32, payload_bytes: usize) -> Batch {
    let named =
        || -> Result<_, InvalidId> { Ok((TaskId::new(number.to_string())?, Label::new("explored")?)) };
    let (Ok((task, kind)), Ok(input)) = (named(), Payload::new(vec![0; payload_bytes])) else {
        panic!("a number is a name, and {payload_bytes} bytes are no large payload");
    };
    let mut batch = Batch::durable();
    batch.add(CreateTask { task, kind, input });
    batch
}

fn number_of(batch: &Batch) -> u32 {
    match &batch.entries()[0].command {
        Command::CreateTask(create) => create.task.as_str().parse().unwrap_or(u32::MAX),
        other => panic!("a batch that no scenario makes: {other:?}"),
    }
}

/// Commits into [`Books`].
#[derive(Debug)]
pub(crate) struct BookCore {
    books: Arc<Books>,
    /// Whether some commits fail, for the reasons that commits fail for.
    fails: bool,
    unsynced: Vec<u32>,
}

impl BookCore {
    pub(crate) fn new(books: &Arc<Books>, fails: bool) -> Self {
        Self { books: Arc::clone(books), fails, unsynced: Vec::new() }
    }

    fn apply_one(&mut self, number: u32) -> Answer {
        let source = || number.to_string().into();
        match if self.fails { below(10) } else { 9 } {
            0 => {
                Met::Failed.count();
                return Err(StoreError::Failed { source: source() });
            }
            1 => {
                Met::LockTaken.count();
                return Err(StoreError::Overloaded { waited: Duration::ZERO, held_by: "another process" });
            }
            2 => {
                Met::Unknown.count();
                if chance(50) {
                    self.unsynced.push(number);
                }
                return Err(StoreError::Unknown { source: source() });
            }
            _ => {}
        }
        self.unsynced.push(number);
        let begun = OperationBegun { expires_at: StoreTime::from_millis(0), attempt: number };
        Ok(Committed::Applied(Applied::new(vec![Outcome::OperationBegun(begun)], false)))
    }

    fn sync(&mut self) {
        choice();
        let synced = std::mem::take(&mut self.unsynced);
        self.books.sync(&synced);
        choice();
    }
}

impl Core for BookCore {
    fn apply(&mut self, batches: &[&Batch]) -> Vec<Answer> {
        let mut taken = batches.len();
        if taken > 1 {
            Met::Group.count();
            if chance(20) {
                taken = 1 + below(taken - 1);
                Met::GroupSplit.count();
            }
        }
        let answers = batches[..taken].iter().map(|batch| self.apply_one(number_of(batch))).collect();
        if !Outside::AnsweredBeforeSync.is_in() {
            self.sync();
        }
        answers
    }

    fn after(&mut self) {
        self.sync();
    }
}

impl Drop for BookCore {
    fn drop(&mut self) {
        let mut entries = self.books.lock();
        entries.core_closed = true;
        entries.closed_in_order = entries.watcher_closed;
    }
}

/// Stands for the watcher's connection: tells the books when it is closed.
#[derive(Debug)]
pub(crate) struct WatcherOpen(pub(crate) Arc<Books>);

impl Drop for WatcherOpen {
    fn drop(&mut self) {
        self.0.lock().watcher_closed = true;
    }
}
