//! What is let go of on a schedule, and what never is.

use std::time::Duration;

use steadfast_checkpoints::{Begun, CheckpointManager, CheckpointOptions, NewCheckpoint};
use steadfast_recovery::{Housekeeping, SweepOptions, Sweeper};
use steadfast_store::{
    Abandonment, AppendCheckpoint, BeginOperation, CheckpointId, Digest, FinishOperation, FinishTask,
    OperationEnd, OperationKey, OperationToken, Payload, SealedPayload, Store, StoreExt, TaskEnd, TaskId,
    Term,
};

use crate::stage::{Stage, label};

const DAY: Duration = Duration::from_secs(86_400);

async fn furnish(stage: &Stage) {
    let task = stage.create_task("t").await;
    let env = stage.store.env();
    for number in 0..250_u32 {
        let payload = SealedPayload::seal(number.to_string(), env).unwrap();
        let append = AppendCheckpoint {
            checkpoint: CheckpointId::generate(env),
            task: task.clone(),
            kind: label("step"),
            work_item: None,
            expected_head: None,
            payload,
            evidence: Payload::empty(),
            copy_of: None,
        };
        stage.store.append_checkpoint(append).await.unwrap();
    }
    for key in ["llm-cache:a", "tool-ledger:b", "other"] {
        operation(stage, key, None).await;
    }
    operation(stage, "step:1:t:c", Some(&task)).await;
}

/// One that has ended.
async fn operation(stage: &Stage, key: &str, task: Option<&TaskId>) {
    let begin = BeginOperation {
        key: OperationKey::new(key).unwrap(),
        fingerprint: Digest::of(b"x"),
        token: OperationToken::generate(stage.store.env()),
        task: task.cloned(),
        lease: None,
        term: Term::new(Duration::from_secs(9)).unwrap(),
        abandonment: Abandonment::Doubt,
        fresh_for: None,
    };
    let (key, token) = (begin.key.clone(), begin.token);
    stage.store.begin_operation(begin).await.unwrap();
    let end = OperationEnd::Succeeded(Payload::empty());
    stage.store.finish_operation(FinishOperation { key, token, end }).await.unwrap();
}

async fn kept(stage: &Stage) -> (u64, Vec<&'static str>) {
    let mut keys = Vec::new();
    for key in ["llm-cache:a", "tool-ledger:b", "step:1:t:c", "other"] {
        if stage.store.operation(&OperationKey::new(key).unwrap()).await.unwrap().is_some() {
            keys.push(key);
        }
    }
    (stage.store.health().await.unwrap().checkpoints, keys)
}

#[tokio::test]
async fn what_is_past_its_time_goes_and_nothing_else() {
    let stage = Stage::new();
    furnish(&stage).await;
    let store: std::sync::Arc<dyn Store> = stage.store.clone();
    let usual = Housekeeping::default();
    let stats = usual.run_once(&store).await;
    assert_eq!((stats.checkpoints_pruned, stats.operations_purged, stats.errors), (150, 0, 0));
    assert_eq!(kept(&stage).await, (100, vec!["llm-cache:a", "tool-ledger:b", "step:1:t:c", "other"]));
    stage.clock.advance(DAY * 7);
    assert_eq!(usual.run_once(&store).await.operations_purged, 1);
    assert_eq!(kept(&stage).await.1, ["tool-ledger:b", "step:1:t:c", "other"]);
    stage.clock.advance(DAY * 365);
    assert_eq!(Housekeeping::off().run_once(&store).await, steadfast_recovery::HousekeepingStats::default());
    assert_eq!(usual.run_once(&store).await.operations_purged, 1);
    assert_eq!(kept(&stage).await, (100, vec!["step:1:t:c", "other"]), "the task goes on");

    let (task, end) = (crate::stage::task("t"), TaskEnd::Succeeded);
    stage.store.finish_task(FinishTask { task, end, result: Payload::empty() }).await.unwrap();
    assert_eq!(
        Housekeeping { keep_steps: None, ..usual.clone() }.run_once(&store).await.operations_purged,
        0
    );
    assert_eq!(usual.run_once(&store).await.operations_purged, 1);
    assert_eq!(kept(&stage).await, (100, vec!["other"]));
}

#[tokio::test]
async fn a_step_that_the_checkpoints_have_begun_goes_by_the_key_that_they_gave_it() {
    let stage = Stage::new();
    let task = stage.create_task("t").await;
    let manager = CheckpointManager::new(stage.store.clone(), CheckpointOptions::new("."));
    let Begun::Open(step) = manager.begin_step(&task, label("collect"), None).await.unwrap() else {
        panic!()
    };
    let prepared = manager.prepare(NewCheckpoint::new(task.clone(), label("step"), "state")).unwrap();
    manager.commit_begun(&step, &prepared, None, |_| {}).await.unwrap();
    let finish = FinishTask { task, end: TaskEnd::Succeeded, result: Payload::empty() };
    stage.store.finish_task(finish).await.unwrap();
    let store: std::sync::Arc<dyn Store> = stage.store.clone();
    stage.clock.advance(DAY * 29);
    assert_eq!(Housekeeping::default().run_once(&store).await.operations_purged, 0);
    stage.clock.advance(DAY);
    assert_eq!(Housekeeping::default().run_once(&store).await.operations_purged, 1);
}

#[tokio::test]
async fn trouble_is_told_and_does_not_end_the_round() {
    let stage = Stage::new();
    furnish(&stage).await;
    stage.clock.advance(DAY * 100);
    let store: std::sync::Arc<dyn Store> = stage.store.clone();
    let none = Housekeeping { keep_checkpoints: Some(0), ..Housekeeping::default() };
    let stats = none.run_once(&store).await;
    assert_eq!((stats.checkpoints_pruned, stats.operations_purged, stats.errors), (0, 2, 1));
    assert!(stats.last_error.contains("keep at least one"), "{}", stats.last_error);
}

#[tokio::test]
async fn a_sweep_in_the_background_keeps_house_with_its_first_pass() {
    let stage = Stage::new();
    furnish(&stage).await;
    let sweeping =
        Sweeper::new(stage.store.clone(), SweepOptions::default()).run_every(Duration::from_millis(1));
    sweeping.passed(3).await;
    assert_eq!(sweeping.housekeeping().checkpoints_pruned, 150);
    assert_eq!(sweeping.stop().await.errors, 0);
    assert_eq!(kept(&stage).await.0, 100);
}
