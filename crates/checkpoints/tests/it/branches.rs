//! Going back, forking, letting go: the chain stays whole, and what was erased is gone everywhere.

use steadfast_checkpoints::{
    ChainReport, CheckpointError, EvidencePack, FORK, Fault, ROLLBACK, Rule, Skipped, WhySkipped,
};
use steadfast_store::{
    CheckpointId, CreateTask, NoPayload, Payload, Reason, SequenceNumber, Store, StoreError, TaskId,
};

use crate::stage::{Stage, label};

fn create(id: &str) -> CreateTask {
    CreateTask { task: TaskId::new(id).unwrap(), kind: label("research"), input: Payload::empty() }
}

async fn state(stage: &Stage, task: &TaskId) -> String {
    let last = stage.manager.last_verified(task).await.unwrap().checkpoint.unwrap();
    String::from_utf8(last.payload.unwrap().bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_rollback_goes_on_from_the_earlier_state_and_loses_nothing() {
    let stage = Stage::new().await;
    let (first, _) = stage.commit("one", stage.files(Rule::All, &["a"]).await).await;
    stage.commit("two", EvidencePack::none()).await;
    let copied = stage.manager.roll_back(first, None, None).await.unwrap();
    assert_eq!(copied.appended.sequence.0, 3);
    assert_eq!(state(&stage, &stage.task).await, "one");
    let copy = stage.manager.get(copied.checkpoint).await.unwrap().unwrap();
    assert_eq!((copy.header.kind.as_str(), copy.header.copy_of), (ROLLBACK, Some(first)));
    let chain = stage.manager.verify_chain(&stage.task).await.unwrap();
    assert!(matches!(chain, ChainReport::Intact { length: 3, .. }), "{chain:?}");

    let refused = stage.manager.roll_back(first, None, Some(SequenceNumber(2))).await.unwrap_err();
    let is_other_parent = |rejection: &steadfast_store::Rejection| {
        matches!(rejection.reason, Reason::WrongParent { head: SequenceNumber(3), .. })
    };
    assert!(
        matches!(&refused, CheckpointError::Rejected(rejection) if is_other_parent(rejection)),
        "{refused}"
    );

    // Its evidence counts for the copy, too.
    stage.write("a", "something else");
    assert!(matches!(stage.manager.roll_back(first, None, None).await, Err(CheckpointError::NotVerified(_))));
    assert_eq!(state(&stage, &stage.task).await, "two");
    let nothing = CheckpointId::from_bytes([7; 16]);
    let refused = stage.manager.roll_back(nothing, None, None).await;
    assert!(
        matches!(refused, Err(CheckpointError::NoSuchCheckpoint { checkpoint }) if checkpoint == nothing)
    );
}

#[tokio::test]
async fn a_fork_begins_with_the_state_and_goes_its_own_way() {
    let stage = Stage::new().await;
    let (first, _) = stage.commit("one", EvidencePack::none()).await;
    stage.commit("two", EvidencePack::none()).await;
    let copied = stage.manager.fork(first, create("other")).await.unwrap();
    assert_eq!(copied.appended.sequence.0, 1);
    let other = TaskId::new("other").unwrap();
    assert_eq!((state(&stage, &other).await, state(&stage, &stage.task).await), ("one".into(), "two".into()));
    let copy = stage.manager.get(copied.checkpoint).await.unwrap().unwrap();
    assert_eq!(copy.header.kind.as_str(), FORK);
    for task in [&other, &stage.task] {
        assert!(stage.manager.verify_chain(task).await.unwrap().holds());
    }
    let again = stage.manager.fork(first, create("other")).await;
    assert!(matches!(again, Err(CheckpointError::Rejected(_))), "it has a checkpoint already: {again:?}");
}

#[tokio::test]
async fn an_erased_payload_is_gone_with_its_copies_and_is_skipped() {
    let stage = Stage::new().await;
    stage.commit("harmless", EvidencePack::none()).await;
    let (secret, _) = stage.commit("secret", EvidencePack::none()).await;
    stage.manager.roll_back(secret, None, None).await.unwrap();
    stage.manager.fork(secret, create("other")).await.unwrap();
    assert_eq!(stage.manager.erase(secret).await.unwrap(), 3);
    assert_eq!(stage.manager.erase(secret).await.unwrap(), 0);
    let found = stage.manager.get(secret).await.unwrap().unwrap();
    assert_eq!(found.payload, Err(NoPayload::Erased));
    assert!(!stage.manager.verify(secret).await.unwrap().is_verified());
    let chain = stage.manager.verify_chain(&stage.task).await.unwrap();
    assert!(matches!(chain, ChainReport::Intact { length: 3, .. }), "{chain:?}");
    assert_eq!(state(&stage, &stage.task).await, "harmless");
    let last = stage.manager.last_verified(&stage.task).await.unwrap();
    let is_erased = |skipped: &Skipped| matches!(&skipped.why, WhySkipped::NotVerified(report) if report.fault == Some(Fault::Erased));
    assert!(last.skipped.len() == 2 && last.skipped.iter().all(is_erased), "{last:?}");
    assert!(stage.manager.roll_back(secret, None, None).await.is_err());
    let refused = stage.manager.erase(CheckpointId::from_bytes([7; 16])).await;
    assert!(matches!(refused, Err(CheckpointError::Rejected(_))), "{refused:?}");
}

#[tokio::test]
async fn pruning_keeps_the_newest_and_the_newest_that_was_verified() {
    let stage = Stage::new().await;
    let unlooking = stage.unlooking();
    for number in 1..=450 {
        let prepared = stage.prepare(&format!("state {number}"), EvidencePack::none());
        unlooking.commit_step(&prepared, None, |_| {}).await.unwrap();
    }
    let pruning = stage.manager.prune(&stage.task, 100).await.unwrap();
    assert_eq!((pruning.removed, pruning.through.0), (350, 350), "in more than one page");
    let chain = stage.manager.verify_chain(&stage.task).await.unwrap();
    assert!(
        matches!(chain, ChainReport::Pruned { through: SequenceNumber(350), length: 100, .. }),
        "{chain:?}"
    );
    let last = stage.manager.last_verified(&stage.task).await.unwrap().checkpoint.unwrap();
    assert_eq!(last.header.sequence.0, 450);

    let page = steadfast_store::CheckpointPage::OldestFirst { after: SequenceNumber(399), limit: 1 };
    let kept = stage.manager.list(&stage.task, page).await.unwrap()[0].header.id;
    stage.manager.verify(kept).await.unwrap();
    let pruning = stage.manager.prune(&stage.task, 1).await.unwrap();
    assert_eq!(pruning.through.0, 399, "the verified one stays, and all after it");
    assert_eq!(stage.manager.prune(&stage.task, 1).await.unwrap().removed, 0);
    let refused = stage.manager.prune(&stage.task, 0).await;
    assert!(matches!(refused, Err(CheckpointError::Store(StoreError::Invalid { .. }))), "{refused:?}");
    let (_, step) = stage.commit("next", EvidencePack::none()).await;
    assert_eq!(step.appended.sequence.0, 451);
    assert!(stage.store.task(&stage.task).await.unwrap().is_some());
}
