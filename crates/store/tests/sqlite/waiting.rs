//! Waiting for room: a connection that sits in a transaction makes a batch wait as long as it said and no longer, and a
//! full queue does the same. Whoever gave up was not applied.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use steadfast_store::env::{Clock, Env, Failpoint, SystemClock};
use steadfast_store::limits::PAYLOAD_BYTES_MAX;
use steadfast_store::{Batch, Committed, SqliteStore, Store, StoreError, StoreExt};

use crate::child::{Process, Task, hear, say};
use crate::kit::{Kept, Place, Points, append, assert_is, create, durable, says, soon, task};

const WAIT: Duration = Duration::from_millis(150);
/// Later than this nobody comes who was to come at once, on the slowest machine.
const LATE: Duration = Duration::from_secs(10);

/// Takes the write lock; gives it back when told so.
pub(crate) fn hold_lock_in_child(file: &Path) {
    let connection = Connection::open(file).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    say("held");
    hear();
    connection.execute_batch("ROLLBACK").unwrap();
}

/// Commits what cannot get the lock; the error must be typed and the wait as long as was asked for.
async fn gives_up(store: &SqliteStore, batch: Batch) {
    let wait = batch.wait();
    let clock = SystemClock::new();
    let before = clock.monotonic();
    let error = store.commit(batch).await.unwrap_err();
    let passed = clock.monotonic().saturating_sub(before);
    let StoreError::Overloaded { waited, .. } = error else { panic!("{error:?}") };
    assert!(waited >= wait, "{waited:?} of {wait:?}");
    assert!(passed >= waited, "{waited:?} was told, {passed:?} passed");
    assert!(passed < wait + LATE, "{passed:?} passed instead of {wait:?}");
    says(&error, "submit again later, or with a longer wait (the write lock of another process)");
}

#[tokio::test]
async fn a_batch_waits_for_the_lock_of_another_process_as_long_as_it_said() {
    let place = Place::new();
    let store = Arc::new(place.open().await);
    let mut kept = Kept::begin(&*store).await;
    let mut holder = Process::start(&Task { role: "hold lock", file: &place.database(), number: 0 });
    assert_eq!(holder.listen().as_deref(), Some("held"));
    gives_up(&store, durable(create("impatient")).wait_at_most(WAIT)).await;
    gives_up(&store, durable(create("impatient")).wait_at_most(Duration::ZERO)).await;
    // Reads need no lock.
    kept.is_there(&*store).await;
    assert!(store.task(&task("impatient")).await.unwrap().is_none());

    let patient = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.commit(durable(create("patient"))).await }
    });
    tokio::time::sleep(WAIT).await;
    assert!(!patient.is_finished());
    holder.tell("enough");
    assert_is!(patient.await.unwrap(), Ok(Committed::Applied(_)));
    holder.finish();
    assert!(store.task(&task("impatient")).await.unwrap().is_none());
    kept.goes_on(&*store).await;
}

#[tokio::test]
async fn the_patient_of_a_group_outwait_the_impatient() {
    let place = Place::new();
    let points = Points::new();
    let store = Arc::new(place.open_in(points.env()).await);
    let mut kept = Kept::begin(&*store).await;
    let begun = points.count(Failpoint::BEGIN_BEFORE);
    let other = place.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let submit = |batch: Batch| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.commit(batch).await })
    };
    let first = submit(durable(create("first")).wait_at_most(WAIT / 2));
    soon("the first waits for the lock", || points.count(Failpoint::BEGIN_BEFORE) > begun).await;
    let impatient = submit(durable(create("impatient")).wait_at_most(WAIT));
    let patient = submit(durable(create("patient")));
    for (gave_up, wait) in [(first, WAIT / 2), (impatient, WAIT)] {
        assert_is!(gave_up.await.unwrap(), Err(StoreError::Overloaded { waited, .. }) if *waited >= wait);
    }
    assert!(!patient.is_finished());
    other.execute_batch("ROLLBACK").unwrap();
    assert_is!(patient.await.unwrap(), Ok(Committed::Applied(_)));
    for (name, there) in [("first", false), ("impatient", false), ("patient", true)] {
        assert_eq!(store.task(&task(name)).await.unwrap().is_some(), there, "{name}");
    }
    kept.goes_on(&*store).await;
}

#[tokio::test]
async fn a_full_queue_makes_a_batch_wait_as_long_as_it_said() {
    let place = Place::new();
    let store = Arc::new(place.open().await);
    let mut kept = Kept::begin(&*store).await;
    store.create_task(create("t")).await.unwrap();
    let other = place.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let evidence = append("t", "").evidence.bytes().len();
    let large = append("t", vec![7; PAYLOAD_BYTES_MAX - evidence]);
    let queued: Vec<_> = (0..4)
        .map(|_| {
            let batch = durable(steadfast_store::AppendCheckpoint {
                checkpoint: steadfast_store::CheckpointId::generate(&Env::system()),
                ..large.clone()
            });
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.commit(batch).await })
        })
        .collect();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let error = store.commit(durable(create("late")).wait_at_most(WAIT)).await.unwrap_err();
    assert_is!(error, StoreError::Overloaded { waited, held_by: "the writer's full queue" } if *waited >= WAIT);
    says(&error, "submit again later, or with a longer wait");
    other.execute_batch("ROLLBACK").unwrap();
    for answer in queued {
        assert_is!(answer.await.unwrap(), Ok(Committed::Applied(_)));
    }
    assert!(store.task(&task("late")).await.unwrap().is_none());
    kept.goes_on(&*store).await;
}
