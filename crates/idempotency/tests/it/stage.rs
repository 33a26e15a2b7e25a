//! What the tests share: a ledger over a store whose clock they move, leases, and a wrapper that spoils commits when
//! told to and remembers them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use steadfast_idempotency::{Attempt, Call, Effect, LedgerOptions, ToolCall, ToolLedger, ToolOutput};
use steadfast_store::env::{Env, ManualClock};
use steadfast_store::{
    Batch, ChangeStamp, Checkpoint, CheckpointId, CheckpointPage, Claim, Committed, CreateTask, Delay,
    Enqueue, Guard, Health, HolderId, Label, MemoryStore, Monitoring, Operation, OperationKey, OperationPage,
    OperationRecord, Payload, Store, StoreError, StoreExt, SweepExpired, Task, TaskId, TaskPage, TaskRecord,
    Term, TransitionId, WorkItem, WorkItemId, WorkItemPage,
};
use tokio::sync::Mutex;

/// How long leases, and calls under none, last in the tests.
pub(crate) const TERM: Duration = Duration::from_secs(30);

/// Passes everything on, but for the commits that it was told to spoil.
#[derive(Debug)]
pub(crate) struct Staged {
    inner: MemoryStore,
    /// What its callers take for the time and the rest: the store's own, unless a test says otherwise.
    env: Env,
    /// Commits from now on that are applied, and answered with `Unknown`.
    pub(crate) unknown: AtomicU32,
    /// Commits from now on that are refused as overloaded.
    pub(crate) overloaded: AtomicU32,
    /// Every batch committed.
    pub(crate) batches: Mutex<Vec<Batch>>,
}

/// Whether there was one more to take.
fn take(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

#[async_trait]
impl Store for Staged {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        if take(&self.overloaded) {
            return Err(StoreError::Overloaded { waited: batch.wait(), held_by: "the test" });
        }
        self.batches.lock().await.push(batch.clone());
        let answer = self.inner.commit(batch).await;
        if take(&self.unknown) {
            Err(StoreError::Unknown { source: "the answer was lost".into() })
        } else {
            answer
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

    async fn checkpoints(&self, task: &TaskId, page: CheckpointPage) -> Result<Vec<Checkpoint>, StoreError> {
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
        &self.env
    }
}

pub(crate) struct Stage {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<Staged>,
    pub(crate) ledger: ToolLedger,
}

pub(crate) fn wrap(inner: MemoryStore) -> Arc<Staged> {
    let env = inner.env().clone();
    wrap_for(inner, env)
}

/// The same for callers in another environment.
pub(crate) fn wrap_for(inner: MemoryStore, env: Env) -> Arc<Staged> {
    let none = || AtomicU32::new(0);
    Arc::new(Staged { inner, env, unknown: none(), overloaded: none(), batches: Mutex::new(Vec::new()) })
}

pub(crate) fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

pub(crate) fn call(key: &str, effect: Effect) -> ToolCall {
    ToolCall::new(label("tool"), key, "input", effect)
}

pub(crate) fn done(text: &'static str) -> ToolOutput {
    ToolOutput::Succeeded(text.into())
}

#[track_caller]
pub(crate) fn begun(call: Call) -> Attempt {
    match call {
        Call::Begun(attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new());
        let store = wrap(MemoryStore::new(Env::system().with_clock(clock.clone())));
        let options = LedgerOptions { term: TERM, ..LedgerOptions::default() };
        let ledger = ToolLedger::new(store.clone(), options).unwrap();
        Self { clock, store, ledger }
    }

    pub(crate) async fn ask(&self, call: &ToolCall) -> Call {
        self.ledger.call(call).await.unwrap()
    }

    /// A lease of [`TERM`] on an item of its own.
    pub(crate) async fn lease(&self) -> Guard {
        let (task, kind) = (TaskId::new("report").unwrap(), label("work"));
        let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
        self.store.create_task(create).await.unwrap();
        let item = WorkItemId::new("report/1").unwrap();
        let enqueue = Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 9 };
        self.store.enqueue(enqueue).await.unwrap();
        self.claim().await
    }

    pub(crate) async fn claim(&self) -> Guard {
        let (claim, holder) = (TransitionId::generate(self.store.env()), HolderId::new("worker").unwrap());
        let claim =
            Claim { claim, holder, term: Term::new(TERM).unwrap(), limit: 1, kinds: Vec::new(), task: None };
        self.store.claim(claim).await.unwrap().items[0].guard()
    }

    /// Lets the lease run out and be reclaimed.
    pub(crate) async fn lose_lease(&self) {
        self.clock.advance(TERM);
        let sweep = TransitionId::generate(self.store.env());
        let swept = self.store.sweep_expired(SweepExpired { sweep, limit: 9 }).await.unwrap();
        assert_eq!(swept.reclaimed.len(), 1);
    }
}

/// Waits for what must come soon.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap()
}
