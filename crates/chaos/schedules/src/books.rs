//! Books of what was synced and what was told, and what must hold between the two. Their locks are the standard
//! library's and held for a look only, so that the explorer sees no choice in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use steadfast_store::{
    Answer, Batch, Command, Committed, CreateTask, InvalidId, Label, Outcome, Payload, StoreError, TaskId,
};

use crate::met::Met;

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

    /// These batches are synced.
    pub(crate) fn sync(&self, numbers: &[u32]) {
        for number in numbers {
            assert!(self.lock().synced.insert(*number), "batch {number} was applied twice");
        }
    }

    /// The core is closed.
    pub(crate) fn close_core(&self) {
        let mut entries = self.lock();
        entries.core_closed = true;
        entries.closed_in_order = entries.watcher_closed;
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
    let number =
        |text: String| text.parse().unwrap_or_else(|_| panic!("the answer of a batch is lost: {text}"));
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

/// Its number.
pub(crate) fn number_of(batch: &Batch) -> u32 {
    match &batch.entries()[0].command {
        Command::CreateTask(create) => create.task.as_str().parse().unwrap_or(u32::MAX),
        other => panic!("a batch that no scenario makes: {other:?}"),
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
