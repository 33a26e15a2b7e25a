//! The statement with which the scenarios look at a database, on a connection of their own.

/// The numbers of the batches that are there: each has made a task.
pub(crate) const TASKS: &str = "SELECT task_key FROM tasks";
