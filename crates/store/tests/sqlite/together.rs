//! Callers side by side: each batch of a group gets its own answer, and no big commit holds up a runtime that has other
//! things to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use steadfast_store::env::{Env, Failpoint, Failpoints};
use steadfast_store::limits::PAYLOAD_BYTES_MAX;
use steadfast_store::{Batch, Committed, Fence, Guard, Reason, Store, StoreError, StoreExt};

use crate::kit::{
    Place, Points, append, apply, assert_is, chain, claim, create, durable, enqueue, item, soon,
};

#[tokio::test]
async fn each_batch_of_a_group_gets_its_own_answer() {
    const BATCHES: usize = 50;
    let place = Place::new();
    let points = Points::new();
    let store = Arc::new(place.open_in(points.env()).await);
    apply(&*store, durable(create("t"))).await;
    apply(&*store, durable(enqueue("item", "t"))).await;
    store.claim(claim(store.env(), Duration::from_secs(60))).await.unwrap();
    let guarded = |fence, state: &str| {
        let mut batch = Batch::durable();
        batch.add_guarded(Guard { item: item("item"), fence: Fence(fence) }, append("t", state));
        batch
    };
    let begun = points.count(Failpoint::BEGIN_BEFORE);
    let other = place.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let submit = |batch: Batch| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.commit(batch).await })
    };
    let mut answers = Vec::new();
    for number in 0..BATCHES {
        answers.push(submit(match number {
            20 => durable(append("missing", "")),
            30 => guarded(7, "stale"),
            number => guarded(1, &number.to_string()),
        }));
    }
    soon("the first batch waits for the lock", || points.count(Failpoint::BEGIN_BEFORE) > begun).await;
    other.execute_batch("ROLLBACK").unwrap();
    let mut sequences = Vec::new();
    for (number, answer) in answers.into_iter().enumerate() {
        match (number, answer.await.unwrap().unwrap()) {
            (20, Committed::Rejected(rejection)) => {
                assert_is!(rejection.reason, Reason::NoSuchTask { .. });
            }
            (30, Committed::Rejected(rejection)) => {
                assert_is!(rejection.reason, Reason::StaleFence { shown: Fence(7), current: Fence(1), .. });
            }
            (_, Committed::Applied(applied)) => sequences.push((number, format!("{:?}", applied.outcomes()))),
            (number, other) => panic!("batch {number} was answered {other:?}"),
        }
    }
    assert_eq!(sequences.len(), BATCHES - 2);
    let groups = points.count(Failpoint::BEGIN_BEFORE) - begun;
    assert!(groups < BATCHES / 2, "{BATCHES} batches took {groups} groups");
    // Each was told its own place: the outcome names the sequence number and link of its own state.
    let chain = chain(&*store, "t").await;
    assert_eq!(chain.len(), BATCHES - 2);
    for (checkpoint, (number, outcome)) in chain.iter().zip(sequences) {
        assert_eq!(checkpoint.payload.as_ref().unwrap().bytes().as_ref(), number.to_string().as_bytes());
        assert!(outcome.contains(&checkpoint.header.link.to_string()), "{outcome}");
    }
}

/// SQLite gives up the whole transaction only after some errors; here one statement fails, and the group is undone by
/// the store's own hand.
#[tokio::test]
async fn a_batch_that_fails_takes_none_of_its_group_with_it() {
    let place = Place::new();
    let points = Points::new();
    let store = Arc::new(place.open_in(points.env()).await);
    apply(&*store, durable(create("t"))).await;
    let poison = "CREATE TRIGGER poison BEFORE INSERT ON tasks WHEN NEW.task_key = 'poison'
                  BEGIN SELECT RAISE(ABORT, 'poisoned'); END";
    let other = place.raw();
    other.execute_batch(poison).unwrap();
    let begun = points.count(Failpoint::BEGIN_BEFORE);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let submit = |batch: Batch| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.commit(batch).await })
    };
    let first = submit(durable(append("t", "first")));
    soon("the first batch waits for the lock", || points.count(Failpoint::BEGIN_BEFORE) > begun).await;
    let mut half = durable(append("t", "half of the poisoned one"));
    half.add(create("poison"));
    let group = [durable(append("t", "second")), half, durable(append("t", "third"))].map(submit);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    other.execute_batch("ROLLBACK").unwrap();
    assert_is!(first.await.unwrap(), Ok(Committed::Applied(_)));
    let [second, poisoned, third] = group;
    assert_is!(second.await.unwrap(), Ok(Committed::Applied(_)));
    assert_is!(poisoned.await.unwrap(), Err(StoreError::Failed { .. }));
    assert_is!(third.await.unwrap(), Ok(Committed::Applied(_)));
    // Begun: the first, the three together, each of the three.
    assert_eq!(points.count(Failpoint::BEGIN_BEFORE) - begun, 5);
    let chain = chain(&*store, "t").await;
    let states: Vec<_> = chain.iter().map(|found| found.payload.as_ref().unwrap().bytes().as_ref()).collect();
    assert_eq!(states, [b"first".as_slice(), b"second", b"third"]);
}

/// Holds the writer at a point inside a commit until the ticker has ticked on, or long enough to be sure that it
/// does not.
#[derive(Debug, Default)]
struct UntilTicks {
    ticks: AtomicU64,
    met: AtomicU64,
}

const TICKS: u64 = 5;

impl Failpoints for UntilTicks {
    fn reach(&self, point: Failpoint) {
        if point != Failpoint::COMMIT_BEFORE {
            return;
        }
        let before = self.ticks.load(Ordering::SeqCst);
        for _ in 0..5_000 {
            if self.ticks.load(Ordering::SeqCst) >= before + TICKS {
                self.met.fetch_add(1, Ordering::SeqCst);
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_heartbeat_goes_on_while_a_big_commit_is_under_way() {
    let place = Place::new();
    let points = Arc::new(UntilTicks::default());
    let ticking = Arc::clone(&points);
    let ticker = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            ticking.ticks.fetch_add(1, Ordering::SeqCst);
        }
    });
    let env = Env::system().with_failpoints(Arc::<UntilTicks>::clone(&points));
    let store = place.open_in(env).await;
    store.create_task(create("t")).await.unwrap();
    let evidence = append("t", "").evidence.bytes().len();
    for committed in 2..5 {
        let batch = durable(append("t", vec![7; PAYLOAD_BYTES_MAX - evidence]));
        assert_is!(store.commit(batch).await, Ok(Committed::Applied(_)));
        assert_eq!(points.met.load(Ordering::SeqCst), committed, "the runtime stood still during a commit");
    }
    ticker.abort();
    store.close().await;
}
