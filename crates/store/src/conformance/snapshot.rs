//! Everything that a store tells about a set of ids, through every read there is, as lines that can be compared.
//! Taking it also checks what must hold at all times: chains are dense and their links recompute.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use crate::batch::{Batch, Entry};
use crate::command::Command;
use crate::conformance::failure::{Failure, Outcome, check, check_eq};
use crate::digest::Digest;
use crate::id::{CheckpointId, OperationKey, TaskId, WorkItemId};
use crate::limits::PAGE_ROWS_MAX;
use crate::monitoring::Monitoring;
use crate::payload::{DamagedPayload, NoPayload, Payload, SealedPayload};
use crate::record::{
    Checkpoint, CheckpointPage, Health, Operation, OperationPage, OperationStatus, SequenceNumber, Task,
    TaskPage, WorkItemPage,
};
use crate::store::Store;

/// The ids that a case has used.
#[derive(Debug, Clone, Default)]
pub(super) struct Universe {
    pub(super) tasks: BTreeSet<TaskId>,
    pub(super) items: BTreeSet<WorkItemId>,
    pub(super) checkpoints: BTreeSet<CheckpointId>,
    pub(super) operations: BTreeSet<OperationKey>,
}

impl Universe {
    /// Adds every id that the batch names.
    pub(super) fn add(&mut self, batch: &Batch) {
        for Entry { guard, command, .. } in batch.entries() {
            self.items.extend(guard.iter().map(|guard| guard.item.clone()));
            match command {
                Command::CreateTask(command) => drop(self.tasks.insert(command.task.clone())),
                Command::FinishTask(command) => drop(self.tasks.insert(command.task.clone())),
                Command::Enqueue(command) => {
                    self.tasks.insert(command.task.clone());
                    self.items.insert(command.item.clone());
                }
                Command::CancelItem(command) => drop(self.items.insert(command.item.clone())),
                Command::Requeue(command) => drop(self.items.insert(command.item.clone())),
                Command::PruneCheckpoints(command) => drop(self.tasks.insert(command.task.clone())),
                Command::EraseCheckpoint(command) => drop(self.checkpoints.insert(command.checkpoint)),
                Command::InvalidateOperation(command) => drop(self.operations.insert(command.key.clone())),
                Command::Renew(command) => drop(self.items.insert(command.guard.item.clone())),
                Command::SettleItem(command) => drop(self.items.insert(command.guard.item.clone())),
                Command::AppendCheckpoint(command) => {
                    self.tasks.insert(command.task.clone());
                    self.checkpoints.insert(command.checkpoint);
                }
                Command::RecordVerification(command) => drop(self.checkpoints.insert(command.checkpoint)),
                Command::BeginOperation(command) => {
                    self.operations.insert(command.key.clone());
                    self.tasks.extend(command.task.clone());
                }
                Command::FinishOperation(command) => drop(self.operations.insert(command.key.clone())),
                Command::Claim(_) | Command::SweepExpired(_) | Command::PurgeOperations(_) => {}
            }
        }
    }
}

/// What a store told, by the name of what it speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot(BTreeMap<String, String>);

impl Snapshot {
    /// Reads everything about `universe`.
    pub(super) async fn of(store: &dyn Store, universe: &Universe) -> Outcome<Self> {
        let mut lines = BTreeMap::new();
        for id in &universe.tasks {
            let record = store.task_record(id).await?;
            let task = record.as_ref().map(|record| record.task.clone());
            check_eq!(store.task(id).await?, task, "the two reads of task {id}");
            let input = record.as_ref().map(|record| shown_payload(&record.input));
            let result = record.as_ref().map(|record| record.result.as_ref().map(shown_payload));
            lines.insert(format!("task {id}"), shown(&(&task, input, result)));
            for checkpoint in chain(store, id, task.as_ref()).await? {
                let key = format!("checkpoint {} of task {id}", checkpoint.header.sequence);
                lines.insert(key, shown_checkpoint(&checkpoint));
            }
            for operation in operations(store, id, None).await? {
                lines.insert(format!("operation {} of task {id}", operation.key), shown(&operation));
            }
        }
        for id in &universe.items {
            lines.insert(format!("item {id}"), shown(&store.work_item(id).await?));
        }
        for id in &universe.checkpoints {
            let found = store.checkpoint(*id).await?;
            lines.insert(format!("checkpoint {id}"), found.as_ref().map_or("none".into(), shown_checkpoint));
        }
        for key in &universe.operations {
            let record = store.operation(key).await?;
            let shown = shown(
                &record.as_ref().map(|record| (&record.operation, record.output.as_ref().map(shown_payload))),
            );
            lines.insert(format!("operation {key}"), shown);
        }
        let health = sorted(store.health().await?);
        lines.insert("health".into(), shown(&health));
        let monitoring = store.monitoring().await?;
        let monitoring = Monitoring { health: sorted(monitoring.health), ..monitoring };
        check_eq!(monitoring.health, health, "the two reads of the counts");
        lines.insert("monitoring".into(), shown(&monitoring));
        let limit = PAGE_ROWS_MAX;
        let page = WorkItemPage { task: None, status: None, after: None, limit };
        lines.insert("work items".into(), shown(&store.work_items(page).await?));
        let page = TaskPage { status: None, after: None, limit };
        lines.insert("tasks".into(), shown(&store.tasks(page).await?));
        Ok(Self(lines))
    }

    /// Where the two differ first, as a sentence.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        let names: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let told =
            |lines: &Self, name: &String| lines.0.get(name).cloned().unwrap_or_else(|| "nothing".into());
        names
            .into_iter()
            .find(|name| self.0.get(*name) != other.0.get(*name))
            .map(|name| format!("{name} reads\n  {}\nand\n  {}", told(self, name), told(other, name)))
    }

    /// Fails with `sentence` unless the two are equal.
    pub(super) fn check_same(&self, other: &Self, sentence: &str) -> Outcome {
        match self.difference(other) {
            Some(difference) => Err(Failure::new(format_args!("{sentence}: {difference}"))),
            None => Ok(()),
        }
    }
}

fn shown(value: &impl Debug) -> String {
    format!("{value:?}")
}

/// Bytes are told by their digest, computed here, so that a payload of many megabytes is one line.
fn shown_bytes(bytes: &[u8], digest: Digest) -> String {
    format!("{} bytes of {}, digest {digest}", bytes.len(), Digest::of(bytes))
}

fn shown_payload(payload: &Payload) -> String {
    shown_bytes(payload.bytes(), payload.digest())
}

fn shown_checkpoint(checkpoint: &Checkpoint) -> String {
    let sealed = |payload: &SealedPayload| (shown_bytes(payload.bytes(), payload.digest()), *payload.salt());
    let payload: Result<_, &NoPayload> = checkpoint.payload.as_ref().map(sealed);
    let evidence: Result<_, &DamagedPayload> = checkpoint.evidence.as_ref().map(shown_payload);
    shown(&(&checkpoint.header, payload, evidence, &checkpoint.verification))
}

/// No order is promised for the counts.
fn sorted(mut health: Health) -> Health {
    health.work_items.sort_unstable();
    health.tasks.sort_unstable();
    health.operations.sort_unstable();
    health
}

/// All checkpoints of a task, oldest first. Fails unless they are numbered without a gap from the first that was not
/// pruned, each linked to the one before by a link that this function computes again, and the last one is the task's
/// head.
pub(super) async fn chain(store: &dyn Store, id: &TaskId, task: Option<&Task>) -> Outcome<Vec<Checkpoint>> {
    let mut chain: Vec<Checkpoint> = Vec::new();
    let pruned = task.map_or(SequenceNumber(0), |task| task.pruned_through);
    loop {
        let after = SequenceNumber(pruned.0 + chain.len() as u64);
        let page = CheckpointPage::OldestFirst { after, limit: PAGE_ROWS_MAX };
        let found = store.checkpoints(id, page).await?;
        if found.is_empty() {
            break;
        }
        for checkpoint in found {
            check_link(id, pruned, chain.last(), &checkpoint)?;
            chain.push(checkpoint);
        }
    }
    let last = chain.last().map(|last| (last.header.sequence, last.header.link));
    let head = task.map(|task| (task.head, task.head_link));
    check_eq!(
        head.unwrap_or((SequenceNumber(0), Digest::ZERO)),
        last.unwrap_or((SequenceNumber(0), Digest::ZERO)),
        "the head that task {id} shows, beside its newest checkpoint"
    );
    Ok(chain)
}

fn check_link(
    task: &TaskId,
    pruned: SequenceNumber,
    before: Option<&Checkpoint>,
    checkpoint: &Checkpoint,
) -> Outcome {
    let header = &checkpoint.header;
    let (sequence, parent) = match before {
        Some(before) => (before.header.sequence, before.header.link),
        None if pruned.0 == 0 => (pruned, Digest::ZERO),
        // What it links to is gone.
        None => (pruned, header.parent_link),
    };
    check_eq!(&header.task, task, "the task of a checkpoint on the page of that task");
    check_eq!(header.sequence, sequence.next(), "the sequence number after {sequence} of task {task}");
    check_eq!(header.parent_link, parent, "the parent link of checkpoint {} of task {task}", header.sequence);
    check_eq!(
        header.link,
        header.computed_link(),
        "the link of checkpoint {} of task {task}",
        header.sequence
    );
    let held = match (&checkpoint.payload, &checkpoint.evidence) {
        (Ok(payload), Ok(evidence)) => {
            payload.digest() == header.payload
                && evidence.digest() == header.evidence
                && header.erased_at.is_none()
        }
        (Err(NoPayload::Erased), Ok(evidence)) => {
            evidence.digest() == header.evidence && header.erased_at.is_some()
        }
        _ => false,
    };
    check!(
        held,
        "checkpoint {} of task {task} comes without the bytes that its header names",
        header.sequence
    );
    Ok(())
}

/// All operations of a task.
pub(super) async fn operations(
    store: &dyn Store,
    task: &TaskId,
    status: Option<OperationStatus>,
) -> Outcome<Vec<Operation>> {
    let mut all: Vec<Operation> = Vec::new();
    loop {
        let after = all.last().map(|operation| operation.key.clone());
        let found = store.operations(task, OperationPage { after, status, limit: PAGE_ROWS_MAX }).await?;
        if found.is_empty() {
            return Ok(all);
        }
        all.extend(found);
    }
}
