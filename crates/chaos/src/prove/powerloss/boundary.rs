//! What had been done last when the power was cut.

use crate::memory_vfs::{Name, Op, Took};

/// Every boundary that a campaign sets out to meet.
pub(super) const ALL: &[&str] = &[
    "database create",
    "database write",
    "database sync",
    "failed database sync",
    "log create",
    "log write",
    "log sync",
    "failed log sync",
    "log truncate",
    "log delete",
    "journal create",
    "journal write",
    "journal sync",
    "journal delete",
];

/// The boundary behind the first `cut` operations.
pub(super) fn name(ops: &[Op], cut: usize) -> &'static str {
    let Some(last) = cut.checked_sub(1).and_then(|at| ops.get(at)) else { return "nothing yet" };
    let of = |name: &Name, names: [&'static str; 3]| names[*name as usize];
    match last {
        Op::Create(name) => of(name, ["database create", "log create", "journal create"]),
        Op::Write { name, .. } => of(name, ["database write", "log write", "journal write"]),
        Op::Truncate { name, .. } => of(name, ["database truncate", "log truncate", "journal truncate"]),
        Op::Sync { name, took: Took::Failed, .. } => {
            of(name, ["failed database sync", "failed log sync", "failed journal sync"])
        }
        Op::Sync { name, .. } => of(name, ["database sync", "log sync", "journal sync"]),
        Op::Delete { name, .. } => of(name, ["database delete", "log delete", "journal delete"]),
    }
}
