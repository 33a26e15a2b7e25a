//! Appending to a task's chain, and recording a look at the evidence.

use crate::command::{AppendCheckpoint, RecordVerification};
use crate::decide::Decision;
use crate::decide::lease::kept_detail;
use crate::digest::{Digest, link};
use crate::outcome::{Appended, Reason, VerificationRecorded};
use crate::record::{CheckpointHeader, Task, Verification};
use crate::time::Now;

/// The next sequence number and the link over the task's head; the task's new head beside it. `contents` is the digest
/// of what the link covers whatever its place, if somebody made it already; `origin` the checkpoint that the command
/// names as the origin of its payload.
pub fn decide_append(
    task: Option<&Task>,
    existing: Option<&CheckpointHeader>,
    origin: Option<&CheckpointHeader>,
    command: &AppendCheckpoint,
    contents: Option<Digest>,
    now: Now,
) -> Decision<(Task, CheckpointHeader), Appended> {
    if let Some(stored) = existing {
        let equal = stored.task == command.task
            && stored.kind == command.kind
            && stored.work_item == command.work_item
            && stored.payload == command.payload.digest()
            && stored.evidence == command.evidence.digest();
        return if equal {
            Decision::Replayed(Appended { sequence: stored.sequence, link: stored.link })
        } else {
            Decision::Rejected(Reason::CheckpointExists { checkpoint: command.checkpoint })
        };
    }
    let Some(task) = task else {
        return Decision::Rejected(Reason::NoSuchTask { task: command.task.clone() });
    };
    if task.status.is_terminal() {
        return Decision::Rejected(Reason::TaskEnded { task: task.id.clone(), status: task.status });
    }
    if let Some(expected) = command.expected_head.filter(|expected| *expected != task.head) {
        return Decision::Rejected(Reason::WrongParent { task: task.id.clone(), expected, head: task.head });
    }
    let copy_of = match (command.copy_of, origin) {
        (None, _) => None,
        (Some(_), Some(origin))
            if origin.payload == command.payload.digest() && origin.erased_at.is_none() =>
        {
            Some(origin.copy_of.unwrap_or(origin.id))
        }
        (Some(origin), _) => return Decision::Rejected(Reason::NoCopy { origin }),
    };
    let sequence = task.head.next();
    let contents = contents.unwrap_or_else(|| command.link_contents().digest());
    let link = link(task.head_link, sequence.0, contents);
    let header = CheckpointHeader {
        id: command.checkpoint,
        task: task.id.clone(),
        sequence,
        kind: command.kind.clone(),
        work_item: command.work_item.clone(),
        parent_link: task.head_link,
        link,
        payload: command.payload.digest(),
        evidence: command.evidence.digest(),
        copy_of,
        erased_at: None,
        created_at: now.wall,
    };
    let task = Task { head: sequence, head_link: link, ..task.clone() };
    Decision::Apply((task, header), Appended { sequence, link })
}

/// The newest look counts; nothing depends on an older one.
pub fn decide_record_verification(
    existing: Option<&CheckpointHeader>,
    command: &RecordVerification,
    now: Now,
) -> Decision<Verification, VerificationRecorded> {
    if existing.is_none() {
        return Decision::Rejected(Reason::NoSuchCheckpoint { checkpoint: command.checkpoint });
    }
    let detail = kept_detail(&command.detail);
    let verification = Verification { verdict: command.verdict, detail, at: now.wall };
    Decision::Apply(verification, VerificationRecorded)
}
