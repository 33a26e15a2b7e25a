//! Steps that are begun first: remembered over the end of their process, closed with their checkpoint.

use std::time::Duration;

use steadfast_checkpoints::{Begun, CheckpointError, EvidencePack, OpenStep};
use steadfast_store::{
    Claim, Delay, Enqueue, Guard, HolderId, Reason, Store, StoreExt, SweepExpired, TaskId, Term,
    TransitionId, WorkItemId,
};

use crate::stage::{Stage, label};

fn open(begun: Begun) -> OpenStep {
    match begun {
        Begun::Open(step) => step,
        other => panic!("{other:?}"),
    }
}

async fn begin(stage: &Stage, name: &str, lease: Option<Guard>) -> Begun {
    stage.manager.begin_step(&stage.task, label(name), lease).await.unwrap()
}

async fn claim(stage: &Stage, term: Duration) -> Guard {
    let claim = Claim {
        claim: TransitionId::generate(stage.store.env()),
        holder: HolderId::new("worker").unwrap(),
        term: Term::new(term).unwrap(),
        limit: 1,
        kinds: Vec::new(),
        task: None,
    };
    stage.store.claim(claim).await.unwrap().items[0].guard()
}

async fn leased(stage: &Stage, term: Duration) -> Guard {
    let (item, task) = (WorkItemId::new("report/1").unwrap(), stage.task.clone());
    let enqueue =
        Enqueue { item, task, kind: label("work"), priority: 0, delay: Delay::ZERO, max_attempts: 9 };
    stage.store.enqueue(enqueue).await.unwrap();
    claim(stage, term).await
}

#[tokio::test]
async fn a_begun_step_is_open_until_its_checkpoint_closes_it() {
    let stage = Stage::new().await;
    let step = open(begin(&stage, "collect", None).await);
    assert_eq!((step.attempt(), step.name().as_str(), step.task()), (1, "collect", &stage.task));
    let unfinished = stage.manager.unfinished_steps(&stage.task).await.unwrap();
    assert_eq!(
        unfinished.iter().map(|step| (step.name.as_str(), step.attempts)).collect::<Vec<_>>(),
        [("collect", 1)]
    );

    let prepared = stage.prepare("collected", EvidencePack::none());
    let committed = stage.manager.commit_begun(&step, &prepared, None, |_| {}).await.unwrap();
    assert_eq!(committed.appended.sequence.0, 1);
    assert!(stage.manager.unfinished_steps(&stage.task).await.unwrap().is_empty());
    assert_eq!(begin(&stage, "collect", None).await, Begun::Committed(prepared.id()));
    assert_eq!(open(begin(&stage, "write", None).await).attempt(), 1);
}

#[tokio::test]
async fn a_step_broken_off_is_begun_again_and_only_the_newest_beginning_commits() {
    let stage = Stage::new().await;
    let first = open(begin(&stage, "collect", None).await);
    let second = open(begin(&stage, "collect", None).await);
    assert_eq!(second.attempt(), 2);
    let late = stage.prepare("late", EvidencePack::none());
    let refused = stage.manager.commit_begun(&first, &late, None, |_| {}).await.unwrap_err();
    assert!(
        matches!(&refused, CheckpointError::Rejected(rejection) if rejection.reason == Reason::StaleToken)
    );
    assert!(stage.manager.get(late.id()).await.unwrap().is_none(), "nothing of it was written");
    let prepared = stage.prepare("collected", EvidencePack::none());
    stage.manager.commit_begun(&second, &prepared, None, |_| {}).await.unwrap();
}

#[tokio::test]
async fn under_a_lease_a_step_is_its_holders_until_the_lease_is_lost() {
    let stage = Stage::new().await;
    let lease = leased(&stage, Duration::from_millis(40)).await;
    let step = open(begin(&stage, "collect", Some(lease.clone())).await);
    assert_eq!(begin(&stage, "collect", None).await, Begun::Elsewhere);
    assert_eq!(
        open(begin(&stage, "collect", Some(lease.clone())).await),
        step,
        "broken off, and the same lease"
    );
    tokio::time::sleep(Duration::from_millis(50)).await;
    let sweep = SweepExpired { sweep: TransitionId::generate(stage.store.env()), limit: 9 };
    assert_eq!(stage.store.sweep_expired(sweep).await.unwrap().reclaimed.len(), 1);
    let refused = stage.manager.begin_step(&stage.task, label("other"), Some(lease)).await;
    assert!(matches!(refused, Err(CheckpointError::Rejected(_))), "{refused:?}");

    let next = claim(&stage, Duration::from_mins(1)).await;
    let again = open(begin(&stage, "collect", Some(next.clone())).await);
    assert_eq!(again.attempt(), 2);
    let unfinished = stage.manager.unfinished_steps(&stage.task).await.unwrap();
    assert_eq!(unfinished[0].lease, Some(next.clone()));
    let prepared = stage.prepare("collected", EvidencePack::none());
    assert!(stage.manager.commit_begun(&step, &prepared, None, |_| {}).await.is_err());
    stage.manager.commit_begun(&again, &prepared, Some(next), |_| {}).await.unwrap();
}

#[tokio::test]
async fn no_two_pairs_of_task_and_name_are_one_step() {
    let stage = Stage::new().await;
    for (task, name) in [("a", "1:b:c"), ("a:1", "b:c"), ("a:1:b", "c")] {
        let task = stage.create_task(task).await;
        let begun = stage.manager.begin_step(&task, label(name), None).await.unwrap();
        assert_eq!(open(begun).attempt(), 1, "{task} {name}");
    }
    let nothing = TaskId::new("nothing").unwrap();
    let refused = stage.manager.begin_step(&nothing, label("x"), None).await;
    assert!(matches!(refused, Err(CheckpointError::Rejected(_))), "{refused:?}");
}
