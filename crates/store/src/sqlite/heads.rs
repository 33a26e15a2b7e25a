//! The heads of tasks (newest sequence number and link), kept by the writer between groups. Another connection's
//! commit makes them stale; then all are dropped. Each one that moved is written once per group.

use std::collections::HashMap;

use crate::id::TaskId;
use crate::record::Task;

/// Heads kept beyond a group at most; each holds some hundred bytes.
const KEPT_MAX: usize = 16_384;

#[derive(Debug)]
struct Head {
    row: i64,
    task: Task,
    moved: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Heads {
    known: HashMap<TaskId, Head>,
    moved: Vec<TaskId>,
}

impl Heads {
    /// The task as it stands inside the transaction.
    pub(super) fn task(&self, id: &TaskId) -> Option<&Task> {
        self.known.get(id).map(|head| &head.task)
    }

    /// The integer of a known task.
    pub(super) fn row(&self, id: &TaskId) -> Option<i64> {
        self.known.get(id).map(|head| head.row)
    }

    /// Remembers a task as it is stored.
    pub(super) fn learn(&mut self, row: i64, task: Task) {
        self.known.insert(task.id.clone(), Head { row, task, moved: false });
    }

    /// Notes a new head, to be written at the end of the group.
    pub(super) fn move_to(&mut self, task: Task) {
        if let Some(head) = self.known.get_mut(&task.id) {
            if !head.moved {
                self.moved.push(task.id.clone());
                head.moved = true;
            }
            head.task = task;
        }
    }

    /// Notes a task whose row was rewritten already; a head that is still to be written stays so.
    pub(super) fn rewrite(&mut self, task: Task) {
        if let Some(head) = self.known.get_mut(&task.id) {
            head.task = task;
        }
    }

    /// Hands out every head that moved since the last call, with its task's integer.
    pub(super) fn take_moved(&mut self) -> Vec<(i64, Task)> {
        let mut moved = Vec::with_capacity(self.moved.len());
        for id in self.moved.drain(..) {
            if let Some(head) = self.known.get_mut(&id) {
                head.moved = false;
                moved.push((head.row, head.task.clone()));
            }
        }
        moved
    }

    /// Forgets everything: after a rollback, and when somebody else has committed.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.moved.clear();
    }

    /// Keeps memory bounded. To be called between groups.
    pub(super) fn trim(&mut self) {
        if self.known.len() > KEPT_MAX {
            self.forget();
        }
    }
}
