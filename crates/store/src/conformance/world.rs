//! What a case is given: a store on fresh data, a clock that it moves itself, and the steps that every case is made
//! of. A step that must change nothing looks at the whole store before and after.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::command::TypedCommand;
use crate::conformance::commands::{TERM, claim, create, enqueue, named, one, sweep};
use crate::conformance::failure::{Failure, Outcome, caught, check, check_eq};
use crate::conformance::harness::{Harness, Instance};
use crate::conformance::snapshot::{Snapshot, Universe, chain};
use crate::conformance::text::Described;
use crate::env::{Env, ManualClock, SeededRng, TokioRuntime};
use crate::error::{Source, StoreError};
use crate::outcome::{Applied, Committed, Reason, Reclaimed, Rejection};
use crate::record::{Checkpoint, Guard, Task, WorkItem};
use crate::store::Store;
use crate::sync::{oneshot, within};

/// How long anything may take that should happen at once, on the slowest machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// See the module.
pub(super) struct World<'h> {
    harness: &'h dyn Harness,
    instance: Box<dyn Instance>,
    seed: u64,
    clock: Arc<ManualClock>,
    env: Env,
    known: Universe,
}

fn harness_failure(what: &'static str) -> impl Fn(Source) -> Failure {
    move |source| Failure::new(format_args!("the harness could not {what}: {source}"))
}

/// The environment of one case: a clock of its own, randomness that the seed decides.
pub(super) fn environment(clock: Arc<ManualClock>, seed: u64) -> Env {
    let rng = Arc::new(SeededRng::new(seed));
    Env::system().with_clock(clock).with_rng(rng).with_runtime(Arc::new(TokioRuntime))
}

impl<'h> World<'h> {
    pub(super) async fn create(harness: &'h dyn Harness, seed: u64) -> Outcome<Self> {
        let clock = Arc::new(ManualClock::new());
        let env = environment(Arc::clone(&clock), seed);
        let instance = harness.create(env.clone()).await.map_err(harness_failure("create a store"))?;
        Ok(Self { harness, instance, seed, clock, env, known: Universe::default() })
    }

    /// A world of its own for another seed.
    pub(super) async fn another(&self, seed: u64) -> Outcome<World<'h>> {
        World::create(self.harness, seed).await
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn env(&self) -> &Env {
        &self.env
    }

    pub(super) fn clock(&self) -> &Arc<ManualClock> {
        &self.clock
    }

    pub(super) fn advance(&self, span: Duration) {
        self.clock.advance(span);
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        self.instance.store()
    }

    pub(super) async fn peer(&self) -> Outcome<Arc<dyn Store>> {
        self.instance.peer().await.map_err(harness_failure("give a second handle"))
    }

    pub(super) async fn reopen(&mut self) -> Outcome {
        self.instance.reopen().await.map_err(harness_failure("open the data again"))
    }

    /// Everything that the store tells about whatever the case has touched.
    pub(super) async fn look(&self) -> Outcome<Snapshot> {
        Snapshot::of(&*self.store(), &self.known).await
    }

    /// The same through another handle.
    pub(super) async fn look_through(&self, store: &dyn Store) -> Outcome<Snapshot> {
        Snapshot::of(store, &self.known).await
    }

    /// Takes note of ids that were used on another handle or task.
    pub(super) fn note(&mut self, batch: &Batch) {
        self.known.add(batch);
    }

    pub(super) async fn commit(&mut self, batch: &Batch) -> Result<Committed, StoreError> {
        self.note(batch);
        self.store().commit(batch.clone()).await
    }

    /// Commits a batch that must be applied, now.
    pub(super) async fn applied(&mut self, batch: &Batch) -> Outcome<Applied> {
        let answer = self.commit(batch).await?;
        let applied = into_applied(batch, answer)?;
        check!(!applied.is_replayed(), "a new batch was taken for one applied before: {}", Described(batch));
        Ok(applied)
    }

    /// Commits one command that must be applied, now.
    pub(super) async fn apply<C: TypedCommand>(&mut self, command: C) -> Outcome<C::Outcome>
    where
        C::Outcome: Clone,
    {
        let mut batch = Batch::durable();
        let handle = batch.add(command);
        Ok(self.applied(&batch).await?.get(handle)?.clone())
    }

    /// The same under a guard.
    pub(super) async fn apply_guarded<C: TypedCommand>(
        &mut self,
        guard: &Guard,
        command: C,
    ) -> Outcome<C::Outcome>
    where
        C::Outcome: Clone,
    {
        let mut batch = Batch::durable();
        let handle = batch.add_guarded(guard.clone(), command);
        Ok(self.applied(&batch).await?.get(handle)?.clone())
    }

    /// Commits a batch that must be rejected and change nothing.
    pub(super) async fn rejected(&mut self, batch: &Batch) -> Outcome<Rejection> {
        match self.unchanged(batch).await? {
            Ok(Committed::Rejected(rejection)) => Ok(rejection),
            other => Err(Failure::new(format_args!(
                "{} was not rejected but answered {other:?}",
                Described(batch)
            ))),
        }
    }

    /// Why a batch of this one command is rejected, which must change nothing.
    pub(super) async fn reason<C: TypedCommand>(&mut self, command: C) -> Outcome<Reason> {
        let rejection = self.rejected(&one(command)).await?;
        check_eq!(rejection.index, 0, "the command that a batch of one was rejected for");
        Ok(rejection.reason)
    }

    /// Commits a batch that must be recognised as applied before and change nothing.
    pub(super) async fn replayed(&mut self, batch: &Batch) -> Outcome<Applied> {
        let answer = self.unchanged(batch).await??;
        let applied = into_applied(batch, answer)?;
        check!(applied.is_replayed(), "a batch applied before was not recognised: {}", Described(batch));
        Ok(applied)
    }

    /// Commits a batch that must fail with an error and change nothing.
    pub(super) async fn failed(&mut self, batch: &Batch) -> Outcome<StoreError> {
        match self.unchanged(batch).await? {
            Err(error) => Ok(error),
            Ok(answer) => {
                Err(Failure::new(format_args!("{} did not fail but answered {answer:?}", Described(batch))))
            }
        }
    }

    async fn unchanged(&mut self, batch: &Batch) -> Outcome<Result<Committed, StoreError>> {
        self.note(batch);
        let before = self.look().await?;
        let answer = self.store().commit(batch.clone()).await;
        let sentence = format!("{} changed the store, though it answered {answer:?}", Described(batch));
        before.check_same(&self.look().await?, &sentence)?;
        Ok(answer)
    }

    /// Creates a task with these items.
    pub(super) async fn queue(&mut self, task: &str, items: &[&str]) -> Outcome {
        let mut batch = one(create(task));
        for item in items {
            batch.add(enqueue(item, task));
        }
        self.applied(&batch).await.map(drop)
    }

    /// Claims one item.
    pub(super) async fn claim_one(&mut self, number: u64) -> Outcome<WorkItem> {
        let claimed = self.apply(claim(number, 1)).await?;
        let count = claimed.items.len();
        claimed
            .items
            .into_iter()
            .next()
            .ok_or_else(|| Failure::new(format_args!("a claim took {count} items, not 1")))
    }

    /// Lets a whole term pass and sweeps every lease that ended with it.
    pub(super) async fn lose_leases(&mut self, number: u64) -> Outcome<Vec<Reclaimed>> {
        self.advance(TERM);
        Ok(self.apply(sweep(number, 1_000)).await?.reclaimed)
    }

    /// An item that must be there.
    pub(super) async fn item(&self, id: &str) -> Outcome<WorkItem> {
        let item = self.store().work_item(&named(id)).await?;
        item.ok_or_else(|| Failure::new(format_args!("item {id} is gone")))
    }

    /// A task that must be there.
    pub(super) async fn task(&self, id: &str) -> Outcome<Task> {
        let task = self.store().task(&named(id)).await?;
        task.ok_or_else(|| Failure::new(format_args!("task {id} is gone")))
    }

    /// The chain of a task that must be there, checked link by link.
    pub(super) async fn chain(&self, id: &str) -> Outcome<Vec<Checkpoint>> {
        chain(&*self.store(), &named(id), Some(&self.task(id).await?)).await
    }

    /// Starts work beside the case. The future it returns waits for its end.
    pub(super) fn start<T, W>(&self, work: W) -> impl Future<Output = Outcome<T>> + Send + 'static + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = Outcome<T>> + Send + 'static,
    {
        let (ended, end) = oneshot::channel();
        self.env.runtime().spawn(Box::pin(async move {
            let outcome = caught(work).await.and_then(|outcome| outcome);
            // Nobody waits any more when the case has failed elsewhere.
            drop(ended.send(outcome));
        }));
        async {
            end.await.unwrap_or_else(|_| Err(Failure::new("the runtime ended under a task of the case")))
        }
    }

    /// Waits for something that should happen at once.
    pub(super) async fn soon<T>(&self, what: &str, work: impl Future<Output = T>) -> Outcome<T> {
        let late = || Failure::new(format_args!("{what} did not happen within {PATIENCE:?}"));
        within(&self.env, PATIENCE, work).await.ok_or_else(late)
    }
}

fn into_applied(batch: &Batch, answer: Committed) -> Outcome<Applied> {
    answer
        .into_applied()
        .map_err(|rejection| Failure::new(format_args!("{} was rejected: {rejection}", Described(batch))))
}
