//! Which rows a group of batches touches, and how firmly each must be held until its transaction ends. Known from the
//! commands alone for nearly all of them; what only the rows themselves name is found as they come in.
//!
//! Rows are locked in one order by all: items, operations, tasks, checkpoints, each by their names. What is only looked
//! at is read behind all locks, because a look that was taken before a wait would be of the time before it. Before all of
//! them come the identities of claims and sweeps: no row stands for one that is under way, and a batch that is submitted
//! again while the server still works at the first submission must wait for that, or it would be applied twice.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::Type;

use crate::batch::{Batch, Entry};
use crate::command::{Claim, Command, PurgeOperations};
use crate::id::{CheckpointId, Label, OperationKey, TaskId, TransitionId, WorkItemId};
use crate::postgres::connection::Step;
use crate::postgres::sql;
use crate::postgres::wire::{id, ids, number, param, text, texts};

/// How firmly a row is held. Each is at least the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hold {
    /// Not at all: what is read of it never changes, or a later change does no harm.
    Look,
    /// Nobody else may change what was decided by: the fence of an item, whether a task has ended, the bytes of the
    /// origin of a copy.
    Keep,
    /// It will be changed.
    Write,
    /// Of a task: it will end or be pruned, against everybody who keeps it.
    End,
}

/// What claims ask for alike share their candidates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    kinds: BTreeSet<Label>,
    task: Option<TaskId>,
}

impl From<&Claim> for Asked {
    fn from(claim: &Claim) -> Self {
        Self { kinds: claim.kinds.iter().cloned().collect(), task: claim.task.clone() }
    }
}

/// A list of rows, as the answers come in the order of the questions.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Question {
    /// Waits for whoever is at work under the same claim or sweep.
    Identities(Vec<TransitionId>),
    Items(Hold, Vec<WorkItemId>),
    Operations(Vec<OperationKey>),
    Tasks(Hold, Vec<TaskId>),
    Checkpoints(Hold, Vec<CheckpointId>),
    WithCopies(CheckpointId),
    Claimable(Asked, usize),
    Expired(usize),
    Stale(PurgeOperations),
    MovedBy(Vec<TransitionId>),
    NewestVerified(TaskId),
    Clock,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) items: BTreeMap<WorkItemId, Hold>,
    pub(super) operations: BTreeSet<OperationKey>,
    pub(super) tasks: BTreeMap<TaskId, Hold>,
    /// Looked at, kept for a copy, or kept in its chain ([`Hold::Write`]) for a verdict.
    pub(super) checkpoints: BTreeMap<CheckpointId, Hold>,
    pub(super) with_copies: Option<CheckpointId>,
    pub(super) claimable: BTreeMap<Asked, usize>,
    pub(super) expired: usize,
    pub(super) stale: Option<PurgeOperations>,
    pub(super) moved_by: BTreeSet<TransitionId>,
    pub(super) newest_verified: Option<TaskId>,
}

fn hold<K: Ord + Clone>(rows: &mut BTreeMap<K, Hold>, row: &K, firmly: Hold) {
    let held = rows.entry(row.clone()).or_insert(firmly);
    *held = firmly.max(*held);
}

impl Needs {
    /// What the commands name.
    pub(super) fn of(batches: &[&Batch]) -> Self {
        let mut needs = Self::default();
        for entry in batches.iter().flat_map(|batch| batch.entries()) {
            needs.add(entry);
        }
        // An item that this group changes may stand among the candidates of its claims and be none any more.
        let changed = needs.items.values().filter(|hold| **hold != Hold::Keep).count();
        needs.claimable.values_mut().for_each(|limit| *limit += changed);
        needs
    }

    fn add(&mut self, entry: &Entry) {
        if let Some(guard) = entry.lease() {
            hold(&mut self.items, &guard.item, Hold::Keep);
        }
        match &entry.command {
            // What is compared of an existing one never changes; a new one is kept apart by its unique id.
            Command::CreateTask(command) => hold(&mut self.tasks, &command.task, Hold::Look),
            Command::FinishTask(command) => hold(&mut self.tasks, &command.task, Hold::End),
            Command::Enqueue(command) => {
                hold(&mut self.items, &command.item, Hold::Look);
                hold(&mut self.tasks, &command.task, Hold::Keep);
            }
            Command::Claim(command) => {
                self.moved_by.insert(command.claim);
                *self.claimable.entry(command.into()).or_default() += command.limit as usize;
            }
            Command::Renew(command) => hold(&mut self.items, &command.guard.item, Hold::Write),
            Command::SettleItem(command) => hold(&mut self.items, &command.guard.item, Hold::Write),
            Command::CancelItem(command) => hold(&mut self.items, &command.item, Hold::Write),
            Command::Requeue(command) => hold(&mut self.items, &command.item, Hold::Write),
            Command::AppendCheckpoint(command) => {
                hold(&mut self.tasks, &command.task, Hold::Write);
                hold(&mut self.checkpoints, &command.checkpoint, Hold::Look);
                if let Some(origin) = &command.copy_of {
                    hold(&mut self.checkpoints, origin, Hold::Keep);
                }
            }
            Command::RecordVerification(command) => {
                hold(&mut self.checkpoints, &command.checkpoint, Hold::Write);
            }
            Command::SweepExpired(command) => {
                self.moved_by.insert(command.sweep);
                self.expired += command.limit as usize;
            }
            Command::PruneCheckpoints(command) => {
                hold(&mut self.tasks, &command.task, Hold::End);
                self.newest_verified = Some(command.task.clone());
            }
            Command::EraseCheckpoint(command) => {
                hold(&mut self.checkpoints, &command.checkpoint, Hold::Look);
                self.with_copies = Some(command.checkpoint);
            }
            Command::PurgeOperations(command) => self.stale = Some(command.clone()),
            Command::InvalidateOperation(command) => drop(self.operations.insert(command.key.clone())),
            Command::BeginOperation(command) => {
                self.operations.insert(command.key.clone());
                if let Some(task) = &command.task {
                    hold(&mut self.tasks, task, Hold::Keep);
                }
            }
            Command::FinishOperation(command) => drop(self.operations.insert(command.key.clone())),
        }
    }

    /// A task that an expired item belongs to: the sweep writes to its chain.
    pub(super) fn chain(&mut self, task: &TaskId) {
        hold(&mut self.tasks, task, Hold::Write);
    }

    /// How many rows are needed by their names.
    pub(super) fn rows(&self) -> usize {
        self.items.len() + self.operations.len() + self.tasks.len() + self.checkpoints.len()
    }

    /// An item that an operation's owner names.
    pub(super) fn lease(&mut self, item: &WorkItemId) {
        hold(&mut self.items, item, Hold::Look);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.questions().len() == 1
    }

    /// What to ask, in the order of the locks; the clock last, when nothing is waited for any more.
    pub(super) fn questions(&self) -> Vec<Question> {
        let mut asked = Vec::new();
        if !self.moved_by.is_empty() {
            asked.push(Question::Identities(self.moved_by.iter().copied().collect()));
        }
        let (looked_at, held, firmly) = split(&self.items);
        if !held.is_empty() {
            asked.push(Question::Items(firmly, held));
        }
        if !self.operations.is_empty() {
            asked.push(Question::Operations(self.operations.iter().cloned().collect()));
        }
        let (tasks_looked_at, tasks_held, tasks_firmly) = split(&self.tasks);
        if !tasks_held.is_empty() {
            asked.push(Question::Tasks(tasks_firmly, tasks_held));
        }
        for firmly in [Hold::Keep, Hold::Write, Hold::Look] {
            let of = |(id, held): (&CheckpointId, &Hold)| (*held == firmly).then_some(*id);
            let some: Vec<_> = self.checkpoints.iter().filter_map(of).collect();
            if !some.is_empty() {
                asked.push(Question::Checkpoints(firmly, some));
            }
        }
        if let Some(erased) = self.with_copies {
            // Twice: the first look locks what it finds, the second finds what was copied before that.
            asked.extend([Question::WithCopies(erased), Question::WithCopies(erased)]);
        }
        asked
            .extend(self.claimable.iter().map(|(claims, limit)| Question::Claimable(claims.clone(), *limit)));
        if self.expired > 0 {
            asked.push(Question::Expired(self.expired));
        }
        asked.extend(self.stale.clone().map(Question::Stale));
        if !looked_at.is_empty() {
            asked.push(Question::Items(Hold::Look, looked_at));
        }
        if !tasks_looked_at.is_empty() {
            asked.push(Question::Tasks(Hold::Look, tasks_looked_at));
        }
        if !self.moved_by.is_empty() {
            asked.push(Question::MovedBy(self.moved_by.iter().copied().collect()));
        }
        asked.extend(self.newest_verified.clone().map(Question::NewestVerified));
        asked.push(Question::Clock);
        asked
    }
}

/// Those that are only looked at, those that are held, and how: all as firmly as the firmest, so that one statement
/// locks them in the order of their names.
fn split<K: Ord + Clone>(rows: &BTreeMap<K, Hold>) -> (Vec<K>, Vec<K>, Hold) {
    let (held, looked_at): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, hold)| **hold > Hold::Look);
    let firmly = held.iter().map(|(_, hold)| **hold).max().unwrap_or(Hold::Look);
    let names = |some: Vec<(&K, &Hold)>| some.into_iter().map(|(name, _)| name.clone()).collect();
    (names(looked_at), names(held), firmly)
}

/// The statement that asks it.
pub(super) fn step(question: &Question) -> Step {
    match question {
        Question::Identities(transitions) => {
            let mut keys: Vec<i64> = transitions.iter().map(identity).collect();
            // In one order by all, as every other lock.
            keys.sort_unstable();
            Step::Query(sql::transaction::IDENTITIES, vec![param(Type::INT8_ARRAY, keys)])
        }
        Question::Items(hold, items) => {
            let sql = match hold {
                Hold::Look => sql::item::LOOK,
                Hold::Keep => sql::item::KEEP,
                Hold::Write | Hold::End => sql::item::WRITE,
            };
            Step::Query(sql, vec![texts(items.iter().map(WorkItemId::as_str))])
        }
        Question::Operations(keys) => {
            Step::Query(sql::operation::WRITE, vec![texts(keys.iter().map(OperationKey::as_str))])
        }
        Question::Tasks(hold, tasks) => {
            let sql = match hold {
                Hold::Look => sql::task::LOOK,
                Hold::Keep => sql::task::KEEP,
                Hold::Write => sql::task::WRITE,
                Hold::End => sql::task::END,
            };
            Step::Query(sql, vec![texts(tasks.iter().map(TaskId::as_str))])
        }
        Question::Checkpoints(hold, checkpoints) => {
            let sql = match hold {
                Hold::Look => sql::checkpoint::LOOK,
                Hold::Keep => sql::checkpoint::KEEP,
                Hold::Write | Hold::End => sql::checkpoint::TELL,
            };
            Step::Query(sql, vec![ids(checkpoints.iter().map(CheckpointId::as_bytes))])
        }
        Question::WithCopies(checkpoint) => {
            Step::Query(sql::checkpoint::WITH_COPIES, vec![id(checkpoint.as_bytes())])
        }
        Question::Claimable(asked, limit) => claimable(asked, *limit),
        Question::Expired(limit) => Step::Query(sql::item::EXPIRED, vec![number(*limit)]),
        Question::Stale(purge) => {
            let age = i64::try_from(purge.older_than.as_millis()).unwrap_or(i64::MAX).min(AGE_MS_MAX);
            let params = vec![param(Type::INT8, age), text(&purge.prefix), number(purge.limit)];
            Step::Query(sql::operation::STALE, params)
        }
        Question::MovedBy(transitions) => {
            Step::Query(sql::item::MOVED_BY, vec![ids(transitions.iter().map(TransitionId::as_bytes))])
        }
        Question::NewestVerified(task) => {
            Step::Query(sql::checkpoint::NEWEST_VERIFIED, vec![text(task.as_str())])
        }
        Question::Clock => Step::Query(sql::clock::READ, Vec::new()),
    }
}

/// The part of an id that chance made. Two that have it in common wait for one another, and no more.
fn identity(transition: &TransitionId) -> i64 {
    let mut half = [0; 8];
    half.copy_from_slice(&transition.as_bytes()[8..]);
    i64::from_be_bytes(half)
}

/// A thousand years: nothing is older, and the server's dates reach further back.
const AGE_MS_MAX: i64 = 1_000 * 366 * 86_400_000;

fn claimable(asked: &Asked, limit: usize) -> Step {
    let Asked { kinds, task } = asked;
    let limit = number(limit);
    let names = || texts(kinds.iter().map(Label::as_str));
    match (task, kinds.first()) {
        (Some(task), _) => {
            Step::Query(sql::item::CLAIMABLE_OF_TASK, vec![limit, names(), text(task.as_str())])
        }
        (None, None) => Step::Query(sql::item::CLAIMABLE, vec![limit]),
        (None, Some(kind)) if kinds.len() == 1 => {
            Step::Query(sql::item::CLAIMABLE_OF_KIND, vec![limit, text(kind.as_str())])
        }
        (None, Some(_)) => Step::Query(sql::item::CLAIMABLE_OF_KINDS, vec![limit, names()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{AppendCheckpoint, CreateTask, Renew, SweepExpired};
    use crate::env::Env;
    use crate::payload::{Payload, SealedPayload};
    use crate::record::{Fence, Guard};
    use crate::time::Term;

    fn guard(item: &str) -> Guard {
        Guard { item: WorkItemId::new(item).unwrap(), fence: Fence(1) }
    }

    #[test]
    fn rows_are_held_as_firmly_as_the_firmest_command_asks() {
        let (task, env) = (TaskId::new("t").unwrap(), Env::system());
        let mut batch = Batch::durable();
        let kind = Label::new("k").unwrap();
        batch.add(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() });
        let append = AppendCheckpoint {
            checkpoint: CheckpointId::generate(&env),
            task: task.clone(),
            kind,
            work_item: None,
            expected_head: None,
            copy_of: None,
            payload: SealedPayload::seal("state", &env).unwrap(),
            evidence: Payload::empty(),
        };
        batch.add_guarded(guard("b"), append);
        batch.add(Renew { guard: guard("a"), term: Term::new(std::time::Duration::from_secs(1)).unwrap() });
        let questions = Needs::of(&[&batch]).questions();
        let items = vec![guard("a").item, guard("b").item];
        assert_eq!(questions[0], Question::Items(Hold::Write, items), "by name, in one statement");
        assert_eq!(questions[1], Question::Tasks(Hold::Write, vec![task]));
        assert_eq!(questions.last(), Some(&Question::Clock), "when nothing is waited for any more");
    }

    #[test]
    fn what_is_only_looked_at_is_read_behind_all_locks() {
        let mut batch = Batch::durable();
        batch.add(SweepExpired { sweep: TransitionId::from_bytes([1; 16]), limit: 5 });
        let questions = Needs::of(&[&batch]).questions();
        assert!(matches!(
            questions[..],
            [Question::Identities(_), Question::Expired(5), Question::MovedBy(_), Question::Clock]
        ));
    }
}
