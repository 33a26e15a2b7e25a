//! Erased bytes are gone from the files, not only from the rows.

use std::fs;

use steadfast_store::{EraseCheckpoint, Store, StoreExt};

use crate::kit::{Place, append, create, task};

/// Long enough to fill pages of its own.
fn secret() -> Vec<u8> {
    b"a secret that must go".repeat(1_000)
}

fn holds_secret(place: &Place) -> bool {
    let files = fs::read_dir(place.database().parent().unwrap()).unwrap();
    files
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .any(|bytes| bytes.windows(21).any(|window| window == b"a secret that must go"))
}

#[tokio::test]
async fn erased_bytes_are_in_no_file_of_the_database() {
    let place = Place::new();
    let store = place.open().await;
    store.create_task(create("t")).await.unwrap();
    store.append_checkpoint(append("t", "before")).await.unwrap();
    let checkpoint = append("t", secret());
    let id = checkpoint.checkpoint;
    store.append_checkpoint(checkpoint).await.unwrap();
    store.append_checkpoint(append("t", "after")).await.unwrap();
    assert!(holds_secret(&place), "the test would see nothing");
    assert_eq!(store.erase_checkpoint(EraseCheckpoint { checkpoint: id }).await.unwrap().erased, 1);
    assert!(!holds_secret(&place), "when the answer comes");
    store.append_checkpoint(append("t", "later")).await.unwrap();
    assert_eq!(store.task(&task("t")).await.unwrap().unwrap().head.0, 4);
    store.close().await;
    assert!(!holds_secret(&place));
}

#[tokio::test]
async fn a_reader_in_the_way_delays_the_cut_of_the_log_and_nothing_else() {
    let place = Place::new();
    let store = place.open().await;
    store.create_task(create("t")).await.unwrap();
    let checkpoint = append("t", secret());
    let id = checkpoint.checkpoint;
    store.append_checkpoint(checkpoint).await.unwrap();
    let reader = place.raw();
    reader.execute_batch("BEGIN; SELECT count(*) FROM checkpoints").unwrap();
    store.erase_checkpoint(EraseCheckpoint { checkpoint: id }).await.unwrap();
    store.append_checkpoint(append("t", "while it reads")).await.unwrap();
    assert!(holds_secret(&place), "it reads what was there when it began");
    reader.execute_batch("COMMIT").unwrap();
    drop(reader);
    for state in ["one", "two"] {
        store.append_checkpoint(append("t", state)).await.unwrap();
    }
    assert!(!holds_secret(&place));
    store.close().await;
}
