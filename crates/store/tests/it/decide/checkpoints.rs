//! Checkpoints: appended, looked at, pruned.

use std::sync::Arc;

use steadfast_store::decide::{Decision, decide_append, decide_prune, decide_record_verification};
use steadfast_store::env::{Env, Rng};
use steadfast_store::{
    AppendCheckpoint, Appended, CheckpointHeader, CheckpointId, Payload, PruneCheckpoints, Pruned, Reason,
    RecordVerification, SealedPayload, SequenceNumber, Status, Task, Verdict, Verification,
    VerificationRecorded,
};

use super::{CREATED, NOW, item_id, label, task, task_id};

fn checkpoint(number: u8) -> CheckpointId {
    CheckpointId::from_bytes([number; 16])
}

/// No salt is another one.
#[derive(Debug)]
struct Unsalted;

impl Rng for Unsalted {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

fn payload(text: &'static str) -> SealedPayload {
    SealedPayload::seal(text, &Env::system().with_rng(Arc::new(Unsalted))).unwrap()
}

fn append() -> AppendCheckpoint {
    AppendCheckpoint {
        checkpoint: checkpoint(4),
        task: task_id("task"),
        kind: label("step"),
        work_item: Some(item_id("item")),
        expected_head: Some(SequenceNumber(3)),
        copy_of: None,
        payload: payload("state"),
        evidence: Payload::new("evidence").unwrap(),
    }
}

fn decide(
    task: &Task,
    existing: Option<&CheckpointHeader>,
    origin: Option<&CheckpointHeader>,
    command: &AppendCheckpoint,
) -> Decision<(Task, CheckpointHeader), Appended> {
    decide_append(Some(task), existing, origin, command, None, NOW)
}

fn appended(command: &AppendCheckpoint, origin: Option<&CheckpointHeader>) -> (Task, CheckpointHeader) {
    match decide(&task(Status::InProgress), None, origin, command) {
        Decision::Apply(rows, answer) => {
            assert_eq!(answer, Appended { sequence: rows.1.sequence, link: rows.1.link });
            rows
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_checkpoint_moves_the_head_and_links_to_the_one_before() {
    let before = task(Status::InProgress);
    let (after, header) = appended(&append(), None);
    let expected = CheckpointHeader {
        id: checkpoint(4),
        task: task_id("task"),
        sequence: SequenceNumber(4),
        kind: label("step"),
        work_item: Some(item_id("item")),
        parent_link: before.head_link,
        link: header.computed_link(),
        payload: append().payload.digest(),
        evidence: append().evidence.digest(),
        copy_of: None,
        erased_at: None,
        created_at: NOW.wall,
    };
    assert_eq!(header, expected);
    assert_eq!(after, Task { head: SequenceNumber(4), head_link: header.link, ..before });
}

#[test]
fn a_checkpoint_is_the_same_only_with_the_same_task_kind_item_and_bytes() {
    let (after, header) = appended(&append(), None);
    let answer = |command: &AppendCheckpoint| decide(&after, Some(&header), None, command);
    let same = Appended { sequence: header.sequence, link: header.link };
    assert_eq!(answer(&append()), Decision::Replayed(same));
    for other in [
        AppendCheckpoint { task: task_id("other"), ..append() },
        AppendCheckpoint { kind: label("other"), ..append() },
        AppendCheckpoint { work_item: None, ..append() },
        AppendCheckpoint { payload: payload("other"), ..append() },
        AppendCheckpoint { evidence: Payload::empty(), ..append() },
    ] {
        let exists = Decision::Rejected(Reason::CheckpointExists { checkpoint: checkpoint(4) });
        assert_eq!(answer(&other), exists, "{other:?}");
    }
}

#[test]
fn a_checkpoint_is_added_to_a_task_that_goes_on_and_stands_where_it_is_said_to() {
    let ended = Reason::TaskEnded { task: task_id("task"), status: Status::Succeeded };
    assert_eq!(decide(&task(Status::Succeeded), None, None, &append()), Decision::Rejected(ended));
    let missing = Decision::Rejected(Reason::NoSuchTask { task: task_id("task") });
    assert_eq!(decide_append(None, None, None, &append(), None, NOW), missing);
    let expected = SequenceNumber(2);
    let command = AppendCheckpoint { expected_head: Some(expected), ..append() };
    let wrong = Reason::WrongParent { task: task_id("task"), expected, head: SequenceNumber(3) };
    assert_eq!(decide(&task(Status::Pending), None, None, &command), Decision::Rejected(wrong));
    let anywhere = AppendCheckpoint { expected_head: None, ..append() };
    assert_eq!(appended(&anywhere, None).1.sequence, SequenceNumber(4));
}

#[test]
fn a_copy_names_the_first_that_had_its_payload() {
    let (_, origin) = appended(&append(), None);
    let copy = AppendCheckpoint { checkpoint: checkpoint(5), copy_of: Some(checkpoint(4)), ..append() };
    assert_eq!(appended(&copy, Some(&origin)).1.copy_of, Some(checkpoint(4)));
    let copied = CheckpointHeader { copy_of: Some(checkpoint(1)), ..origin.clone() };
    assert_eq!(appended(&copy, Some(&copied)).1.copy_of, Some(checkpoint(1)));
    let refused = Decision::Rejected(Reason::NoCopy { origin: checkpoint(4) });
    let erased = CheckpointHeader { erased_at: Some(CREATED), ..origin.clone() };
    let differs = AppendCheckpoint { payload: payload("other"), ..copy.clone() };
    let going_on = task(Status::InProgress);
    assert_eq!(decide(&going_on, None, Some(&erased), &copy), refused);
    assert_eq!(decide(&going_on, None, Some(&origin), &differs), refused);
    assert_eq!(decide(&going_on, None, None, &copy), refused);
}

#[test]
fn a_verdict_is_recorded_of_a_checkpoint_that_is_there() {
    let (_, header) = appended(&append(), None);
    let command =
        RecordVerification { checkpoint: checkpoint(4), verdict: Verdict::Failed, detail: "gone".to_owned() };
    let verification = Verification { verdict: Verdict::Failed, detail: "gone".to_owned(), at: NOW.wall };
    let answer = |existing| decide_record_verification(existing, &command, NOW);
    assert_eq!(answer(Some(&header)), Decision::Apply(verification, VerificationRecorded));
    let missing = Reason::NoSuchCheckpoint { checkpoint: checkpoint(4) };
    assert_eq!(answer(None), Decision::Rejected(missing));
}

#[test]
fn a_chain_is_pruned_from_its_beginning_and_page_by_page() {
    let task = Task { head: SequenceNumber(10), pruned_through: SequenceNumber(2), ..task(Status::Pending) };
    let prune = |verified: Option<u64>, keep, limit| {
        let command = PruneCheckpoints { task: task_id("task"), keep, limit };
        decide_prune(Some(&task), verified.map(SequenceNumber), &command)
    };
    for (verified, keep, limit, removed, is_more) in [
        (None, 3, 100, 5, false),
        (None, 3, 5, 5, false),
        (None, 3, 4, 4, true),
        (None, 7, 100, 1, false),
        // The newest that verified stays.
        (Some(5), 3, 100, 2, false),
        (Some(5), 3, 1, 1, true),
        (Some(9), 3, 100, 5, false),
    ] {
        let through = SequenceNumber(2 + u64::from(removed));
        let pruned = Decision::Apply(
            Task { pruned_through: through, ..task.clone() },
            Pruned { removed, through, is_more },
        );
        assert_eq!(prune(verified, keep, limit), pruned, "{verified:?}, {keep}, {limit}");
    }
    let nothing = Decision::Replayed(Pruned { removed: 0, through: SequenceNumber(2), is_more: false });
    for (verified, keep) in [(None, 8), (None, 100), (Some(3), 1), (Some(1), 1)] {
        assert_eq!(prune(verified, keep, 100), nothing, "{verified:?}, {keep}");
    }
}
