//! What an operator's own DELETE leaves behind, and a database that is reached through a link.

use std::os::unix::fs::symlink;

use steadfast_store::env::Env;
use steadfast_store::{CheckpointPage, SequenceNumber, SqliteOptions, SqliteStore, Store};

use crate::kit::{Place, append, apply, create, durable, task};

/// The clean-up statement of the reference, keeping the last 3 instead of the last 100.
const CLEAN_UP: &str =
    "DELETE FROM checkpoints WHERE checkpoint_id IN (SELECT checkpoint_id FROM checkpoints c1
    WHERE (SELECT COUNT(*) FROM checkpoints c2 WHERE c2.task_id = c1.task_id
           AND c2.sequence_number > c1.sequence_number) >= 3)";

#[tokio::test]
async fn a_clean_up_by_hand_is_recorded_as_pruned_and_no_number_is_given_out_again() {
    let place = Place::new();
    let store = place.open().await;
    apply(&store, durable(create("t"))).await;
    for _ in 0..8 {
        apply(&store, durable(append("t", "state"))).await;
    }
    place.raw().execute(CLEAN_UP, []).unwrap();
    let pruned = store.task(&task("t")).await.unwrap().unwrap();
    assert_eq!((pruned.head, pruned.pruned_through), (SequenceNumber(8), SequenceNumber(5)));

    let raw = place.raw();
    raw.execute("DELETE FROM checkpoints WHERE sequence_number = 7", []).unwrap();
    let hole = store.task(&task("t")).await.unwrap().unwrap();
    assert_eq!(hole.pruned_through, SequenceNumber(5), "a hole is no pruned beginning");

    raw.execute("DELETE FROM checkpoints", []).unwrap();
    let all = store.task(&task("t")).await.unwrap().unwrap();
    assert_eq!((all.head, all.pruned_through), (SequenceNumber(8), SequenceNumber(8)));
    apply(&store, durable(append("t", "state"))).await;
    let page = CheckpointPage::OldestFirst { after: SequenceNumber(0), limit: 10 };
    let left = store.checkpoints(&task("t"), page).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].header.sequence, left[0].header.parent_link), (SequenceNumber(9), all.head_link));
}

#[tokio::test]
async fn a_database_behind_a_link_is_kept_where_the_link_leads() {
    let (place, elsewhere) = (Place::new(), Place::new());
    symlink(elsewhere.database(), place.database()).unwrap();
    for round in 1..=2 {
        let store = SqliteStore::open(SqliteOptions::new(place.database()), Env::system()).await.unwrap();
        apply(&store, durable(create("t"))).await;
        apply(&store, durable(append("t", "state"))).await;
        assert!(elsewhere.beside("-wal").exists() && !place.beside("-wal").exists());
        assert_eq!(store.task(&task("t")).await.unwrap().unwrap().head, SequenceNumber(round));
        store.close().await;
    }
}
