//! Operations: one owner at a time, one outcome for ever.

use steadfast_store::decide::{Decision, decide_begin, decide_finish_operation, decide_invalidate, is_owned};
use steadfast_store::{
    Abandonment, BeginOperation, Digest, Fence, FinishOperation, Guard, InvalidateOperation, Invalidated,
    Operation, OperationBegun, OperationEnd, OperationFinished, OperationKey, OperationStatus,
    OperationToken, Ownership, Payload, Reason, Status, Task, WallTime,
};

use super::{CREATED, MILLI, NOW, SECOND, item_id, leased, pending, task, task_id, term};

const OWN: OperationToken = OperationToken::from_bytes([1; 16]);
const OTHER: OperationToken = OperationToken::from_bytes([2; 16]);

fn key() -> OperationKey {
    OperationKey::new("tool-ledger:send").unwrap()
}

/// Pending, its owner's term over at this very moment.
fn operation() -> Operation {
    Operation {
        key: key(),
        task: Some(task_id("task")),
        fingerprint: Digest::of(b"call"),
        status: OperationStatus::Pending,
        abandonment: Abandonment::Retake,
        owner: Ownership { token: OWN, lease: None, expires_at: NOW.store },
        output: None,
        attempt: 3,
        created_at: CREATED,
        finished_at: None,
    }
}

fn owned() -> Operation {
    let owner = Ownership { expires_at: NOW.store.plus(MILLI), ..operation().owner };
    Operation { owner, ..operation() }
}

fn leased_operation() -> Operation {
    let lease = Some(Guard { item: item_id("item"), fence: Fence(7) });
    Operation { owner: Ownership { lease, ..operation().owner }, ..operation() }
}

fn ended(status: OperationStatus, finished_at: WallTime) -> Operation {
    Operation { status, output: Some(Digest::of(b"output")), finished_at: Some(finished_at), ..operation() }
}

fn begin() -> BeginOperation {
    BeginOperation {
        key: key(),
        fingerprint: Digest::of(b"call"),
        token: OTHER,
        task: Some(task_id("task")),
        lease: Some(Guard { item: item_id("item"), fence: Fence(9) }),
        term: term(),
        abandonment: Abandonment::Doubt,
        fresh_for: None,
    }
}

/// What is begun for a task that goes on.
fn begun(existing: Option<&Operation>, command: &BeginOperation) -> Decision<Operation, OperationBegun> {
    decide_begin(existing, Some(&task(Status::InProgress)), None, command, NOW)
}

fn finish(end: OperationEnd) -> FinishOperation {
    FinishOperation { key: key(), token: OWN, end }
}

fn finished(existing: &Operation, end: OperationEnd) -> Decision<Operation, OperationFinished> {
    decide_finish_operation(Some(existing), None, &finish(end), NOW)
}

fn output() -> Payload {
    Payload::new("output").unwrap()
}

#[test]
fn an_owner_has_it_until_his_term_ends_or_while_his_lease_lasts() {
    assert!(is_owned(&owned(), None, NOW));
    assert!(!is_owned(&operation(), None, NOW), "his term ends at this very moment");
    let in_doubt = Operation { status: OperationStatus::InDoubt, ..owned() };
    assert!(!is_owned(&in_doubt, None, NOW));
    assert!(is_owned(&leased_operation(), Some(&leased(NOW.store)), NOW), "the lease alone decides");
    assert!(!is_owned(&leased_operation(), Some(&pending()), NOW));
    let term_left = Operation {
        owner: Ownership { expires_at: NOW.store.plus(SECOND), ..leased_operation().owner },
        ..operation()
    };
    assert!(!is_owned(&term_left, None, NOW));
}

#[test]
fn a_new_operation_is_its_owners_for_his_term() {
    let expires_at = NOW.store.plus(10 * SECOND);
    let owner = Ownership { token: OTHER, lease: begin().lease, expires_at };
    let operation =
        Operation { owner, attempt: 1, abandonment: Abandonment::Doubt, created_at: NOW.wall, ..operation() };
    assert_eq!(begun(None, &begin()), Decision::Apply(operation, OperationBegun { expires_at, attempt: 1 }));
}

#[test]
fn nothing_is_begun_for_a_task_that_has_ended_or_is_not_there() {
    let of =
        |existing: Option<&Operation>, task: Option<&Task>| decide_begin(existing, task, None, &begin(), NOW);
    let has_ended =
        || Decision::Rejected(Reason::TaskEnded { task: task_id("task"), status: Status::Failed });
    let missing = || Decision::Rejected(Reason::NoSuchTask { task: task_id("task") });
    for existing in [None, Some(operation())] {
        assert_eq!(of(existing.as_ref(), Some(&task(Status::Failed))), has_ended());
        assert_eq!(of(existing.as_ref(), None), missing());
    }
    let for_nobody_in_particular = BeginOperation { task: None, ..begin() };
    let answer = decide_begin(None, None, None, &for_nobody_in_particular, NOW);
    assert!(matches!(answer, Decision::Apply(..)), "{answer:?}");
    // An outcome that is there is told all the same.
    let stale = BeginOperation { fresh_for: Some(SECOND), ..begin() };
    let done = ended(OperationStatus::Succeeded, CREATED);
    let answer = decide_begin(Some(&done), Some(&task(Status::Failed)), None, &stale, NOW);
    assert_eq!(answer, Decision::Rejected(Reason::OperationEnded { status: OperationStatus::Succeeded }));
}

#[test]
fn the_same_key_for_another_call_is_a_conflict() {
    let other = BeginOperation { fingerprint: Digest::of(b"other"), ..begin() };
    let conflict = Decision::Rejected(Reason::FingerprintConflict { stored: Digest::of(b"call") });
    assert_eq!(begun(Some(&operation()), &other), conflict);
}

#[test]
fn an_owner_who_asks_again_is_told_only_while_it_is_his() {
    let again = BeginOperation { token: OWN, ..begin() };
    let told = OperationBegun { expires_at: owned().owner.expires_at, attempt: 3 };
    assert_eq!(begun(Some(&owned()), &again), Decision::Replayed(told));
    assert_eq!(begun(Some(&operation()), &again), Decision::Superseded);
}

#[test]
fn an_operation_under_way_in_doubt_or_ended_is_not_begun_again() {
    let in_flight = Reason::OperationInFlight { expires_at: owned().owner.expires_at };
    assert_eq!(begun(Some(&owned()), &begin()), Decision::Rejected(in_flight));
    let doubt = || Decision::Rejected(Reason::OperationInDoubt { token: OWN });
    let doubtful = Operation { abandonment: Abandonment::Doubt, ..operation() };
    assert_eq!(begun(Some(&doubtful), &begin()), doubt());
    let in_doubt = Operation { status: OperationStatus::InDoubt, ..operation() };
    assert_eq!(begun(Some(&in_doubt), &begin()), doubt());
    for status in [OperationStatus::Succeeded, OperationStatus::Failed] {
        let has_ended = Decision::Rejected(Reason::OperationEnded { status });
        assert_eq!(begun(Some(&ended(status, CREATED)), &begin()), has_ended);
    }
}

#[test]
fn an_operation_that_was_left_may_be_taken_over_as_the_new_owner_declares_it() {
    let expires_at = NOW.store.plus(10 * SECOND);
    let owner = Ownership { token: OTHER, lease: begin().lease, expires_at };
    let retaken = Operation { owner, attempt: 4, abandonment: Abandonment::Doubt, ..operation() };
    let told = OperationBegun { expires_at, attempt: 4 };
    assert_eq!(begun(Some(&operation()), &begin()), Decision::Apply(retaken, told));
}

#[test]
fn an_outcome_is_stale_from_the_very_moment_at_which_its_time_is_over() {
    let command = BeginOperation { fresh_for: Some(SECOND), ..begin() };
    let expires_at = NOW.store.plus(10 * SECOND);
    let owner = Ownership { token: OTHER, lease: begin().lease, expires_at };
    let anew =
        Operation { owner, attempt: 4, abandonment: Abandonment::Doubt, created_at: NOW.wall, ..operation() };
    let told = OperationBegun { expires_at, attempt: 4 };
    for status in [OperationStatus::Succeeded, OperationStatus::Failed] {
        let stale = ended(status, NOW.wall.minus(SECOND));
        assert_eq!(begun(Some(&stale), &command), Decision::Apply(anew.clone(), told.clone()));
        let fresh = ended(status, NOW.wall.minus(SECOND).plus(MILLI));
        let has_ended = Decision::Rejected(Reason::OperationEnded { status });
        assert_eq!(begun(Some(&fresh), &command), has_ended);
    }
}

#[test]
fn only_the_newest_attempt_ends_an_operation() {
    let command = FinishOperation { token: OTHER, ..finish(OperationEnd::Succeeded(output())) };
    let stale = Decision::Rejected(Reason::StaleToken);
    assert_eq!(decide_finish_operation(Some(&owned()), None, &command, NOW), stale);
    let missing = Decision::Rejected(Reason::NoSuchOperation);
    assert_eq!(decide_finish_operation(None, None, &command, NOW), missing);
}

#[test]
fn a_result_ends_what_is_under_way_and_settles_a_doubt_and_never_changes() {
    for (end, status) in [
        (OperationEnd::Succeeded(output()), OperationStatus::Succeeded),
        (OperationEnd::Failed(output()), OperationStatus::Failed),
    ] {
        let told = OperationFinished { status };
        for before in [owned(), Operation { status: OperationStatus::InDoubt, ..owned() }] {
            let output = Some(Digest::of(b"output"));
            let after = Operation { status, output, finished_at: Some(NOW.wall), ..owned() };
            assert_eq!(finished(&before, end.clone()), Decision::Apply(after.clone(), told.clone()));
            assert_eq!(finished(&after, end.clone()), Decision::Replayed(told.clone()));
            let has_ended = Decision::Rejected(Reason::OperationEnded { status });
            for other in [
                OperationEnd::Succeeded(Payload::new("another").unwrap()),
                OperationEnd::Failed(Payload::new("another").unwrap()),
                OperationEnd::InDoubt,
                OperationEnd::Abandoned,
                OperationEnd::DidNotHappen,
            ] {
                assert_eq!(finished(&after, other.clone()), has_ended, "{other:?}");
            }
        }
    }
    let done = ended(OperationStatus::Succeeded, CREATED);
    let has_ended = Decision::Rejected(Reason::OperationEnded { status: OperationStatus::Succeeded });
    assert_eq!(finished(&done, OperationEnd::Failed(output())), has_ended, "the same bytes, another end");
}

#[test]
fn a_doubt_is_declared_once_its_owner_has_lost_it() {
    let told = OperationFinished { status: OperationStatus::InDoubt };
    let in_doubt = Operation { status: OperationStatus::InDoubt, ..operation() };
    assert_eq!(
        finished(&operation(), OperationEnd::InDoubt),
        Decision::Apply(in_doubt.clone(), told.clone())
    );
    assert_eq!(finished(&in_doubt, OperationEnd::InDoubt), Decision::Replayed(told));
    let still_owned = Reason::OperationOwned { expires_at: owned().owner.expires_at };
    assert_eq!(finished(&owned(), OperationEnd::InDoubt), Decision::Rejected(still_owned));
}

#[test]
fn what_its_owner_lets_go_of_is_in_doubt_or_free_as_it_was_declared() {
    let told = |status| OperationFinished { status };
    let free = Operation {
        status: OperationStatus::Pending,
        owner: Ownership { token: OWN, lease: None, expires_at: NOW.store },
        abandonment: Abandonment::Retake,
        ..operation()
    };
    let freed = Decision::Apply(free, told(OperationStatus::Pending));
    let declared = |abandonment, status| Operation { abandonment, status, ..leased_operation() };
    let retake = declared(Abandonment::Retake, OperationStatus::Pending);
    assert_eq!(finished(&retake, OperationEnd::Abandoned), freed);
    let doubt = declared(Abandonment::Doubt, OperationStatus::Pending);
    let in_doubt = Operation { status: OperationStatus::InDoubt, ..doubt.clone() };
    let doubted = Decision::Apply(in_doubt.clone(), told(OperationStatus::InDoubt));
    assert_eq!(finished(&doubt, OperationEnd::Abandoned), doubted);
    // The word that it did not happen frees it however it was declared, and settles a doubt.
    for before in [&retake, &doubt, &in_doubt] {
        assert_eq!(finished(before, OperationEnd::DidNotHappen), freed);
    }
    let stays = Decision::Replayed(told(OperationStatus::InDoubt));
    let retaken_doubt = declared(Abandonment::Retake, OperationStatus::InDoubt);
    assert_eq!(finished(&retaken_doubt, OperationEnd::Abandoned), stays);
}

#[test]
fn only_what_has_ended_is_invalidated() {
    let command = InvalidateOperation { key: key() };
    assert_eq!(decide_invalidate(None, &command), Decision::Replayed(Invalidated { was_there: false }));
    for status in OperationStatus::ALL {
        let answer = decide_invalidate(Some(&Operation { status: *status, ..operation() }), &command);
        let expected = if matches!(status, OperationStatus::Succeeded | OperationStatus::Failed) {
            Decision::Apply((), Invalidated { was_there: true })
        } else {
            Decision::Rejected(Reason::OperationUnfinished { status: *status })
        };
        assert_eq!(answer, expected);
    }
}
