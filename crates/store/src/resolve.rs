//! Resolving an `Unknown` answer in the only way that is safe: the very same batch again, until the store can tell.

use std::time::Duration;

use crate::batch::{Batch, Durability};
use crate::command::TypedCommand;
use crate::error::StoreError;
use crate::ext::CommandError;
use crate::outcome::Committed;
use crate::planted;
use crate::store::Store;

/// How long most callers go on asking: longer than a restart of the storage takes.
pub const RESOLVE_PATIENCE: Duration = Duration::from_secs(30);
/// The pause before the first resubmission; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(5);
/// The longest pause between two resubmissions.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Commits `batch`; while the answer is [`StoreError::Unknown`], submits the same batch again, until the pauses in
/// between add up to `patience`. Every other first answer is returned as it is.
///
/// Durable on return as the batch is. Dropping the future ends the asking, not what was submitted.
///
/// ```
/// use steadfast_store::{Monitoring, TaskPage, WorkItemPage, Batch, CreateTask, Label, MemoryStore, Payload, TaskId, commit_resolved, env::Env};
/// use steadfast_store::RESOLVE_PATIENCE;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new(Env::system());
/// let mut batch = Batch::durable();
/// let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// let created = batch.add(CreateTask { task, kind, input: Payload::empty() });
/// let applied = commit_resolved(&store, batch, RESOLVE_PATIENCE).await?.into_applied()?;
/// applied.get(created)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`StoreError`]. [`StoreError::Unknown`] when patience ended first, whatever the later submissions answered: that
/// *they* were surely not applied says nothing about the first.
pub async fn commit_resolved(
    store: &(impl Store + ?Sized),
    batch: Batch,
    patience: Duration,
) -> Result<Committed, StoreError> {
    let mut source = match store.commit(batch.clone()).await {
        Err(StoreError::Unknown { source }) => source,
        answer => return answer,
    };
    let (mut pause, mut paused) = (PAUSE_FIRST, Duration::ZERO);
    while paused + pause <= patience {
        store.env().sleep(pause).await;
        paused += pause;
        pause = PAUSE_MAX.min(pause * 2);
        source = match store.commit(planted::again(&batch, store.env())).await {
            Ok(committed) => return Ok(committed),
            Err(StoreError::Unknown { source }) => source,
            // A closed store answers nothing else any more.
            Err(StoreError::Closed) => return Err(StoreError::Unknown { source: StoreError::Closed.into() }),
            Err(error) => error.into(),
        };
    }
    Err(StoreError::Unknown { source })
}

/// [`commit_resolved`] for a single command, with [`RESOLVE_PATIENCE`].
///
/// # Errors
/// [`CommandError`]; only one that holds [`StoreError::Unknown`] may have been applied.
///
/// ```
/// # use steadfast_store::env::Env;
/// # use steadfast_store::{
/// #     AppendCheckpoint, Batch, CheckpointId, CheckpointPage, Claim, CommandError, Committed, CreateTask, Delay, Enqueue,
/// #     FinishTask, HolderId, Label, MemoryStore, Payload, Reason, Renew, SealedPayload, Settle, SettleItem, Store, StoreExt,
/// #     TaskEnd, TaskId, TaskPage, Term, TransitionId, WorkItemId, WorkItemPage,
/// # };
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new(Env::system());
/// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// # let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
/// use steadfast_store::{Durability, commit_one_resolved};
///
/// // An answer that got lost is found out by submitting the same again.
/// commit_one_resolved(&store, Durability::Durable, create).await?;
/// # Ok(())
/// # }
/// ```
pub async fn commit_one_resolved<C: TypedCommand>(
    store: &(impl Store + ?Sized),
    durability: Durability,
    command: C,
) -> Result<C::Outcome, CommandError>
where
    C::Outcome: Clone,
{
    let mut batch = Batch::new(durability);
    let handle = batch.add(command);
    match commit_resolved(store, batch, RESOLVE_PATIENCE).await? {
        Committed::Applied(applied) => Ok(applied.get(handle)?.clone()),
        Committed::Rejected(rejection) => Err(rejection.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use async_trait::async_trait;

    use super::*;
    use crate::command::{CreateTask, Enqueue};
    use crate::env::Env;
    use crate::id::{CheckpointId, Label, OperationKey, TaskId, WorkItemId};
    use crate::memory::MemoryStore;
    use crate::monitoring::Monitoring;
    use crate::payload::Payload;
    use crate::record::{
        Checkpoint, CheckpointPage, Health, Operation, OperationPage, OperationRecord, Task, TaskPage,
        TaskRecord, WorkItem, WorkItemPage,
    };
    use crate::store::ChangeStamp;
    use crate::sync::Mutex;
    use crate::time::Delay;

    /// What becomes of one submission.
    #[derive(Debug, Clone, Copy)]
    enum Fate {
        AppliedUnknown,
        LostUnknown,
        Full,
    }

    /// Gives each submission its fate, and answers truly once there are none left.
    #[derive(Debug)]
    struct Unsure {
        inner: MemoryStore,
        fates: Mutex<VecDeque<Fate>>,
        submitted: Mutex<Vec<Batch>>,
    }

    impl Unsure {
        fn new(fates: &[Fate]) -> Self {
            let inner = MemoryStore::new(Env::system());
            let fates = Mutex::new(fates.iter().copied().collect());
            Self { inner, fates, submitted: Mutex::new(Vec::new()) }
        }
    }

    fn unknown() -> StoreError {
        StoreError::Unknown { source: "the connection was lost".into() }
    }

    #[async_trait]
    impl Store for Unsure {
        async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
            self.submitted.lock().push(batch.clone());
            let fate = self.fates.lock().pop_front();
            match fate {
                Some(Fate::AppliedUnknown) => self.inner.commit(batch).await.and(Err(unknown())),
                Some(Fate::LostUnknown) => Err(unknown()),
                Some(Fate::Full) => Err(StoreError::DiskFull),
                None => self.inner.commit(batch).await,
            }
        }

        async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
            self.inner.task(id).await
        }

        async fn task_record(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
            self.inner.task_record(id).await
        }

        async fn work_item(&self, id: &WorkItemId) -> Result<Option<WorkItem>, StoreError> {
            self.inner.work_item(id).await
        }

        async fn checkpoint(&self, id: CheckpointId) -> Result<Option<Checkpoint>, StoreError> {
            self.inner.checkpoint(id).await
        }

        async fn checkpoints(
            &self,
            task: &TaskId,
            page: CheckpointPage,
        ) -> Result<Vec<Checkpoint>, StoreError> {
            self.inner.checkpoints(task, page).await
        }

        async fn operation(&self, key: &OperationKey) -> Result<Option<OperationRecord>, StoreError> {
            self.inner.operation(key).await
        }

        async fn operations(&self, task: &TaskId, page: OperationPage) -> Result<Vec<Operation>, StoreError> {
            self.inner.operations(task, page).await
        }

        async fn work_items(&self, page: WorkItemPage) -> Result<Vec<WorkItem>, StoreError> {
            self.inner.work_items(page).await
        }

        async fn tasks(&self, page: TaskPage) -> Result<Vec<Task>, StoreError> {
            self.inner.tasks(page).await
        }

        async fn monitoring(&self) -> Result<Monitoring, StoreError> {
            self.inner.monitoring().await
        }

        async fn health(&self) -> Result<Health, StoreError> {
            self.inner.health().await
        }

        fn change_stamp(&self) -> ChangeStamp {
            self.inner.change_stamp()
        }

        async fn changed(&self, seen: ChangeStamp, limit: Duration) -> ChangeStamp {
            self.inner.changed(seen, limit).await
        }

        fn env(&self) -> &Env {
            self.inner.env()
        }
    }

    fn batch() -> Batch {
        let (task, kind) = (TaskId::new("t").unwrap(), Label::new("k").unwrap());
        let item = WorkItemId::new("i").unwrap();
        let mut batch = Batch::durable();
        batch.add(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() });
        batch.add(Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 1 });
        batch
    }

    #[tokio::test]
    async fn the_very_same_batch_is_submitted_until_the_store_can_tell() {
        let store = Unsure::new(&[Fate::LostUnknown, Fate::AppliedUnknown, Fate::Full]);
        let committed = commit_resolved(&store, batch(), RESOLVE_PATIENCE).await.unwrap();
        assert!(committed.into_applied().unwrap().is_replayed());
        let submitted = store.submitted.lock();
        assert_eq!(submitted.len(), 4);
        assert!(submitted.iter().all(|other| *other == batch()));
    }

    #[tokio::test]
    async fn a_first_answer_that_is_known_is_returned_as_it_is() {
        let store = Unsure::new(&[Fate::Full]);
        let error = commit_resolved(&store, batch(), RESOLVE_PATIENCE).await.unwrap_err();
        assert!(matches!(error, StoreError::DiskFull));
        assert_eq!(store.submitted.lock().len(), 1);
    }

    #[tokio::test]
    async fn a_later_refusal_does_not_make_the_first_submission_known() {
        let store = Unsure::new(&[Fate::AppliedUnknown, Fate::Full, Fate::Full, Fate::Full]);
        let error = commit_resolved(&store, batch(), PAUSE_FIRST * 3).await.unwrap_err();
        assert!(error.may_have_been_applied(), "{error}");
        assert!(store.task(&TaskId::new("t").unwrap()).await.unwrap().is_some());
    }
}
