//! Somebody runs `ANALYZE` on the file: the statements of the store go on looking rows up.

use rusqlite::Connection;
use steadfast_store::{Store, StoreExt};

use crate::kit::{Place, append, create, enqueue, task};

fn statistics(connection: &Connection) -> i64 {
    let query = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlite_stat%'";
    connection.query_row(query, [], |row| row.get(0)).unwrap()
}

/// Whether the look-up of a task by its name, as SQLite would do it now, reads the whole table.
fn scans(connection: &Connection) -> bool {
    let query = "EXPLAIN QUERY PLAN SELECT * FROM work_items w CROSS JOIN tasks t ON t.task_id = w.task_id
                 WHERE w.work_item_id = 'x'";
    let mut statement = connection.prepare(query).unwrap();
    let steps = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
    steps.map(Result::unwrap).any(|step| step.starts_with("SCAN"))
}

#[tokio::test]
async fn the_next_commit_takes_an_analyze_back() {
    let place = Place::new();
    let store = place.open().await;
    store.create_task(create("t")).await.unwrap();
    store.enqueue(enqueue("a", "t")).await.unwrap();
    let raw = place.raw();
    assert!(!scans(&raw));
    for round in 0..2 {
        raw.execute_batch("ANALYZE").unwrap();
        assert!(statistics(&raw) > 0);
        assert!(scans(&raw), "the statistics would do no harm");
        // One that is rejected takes nothing back, and is not the last word.
        assert!(store.enqueue(enqueue("b", "nothing")).await.is_err());
        store.append_checkpoint(append("t", "state")).await.unwrap();
        assert_eq!(statistics(&raw), 0, "round {round}");
        assert!(!scans(&raw));
    }
    drop(raw);
    assert_eq!(store.task(&task("t")).await.unwrap().unwrap().head.0, 2);
    store.close().await;
}

#[tokio::test]
async fn statistics_that_were_there_before_are_taken_back_by_the_first_commit() {
    let place = Place::new();
    let store = place.open().await;
    store.create_task(create("t")).await.unwrap();
    store.close().await;
    place.raw().execute_batch("ANALYZE").unwrap();
    let store = place.open().await;
    store.append_checkpoint(append("t", "state")).await.unwrap();
    assert_eq!(statistics(&place.raw()), 0);
    store.close().await;
}
