//! Tasks with their heads (newest sequence number and link), kept by the writer between groups, so that an append need
//! not look for the newest checkpoint. Another connection's commit makes them stale; then all are dropped.

use std::collections::HashMap;

use crate::id::TaskId;
use crate::record::Task;

/// Tasks kept between groups at most; each takes some hundred bytes.
const KEPT_MAX: usize = 16_384;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Heads {
    known: HashMap<TaskId, (i64, Task)>,
}

impl Heads {
    /// The task as it stands inside the transaction.
    pub(super) fn task(&self, id: &TaskId) -> Option<&Task> {
        self.known.get(id).map(|(_, task)| task)
    }

    /// The integer of a known task.
    pub(super) fn row(&self, id: &TaskId) -> Option<i64> {
        self.known.get(id).map(|(row, _)| *row)
    }

    /// Remembers a task as it is stored.
    pub(super) fn learn(&mut self, row: i64, task: Task) {
        self.known.insert(task.id.clone(), (row, task));
    }

    /// Notes what became of a known task.
    pub(super) fn update(&mut self, task: Task) {
        if let Some((_, known)) = self.known.get_mut(&task.id) {
            *known = task;
        }
    }

    /// After a rollback, and when somebody else has committed.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// Keeps memory bounded. To be called between groups.
    pub(super) fn trim(&mut self) {
        if self.known.len() > KEPT_MAX {
            self.forget();
        }
    }
}
