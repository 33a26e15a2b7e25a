//! One pass: what it reclaims, what it leaves alone, what it counts, and what trouble does to it.

use std::sync::atomic::Ordering;

use steadfast_recovery::SweepStats;
use steadfast_store::{CheckpointPage, FinishTask, Payload, Renew, Status, Store, StoreExt, TaskEnd, Term};

use crate::stage::{Stage, TERM, label, task};

/// The counts of a pass, without its duration.
fn counts(stats: &SweepStats) -> (u64, u64, u64, u64, u64) {
    let SweepStats { expired_found, recovered, failed, errors, checkpoints_created, .. } = stats;
    (*expired_found, *recovered, *failed, *errors, *checkpoints_created)
}

#[tokio::test]
async fn nothing_is_reclaimed_before_its_term() {
    let stage = Stage::new();
    stage.lease("t", 10, 3).await;
    stage.clock.advance(std::time::Duration::from_millis(29_999));
    assert_eq!(counts(&stage.sweeper(4).run_once().await), (0, 0, 0, 0, 0));
    stage.clock.advance(std::time::Duration::from_millis(1));
    assert_eq!(counts(&stage.sweeper(4).run_once().await), (10, 10, 0, 0, 10));
    assert_eq!(counts(&stage.sweeper(4).run_once().await), (0, 0, 0, 0, 0));
}

#[tokio::test]
async fn every_reclaim_leaves_an_error_boundary_on_its_task() {
    let stage = Stage::new();
    stage.lease("t", 3, 3).await;
    stage.clock.advance(TERM);
    stage.sweeper(2).run_once().await;
    let page = CheckpointPage::OldestFirst { after: steadfast_store::SequenceNumber(0), limit: 10 };
    let boundaries = stage.store.checkpoints(&task("t"), page).await.unwrap();
    assert_eq!(boundaries.len(), 3);
    assert!(boundaries.iter().all(|boundary| boundary.header.kind == label("error_boundary")));
}

#[tokio::test]
async fn a_lease_that_was_renewed_is_left_alone() {
    let stage = Stage::new();
    let guards = stage.lease("t", 10, 3).await;
    stage.clock.advance(TERM / 2);
    for guard in &guards[..4] {
        let renew = Renew { guard: guard.clone(), term: Term::new(TERM).unwrap() };
        stage.store.renew(renew).await.unwrap();
    }
    stage.clock.advance(TERM / 2);
    assert_eq!(counts(&stage.sweeper(3).run_once().await), (6, 6, 0, 0, 6));
    for (index, guard) in guards.iter().enumerate() {
        let item = stage.store.work_item(&guard.item).await.unwrap().unwrap();
        assert_eq!(item.status == Status::InProgress, index < 4, "{}", item.id);
    }
    // The reclaimed ones cannot be renewed any more.
    let renew = Renew { guard: guards[9].clone(), term: Term::new(TERM).unwrap() };
    assert!(stage.store.renew(renew).await.is_err());
}

#[tokio::test]
async fn an_item_whose_attempts_are_used_up_becomes_a_dead_letter() {
    let stage = Stage::new();
    stage.lease("t", 1, 2).await;
    stage.clock.advance(TERM);
    assert_eq!(counts(&stage.sweeper(10).run_once().await), (1, 1, 0, 0, 1));
    assert_eq!(stage.claim(10).await.len(), 1);
    stage.clock.advance(TERM);
    assert_eq!(counts(&stage.sweeper(10).run_once().await), (1, 0, 1, 0, 1));
    assert_eq!(stage.claim(10).await.len(), 0);
}

#[tokio::test]
async fn an_item_of_a_finished_task_is_counted_and_neither_recovered_nor_failed() {
    let stage = Stage::new();
    stage.lease("t", 1, 3).await;
    let finish = FinishTask { task: task("t"), end: TaskEnd::Cancelled, result: Payload::empty() };
    stage.store.finish_task(finish).await.unwrap();
    stage.clock.advance(TERM);
    assert_eq!(counts(&stage.sweeper(10).run_once().await), (1, 0, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sweepers_at_once_reclaim_each_lease_once() {
    let stage = Stage::new();
    let guards = stage.lease("t", 200, 3).await;
    stage.clock.advance(TERM);
    let sweepers: Vec<_> = (0..8)
        .map(|_| {
            let sweeper = stage.sweeper(7);
            tokio::spawn(async move { sweeper.run_once().await })
        })
        .collect();
    let mut total = SweepStats::default();
    for sweeper in sweepers {
        total += &sweeper.await.unwrap();
    }
    assert_eq!(counts(&total), (200, 200, 0, 0, 200));
    for guard in guards {
        let item = stage.store.work_item(&guard.item).await.unwrap().unwrap();
        assert_eq!((item.attempt, item.fence.0), (1, guard.fence.0 + 1));
    }
}

#[tokio::test]
async fn a_page_whose_answer_was_lost_is_counted_once() {
    let stage = Stage::new();
    stage.lease("t", 10, 3).await;
    stage.clock.advance(TERM);
    stage.store.unknown.store(2, Ordering::SeqCst);
    assert_eq!(counts(&stage.sweeper(4).run_once().await), (10, 10, 0, 0, 10));
}

#[tokio::test]
async fn a_busy_store_costs_an_error_and_no_lease() {
    let stage = Stage::new();
    stage.lease("t", 10, 3).await;
    stage.clock.advance(TERM);
    stage.store.overloaded.store(2, Ordering::SeqCst);
    let stats = stage.sweeper(4).run_once().await;
    assert_eq!(counts(&stats), (10, 10, 0, 2, 10));
    assert!(stats.last_error.contains("busy"), "{}", stats.last_error);
}

#[tokio::test]
async fn a_pass_gives_up_on_a_store_that_stays_busy_and_the_next_one_finds_everything() {
    let stage = Stage::new();
    stage.lease("t", 10, 3).await;
    stage.clock.advance(TERM);
    stage.store.overloaded.store(3, Ordering::SeqCst);
    assert_eq!(counts(&stage.sweeper(4).run_once().await), (0, 0, 0, 3, 0));
    assert_eq!(counts(&stage.sweeper(4).run_once().await), (10, 10, 0, 0, 10));
}

#[tokio::test]
async fn a_page_of_nothing_is_an_error_that_says_so() {
    let stage = Stage::new();
    let stats = stage.sweeper(0).run_once().await;
    assert_eq!(stats.errors, 1);
    assert!(stats.last_error.contains("at least one"), "{}", stats.last_error);
}
