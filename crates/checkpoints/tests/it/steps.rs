//! Committing steps: all or nothing, once, under the guard, with evidence that holds.

use std::sync::atomic::Ordering;

use steadfast_checkpoints::{CheckpointError, EvidencePack, Judgement, NewCheckpoint, Prepared, Rule};
use steadfast_store::limits::PAYLOAD_BYTES_MAX;
use steadfast_store::{
    Abandonment, BeginOperation, Claim, CreateTask, Delay, Digest, Enqueue, FinishOperation, Guard, HolderId,
    OperationEnd, OperationKey, OperationStatus, OperationToken, Payload, Reason, SequenceNumber, Settle,
    SettleItem, Status, Store, StoreExt, SweepExpired, TaskId, Term, TransitionId, Verdict, WorkItemId,
};

use crate::stage::{Stage, label};

async fn claimed(stage: &Stage, term_ms: u64) -> Guard {
    let item = WorkItemId::new("report/1").unwrap();
    let (task, kind) = (stage.task.clone(), label("work"));
    let enqueue = Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 3 };
    stage.store.enqueue(enqueue).await.unwrap();
    let claim = Claim {
        claim: TransitionId::generate(stage.store.env()),
        holder: HolderId::new("worker").unwrap(),
        term: Term::new(std::time::Duration::from_millis(term_ms)).unwrap(),
        limit: 1,
        kinds: Vec::new(),
        task: None,
    };
    stage.store.claim(claim).await.unwrap().items[0].guard()
}

#[tokio::test]
async fn checkpoint_result_and_settlement_are_one_commit() {
    let stage = Stage::new().await;
    let guard = claimed(&stage, 60_000).await;
    let begin = BeginOperation {
        key: OperationKey::new("tool-ledger:mail").unwrap(),
        fingerprint: Digest::of(b"mail"),
        token: OperationToken::generate(stage.store.env()),
        task: Some(stage.task.clone()),
        lease: Some(guard.clone()),
        term: Term::new(std::time::Duration::from_secs(9)).unwrap(),
        abandonment: Abandonment::Doubt,
        fresh_for: None,
    };
    let (key, token) = (begin.key.clone(), begin.token);
    stage.store.begin_operation(begin).await.unwrap();

    let prepared = stage.prepare("mail sent", stage.files(Rule::All, &["mail"]).await);
    let mut settled = None;
    let step = stage.manager.commit_step(&prepared, Some(guard.clone()), |batch| {
        let end = OperationEnd::Succeeded(Payload::new("sent").unwrap());
        batch.add_guarded(guard.clone(), FinishOperation { key: key.clone(), token, end });
        settled = Some(batch.add(SettleItem {
            guard: guard.clone(),
            settle: Settle::Succeeded,
            detail: String::new(),
        }));
    });
    let step = step.await.unwrap();
    assert_eq!(step.appended.sequence, SequenceNumber(1));
    assert_eq!(step.applied.get(settled.unwrap()).unwrap().status, Status::Succeeded);
    let operation = stage.store.operation(&key).await.unwrap().unwrap().operation;
    assert_eq!(operation.status, OperationStatus::Succeeded);
    let kept = stage.manager.get(prepared.id()).await.unwrap().unwrap();
    assert_eq!(kept.verification.unwrap().verdict, Verdict::Verified);
}

#[tokio::test]
async fn a_stale_guard_leaves_nothing_of_the_step() {
    let stage = Stage::new().await;
    let guard = claimed(&stage, 10).await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let sweep = SweepExpired { sweep: TransitionId::generate(stage.store.env()), limit: 1 };
    assert_eq!(stage.store.sweep_expired(sweep).await.unwrap().reclaimed.len(), 1);
    let head = stage.store.task(&stage.task).await.unwrap().unwrap().head;

    let prepared = stage.prepare("late", EvidencePack::none());
    let settle = SettleItem { guard: guard.clone(), settle: Settle::Succeeded, detail: String::new() };
    let committed = stage.manager.commit_step(&prepared, Some(guard), |batch| _ = batch.add(settle)).await;
    let Err(CheckpointError::Rejected(rejection)) = committed else { panic!("{committed:?}") };
    assert!(matches!((rejection.index, rejection.reason), (0, Reason::StaleFence { .. })));
    assert!(stage.manager.get(prepared.id()).await.unwrap().is_none());
    assert_eq!(stage.store.task(&stage.task).await.unwrap().unwrap().head, head);
}

#[tokio::test]
async fn a_refused_command_beside_it_takes_the_checkpoint_with_it() {
    let stage = Stage::new().await;
    let prepared = stage.prepare("state", EvidencePack::none());
    let (key, token) = (OperationKey::new("k").unwrap(), OperationToken::generate(stage.store.env()));
    let finish = FinishOperation { key, token, end: OperationEnd::InDoubt };
    let committed = stage.manager.commit_step(&prepared, None, |batch| _ = batch.add(finish)).await;
    let Err(CheckpointError::Rejected(rejection)) = committed else { panic!("{committed:?}") };
    assert_eq!(rejection.reason, Reason::NoSuchOperation);
    assert!(stage.manager.get(prepared.id()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_step_whose_answer_was_lost_is_in_the_chain_once() {
    let stage = Stage::new().await;
    stage.store.unknown.store(2, Ordering::SeqCst);
    let prepared = stage.prepare("state", stage.files(Rule::All, &["a"]).await);
    let step = stage.manager.commit_step(&prepared, None, |_| {}).await.unwrap();
    assert!(step.applied.is_replayed());
    let again = stage.manager.commit_step(&prepared, None, |_| {}).await.unwrap();
    assert_eq!(again.appended, step.appended);
    assert_eq!(stage.store.task(&stage.task).await.unwrap().unwrap().head, SequenceNumber(1));
}

/// A step that was applied although its caller never got an answer, and whose evidence does not hold any more.
async fn made_unknowingly(stage: &Stage) -> Prepared {
    let prepared = stage.prepare("state", stage.files(Rule::All, &["a"]).await);
    stage.store.unknown.store(u32::MAX, Ordering::SeqCst);
    let asking = stage.manager.commit_step(&prepared, None, |_| {});
    let asked = tokio::time::timeout(std::time::Duration::from_millis(50), asking).await;
    assert!(asked.is_err(), "the store never tells: {asked:?}");
    stage.store.unknown.store(0, Ordering::SeqCst);
    stage.write("a", "other");
    prepared
}

#[tokio::test]
async fn a_step_that_stands_although_its_answer_was_lost_is_never_said_not_to_be_made() {
    let stage = Stage::new().await;
    let prepared = made_unknowingly(&stage).await;
    let step = stage.manager.commit_step(&prepared, None, |_| {}).await.unwrap();
    assert!(step.applied.is_replayed());
    assert_eq!(step.appended.sequence, SequenceNumber(1));
    assert_eq!(stage.store.task(&stage.task).await.unwrap().unwrap().head, SequenceNumber(1));
    // Others have gone on since: it stands all the same.
    stage.steps(2, 3).await;
    let again = stage.manager.commit_step(&prepared, None, |_| {}).await.unwrap();
    assert_eq!(again.appended, step.appended);
}

#[tokio::test]
async fn a_step_whose_evidence_fails_is_unknown_while_the_store_cannot_tell_whether_it_stands() {
    let stage = Stage::new().await;
    let prepared = made_unknowingly(&stage).await;
    stage.store.failing.store(1, Ordering::SeqCst);
    let committed = stage.manager.commit_step(&prepared, None, |_| {}).await;
    let Err(CheckpointError::Store(error)) = committed else { panic!("{committed:?}") };
    assert!(error.may_have_been_applied(), "{error}");
}

#[tokio::test]
async fn two_writers_cannot_fork_a_task() {
    let stage = Stage::new().await;
    stage.steps(1, 2).await;
    let new = |payload: &'static str| NewCheckpoint {
        expected_head: Some(SequenceNumber(2)),
        ..NewCheckpoint::new(stage.task.clone(), label("step"), payload)
    };
    let [first, second] = [new("a"), new("b")].map(|new| stage.manager.prepare(new).unwrap());
    stage.manager.commit_step(&first, None, |_| {}).await.unwrap();
    let committed = stage.manager.commit_step(&second, None, |_| {}).await;
    let Err(CheckpointError::Rejected(rejection)) = committed else { panic!("{committed:?}") };
    assert!(matches!(rejection.reason, Reason::WrongParent { .. }), "{rejection}");
}

#[tokio::test]
async fn a_step_whose_evidence_does_not_hold_is_not_made() {
    let stage = Stage::new().await;
    let prepared = stage.prepare("state", stage.files(Rule::All, &["a", "b"]).await);
    stage.write("b", "other");
    let create =
        CreateTask { task: TaskId::new("beside").unwrap(), kind: label("k"), input: Payload::empty() };
    let committed = stage.manager.commit_step(&prepared, None, |batch| _ = batch.add(create)).await;
    let Err(CheckpointError::EvidenceFailed(report)) = committed else { panic!("{committed:?}") };
    assert_eq!((report.judgement, report.open_pieces().count()), (Judgement::Failed, 1));
    assert!(stage.store.task(&TaskId::new("beside").unwrap()).await.unwrap().is_none());
    assert!(stage.manager.get(prepared.id()).await.unwrap().is_none());
}

#[tokio::test]
async fn without_auto_verify_a_step_is_made_unlooked_at() {
    let stage = Stage::new().await;
    let prepared = stage.prepare("state", stage.files(Rule::All, &["a"]).await);
    stage.write("a", "other");
    stage.unlooking().commit_step(&prepared, None, |_| {}).await.unwrap();
    let kept = stage.manager.get(prepared.id()).await.unwrap().unwrap();
    assert_eq!(kept.verification, None);
}

#[tokio::test]
async fn what_cannot_be_a_checkpoint_is_refused_before_anything_is_written() {
    let stage = Stage::new().await;
    let new = |kind, payload: Vec<u8>| NewCheckpoint::new(stage.task.clone(), label(kind), payload);
    let error = stage.manager.prepare(new("error_boundary", vec![])).unwrap_err();
    assert!(matches!(error, CheckpointError::ReservedKind), "{error}");
    assert!(stage.manager.prepare(new("step", vec![0; PAYLOAD_BYTES_MAX])).is_ok());
    let error = stage.manager.prepare(new("step", vec![0; PAYLOAD_BYTES_MAX + 1])).unwrap_err();
    assert!(matches!(error, CheckpointError::TooLarge(_)), "{error}");
}
