//! Makes sequences of steps over a small universe, so that ids collide, guards go stale and batches come again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::command::{
    AppendCheckpoint, BeginOperation, Claim, CreateTask, Enqueue, FinishTask, OperationEnd, Settle,
    SettleItem, TaskEnd, TypedCommand,
};
use crate::conformance::commands::{
    BatchExt, append, begin, cancel, checkpoint, claim, create, delay, end, enqueue, erase, finish,
    invalidate, ms, named, payload, prune, purge, renew, requeue, sealed, settle, succeed, sweep, term,
    verify,
};
use crate::conformance::failure::Outcome;
use crate::conformance::snapshot::Universe;
use crate::conformance::text::Described;
use crate::conformance::world::environment;
use crate::digest::Digest;
use crate::env::ManualClock;
use crate::memory::MemoryStore;
use crate::outcome::Committed;
use crate::record::{Abandonment, Fence, Guard, OperationStatus, SequenceNumber, Verdict};
use crate::store::Store;

const TASKS: [&str; 3] = ["t1", "t2", "t3"];
const ITEMS: [&str; 5] = ["a", "b", "c", "d", "e"];
const OPERATIONS: [&str; 4] = ["k1", "k2", "k3", "k4"];
const CHECKPOINTS: u64 = 14;
const TRANSITIONS: u64 = 24;
const TOKENS: u64 = 8;
const SPANS_MS: [u64; 5] = [10, 20, 50, 100, 1_000];

/// One step of a sequence.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Commit { batch: Batch, through_peer: bool },
    Advance(Duration),
    MoveWall(i64),
    Reopen,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit { batch, through_peer: false } => write!(f, "commit {}", Described(batch)),
            Self::Commit { batch, through_peer: true } => {
                write!(f, "commit through a peer {}", Described(batch))
            }
            Self::Advance(span) => write!(f, "let {span:?} pass"),
            Self::MoveWall(millis) => write!(f, "step the wall clock by {millis} ms"),
            Self::Reopen => f.write_str("reopen"),
        }
    }
}

/// Every id that a sequence can name.
pub(super) fn universe() -> Universe {
    Universe {
        tasks: TASKS.into_iter().map(named).collect(),
        items: ITEMS.into_iter().map(named).collect(),
        checkpoints: (1..=CHECKPOINTS).map(checkpoint).collect(),
        operations: OPERATIONS.into_iter().map(named).collect(),
    }
}

/// Makes the steps of one sequence. It plays them on a store of its own as it goes, only to choose guards and heads
/// that are sometimes right: the steps themselves stand for themselves and can be played in part.
pub(super) struct Generator {
    rng: fastrand::Rng,
    model: MemoryStore,
    clock: Arc<ManualClock>,
    past: Vec<Batch>,
    applied: Vec<Batch>,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new());
        let model = MemoryStore::new(environment(Arc::clone(&clock), seed));
        Self { rng: fastrand::Rng::with_seed(seed), model, clock, past: Vec::new(), applied: Vec::new() }
    }

    /// Steps with this many batches among them.
    pub(super) async fn steps(mut self, batches: usize) -> Outcome<Vec<Step>> {
        let mut steps = Vec::new();
        if self.one_in(12) {
            self.past.push(Batch::durable());
        } else {
            // Most sequences begin with something to work on.
            let mut batch = Batch::durable();
            for task in TASKS {
                batch.add(create(task));
            }
            for item in ITEMS {
                batch.add(self.enqueue(item, false));
            }
            self.past.push(batch);
        }
        steps.push(Step::Commit { batch: self.past[0].clone(), through_peer: false });
        self.play(&steps[0]).await;
        while self.past.len() < batches {
            let step = match self.rng.u32(..100) {
                0..20 => Step::Advance(ms(self.pick(&SPANS_MS) * self.rng.u64(1..3))),
                20..23 => Step::MoveWall(self.rng.i64(-1_000_000..1_000_000)),
                23..26 => Step::Reopen,
                _ => {
                    let batch = self.batch().await?;
                    self.past.push(batch.clone());
                    Step::Commit { batch, through_peer: self.one_in(6) }
                }
            };
            self.play(&step).await;
            steps.push(step);
        }
        Ok(steps)
    }

    async fn play(&mut self, step: &Step) {
        match step {
            Step::Commit { batch, .. } => {
                let answer = self.model.commit(batch.clone()).await;
                if matches!(&answer, Ok(Committed::Applied(applied)) if !applied.is_replayed()) {
                    self.applied.push(batch.clone());
                }
            }
            Step::Advance(span) => self.clock.advance(*span),
            Step::MoveWall(_) | Step::Reopen => {}
        }
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.rng.u32(..count) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())]
    }

    /// A new batch, or one that was submitted before.
    async fn batch(&mut self) -> Outcome<Batch> {
        if self.one_in(7) {
            let from = if self.one_in(4) || self.applied.is_empty() { &self.past } else { &self.applied };
            return Ok(from[self.rng.usize(..from.len())].clone());
        }
        if self.one_in(9) && !self.held().await?.is_empty() {
            return self.last_commit().await;
        }
        if self.one_in(9) {
            return self.maintenance().await;
        }
        let mut batch = if self.one_in(3) { Batch::relaxed() } else { Batch::durable() };
        let length = if self.one_in(12) { self.rng.usize(5..9) } else { self.pick(&[1, 1, 1, 2, 2, 3, 4]) };
        for _ in 0..length {
            self.add_command(&mut batch).await?;
        }
        Ok(batch)
    }

    /// A removal, alone in its batch, but for the few that are refused.
    async fn maintenance(&mut self) -> Outcome<Batch> {
        let mut batch = Batch::durable();
        let limit = self.rng.u32(1..4);
        match self.rng.u32(..8) {
            0..3 => {
                let keep = if self.one_in(12) { 0 } else { self.rng.u32(1..4) };
                batch.add(prune(self.pick(&TASKS), keep, limit));
            }
            3 | 4 => {
                let number = self.looked_at().await?;
                batch.add(erase(number));
            }
            5 => {
                let older_than = ms(self.pick(&[0, 100, 1_000]));
                batch.add(purge(self.pick(&["", "k", "k1", "no"]), older_than, limit));
            }
            _ => {
                batch.add(invalidate(self.pick(&OPERATIONS)));
            }
        }
        if self.one_in(20) {
            batch.add(create(TASKS[0]));
        }
        Ok(batch)
    }

    /// The commit that ends a step: checkpoint, result and settlement under one lease.
    async fn last_commit(&mut self) -> Outcome<Batch> {
        let (held, (key, number)) = (self.guard().await?, self.begun().await?);
        let item = self.model.work_item(&held.item).await?;
        let task = item.map_or_else(|| named(TASKS[0]), |item| item.task);
        let append = AppendCheckpoint { task, ..append(self.rng.u64(1..=CHECKPOINTS), TASKS[0]) };
        let how = self.pick(&[Settle::Succeeded, Settle::Released, Settle::Retry(delay(ms(10)))]);
        Ok(Batch::durable()
            .with_guarded(&held, append)
            .with_guarded(&held, succeed(key, number, "output"))
            .with(settle(&held, how)))
    }

    async fn add_command(&mut self, batch: &mut Batch) -> Outcome {
        // Without a lease in the store, mostly nothing is done that needs one, and claims are made instead.
        let leaseless = self.held().await?.is_empty() && !self.one_in(5);
        let guard = if !leaseless && self.one_in(4) { Some(self.guard().await?) } else { None };
        let task = self.pick(&TASKS);
        let (item, key) = (self.pick(&ITEMS), self.pick(&OPERATIONS));
        match self.rng.u32(if leaseless { 20..100 } else { 0..100 }) {
            40..45 => add(batch, guard, self.create(task)),
            45..47 => add(batch, guard, self.finish(task)),
            47..49 => add(batch, guard, cancel(item)),
            49..52 => add(batch, guard, requeue(self.rng.u64(1..=TRANSITIONS), item)),
            52..58 => {
                let other = self.one_in(6);
                let command = self.enqueue(item, other);
                add(batch, guard, command);
            }
            20..40 => {
                let limit = if self.one_in(40) { 0 } else { self.rng.u32(1..4) };
                let span = self.pick(&SPANS_MS);
                let mut command =
                    Claim { term: term(ms(span)), ..claim(self.rng.u64(1..=TRANSITIONS), limit) };
                if self.one_in(4) {
                    command.task = Some(named(task));
                }
                for kind in ["step", "other", "nothing"] {
                    if self.one_in(5) {
                        command.kinds.push(named(kind));
                    }
                }
                add(batch, guard, command);
            }
            0..7 => {
                let (held, span) = (self.guard().await?, self.pick(&SPANS_MS));
                add(batch, guard, renew(&held, ms(span)));
            }
            7..20 => {
                let held = self.guard().await?;
                let how = match self.rng.u32(..8) {
                    0 => Settle::Succeeded,
                    1 => Settle::Failed,
                    2 | 3 => Settle::Released,
                    _ => Settle::Retry(delay(ms(self.rng.u64(..3) * 10))),
                };
                let detail = self.pick(&["", "no answer", "é"]).to_owned();
                add(batch, guard, SettleItem { detail, ..settle(&held, how) });
            }
            58..72 => {
                let command = self.append(task).await?;
                add(batch, guard, command);
            }
            72..76 => {
                let verdict = self.pick(Verdict::ALL);
                let detail = self.pick(&["", "file a: gone", "é"]);
                let number = self.looked_at().await?;
                add(batch, guard, verify(number, verdict, detail));
            }
            76..84 => {
                let limit = if self.one_in(40) { 0 } else { self.rng.u32(1..4) };
                add(batch, guard, sweep(self.rng.u64(1..=TRANSITIONS), limit));
            }
            84..92 => {
                let command = self.begin(key, task, guard.as_ref()).await?;
                add(batch, guard, command);
            }
            _ => {
                let (key, number) = self.begun().await?;
                if self.model.operation(&named(key)).await?.is_none() && !self.one_in(5) {
                    let command = self.begin(key, task, guard.as_ref()).await?;
                    add(batch, guard, command);
                    return Ok(());
                }
                let output = payload(self.pick(&["", "output", "other"]));
                let how = match self.rng.u32(..5) {
                    4 => OperationEnd::Abandoned,
                    3 => OperationEnd::DidNotHappen,
                    0 => OperationEnd::Succeeded(output),
                    1 => OperationEnd::Failed(output),
                    _ => OperationEnd::InDoubt,
                };
                add(batch, guard, end(key, number, how));
            }
        }
        Ok(())
    }

    fn create(&mut self, task: &str) -> CreateTask {
        let kind = if self.one_in(5) { "other" } else { "research" };
        CreateTask { kind: named(kind), ..create(task) }
    }

    fn finish(&mut self, task: &str) -> FinishTask {
        let how = self.pick(&[TaskEnd::Succeeded, TaskEnd::Failed, TaskEnd::Cancelled]);
        finish(task, how)
    }

    /// An item always means the same, but for `other`.
    fn enqueue(&mut self, item: &str, other: bool) -> Enqueue {
        let number = ITEMS.iter().position(|name| *name == item).unwrap_or_default();
        let task = TASKS[number % TASKS.len()];
        let priority = [0, 0, 1, -1, 0][number] + i32::from(other);
        let wait = self.pick(&[0, 0, 10]);
        let max_attempts = if other && self.one_in(4) { 0 } else { [1, 3, 9, 9, 99][number] };
        let kind = named(if number % 3 == 1 { "other" } else { "step" });
        Enqueue { kind, priority, max_attempts, delay: delay(ms(wait)), ..enqueue(item, task) }
    }

    /// The leases that hold.
    async fn held(&self) -> Outcome<Vec<Guard>> {
        let mut held = Vec::new();
        for name in ITEMS {
            let item = self.model.work_item(&named(name)).await?;
            held.extend(item.filter(|item| item.lease.is_some()).map(|item| item.guard()));
        }
        Ok(held)
    }

    /// Mostly a lease that holds, otherwise one that does not.
    async fn guard(&mut self) -> Outcome<Guard> {
        let held = self.held().await?;
        let name = if self.one_in(40) { "nothing" } else { self.pick(&ITEMS) };
        let mut guard = Guard { item: named(name), fence: Fence(1) };
        if !held.is_empty() && !self.one_in(8) {
            guard = held[self.rng.usize(..held.len())].clone();
        } else if let Some(item) = self.model.work_item(&guard.item).await? {
            guard = item.guard();
        }
        match self.rng.u32(..12) {
            0 => guard.fence.0 = guard.fence.0.saturating_sub(1),
            1 => guard.fence.0 += 1,
            _ => {}
        }
        Ok(guard)
    }

    /// Mostly the key and newest token of an operation under way.
    async fn begun(&mut self) -> Outcome<(&'static str, u64)> {
        let (mut key, mut number) = (self.pick(&OPERATIONS), self.rng.u64(1..=TOKENS));
        if self.one_in(4) {
            return Ok((key, number));
        }
        for other in OPERATIONS {
            let record = self.model.operation(&named(other)).await?;
            let Some(operation) = record.map(|record| record.operation) else { continue };
            if operation.status == OperationStatus::Pending || self.one_in(3) {
                (key, number) = (other, u64::from(operation.owner.token.as_bytes()[15]));
            }
        }
        Ok((key, number))
    }

    /// Mostly a checkpoint that is there.
    async fn looked_at(&mut self) -> Outcome<u64> {
        for _ in 0..3 {
            let number = self.rng.u64(1..=CHECKPOINTS);
            if self.model.checkpoint(checkpoint(number)).await?.is_some() {
                return Ok(number);
            }
        }
        Ok(self.rng.u64(1..=CHECKPOINTS))
    }

    /// The number of a checkpoint decides its bytes, mostly.
    async fn append(&mut self, task: &'static str) -> Outcome<AppendCheckpoint> {
        let task = if self.one_in(40) { "nothing" } else { task };
        let mut command = append(self.rng.u64(1..=CHECKPOINTS), task);
        match self.rng.u32(..20) {
            0 => command.payload = sealed("other"),
            1 => command.evidence = payload(""),
            2 => command.kind = named("other"),
            3 | 4 => command.work_item = Some(named("a")),
            _ => {}
        }
        if self.one_in(5) {
            // Mostly the payload of the checkpoint that it is said to copy.
            let origin = self.looked_at().await?;
            command.copy_of = Some(checkpoint(origin));
            if let Some(Ok(payload)) =
                self.model.checkpoint(checkpoint(origin)).await?.map(|found| found.payload)
                && !self.one_in(8)
            {
                command.payload = payload;
            }
        }
        if self.one_in(3) {
            let head = self.model.task(&command.task).await?.map_or(0, |task| task.head.0);
            command.expected_head =
                Some(SequenceNumber(if self.one_in(3) { self.rng.u64(..4) } else { head }));
        }
        Ok(command)
    }

    async fn begin(&mut self, key: &str, task: &str, guard: Option<&Guard>) -> Outcome<BeginOperation> {
        let mut command = begin(key, self.rng.u64(1..=TOKENS));
        command.term = term(ms(self.pick(&SPANS_MS)));
        command.abandonment = self.pick(Abandonment::ALL);
        command.task = (!self.one_in(3)).then(|| named(task));
        if self.one_in(2) {
            let other = self.one_in(10);
            command.lease =
                Some(if other { self.guard().await? } else { guard.cloned().unwrap_or(self.guard().await?) });
        }
        if self.one_in(10) {
            command.fingerprint = Digest::of(b"other");
        }
        if self.one_in(4) {
            command.fresh_for = Some(ms(self.pick(&SPANS_MS)));
        }
        Ok(command)
    }
}

fn add<C: TypedCommand>(batch: &mut Batch, guard: Option<Guard>, command: C) {
    match guard {
        Some(guard) => batch.add_guarded(guard, command),
        None => batch.add(command),
    };
}
