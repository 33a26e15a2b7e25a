//! The exit of a command as evidence: it is what the store has recorded of the operation, and nothing else.

use std::time::Duration;

use steadfast_checkpoints::{
    CheckpointError, CommandExit, CommandOutcome, EvidencePack, Failure, Finding, Judgement, Obstacle, Piece,
    Rule, UnreadableOutcome,
};
use steadfast_store::{
    Abandonment, BeginOperation, Digest, FinishOperation, InvalidateOperation, OperationEnd, OperationKey,
    OperationStatus, OperationToken, Payload, Reason, Store, StoreError, StoreExt, Term, Verdict,
};

use crate::stage::Stage;

pub(crate) fn key() -> OperationKey {
    OperationKey::new("tool-ledger:cargo:report/tests").unwrap()
}

/// The intent of the operation is written down.
async fn begin(stage: &Stage, abandonment: Abandonment, term: Duration) -> OperationToken {
    let token = OperationToken::generate(stage.store.env());
    let begin = BeginOperation {
        key: key(),
        fingerprint: Digest::of(b"cargo test"),
        token,
        task: None,
        lease: None,
        term: Term::new(term).unwrap(),
        abandonment,
        fresh_for: None,
    };
    stage.store.begin_operation(begin).await.unwrap();
    token
}

/// The operation begins and ends.
pub(crate) async fn run(stage: &Stage, end: OperationEnd) -> OperationKey {
    let token = begin(stage, Abandonment::Retake, Duration::from_secs(60)).await;
    stage.store.finish_operation(FinishOperation { key: key(), token, end }).await.unwrap();
    key()
}

pub(crate) fn succeeded(exit_code: i32, stdout: &str) -> OperationEnd {
    let outcome = CommandOutcome::new(exit_code, stdout.to_owned(), "");
    OperationEnd::Succeeded(outcome.to_payload().unwrap())
}

fn expected(exit_code: i32, stdout: &str) -> Piece {
    let outcome = CommandOutcome::new(exit_code, stdout.to_owned(), "");
    Piece::CommandExit(CommandExit::of(key(), &outcome).unwrap())
}

async fn look(stage: &Stage, piece: Piece) -> Finding {
    let pack = EvidencePack::new(Rule::All, vec![piece]).unwrap();
    stage.manager.check(pack).await.pieces.remove(0).finding
}

#[tokio::test]
async fn a_command_that_ended_as_expected_verifies_however_the_piece_was_made() {
    let stage = Stage::new().await;
    run(&stage, succeeded(0, "48 passed")).await;
    let observed = stage.manager.observe_command(&key(), 0).await.unwrap();
    assert_eq!(observed, expected(0, "48 passed"));
    assert_eq!(look(&stage, observed).await, Finding::Verified);
}

#[tokio::test]
async fn a_command_is_expected_to_fail_only_by_those_who_say_so() {
    let stage = Stage::new().await;
    run(&stage, succeeded(101, "1 failed")).await;
    let exit_code = Failure::ExitCode { expected: 0, found: 101 };
    let finding = look(&stage, expected(0, "1 failed")).await;
    assert_eq!(finding, Finding::Failed(exit_code.clone()));
    // Not even the digest of the right output makes another exit code hold.
    let output = CommandOutcome::new(101, "1 failed", "").to_payload().unwrap().digest();
    let forged = Piece::CommandExit(CommandExit::new(key(), 0, output));
    assert_eq!(look(&stage, forged).await, Finding::Failed(exit_code.clone()));
    let error = stage.manager.observe_command(&key(), 0).await.unwrap_err();
    let CheckpointError::NotObserved { finding, subject } = error else { panic!("{error}") };
    assert_eq!(finding, Finding::Failed(exit_code));
    assert!(subject.contains("tool-ledger:cargo:report/tests"), "{subject}");
    let observed = stage.manager.observe_command(&key(), 101).await.unwrap();
    assert_eq!(look(&stage, observed).await, Finding::Verified);
}

#[tokio::test]
async fn an_operation_that_is_not_there_fails() {
    let stage = Stage::new().await;
    assert_eq!(look(&stage, expected(0, "")).await, Finding::Failed(Failure::NoSuchOperation));
    let error = stage.manager.observe_command(&key(), 0).await.unwrap_err();
    assert!(matches!(error, CheckpointError::NotObserved { .. }), "{error}");
}

#[tokio::test]
async fn an_operation_that_is_not_finished_is_pending_and_keeps_the_step_from_being_made() {
    let stage = Stage::new().await;
    let token = begin(&stage, Abandonment::Retake, Duration::from_secs(60)).await;
    assert_eq!(look(&stage, expected(0, "")).await, Finding::Pending(Obstacle::OperationUnfinished));
    let pack = EvidencePack::new(Rule::All, vec![expected(0, "")]).unwrap();
    let prepared = stage.prepare("tests passed", pack);
    let error = stage.manager.commit_step(&prepared, None, |_| {}).await.unwrap_err();
    let CheckpointError::EvidenceFailed(report) = error else { panic!("{error}") };
    assert_eq!(report.judgement, Judgement::Pending);

    let finish = FinishOperation { key: key(), token, end: succeeded(0, "") };
    stage.store.finish_operation(finish).await.unwrap();
    stage.manager.commit_step(&prepared, None, |_| {}).await.unwrap();
    assert!(stage.manager.verify(prepared.id()).await.unwrap().is_verified());
}

#[tokio::test]
async fn the_end_of_a_command_and_the_evidence_of_it_are_one_commit() {
    let stage = Stage::new().await;
    let token = begin(&stage, Abandonment::Doubt, Duration::from_secs(60)).await;
    let pack = EvidencePack::new(Rule::All, vec![expected(0, "48 passed")]).unwrap();
    let prepared = stage.prepare("tests passed", pack);
    let finish = || FinishOperation { key: key(), token, end: succeeded(0, "48 passed") };
    let mut finished = None;
    let step = stage.manager.commit_step(&prepared, None, |batch| finished = Some(batch.add(finish())));
    let step = step.await.unwrap();
    assert_eq!(step.applied.get(finished.unwrap()).unwrap().status, OperationStatus::Succeeded);
    let operation = stage.store.operation(&key()).await.unwrap().unwrap().operation;
    assert_eq!(operation.status, OperationStatus::Succeeded);
    let kept = stage.manager.get(prepared.id()).await.unwrap().unwrap();
    assert_eq!(kept.verification.unwrap().verdict, Verdict::Verified);
    assert!(stage.manager.verify(prepared.id()).await.unwrap().is_verified());
    // Committed again with the same beside it, it is the same step.
    let again = stage.manager.commit_step(&prepared, None, |batch| _ = batch.add(finish())).await.unwrap();
    assert!(again.applied.is_replayed() && again.appended == step.appended);
}

#[tokio::test]
async fn another_end_beside_it_proves_nothing_and_is_not_recorded() {
    let stage = Stage::new().await;
    let token = begin(&stage, Abandonment::Doubt, Duration::from_secs(60)).await;
    let claim = || CommandOutcome::new(0, "48 passed", "").to_payload().unwrap();
    let ends = [
        (succeeded(101, "48 passed"), Judgement::Failed),
        (succeeded(0, "47 passed"), Judgement::Failed),
        (OperationEnd::Succeeded(Payload::new("exit code 0, I promise").unwrap()), Judgement::Failed),
        (OperationEnd::Failed(claim()), Judgement::Failed),
        (OperationEnd::InDoubt, Judgement::Failed),
        (OperationEnd::Abandoned, Judgement::Pending),
        (OperationEnd::DidNotHappen, Judgement::Pending),
    ];
    for (end, judgement) in ends {
        let pack = EvidencePack::new(Rule::All, vec![expected(0, "48 passed")]).unwrap();
        let prepared = stage.prepare("tests passed", pack);
        let finish = FinishOperation { key: key(), token, end };
        let committed = stage.manager.commit_step(&prepared, None, |batch| _ = batch.add(finish)).await;
        let Err(CheckpointError::EvidenceFailed(report)) = committed else { panic!("{committed:?}") };
        assert_eq!(report.judgement, judgement, "{report}");
        assert!(stage.manager.get(prepared.id()).await.unwrap().is_none());
        let operation = stage.store.operation(&key()).await.unwrap().unwrap().operation;
        assert_eq!(operation.status, OperationStatus::Pending);
    }
}

#[tokio::test]
async fn an_end_beside_it_that_the_store_refuses_takes_the_step_with_it() {
    let stage = Stage::new().await;
    begin(&stage, Abandonment::Doubt, Duration::from_secs(60)).await;
    let pack = EvidencePack::new(Rule::All, vec![expected(0, "48 passed")]).unwrap();
    let prepared = stage.prepare("tests passed", pack);
    // It says what the evidence needs, in the name of an attempt that is not the newest.
    let token = OperationToken::generate(stage.store.env());
    let finish = FinishOperation { key: key(), token, end: succeeded(0, "48 passed") };
    let committed = stage.manager.commit_step(&prepared, None, |batch| _ = batch.add(finish)).await;
    let Err(CheckpointError::Rejected(rejection)) = committed else { panic!("{committed:?}") };
    assert_eq!((rejection.index, rejection.reason), (1, Reason::StaleToken));
    assert!(stage.manager.get(prepared.id()).await.unwrap().is_none());
}

#[tokio::test]
async fn the_last_word_of_the_batch_about_a_command_counts() {
    let stage = Stage::new().await;
    let first = begin(&stage, Abandonment::Doubt, Duration::from_secs(60)).await;
    let pack = EvidencePack::new(Rule::All, vec![expected(0, "48 passed")]).unwrap();
    // It ends as expected, and is begun anew since outcomes of any age count as none.
    let prepared = stage.prepare("tests passed", pack);
    let finish = FinishOperation { key: key(), token: first, end: succeeded(0, "48 passed") };
    let anew = BeginOperation {
        key: key(),
        fingerprint: Digest::of(b"cargo test"),
        token: OperationToken::generate(stage.store.env()),
        task: None,
        lease: None,
        term: Term::new(Duration::from_secs(60)).unwrap(),
        abandonment: Abandonment::Doubt,
        fresh_for: Some(Duration::ZERO),
    };
    let committed = stage.manager.commit_step(&prepared, None, |batch| {
        batch.add(finish);
        batch.add(anew);
    });
    let Err(CheckpointError::EvidenceFailed(report)) = committed.await else { panic!("it was made") };
    assert_eq!(report.judgement, Judgement::Pending);
}

#[tokio::test]
async fn an_operation_in_doubt_fails_until_the_doubt_is_settled() {
    let stage = Stage::new().await;
    let token = begin(&stage, Abandonment::Doubt, Duration::from_millis(10)).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    let finish = |end| FinishOperation { key: key(), token, end };
    stage.store.finish_operation(finish(OperationEnd::InDoubt)).await.unwrap();
    assert_eq!(look(&stage, expected(0, "")).await, Finding::Failed(Failure::OperationInDoubt));
    stage.store.finish_operation(finish(succeeded(0, ""))).await.unwrap();
    assert_eq!(look(&stage, expected(0, "")).await, Finding::Verified);
}

#[tokio::test]
async fn an_operation_that_failed_proves_no_exit_whatever_its_output_says() {
    let stage = Stage::new().await;
    let claim = CommandOutcome::new(0, "", "").to_payload().unwrap();
    run(&stage, OperationEnd::Failed(claim)).await;
    assert_eq!(look(&stage, expected(0, "")).await, Finding::Failed(Failure::OperationFailed));
}

#[tokio::test]
async fn an_output_that_is_no_outcome_of_a_command_fails() {
    let stage = Stage::new().await;
    let output = Payload::new("exit code 0, I promise").unwrap();
    let piece = Piece::CommandExit(CommandExit::new(key(), 0, output.digest()));
    run(&stage, OperationEnd::Succeeded(output)).await;
    let Finding::Failed(Failure::NoOutcome(why)) = look(&stage, piece).await else { panic!("it holds") };
    assert!(matches!(why, UnreadableOutcome::Malformed { .. }), "{why}");
}

#[tokio::test]
async fn another_result_under_the_same_key_fails_although_its_exit_code_is_the_same() {
    let stage = Stage::new().await;
    run(&stage, succeeded(0, "48 passed")).await;
    let observed = stage.manager.observe_command(&key(), 0).await.unwrap();
    stage.store.invalidate_operation(InvalidateOperation { key: key() }).await.unwrap();
    assert_eq!(look(&stage, observed.clone()).await, Finding::Failed(Failure::NoSuchOperation));

    run(&stage, succeeded(0, "0 passed")).await;
    let finding = look(&stage, observed.clone()).await;
    assert!(matches!(finding, Finding::Failed(Failure::OtherOutput { .. })), "{finding}");
    stage.store.invalidate_operation(InvalidateOperation { key: key() }).await.unwrap();
    run(&stage, succeeded(0, "48 passed")).await;
    assert_eq!(look(&stage, observed).await, Finding::Verified);
}

#[tokio::test]
async fn a_store_that_cannot_be_read_leaves_it_pending_and_a_damaged_output_fails() {
    let stage = Stage::new().await;
    run(&stage, succeeded(0, "")).await;
    *stage.store.operation_trouble.lock().await = Some(|| StoreError::Closed);
    let finding = look(&stage, expected(0, "")).await;
    assert!(matches!(finding, Finding::Pending(Obstacle::Store { .. })), "{finding}");
    *stage.store.operation_trouble.lock().await =
        Some(|| StoreError::Corrupt { what: "the output".into(), source: None });
    let finding = look(&stage, expected(0, "")).await;
    assert!(matches!(finding, Finding::Failed(Failure::DamagedOutput { .. })), "{finding}");
}
