//! Batches as short text, so that a failure can be read: who is meant by what, and no payload beyond its length.

use std::fmt;

use crate::batch::{Batch, Entry};
use crate::command::{Command, OperationEnd};
use crate::record::Guard;

/// A batch, shown as its commands.
pub(super) struct Described<'a>(pub(super) &'a Batch);

/// Commands of a long batch that are shown.
const SHOWN_MAX: usize = 12;

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.0.entries();
        write!(f, "{:?} [", self.0.durability())?;
        for (index, entry) in entries.iter().take(SHOWN_MAX).enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            entry_text(f, entry)?;
        }
        match entries.len().saturating_sub(SHOWN_MAX) {
            0 => f.write_str("]"),
            more => write!(f, "; and {more} more]"),
        }
    }
}

fn guard_text(guard: &Guard) -> String {
    format!("{}@{}", guard.item, guard.fence)
}

fn entry_text(f: &mut fmt::Formatter<'_>, Entry { guard, command, .. }: &Entry) -> fmt::Result {
    if let Some(guard) = guard {
        write!(f, "under {}: ", guard_text(guard))?;
    }
    match command {
        Command::CreateTask(c) => {
            write!(f, "create {} as {}, {} bytes", c.task, c.kind, c.input.bytes().len())
        }
        Command::FinishTask(c) => write!(f, "finish task {} as {:?}", c.task, c.end),
        Command::Enqueue(c) => {
            write!(f, "enqueue {} for {}, priority {}, ", c.item, c.task, c.priority)?;
            write!(f, "delay {}, attempts {}, kind {}", c.delay, c.max_attempts, c.kind)
        }
        Command::Claim(c) => {
            write!(f, "claim {} by {}, term {}, limit {}", c.claim, c.holder, c.term, c.limit)?;
            for kind in &c.kinds {
                write!(f, ", of kind {kind}")?;
            }
            c.task.as_ref().map_or(Ok(()), |task| write!(f, ", of {task}"))
        }
        Command::CancelItem(c) => write!(f, "cancel {}", c.item),
        Command::Requeue(c) => write!(f, "requeue {} by {}, delay {}", c.item, c.requeue, c.delay),
        Command::PruneCheckpoints(c) => write!(f, "prune {} to {}, limit {}", c.task, c.keep, c.limit),
        Command::EraseCheckpoint(c) => write!(f, "erase {}", c.checkpoint),
        Command::PurgeOperations(c) => {
            write!(f, "purge {:?} older than {:?}, limit {}", c.prefix, c.older_than, c.limit)
        }
        Command::InvalidateOperation(c) => write!(f, "invalidate {}", c.key),
        Command::Renew(c) => write!(f, "renew {} for {}", guard_text(&c.guard), c.term),
        Command::SettleItem(c) => write!(f, "settle {} as {:?}", guard_text(&c.guard), c.settle),
        Command::AppendCheckpoint(c) => {
            write!(f, "append {} to {}, kind {}, ", c.checkpoint, c.task, c.kind)?;
            if let Some(head) = c.expected_head {
                write!(f, "on head {head}, ")?;
            }
            if let Some(origin) = c.copy_of {
                write!(f, "copy of {origin}, ")?;
            }
            if let Some(item) = &c.work_item {
                write!(f, "for {item}, ")?;
            }
            write!(f, "{} + {} bytes", c.payload.bytes().len(), c.evidence.bytes().len())
        }
        Command::RecordVerification(c) => {
            write!(f, "record {} of {} ({:?})", c.verdict, c.checkpoint, c.detail)
        }
        Command::SweepExpired(c) => write!(f, "sweep {}, limit {}", c.sweep, c.limit),
        Command::BeginOperation(c) => {
            write!(f, "begin {} as {}, term {}, then {}", c.key, c.token, c.term, c.abandonment)?;
            if let Some(lease) = &c.lease {
                write!(f, ", with lease {}", guard_text(lease))?;
            }
            if let Some(fresh_for) = c.fresh_for {
                write!(f, ", fresh for {fresh_for:?}")?;
            }
            c.task.as_ref().map_or(Ok(()), |task| write!(f, ", for {task}"))
        }
        Command::FinishOperation(c) => {
            let how = match &c.end {
                OperationEnd::Succeeded(output) => format!("succeeded, {} bytes", output.bytes().len()),
                OperationEnd::Failed(output) => format!("failed, {} bytes", output.bytes().len()),
                OperationEnd::InDoubt => "in doubt".to_owned(),
                OperationEnd::Abandoned => "abandoned".to_owned(),
                OperationEnd::DidNotHappen => "never happened".to_owned(),
            };
            write!(f, "finish {} as {}: {how}", c.key, c.token)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::commands::{BatchExt, append, claim, guard};

    #[test]
    fn a_batch_is_one_readable_line() {
        let batch = Batch::relaxed().with(claim(7, 2)).with_guarded(&guard("a", 3), append(1, "t"));
        assert_eq!(
            Described(&batch).to_string(),
            "Relaxed [claim 00000000-0000-0000-0000-000000000007 by worker, term 60s, limit 2; \
             under a@3: append 00000000-0000-0000-0000-000000000001 to t, kind step, 7 + 10 bytes]"
        );
    }
}
