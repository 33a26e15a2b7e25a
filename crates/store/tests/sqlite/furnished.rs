//! A store with a row in every table, and one try of everything that a store can do, for the tests of damage.

use std::time::Duration;

use steadfast_store::env::Env;
use steadfast_store::{
    Abandonment, AppendCheckpoint, BeginOperation, CancelItem, CheckpointId, CheckpointPage, Claim, Delay,
    Digest, EraseCheckpoint, Fence, FinishOperation, FinishTask, Guard, InvalidateOperation, OperationEnd,
    OperationKey, OperationPage, OperationToken, Payload, PruneCheckpoints, PurgeOperations,
    RecordVerification, Renew, Requeue, SequenceNumber, Settle, SettleItem, SqliteStore, Status, Store,
    StoreError, StoreExt, SweepExpired, TaskEnd, TaskPage, Term, TransitionId, Verdict, WorkItemPage,
};

use crate::kit::{Place, append, claim, create, durable, enqueue, item, payload, task};

/// What was written into a furnished store.
pub(crate) struct Furnished {
    pub(crate) checkpoint: CheckpointId,
    pub(crate) operation: OperationKey,
}

pub(crate) const STATE: &str = "the state of the first checkpoint";
pub(crate) const INPUT: &str = "input";
pub(crate) const RESULT: &str = "the result of the task";
pub(crate) const OUTPUT: &str = "the output of the operation";

pub(crate) fn begin(key: &OperationKey) -> BeginOperation {
    BeginOperation {
        key: key.clone(),
        fingerprint: Digest::of(b"call"),
        token: OperationToken::generate(&Env::system()),
        task: Some(task("t")),
        lease: None,
        term: Term::new(Duration::from_secs(60)).unwrap(),
        abandonment: Abandonment::Doubt,
        fresh_for: None,
    }
}

/// Puts a row into every table; the store is closed again.
pub(crate) async fn furnish(place: &Place) -> Furnished {
    let store = place.open().await;
    let end = TaskEnd::Succeeded;
    store.create_task(create("done")).await.unwrap();
    store.finish_task(FinishTask { task: task("done"), end, result: payload(RESULT) }).await.unwrap();
    store.create_task(create("t")).await.unwrap();
    store.enqueue(enqueue("dead", "t")).await.unwrap();
    let dead = Claim { limit: 1, ..claim(store.env(), Duration::from_secs(60)) };
    let guard = store.claim(dead).await.unwrap().items[0].guard();
    let detail = "no answer".to_owned();
    store.settle(SettleItem { guard, settle: Settle::Failed, detail }).await.unwrap();
    for name in ["held", "queued"] {
        store.enqueue(enqueue(name, "t")).await.unwrap();
    }
    let held = Claim { limit: 1, ..claim(store.env(), Duration::from_secs(60)) };
    store.claim(held).await.unwrap();
    let first = append("t", STATE);
    let checkpoint = first.checkpoint;
    store.append_checkpoint(first).await.unwrap();
    store.append_checkpoint(append("t", "another state")).await.unwrap();
    let state = store.checkpoint(checkpoint).await.unwrap().unwrap().payload.unwrap();
    let copy = AppendCheckpoint { copy_of: Some(checkpoint), payload: state, ..append("t", STATE) };
    store.append_checkpoint(copy).await.unwrap();
    store.record_verification(verification(checkpoint)).await.unwrap();
    let operation = OperationKey::new("tool-ledger:1").unwrap();
    let begun = begin(&operation);
    let token = begun.token;
    store.begin_operation(begun).await.unwrap();
    let end = OperationEnd::Succeeded(payload(OUTPUT));
    store.finish_operation(FinishOperation { key: operation.clone(), token, end }).await.unwrap();
    store.close().await;
    Furnished { checkpoint, operation }
}

fn verification(checkpoint: CheckpointId) -> RecordVerification {
    RecordVerification { checkpoint, verdict: Verdict::Verified, detail: "all of it".into() }
}

/// Tries every read and every command once; answers with what each came to. Bytes that are handed out must be those
/// that were written, whatever has happened to the file.
pub(crate) async fn try_everything(
    store: &SqliteStore,
    furnished: &Furnished,
) -> Vec<(String, Result<(), StoreError>)> {
    let mut tried: Vec<(String, Result<(), StoreError>)> = Vec::new();
    let mut note = |what: &str, answer| tried.push((what.to_owned(), answer));
    let is = |found: &Payload, text: &str| assert_eq!(found.bytes().as_ref(), text.as_bytes());

    note("task", store.task(&task("t")).await.map(drop));
    for name in ["t", "done"] {
        let record = store.task_record(&task(name)).await;
        if let Ok(Some(record)) = &record {
            is(&record.input, INPUT);
            record.result.iter().for_each(|result| is(result, RESULT));
        }
        note("task record", record.map(drop));
    }
    for name in ["held", "queued"] {
        note("work item", store.work_item(&item(name)).await.map(drop));
    }
    let found = store.checkpoint(furnished.checkpoint).await;
    if let Ok(Some(checkpoint)) = &found {
        checkpoint.payload.iter().for_each(|state| assert_eq!(state.bytes().as_ref(), STATE.as_bytes()));
    }
    note("checkpoint", found.map(drop));
    let oldest = CheckpointPage::OldestFirst { after: SequenceNumber(0), limit: 100 };
    let newest = CheckpointPage::NewestFirst { before: None, limit: 100 };
    for page in [oldest, newest] {
        note("checkpoints", store.checkpoints(&task("t"), page).await.map(drop));
    }
    let found = store.operation(&furnished.operation).await;
    if let Ok(Some(operation)) = &found {
        operation.output.iter().for_each(|output| is(output, OUTPUT));
    }
    note("operation", found.map(drop));
    let page = OperationPage { after: None, status: None, limit: 100 };
    note("operations", store.operations(&task("t"), page).await.map(drop));
    note("health", store.health().await.map(drop));
    note("monitoring", store.monitoring().await.map(drop));
    for status in [None, Some(Status::Failed)] {
        let page = WorkItemPage { task: None, status, after: None, limit: 100 };
        note("work items", store.work_items(page).await.map(drop));
    }
    note("tasks", store.tasks(TaskPage { status: None, after: None, limit: 100 }).await.map(drop));

    let env = store.env();
    let key = OperationKey::new("tool-ledger:2").unwrap();
    let begun = begin(&key);
    let token = begun.token;
    let guard = Guard { item: item("held"), fence: Fence(1) };
    let term = Term::new(Duration::from_secs(90)).unwrap();
    let end = OperationEnd::Succeeded(payload(OUTPUT));
    let kind = enqueue("new", "t").kind;
    let batches = [
        ("create", durable(create("new"))),
        ("create again", durable(create("t"))),
        ("enqueue", durable(enqueue("new", "t"))),
        ("cancel", durable(CancelItem { item: item("queued") })),
        (
            "requeue",
            durable(Requeue { requeue: TransitionId::generate(env), item: item("dead"), delay: Delay::ZERO }),
        ),
        ("claim of a kind", durable(Claim { kinds: vec![kind], ..claim(env, Duration::from_secs(60)) })),
        ("claim", durable(claim(env, Duration::from_secs(60)))),
        ("renew", durable(Renew { guard: guard.clone(), term })),
        ("settle", durable(SettleItem { guard, settle: Settle::Succeeded, detail: String::new() })),
        ("append", durable(append("t", "a later state"))),
        ("verify", durable(verification(furnished.checkpoint))),
        ("sweep", durable(SweepExpired { sweep: TransitionId::generate(env), limit: 100 })),
        ("begin", durable(begun)),
        ("invalidate", durable(InvalidateOperation { key: furnished.operation.clone() })),
        ("purge", durable(PurgeOperations { prefix: String::new(), older_than: Duration::ZERO, limit: 100 })),
        ("erase", durable(EraseCheckpoint { checkpoint: furnished.checkpoint })),
        ("prune", durable(PruneCheckpoints { task: task("t"), keep: 1, limit: 100 })),
        ("finish operation", durable(FinishOperation { key, token, end })),
        (
            "finish task",
            durable(FinishTask { task: task("t"), end: TaskEnd::Failed, result: payload(RESULT) }),
        ),
    ];
    for (what, batch) in batches {
        note(what, store.commit(batch).await.map(drop));
    }
    tried
}
