//! The oracle's own account of tasks: how long each chain is, and which steps it tells of.

use std::collections::BTreeMap;

use steadfast_store::{
    AppendCheckpoint, Appended, CheckpointId, CreateTask, FinishTask, Outcome, Swept, TaskId,
};

use super::promise::Promise;
use super::{Backend, Said};

/// What a task must be.
#[derive(Debug, Default)]
struct Row {
    has_ended: bool,
    head: u64,
    /// Steps that were recorded, by the words that their payloads begin with.
    steps: BTreeMap<String, CheckpointId>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    rows: BTreeMap<TaskId, Row>,
    appended: BTreeMap<CheckpointId, Appended>,
}

impl Tasks {
    pub(super) fn has_ended(&self, task: &TaskId) -> bool {
        self.rows.get(task).is_some_and(|row| row.has_ended)
    }

    pub(super) fn created(&mut self, command: &CreateTask) {
        self.rows.entry(command.task.clone()).or_default();
    }

    pub(super) fn finished(&mut self, command: &FinishTask, said: &mut Said) {
        match self.rows.get_mut(&command.task) {
            Some(row) => row.has_ended = true,
            None => said.broken(Promise::Rows, format!("{} was ended and never created", command.task)),
        }
    }

    pub(super) fn appended(&mut self, command: &AppendCheckpoint, appended: &Appended, said: &mut Said) {
        let row = self.rows.entry(command.task.clone()).or_default();
        row.head += 1;
        if appended.sequence.0 != row.head {
            let what = format!("{} has {} after {}", command.task, appended.sequence, row.head - 1);
            said.broken(Promise::Dense, what);
        }
        let text = String::from_utf8_lossy(command.payload.bytes());
        let step: String = text.splitn(3, ':').take(2).collect::<Vec<_>>().join(":");
        if let Some(first) = row.steps.insert(step.clone(), command.checkpoint) {
            let what = format!("{} has {step} as {first} and as {}", command.task, command.checkpoint);
            said.broken(Promise::OneIdentity, what);
        }
        self.appended.insert(command.checkpoint, appended.clone());
    }

    /// Each reclaim of a task that goes on leaves a checkpoint.
    pub(super) fn swept(&mut self, swept: &Swept) {
        for reclaimed in swept.reclaimed.iter().filter(|reclaimed| reclaimed.checkpoint.is_some()) {
            self.rows.entry(reclaimed.task.clone()).or_default().head += 1;
        }
    }

    /// Whether an append that was submitted again answers as it did first.
    pub(super) fn knows(&self, command: &AppendCheckpoint, outcome: &Outcome) -> bool {
        let first = self.appended.get(&command.checkpoint);
        match outcome {
            Outcome::Appended(again) => first == Some(again),
            Outcome::Superseded => first.is_some(),
            _ => false,
        }
    }

    pub(super) fn differences(&self, backend: &Backend) -> Vec<String> {
        let difference = |(id, row): (&TaskId, &Row)| {
            let stored = backend.read(|store| store.task(id)).ok().flatten();
            let is = stored.map(|task| (task.head.0, task.status.is_terminal()));
            let must = Some((row.head, row.has_ended));
            (is != must).then(|| format!("{id} is {is:?}, and must be {must:?}"))
        };
        self.rows.iter().filter_map(difference).collect()
    }
}
