//! Reads everything that a damaged store hands out, and knows what was written: whatever comes must be that, under the
//! name it was asked for, and whatever does not come must be told as damage (invariants 5, 9, 10 and 25).

use std::path::Path;
use std::sync::Arc;

use steadfast_checkpoints::{ChainReport, CheckpointError, CheckpointManager, CheckpointOptions};
use steadfast_store::{
    Checkpoint, CheckpointPage, NoPayload, OpenError, OperationPage, OperationRecord, SequenceNumber,
    SqliteOptions, SqliteStore, Status, Store, StoreError, TaskPage, TaskRecord, WorkItemPage,
};

use super::image::{self, CHECKPOINTS, ERASED, ITEMS, OPERATIONS, TASKS};
use super::{Met, scratch};

/// What was handed out whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) tasks: usize,
    pub(super) states: usize,
    pub(super) outputs: usize,
    pub(super) items: usize,
    /// Answers that told of damage.
    pub(super) told: usize,
}

impl Seen {
    /// All that was written; the states twice, by their ids and in pages, but for the erased one.
    #[cfg(test)]
    pub(super) const ALL: Self = Self {
        tasks: TASKS.len(),
        states: 2 * (TASKS.len() * CHECKPOINTS as usize - 1),
        outputs: OPERATIONS as usize - 1,
        items: ITEMS as usize,
        told: 0,
    };

    /// The answer, unless it tells of damage. Nothing else may come of a damaged file.
    fn heard<T, E: Told>(&mut self, what: &str, answer: Result<T, E>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) if error.is_damage() => {
                self.told += 1;
                None
            }
            Err(error) => panic!("{what} met damage and answered {error:?}"),
        }
    }
}

/// An error that may tell of damage.
trait Told: std::fmt::Debug {
    fn is_damage(&self) -> bool;
}

impl Told for StoreError {
    fn is_damage(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }
}

impl Told for CheckpointError {
    fn is_damage(&self) -> bool {
        matches!(self, Self::Store(StoreError::Corrupt { .. }) | Self::NoSuchTask { .. })
    }
}

/// Reads all that the file hands out.
pub(super) fn look(path: &Path) -> Met {
    match read(path) {
        Ok(seen) => Met::taken(seen.told == 0),
        // Whatever is wrong with the file, it was refused as a whole.
        Err(_) => Met::Refused,
    }
}

/// The same, and how much there was.
pub(super) fn read(path: &Path) -> Result<Seen, OpenError> {
    scratch::run(async {
        let mut options = SqliteOptions::new(path);
        options.readers = 1;
        let store = Arc::new(SqliteStore::open(options, image::env()).await?);
        let mut seen = Seen { tasks: 0, states: 0, outputs: 0, items: 0, told: 0 };
        for index in 0..TASKS.len() {
            task(&store, index, &mut seen).await;
            chain(&store, index, &mut seen).await;
        }
        rest(&store, &mut seen).await;
        if let Ok(store) = Arc::try_unwrap(store) {
            store.close().await;
        }
        Ok(seen)
    })
}

/// A task with its payloads, and its checkpoints by their ids.
async fn task(store: &Arc<SqliteStore>, index: usize, seen: &mut Seen) {
    let id = image::task(index);
    seen.heard("task", store.task(&id).await);
    if let Some(Some(TaskRecord { task, input, result })) =
        seen.heard("task record", store.task_record(&id).await)
    {
        assert_eq!(task.id, id, "another task was handed out");
        assert_eq!(input.bytes(), image::input(index).as_bytes(), "another input of {id}");
        if let Some(result) = result {
            assert_eq!(result.bytes(), image::result(index).as_bytes(), "another result of {id}");
        }
        seen.tasks += 1;
    }
    for number in 1..=CHECKPOINTS {
        let id = image::checkpoint(index, number);
        if let Some(Some(found)) = seen.heard("checkpoint", store.checkpoint(id).await) {
            assert_eq!(found.header.id, id, "another checkpoint was handed out");
            checkpoint(&found, seen);
        }
    }
    let oldest = CheckpointPage::OldestFirst { after: SequenceNumber(0), limit: 100 };
    for found in seen.heard("checkpoints", store.checkpoints(&id, oldest).await).unwrap_or_default() {
        assert_eq!(found.header.task, id, "a checkpoint of another task was handed out");
        checkpoint(&found, seen);
    }
    let newest = CheckpointPage::NewestFirst { before: None, limit: 100 };
    seen.heard("checkpoints", store.checkpoints(&id, newest).await);
    let page = OperationPage { after: None, status: None, limit: 100 };
    seen.heard("operations", store.operations(&id, page).await);
}

/// The bytes of a checkpoint are those of its name, or are said to be damaged or gone.
fn checkpoint(found: &Checkpoint, seen: &mut Seen) {
    let known = (0..TASKS.len())
        .flat_map(|task| (1..=CHECKPOINTS).map(move |number| (task, number)))
        .find(|(task, number)| image::checkpoint(*task, *number) == found.header.id);
    match &found.payload {
        Ok(state) => {
            let states =
                || (0..TASKS.len()).flat_map(|task| (1..=CHECKPOINTS).map(move |n| image::state(task, n)));
            let is_written = match known {
                Some((task, number)) => state.bytes() == image::state(task, number).as_slice(),
                // The damage is in the name: a look at the link shows it.
                None => states().any(|written| state.bytes() == written.as_slice()),
            };
            assert!(is_written, "{} has a state that nobody wrote under it", found.header.id);
            seen.states += 1;
        }
        Err(NoPayload::Erased) => {
            seen.told += usize::from(found.header.id != image::checkpoint(1, ERASED));
        }
        Err(_) => seen.told += 1,
    }
    match (&found.evidence, known) {
        (Ok(evidence), Some((task, number))) => {
            let written = image::evidence(task, number);
            assert_eq!(evidence.bytes(), written.as_bytes(), "another evidence of {}", found.header.id);
        }
        (Ok(_), None) => {}
        (Err(_), _) => seen.told += 1,
    }
}

/// What is called verified, or an intact chain, is what was written.
async fn chain(store: &Arc<SqliteStore>, index: usize, seen: &mut Seen) {
    let manager = CheckpointManager::new(store.clone(), CheckpointOptions::new("."));
    let id = image::task(index);
    let last = seen.heard("last verified", manager.last_verified(&id).await);
    if let Some(found) = last.and_then(|last| last.checkpoint) {
        let number = u8::try_from(found.header.sequence.0).unwrap_or(0);
        assert_eq!(found.header.id, image::checkpoint(index, number), "verified under another number");
        assert_eq!(found.header.task, id, "verified for another task");
        let state = found.payload.as_ref().ok().map(|state| state.bytes().to_vec());
        assert_eq!(state, Some(image::state(index, number)), "verified with another state");
    }
    let report = seen.heard("the chain", manager.verify_chain(&id).await);
    let (Some(ChainReport::Intact { length, .. }), Ok(pages)) = (
        report,
        store.checkpoints(&id, CheckpointPage::OldestFirst { after: SequenceNumber(0), limit: 100 }).await,
    ) else {
        return;
    };
    assert!(length <= u64::from(CHECKPOINTS), "an intact chain of {length} checkpoints, more than were made");
    for (number, found) in (1..=CHECKPOINTS).zip(&pages).take(usize::try_from(length).unwrap_or(0)) {
        assert_eq!(
            found.header.id,
            image::checkpoint(index, number),
            "an intact chain with another checkpoint"
        );
    }
}

/// Operations, work items, and all that is read for people.
async fn rest(store: &SqliteStore, seen: &mut Seen) {
    for number in 1..=OPERATIONS {
        let key = image::operation(number);
        let Some(Some(OperationRecord { operation, output })) =
            seen.heard("operation", store.operation(&key).await)
        else {
            continue;
        };
        assert_eq!(operation.key, key, "another operation was handed out");
        if let Some(output) = output {
            assert_eq!(output.bytes(), image::output(number).as_slice(), "another output of {key}");
            seen.outputs += 1;
        }
    }
    for number in 1..=ITEMS {
        let id = image::item(number);
        if let Some(Some(item)) = seen.heard("work item", store.work_item(&id).await) {
            assert_eq!(item.id, id, "another work item was handed out");
            seen.items += 1;
        }
    }
    for status in [None, Some(Status::Failed)] {
        let page = WorkItemPage { task: None, status, after: None, limit: 100 };
        seen.heard("work items", store.work_items(page).await);
    }
    let page = TaskPage { status: None, after: None, limit: 100 };
    seen.heard("tasks", store.tasks(page).await);
    seen.heard("health", store.health().await);
    seen.heard("monitoring", store.monitoring().await);
}
