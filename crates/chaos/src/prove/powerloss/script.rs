//! The work that the store is given: drawn from a seed, and from what the store has answered so far.

use std::time::Duration;

use steadfast_store::env::Env;
use steadfast_store::{
    Abandonment, Answer, AppendCheckpoint, BeginOperation, CheckpointId, Claim, Command, Committed,
    CreateTask, Delay, Digest, Durability, Enqueue, EraseCheckpoint, FinishOperation, FinishTask, Guard,
    HolderId, InvalidateOperation, Label, OperationEnd, OperationKey, OperationToken, Outcome, Payload,
    PruneCheckpoints, RecordVerification, Renew, SealedPayload, Settle, SettleItem, SweepExpired, TaskEnd,
    TaskId, Term, TransitionId, Verdict, WorkItemId,
};

use super::deed::Deed;

const TERM: Duration = Duration::from_secs(30);
/// Tasks at once, so that the file stays small.
const TASKS_MAX: usize = 3;

/// What comes next.
#[derive(Debug)]
pub(super) struct Step {
    /// Batches that are submitted together.
    pub(super) group: Vec<Deed>,
    /// Time that passes before.
    pub(super) pause: Duration,
}

/// Draws the steps.
#[derive(Debug)]
pub(super) struct Author {
    rng: fastrand::Rng,
    env: Env,
    numbered: usize,
    /// Whether there is no room for anything long.
    pub(super) is_cramped: bool,
    tasks: Vec<Told>,
    /// Guards of items that were claimed, with their tasks.
    leases: Vec<(Guard, TaskId)>,
    /// Intents without a result.
    begun: Vec<(OperationKey, OperationToken, Option<TaskId>)>,
    finished: Vec<OperationKey>,
    /// Relaxed ones that were applied: to be submitted again as durable ones.
    again: Vec<Deed>,
    /// Those that failed or that nobody knows of: to be submitted again under the same identities.
    doubtful: Vec<Deed>,
}

#[derive(Debug)]
struct Told {
    id: TaskId,
    checkpoints: Vec<CheckpointId>,
}

fn text<T: std::str::FromStr<Err = steadfast_store::InvalidId>>(text: &str) -> T {
    match text.parse() {
        Ok(id) => id,
        Err(error) => unreachable!("{text:?}: {error}"),
    }
}

fn term() -> Term {
    match Term::new(TERM) {
        Ok(term) => term,
        Err(error) => unreachable!("{error}"),
    }
}

impl Author {
    pub(super) fn new(rng: fastrand::Rng, env: Env) -> Self {
        let (tasks, leases, begun, finished, again, doubtful) = Default::default();
        Self { rng, env, numbered: 0, is_cramped: false, tasks, leases, begun, finished, again, doubtful }
    }

    fn name(&mut self, what: &str) -> String {
        self.numbered += 1;
        format!("{what}-{}", self.numbered)
    }

    fn bytes(&mut self) -> Vec<u8> {
        // Mostly some hundred; now and then more than a page, which then stands on pages of its own.
        let is_long = self.rng.u8(0..40) == 0 && !self.is_cramped;
        let length = if is_long { self.rng.usize(4_200..4_600) } else { self.rng.usize(20..160) };
        (0..length).map(|_| self.rng.u8(..)).collect()
    }

    fn payload(&mut self) -> Payload {
        let bytes = self.bytes();
        Payload::new(bytes).unwrap_or_else(|_| Payload::empty())
    }

    fn durability(&mut self) -> Durability {
        if self.rng.u8(0..10) < 6 { Durability::Durable } else { Durability::Relaxed }
    }

    /// The next step.
    pub(super) fn next(&mut self) -> Step {
        let mut group = Vec::new();
        let mut pause = Duration::from_millis(self.rng.u64(1..200));
        let batches = if self.rng.u8(0..4) == 0 { self.rng.usize(2..4) } else { 1 };
        for _ in 0..batches {
            let (deed, waits) = self.deed();
            if waits {
                pause = TERM * 2;
            }
            group.push(deed);
        }
        Step { group, pause }
    }

    /// One batch, and whether every lease is to have ended before it.
    fn deed(&mut self) -> (Deed, bool) {
        if self.rng.bool()
            && let Some(deed) = self.doubtful.pop()
        {
            return (deed, false);
        }
        let durability = self.durability();
        if self.tasks.is_empty() || (self.tasks.len() < TASKS_MAX && self.rng.u8(0..8) == 0) {
            return (self.create(durability), false);
        }
        let commands = match self.rng.u8(0..22) {
            0..=7 => return (self.append(durability), false),
            8..=9 => return (self.begin(durability), false),
            10..=11 => return (self.finish_operation(durability), false),
            12..=13 => {
                let claim = TransitionId::generate(&self.env);
                let holder: HolderId = text("worker");
                let (kinds, task) = (Vec::new(), None);
                vec![Command::Claim(Claim { claim, holder, term: term(), limit: 2, kinds, task })]
            }
            14 => match self.leases.last().cloned() {
                Some((guard, _)) => vec![Command::Renew(Renew { guard, term: term() })],
                None => return (self.append(durability), false),
            },
            15 => return (self.settle(durability), false),
            16 => {
                let sweep = TransitionId::generate(&self.env);
                let command = Command::SweepExpired(SweepExpired { sweep, limit: 10 });
                return (Deed::new(durability, vec![command]), true);
            }
            17 => {
                let task = self.task().id.clone();
                vec![Command::PruneCheckpoints(PruneCheckpoints { task, keep: 1, limit: 3 })]
            }
            18 => match self.any_checkpoint() {
                Some(checkpoint) => vec![Command::EraseCheckpoint(EraseCheckpoint { checkpoint })],
                None => return (self.append(durability), false),
            },
            19 => match self.any_checkpoint() {
                Some(checkpoint) => {
                    let (verdict, detail) = (Verdict::Verified, "all of it holds".to_owned());
                    vec![Command::RecordVerification(RecordVerification { checkpoint, verdict, detail })]
                }
                None => return (self.append(durability), false),
            },
            20 => match self.finished.pop() {
                Some(key) => vec![Command::InvalidateOperation(InvalidateOperation { key })],
                None => return (self.finish_task(durability), false),
            },
            _ => match self.again.pop() {
                Some(deed) => return (Deed { durability: Durability::Durable, ..deed }, false),
                None => return (self.append(durability), false),
            },
        };
        (Deed::new(durability, commands), false)
    }

    fn task(&mut self) -> &Told {
        let at = self.rng.usize(0..self.tasks.len());
        &self.tasks[at]
    }

    fn any_checkpoint(&mut self) -> Option<CheckpointId> {
        let at = self.rng.usize(0..self.tasks.len());
        let checkpoints = &self.tasks[at].checkpoints;
        (!checkpoints.is_empty()).then(|| checkpoints[self.rng.usize(0..checkpoints.len())])
    }

    /// A task with an item.
    fn create(&mut self, durability: Durability) -> Deed {
        let task: TaskId = text(&self.name("task"));
        let kind: Label = text("report");
        let item: WorkItemId = text(&self.name("item"));
        let create = CreateTask { task: task.clone(), kind: kind.clone(), input: self.payload() };
        let (priority, delay, max_attempts) = (self.rng.i32(0..3), Delay::ZERO, 3);
        let enqueue = Enqueue { item, task, kind, priority, delay, max_attempts };
        Deed::new(durability, vec![Command::CreateTask(create), Command::Enqueue(enqueue)])
    }

    fn checkpoint_of(&mut self, task: TaskId) -> AppendCheckpoint {
        let bytes = self.bytes();
        let payload = SealedPayload::seal(bytes, &self.env);
        let payload = match payload {
            Ok(payload) => payload,
            Err(error) => unreachable!("{error}"),
        };
        AppendCheckpoint {
            checkpoint: CheckpointId::generate(&self.env),
            task,
            kind: text("step"),
            work_item: None,
            expected_head: None,
            copy_of: None,
            payload,
            evidence: self.payload(),
        }
    }

    fn append(&mut self, durability: Durability) -> Deed {
        let task = self.task().id.clone();
        let count = if self.rng.u8(0..5) == 0 { 2 } else { 1 };
        let commands =
            (0..count).map(|_| Command::AppendCheckpoint(self.checkpoint_of(task.clone()))).collect();
        let mut deed = Deed::new(durability, commands);
        if self.rng.bool() {
            deed.guard = self.leases.iter().find(|(_, of)| *of == task).map(|(guard, _)| guard.clone());
        }
        deed
    }

    /// The intent of a call.
    fn begin(&mut self, durability: Durability) -> Deed {
        let task = self.rng.bool().then(|| self.task().id.clone());
        let key: OperationKey = text(&self.name("tool-ledger:call"));
        let begin = BeginOperation {
            fingerprint: Digest::of(key.as_str().as_bytes()),
            key,
            token: OperationToken::generate(&self.env),
            task,
            lease: None,
            term: term(),
            abandonment: Abandonment::Doubt,
            fresh_for: None,
        };
        Deed::new(durability, vec![Command::BeginOperation(begin)])
    }

    /// The result of a call, beside the checkpoint that rests on it.
    fn finish_operation(&mut self, durability: Durability) -> Deed {
        let Some((key, token, task)) = self.begun.pop() else { return self.begin(durability) };
        let output = self.payload();
        let end =
            if self.rng.bool() { OperationEnd::Succeeded(output) } else { OperationEnd::Failed(output) };
        let mut commands = vec![Command::FinishOperation(FinishOperation { key, token, end })];
        if let Some(task) = task.filter(|task| self.tasks.iter().any(|told| told.id == *task)) {
            commands.push(Command::AppendCheckpoint(self.checkpoint_of(task)));
        }
        Deed::new(durability, commands)
    }

    fn settle(&mut self, durability: Durability) -> Deed {
        let Some((guard, task)) = self.leases.pop() else { return self.append(durability) };
        let settle = match self.rng.u8(0..4) {
            0 => Settle::Succeeded,
            1 => Settle::Failed,
            2 => Settle::Released,
            _ => Settle::Retry(Delay::ZERO),
        };
        let settled = SettleItem { guard: guard.clone(), settle, detail: "as it went".to_owned() };
        let append = self.checkpoint_of(task);
        // In this order: the lease holds the checkpoint.
        let commands = vec![Command::AppendCheckpoint(append), Command::SettleItem(settled)];
        Deed::new(durability, commands)
    }

    fn finish_task(&mut self, durability: Durability) -> Deed {
        if self.tasks.len() < 2 {
            return self.create(durability);
        }
        let at = self.rng.usize(0..self.tasks.len());
        let task = self.tasks.swap_remove(at).id;
        let finish = FinishTask { task, end: TaskEnd::Succeeded, result: self.payload() };
        Deed::new(durability, vec![Command::FinishTask(finish)])
    }

    /// Takes in what was answered.
    pub(super) fn learn(&mut self, deed: &Deed, answer: &Answer) {
        match answer {
            Ok(Committed::Applied(applied)) => {
                for (command, outcome) in deed.commands.iter().zip(applied.outcomes()) {
                    self.learn_one(command, outcome);
                }
                let is_first = deed.durability == Durability::Relaxed && !applied.is_replayed();
                if is_first && !deed.commands.iter().any(Command::is_maintenance) {
                    self.again.push(deed.clone());
                }
            }
            Ok(Committed::Rejected(_)) => {}
            Err(_) => self.doubtful.push(deed.clone()),
        }
    }

    fn learn_one(&mut self, command: &Command, outcome: &Outcome) {
        match (command, outcome) {
            (Command::CreateTask(create), _) if !self.tasks.iter().any(|told| told.id == create.task) => {
                self.tasks.push(Told { id: create.task.clone(), checkpoints: Vec::new() });
            }
            (Command::AppendCheckpoint(append), _) => {
                if let Some(told) = self.tasks.iter_mut().find(|told| told.id == append.task) {
                    told.checkpoints.push(append.checkpoint);
                }
            }
            (Command::Claim(_), Outcome::Claimed(claimed)) => {
                let items = claimed.items.iter();
                self.leases.extend(items.map(|item| (item.guard(), item.task.clone())));
            }
            (Command::SweepExpired(_), _) => self.leases.clear(),
            (Command::BeginOperation(begin), Outcome::OperationBegun(_)) => {
                self.begun.push((begin.key.clone(), begin.token, begin.task.clone()));
            }
            (Command::FinishOperation(finish), _) => self.finished.push(finish.key.clone()),
            _ => {}
        }
    }
}
