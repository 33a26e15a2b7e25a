//! What others do to the tables: rows deleted by hand, and changes that the server swallows.

use steadfast_store::env::Env;
use steadfast_store::{
    AppendCheckpoint, CheckpointId, Label, Payload, PostgresStore, SealedPayload, SequenceNumber, Store,
    StoreError, StoreExt, TaskId,
};

use crate::kit::{Schema, claim, create, enqueue};

fn task() -> TaskId {
    TaskId::new("t").unwrap()
}

fn append(number: u8) -> AppendCheckpoint {
    AppendCheckpoint {
        checkpoint: CheckpointId::from_bytes([number; 16]),
        task: task(),
        kind: Label::new("step").unwrap(),
        work_item: None,
        expected_head: None,
        copy_of: None,
        payload: SealedPayload::seal("state", &Env::system()).unwrap(),
        evidence: Payload::empty(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_deleted_by_hand_leave_their_number_and_a_hole_stays_one() {
    let Some(server) = crate::server::url() else { return };
    let schema = Schema::new(server).await.unwrap();
    let store = PostgresStore::open(schema.options(), Env::system()).await.unwrap();
    store.create_task(create("t")).await.unwrap();
    for number in 1..=5 {
        store.append_checkpoint(append(number)).await.unwrap();
    }
    let delete = async |condition: &str| {
        let sql = format!("DELETE FROM {}.checkpoints WHERE {condition}", schema.name());
        schema.admin().batch_execute(&sql).await.unwrap();
        let found = store.task(&task()).await.unwrap().unwrap();
        (found.pruned_through, found.head)
    };
    let (pruned, head) = (SequenceNumber, SequenceNumber);
    assert_eq!(delete("sequence_number = 4").await, (pruned(0), head(5)), "a hole");
    assert_eq!(delete("sequence_number <= 2").await, (pruned(2), head(5)), "a beginning");
    assert_eq!(delete("true").await, (pruned(5), head(5)), "everything");
    assert_eq!(store.append_checkpoint(append(6)).await.unwrap().sequence, head(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_reaches_no_row_is_not_acknowledged() {
    let Some(server) = crate::server::url() else { return };
    let schema = Schema::new(server).await.unwrap();
    let store = PostgresStore::open(schema.options(), Env::system()).await.unwrap();
    store.create_task(create("t")).await.unwrap();
    store.enqueue(enqueue("a", "t")).await.unwrap();
    let name = schema.name();
    let swallow = format!(
        "CREATE FUNCTION {name}.swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER swallow BEFORE UPDATE ON {name}.work_items
             FOR EACH ROW EXECUTE FUNCTION {name}.swallow()"
    );
    schema.admin().batch_execute(&swallow).await.unwrap();
    let mut batch = steadfast_store::Batch::durable();
    batch.add(create("beside"));
    batch.add(claim(1));
    let error = store.commit(batch).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(store.task(&TaskId::new("beside").unwrap()).await.unwrap().is_none(), "nothing was applied");
}
