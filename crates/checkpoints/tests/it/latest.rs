//! Where to go on from: the newest checkpoint that verifies now, every skipped one named with its reason.

use std::fs;
use std::time::Duration;

use steadfast_checkpoints::{
    CheckpointError, EvidencePack, Failure, Fault, Finding, LastVerified, Rule, WhySkipped,
};
use steadfast_store::{
    Claim, DamagedPayload, Delay, Digest, Enqueue, HolderId, SequenceNumber, Store, StoreExt, SweepExpired,
    TaskId, Term, TransitionId, WorkItemId,
};

use crate::stage::{Stage, label};

async fn last(stage: &Stage) -> LastVerified {
    stage.manager.last_verified(&stage.task).await.unwrap()
}

/// The place of the checkpoint found; 0 for none.
fn place(last: &LastVerified) -> u64 {
    last.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.header.sequence.0)
}

#[tokio::test]
async fn the_newest_is_taken_when_it_verifies() {
    let stage = Stage::new().await;
    assert_eq!(last(&stage).await, LastVerified { checkpoint: None, skipped: vec![] });
    stage.steps(1, 3).await;
    let last = last(&stage).await;
    assert_eq!((place(&last), last.skipped.len()), (3, 0));
    let error = stage.manager.last_verified(&TaskId::new("other").unwrap()).await.unwrap_err();
    assert!(matches!(error, CheckpointError::NoSuchTask { .. }), "{error}");
}

#[tokio::test]
async fn failing_evidence_is_skipped_and_named() {
    let stage = Stage::new().await;
    let good = stage.files(Rule::All, &["good"]).await;
    stage.commit("first", good).await;
    let mut ids = Vec::new();
    for name in ["second", "third"] {
        ids.push(stage.commit(name, stage.files(Rule::All, &[name]).await).await.0);
    }
    stage.write("second", "changed");
    fs::remove_file(stage.path("third")).unwrap();
    let found = last(&stage).await;
    assert_eq!(place(&found), 1);
    let [third, second] = found.skipped.as_slice() else { panic!("{found:?}") };
    assert_eq!((third.id, third.sequence), (Some(ids[1]), SequenceNumber(3)));
    assert_eq!((second.id, second.sequence), (Some(ids[0]), SequenceNumber(2)));
    let WhySkipped::NotVerified(report) = &third.why else { panic!("{}", third.why) };
    assert_eq!(report.evidence.pieces[0].finding, Finding::Failed(Failure::Missing));
    let WhySkipped::NotVerified(report) = &second.why else { panic!("{}", second.why) };
    assert!(matches!(report.evidence.pieces[0].finding, Finding::Failed(Failure::Mismatch { .. })));

    // Verified means verified now: what was mended counts again.
    stage.write("third", "content of third");
    assert_eq!(place(&last(&stage).await), 3);
}

#[tokio::test]
async fn a_search_through_many_pages_finds_the_one_that_holds() {
    let stage = Stage::new().await;
    stage.steps(1, 1).await;
    let pack = stage.files(Rule::All, &["a"]).await;
    for _ in 0..200 {
        stage.commit("state", pack.clone()).await;
    }
    fs::remove_file(stage.path("a")).unwrap();
    let last = last(&stage).await;
    assert_eq!(place(&last), 1);
    let places: Vec<u64> = last.skipped.iter().map(|skipped| skipped.sequence.0).collect();
    assert_eq!(places, (2..=201).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn the_trace_of_a_lost_lease_is_not_a_state_to_go_on_from() {
    let stage = Stage::new().await;
    stage.steps(1, 1).await;
    let (item, kind) = (WorkItemId::new("report/1").unwrap(), label("work"));
    let (task, delay) = (stage.task.clone(), Delay::ZERO);
    stage.store.enqueue(Enqueue { item, task, kind, priority: 0, delay, max_attempts: 3 }).await.unwrap();
    let term = Term::new(Duration::from_millis(10)).unwrap();
    let (claim, holder) = (TransitionId::generate(stage.store.env()), HolderId::new("w").unwrap());
    stage.store.claim(Claim { claim, holder, term, limit: 1, kinds: Vec::new(), task: None }).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let sweep = TransitionId::generate(stage.store.env());
    stage.store.sweep_expired(SweepExpired { sweep, limit: 1 }).await.unwrap();
    let last = last(&stage).await;
    assert_eq!(place(&last), 1);
    assert_eq!(last.skipped[0].why, WhySkipped::ErrorBoundary);
    assert!(stage.manager.verify_chain(&stage.task).await.unwrap().holds());
}

#[tokio::test]
async fn damaged_and_changed_checkpoints_are_skipped() {
    let stage = Stage::new().await;
    stage.steps(1, 4).await;
    let damaged = DamagedPayload { stored: Digest::ZERO, found: Digest::of(b"x") };
    stage
        .store
        .alter_checkpoints(move |page| {
            for checkpoint in page {
                match checkpoint.header.sequence.0 {
                    4 => checkpoint.payload = Err(damaged.clone().into()),
                    3 => checkpoint.header.kind = label("changed"),
                    _ => {}
                }
            }
        })
        .await;
    let last = last(&stage).await;
    assert_eq!(place(&last), 2);
    let faults: Vec<_> = last
        .skipped
        .iter()
        .map(|skipped| match &skipped.why {
            WhySkipped::NotVerified(report) => report.fault.clone(),
            why => panic!("{why}"),
        })
        .collect();
    assert!(matches!(faults.as_slice(), [Some(Fault::Payload(_)), Some(Fault::Link)]), "{faults:?}");
}

#[tokio::test]
async fn a_checkpoint_that_was_exchanged_for_a_consistent_one_is_skipped() {
    let stage = Stage::new().await;
    stage.steps(1, 3).await;
    let other = stage.create_task("other").await;
    for _ in 0..3 {
        let new = steadfast_checkpoints::NewCheckpoint::new(other.clone(), label("step"), "forged");
        let new = stage.manager.prepare(new).unwrap();
        stage.manager.commit_step(&new, None, |_| {}).await.unwrap();
    }
    let forged = stage.manager.last_verified(&other).await.unwrap().checkpoint.unwrap();
    stage
        .store
        .alter_checkpoints(move |page| {
            for checkpoint in page {
                if checkpoint.header.sequence.0 == 3 {
                    *checkpoint = forged.clone();
                }
            }
        })
        .await;
    let last = last(&stage).await;
    assert_eq!((place(&last), &last.skipped[0].why), (2, &WhySkipped::OutOfChain));
}

#[tokio::test]
async fn missing_checkpoints_are_named_and_pruned_ones_are_not() {
    let stage = Stage::new().await;
    stage.steps(1, 6).await;
    stage.store.alter_checkpoints(|page| page.retain(|kept| kept.header.sequence.0 <= 3)).await;
    let found = last(&stage).await;
    assert_eq!(place(&found), 3);
    let missing = &found.skipped[0];
    assert_eq!((missing.id, missing.sequence), (None, SequenceNumber(6)));
    assert_eq!(missing.why, WhySkipped::Missing { down_to: SequenceNumber(4) });

    stage.store.alter_checkpoints(Vec::clear).await;
    stage.store.alter_task(|task| task.pruned_through = SequenceNumber(2)).await;
    let found = last(&stage).await;
    assert_eq!((place(&found), found.skipped.len()), (0, 1));
    assert_eq!(found.skipped[0].why, WhySkipped::Missing { down_to: SequenceNumber(3) });
}

#[tokio::test]
async fn a_checkpoint_without_evidence_verifies_by_its_bytes_and_link() {
    let stage = Stage::new().await;
    let (id, _) = stage.commit("state", EvidencePack::none()).await;
    assert!(stage.manager.verify(id).await.unwrap().is_verified());
    assert_eq!(place(&last(&stage).await), 1);
}
