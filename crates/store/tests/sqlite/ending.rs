//! How a store ends: closed, nothing of it is left; dropped, it finishes what it took on first. And a core that has no
//! thread and no runtime to end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use steadfast_store::env::{Env, Failpoint};
use steadfast_store::{
    Batch, Committed, SqliteCore, SqliteOptions, SqliteStore, Store, StoreError, StoreExt, TaskId,
};

use crate::child::{Process, Task};
use crate::kit::{Kept, Place, Points, append, assert_is, chain, create, durable, enqueue, soon, task};

#[tokio::test]
async fn a_closed_store_leaves_only_the_database() {
    let place = Place::new();
    let mut kept = Kept::begin(&place.open().await).await;
    for _ in 0..20 {
        let store = Arc::new(place.open().await);
        // Some reads at once, so that several read connections are open, some of them just now.
        let reads: Vec<_> = (0..8)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { store.health().await.unwrap() })
            })
            .collect();
        kept.goes_on(&*store).await;
        for read in reads {
            read.await.unwrap();
        }
        Arc::into_inner(store).unwrap().close().await;
        assert_eq!(place.files(), ["agent.db"]);
    }
}

#[tokio::test]
async fn a_store_can_be_opened_again_while_it_closes_itself() {
    let place = Place::new();
    let mut kept = Kept::begin(&place.open().await).await;
    for _ in 0..20 {
        // Dropped at the end of each round, and so still closing in the next.
        let store = place.open().await;
        kept.goes_on(&store).await;
    }
}

#[tokio::test]
async fn a_dropped_store_finishes_its_queue() {
    let place = Place::new();
    let points = Points::new();
    let store = Arc::new(place.open_in(points.env()).await);
    store.create_task(create("t")).await.unwrap();
    let begun = points.count(Failpoint::BEGIN_BEFORE);
    let other = place.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let submit = |count: u32| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.commit(durable(append("t", count.to_string()))).await })
    };
    let mut submitted = vec![submit(0)];
    soon("the first waits for the lock", || points.count(Failpoint::BEGIN_BEFORE) > begun).await;
    submitted.extend((1..50).map(submit));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    for commit in submitted {
        commit.abort();
        assert!(commit.await.unwrap_err().is_cancelled());
    }
    // The last handle: whoever asked has gone, what was taken on has not.
    drop(Arc::into_inner(store).unwrap());
    tokio::time::sleep(Duration::from_millis(20)).await;
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    soon("the store has closed itself", || !place.beside("-wal").exists()).await;
    let store = place.open().await;
    let states: Vec<_> = chain(&store, "t")
        .await
        .iter()
        .map(|state| state.payload.as_ref().unwrap().bytes().clone())
        .collect();
    assert_eq!(states, (0..50).map(|count| count.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_core_needs_no_runtime() {
    let place = Place::new();
    let wait = Duration::from_secs(5);
    let mut core = SqliteCore::open(&place.options(), Env::system()).unwrap();
    let too_many = {
        let mut batch = Batch::durable();
        for _ in 0..=steadfast_store::limits::BATCH_COMMANDS_MAX {
            batch.add(create("t"));
        }
        batch
    };
    let batches =
        [durable(create("t")), durable(enqueue("item", "missing")), too_many, durable(append("t", "state"))];
    let answers = core.apply(&batches.iter().collect::<Vec<_>>(), wait);
    assert_is!(answers[0], Ok(Committed::Applied(_)));
    assert_is!(answers[1], Ok(Committed::Rejected(_)));
    assert_is!(answers[2], Err(StoreError::TooLarge { .. }));
    assert_is!(answers[3], Ok(Committed::Applied(applied)) if !applied.is_replayed());
    assert_eq!(answers.len(), 4);
    assert!(core.apply(&[], wait).is_empty());

    // Of another core it learns on its own.
    let mut other = SqliteCore::open(&place.options(), Env::system()).unwrap();
    for _ in 0..5 {
        for core in [&mut core, &mut other] {
            let batch = durable(append("t", "state"));
            for replayed in [false, true] {
                let answers = core.apply(&[&batch], wait);
                assert_is!(answers[0], Ok(Committed::Applied(applied)) if applied.is_replayed() == replayed);
            }
        }
    }
    drop((core, other));
    assert_eq!(place.files(), ["agent.db"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let store = place.open().await;
        assert_eq!(chain(&store, "t").await.len(), 11);
        store.close().await;
    });
}

/// Opens a store by a relative path and changes to another folder, where another store has the same name.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn change_folder_in_child(other: &Path) {
    let place = Place::new();
    std::env::set_current_dir(place.folder()).unwrap();
    let store = Arc::new(SqliteStore::open(SqliteOptions::new("agent.db"), Env::system()).await.unwrap());
    std::env::set_current_dir(other.parent().unwrap()).unwrap();
    store.create_task(create("own")).await.unwrap();
    // More reads at once than connections were open before.
    let looks: Vec<_> = (0..50)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let found = store.health().await.unwrap();
                let tasks: u64 = found.tasks.iter().map(|(_, count)| count).sum();
                assert_eq!(tasks, 1, "another file was read");
                assert!(store.task(&task("other")).await.unwrap().is_none());
            })
        })
        .collect();
    for look in looks {
        look.await.unwrap();
    }
    store.create_task(create("own too")).await.unwrap();
    Arc::into_inner(store).unwrap().close().await;
    std::env::set_current_dir("/").unwrap();
}

#[tokio::test]
async fn a_store_stays_with_its_file_when_the_current_folder_changes() {
    let place = Place::new();
    let store = place.open().await;
    store.create_task(create("other")).await.unwrap();
    store.create_task(create("other too")).await.unwrap();
    Process::start(&Task { role: "change folder", file: &place.database(), number: 0 }).finish();
    let own: Option<_> = store.task(&TaskId::new("own").unwrap()).await.unwrap();
    assert!(own.is_none());
}
