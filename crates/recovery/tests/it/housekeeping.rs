//! What is let go of on a schedule, and what never is.

use std::time::Duration;

use steadfast_recovery::{Housekeeping, SweepOptions, Sweeper};
use steadfast_store::{
    Abandonment, AppendCheckpoint, BeginOperation, CheckpointId, Digest, FinishOperation, OperationEnd,
    OperationKey, OperationToken, Payload, SealedPayload, Store, StoreExt, Term,
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
    for key in ["llm-cache:a", "tool-ledger:b", "step:c", "other"] {
        let begin = BeginOperation {
            key: OperationKey::new(key).unwrap(),
            fingerprint: Digest::of(b"x"),
            token: OperationToken::generate(env),
            task: None,
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
}

async fn kept(stage: &Stage) -> (u64, Vec<&'static str>) {
    let mut keys = Vec::new();
    for key in ["llm-cache:a", "tool-ledger:b", "step:c", "other"] {
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
    assert_eq!(kept(&stage).await, (100, vec!["llm-cache:a", "tool-ledger:b", "step:c", "other"]));
    stage.clock.advance(DAY * 7);
    assert_eq!(usual.run_once(&store).await.operations_purged, 1);
    assert_eq!(kept(&stage).await.1, ["tool-ledger:b", "step:c", "other"]);
    stage.clock.advance(DAY * 365);
    assert_eq!(Housekeeping::off().run_once(&store).await, steadfast_recovery::HousekeepingStats::default());
    assert_eq!(usual.run_once(&store).await.operations_purged, 1);
    assert_eq!(kept(&stage).await, (100, vec!["step:c", "other"]));
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
