//! The plan: the newest checkpoint that verifies, those skipped, and every operation sorted by what may be done.

use std::time::Duration;

use steadfast_checkpoints::{
    CheckpointError, CheckpointManager, CheckpointOptions, EvidencePack, NewCheckpoint, Rule, WhySkipped,
};
use steadfast_recovery::{RecoveryError, ResumePlan, resume_plan};
use steadfast_store::{
    Abandonment, Batch, BeginOperation, Digest, FinishOperation, Guard, Operation, OperationEnd,
    OperationKey, OperationToken, Payload, SequenceNumber, Store, StoreExt, Term,
};

use crate::stage::{Stage, TERM, label, task};

async fn begin(
    stage: &Stage,
    key: &str,
    lease: Option<Guard>,
    term_seconds: u64,
    abandonment: Abandonment,
) -> OperationToken {
    let begin = BeginOperation {
        key: OperationKey::new(key).unwrap(),
        fingerprint: Digest::of(key.as_bytes()),
        token: OperationToken::generate(stage.store.env()),
        task: Some(task("t")),
        lease,
        term: Term::new(Duration::from_secs(term_seconds)).unwrap(),
        abandonment,
        fresh_for: None,
    };
    let token = begin.token;
    stage.store.begin_operation(begin).await.unwrap();
    token
}

async fn finish(stage: &Stage, key: &str, token: OperationToken, end: OperationEnd) {
    let key = OperationKey::new(key).unwrap();
    stage.store.finish_operation(FinishOperation { key, token, end }).await.unwrap();
}

fn keys(operations: &[Operation]) -> Vec<&str> {
    operations.iter().map(|operation| operation.key.as_str()).collect()
}

#[tokio::test]
async fn a_task_goes_on_from_the_newest_checkpoint_that_verifies_and_every_newer_one_is_named() {
    let stage = Stage::new();
    let folder = tempfile::tempdir().unwrap();
    let guards = stage.lease("t", 1, 3).await;
    let manager = CheckpointManager::new(stage.store.clone(), CheckpointOptions::new(folder.path()));
    let mut ids = Vec::new();
    for state in ["one", "two"] {
        std::fs::write(folder.path().join(state), state).unwrap();
        let pieces = vec![manager.observe_file(state).await.unwrap()];
        let evidence = EvidencePack::new(Rule::All, pieces).unwrap();
        let new = NewCheckpoint::new(task("t"), label("step"), state);
        let prepared = manager.prepare(NewCheckpoint { evidence, ..new }).unwrap();
        manager.commit_step(&prepared, Some(guards[0].clone()), |_| {}).await.unwrap();
        ids.push(prepared.id());
    }
    // The holder vanishes, and what it has made last with it.
    stage.clock.advance(TERM);
    stage.sweeper(10).run_once().await;
    std::fs::remove_file(folder.path().join("two")).unwrap();

    let plan = resume_plan(&manager, &task("t")).await.unwrap();
    assert_eq!(plan.from.unwrap().header.id, ids[0]);
    let [boundary, second] = plan.skipped.as_slice() else { panic!("{:?}", plan.skipped) };
    assert_eq!((boundary.sequence, &boundary.why), (SequenceNumber(3), &WhySkipped::ErrorBoundary));
    assert_eq!((second.id, second.sequence), (Some(ids[1]), SequenceNumber(2)));
    assert!(second.why.to_string().contains("\"two\""), "{}", second.why);
}

#[tokio::test]
async fn operations_are_in_doubt_once_their_owner_is_gone_and_not_before() {
    let stage = Stage::new();
    let guards = stage.lease("t", 1, 3).await;
    let lease = || Some(guards[0].clone());
    begin(&stage, "k1 leased, once", lease(), 3_600, Abandonment::Doubt).await;
    begin(&stage, "k2 leased, again", lease(), 3_600, Abandonment::Retake).await;
    begin(&stage, "k3 unleased, short", None, 10, Abandonment::Doubt).await;
    begin(&stage, "k4 unleased, long", None, 3_600, Abandonment::Doubt).await;
    let done = begin(&stage, "k5 done", None, 3_600, Abandonment::Doubt).await;
    finish(&stage, "k5 done", done, OperationEnd::Succeeded(Payload::new("x").unwrap())).await;
    let doubted = begin(&stage, "k0 doubted", None, 1, Abandonment::Doubt).await;
    stage.clock.advance(Duration::from_secs(2));
    finish(&stage, "k0 doubted", doubted, OperationEnd::InDoubt).await;

    let manager = CheckpointManager::new(stage.store.clone(), CheckpointOptions::new("."));
    let plan = async || resume_plan(&manager, &task("t")).await.unwrap();
    let ResumePlan { in_doubt, pending, .. } = plan().await;
    assert_eq!(keys(&in_doubt), ["k0 doubted"]);
    assert_eq!(
        keys(&pending),
        ["k1 leased, once", "k2 leased, again", "k3 unleased, short", "k4 unleased, long"]
    );

    stage.clock.advance(Duration::from_secs(8));
    assert_eq!(keys(&plan().await.in_doubt), ["k0 doubted", "k3 unleased, short"]);

    // The lease is over its term and nobody has reclaimed it: its holder may still be at work.
    stage.clock.advance(TERM);
    assert_eq!(keys(&plan().await.in_doubt), ["k0 doubted", "k3 unleased, short"]);
    stage.sweeper(10).run_once().await;
    let ResumePlan { in_doubt, pending, .. } = plan().await;
    assert_eq!(keys(&in_doubt), ["k0 doubted", "k1 leased, once", "k3 unleased, short"]);
    assert_eq!(keys(&pending), ["k2 leased, again", "k4 unleased, long"]);
}

#[tokio::test]
async fn an_operation_that_falls_into_doubt_while_the_plan_is_made_is_in_it_once() {
    let stage = Stage::new();
    let guards = stage.lease("t", 1, 3).await;
    let lease = || Some(guards[0].clone());
    begin(&stage, "k1 stays", lease(), 3_600, Abandonment::Doubt).await;
    let token = begin(&stage, "k2 falls", lease(), 3_600, Abandonment::Doubt).await;
    // Its owner lets go of it between the two reads, whichever comes first.
    let (key, end) = (OperationKey::new("k2 falls").unwrap(), OperationEnd::Abandoned);
    let mut batch = Batch::durable();
    batch.add(FinishOperation { key, token, end });
    *stage.store.meanwhile.lock().await = Some(batch);

    let manager = CheckpointManager::new(stage.store.clone(), CheckpointOptions::new("."));
    let ResumePlan { in_doubt, pending, .. } = resume_plan(&manager, &task("t")).await.unwrap();
    assert_eq!(keys(&in_doubt), ["k2 falls"]);
    assert_eq!(keys(&pending), ["k1 stays"]);
    assert!(stage.store.meanwhile.lock().await.is_none(), "it happened");
}

#[tokio::test]
async fn all_operations_are_found_however_many_there_are() {
    let stage = Stage::new();
    stage.create_task("t").await;
    for number in 0..1_001 {
        begin(&stage, &format!("k{number:04}"), None, 3_600, Abandonment::Retake).await;
    }
    let manager = CheckpointManager::new(stage.store.clone(), CheckpointOptions::new("."));
    assert_eq!(resume_plan(&manager, &task("t")).await.unwrap().pending.len(), 1_001);
}

#[tokio::test]
async fn an_unknown_task_has_no_plan() {
    let stage = Stage::new();
    let manager = CheckpointManager::new(stage.store.clone(), CheckpointOptions::new("."));
    let error = resume_plan(&manager, &task("t")).await.unwrap_err();
    let RecoveryError::Checkpoints(CheckpointError::NoSuchTask { .. }) = error else { panic!("{error}") };
}
