//! Several handles and several processes on one file: what they write together is one chain, and each sees at once
//! what the others were told is committed.

use std::path::Path;

use steadfast_store::env::Env;
use steadfast_store::{SqliteOptions, SqliteStore, Store, StoreExt};

use crate::child::{Process, Task, hear, say};
use crate::kit::{Place, append, chain, create, task};

const WRITERS: usize = 4;
const APPENDS: usize = 25;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn append_in_child(file: &Path, number: usize) {
    let store = SqliteStore::open(SqliteOptions::new(file), Env::system()).await.unwrap();
    say("ready");
    hear().unwrap();
    for count in 0..APPENDS {
        let command = append("shared", format!("{number} {count}"));
        let id = command.checkpoint;
        let appended = store.append_checkpoint(command).await.unwrap();
        let found = store.checkpoint(id).await.unwrap().unwrap();
        assert_eq!(found.header.sequence, appended.sequence);
    }
    store.close().await;
}

#[tokio::test]
async fn processes_that_append_to_one_task_leave_one_dense_chain() {
    let place = Place::new();
    let store = place.open().await;
    store.create_task(create("shared")).await.unwrap();
    let file = place.database();
    let mut writers: Vec<_> =
        (0..WRITERS).map(|number| Process::start(&Task { role: "append", file: &file, number })).collect();
    for writer in &mut writers {
        assert_eq!(writer.listen().as_deref(), Some("ready"));
    }
    for writer in &mut writers {
        writer.tell("go");
    }
    // Every child fails on the first error, "database is locked" among them.
    writers.into_iter().for_each(Process::finish);
    is_whole(&store).await;
}

#[tokio::test]
async fn handles_that_append_to_one_task_leave_one_dense_chain() {
    let place = Place::new();
    let mut writers = Vec::new();
    let store = place.open().await;
    store.create_task(create("shared")).await.unwrap();
    for number in 0..WRITERS {
        let store = place.open().await;
        writers.push(tokio::spawn(async move {
            for count in 0..APPENDS {
                store.append_checkpoint(append("shared", format!("{number} {count}"))).await.unwrap();
            }
            store.close().await;
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    is_whole(&store).await;
}

/// The chain holds each state of each writer once, in the order in which that writer made them.
async fn is_whole(store: &SqliteStore) {
    let chain = chain(store, "shared").await;
    assert_eq!(chain.len(), WRITERS * APPENDS);
    for number in 0..WRITERS {
        let own = format!("{number} ");
        let states = chain.iter().map(|checkpoint| checkpoint.payload.as_ref().unwrap().bytes());
        let found: Vec<_> = states.filter(|state| state.starts_with(own.as_bytes())).cloned().collect();
        let made: Vec<_> = (0..APPENDS).map(|count| format!("{number} {count}")).collect();
        assert_eq!(found, made, "the states of writer {number}");
    }
}

/// Answers each line with the head that it sees; appends first when told so.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn peer_in_child(file: &Path) {
    let store = SqliteStore::open(SqliteOptions::new(file), Env::system()).await.unwrap();
    while let Some(line) = hear() {
        if line == "append" {
            store.append_checkpoint(append("shared", "by the peer")).await.unwrap();
        }
        say(&store.task(&task("shared")).await.unwrap().unwrap().head.to_string());
    }
    store.close().await;
}

#[tokio::test]
async fn a_peer_sees_at_once_what_was_acknowledged() {
    let place = Place::new();
    let (store, handle) = (place.open().await, place.open().await);
    store.create_task(create("shared")).await.unwrap();
    let mut peer = Process::start(&Task { role: "peer", file: &place.database(), number: 0 });
    for round in 0..20 {
        let own = store.append_checkpoint(append("shared", "by us")).await.unwrap().sequence;
        assert_eq!(own.0, 2 * round + 1);
        assert_eq!(handle.task(&task("shared")).await.unwrap().unwrap().head, own);
        peer.tell("look");
        assert_eq!(peer.listen(), Some(own.to_string()));
        peer.tell("append");
        let theirs = own.next();
        assert_eq!(peer.listen(), Some(theirs.to_string()));
        assert_eq!(store.task(&task("shared")).await.unwrap().unwrap().head, theirs);
        assert_eq!(handle.task(&task("shared")).await.unwrap().unwrap().head, theirs);
    }
    peer.finish();
    chain(&store, "shared").await;
}
