//! Input over a limit or without sense: each kind is refused with a typed error that says what to do, nothing of it is
//! written, and the store works on.

use std::time::Duration;

use steadfast_store::env::Env;
use steadfast_store::limits::{
    ATTEMPTS_MAX, BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, DELAY_MAX, ID_BYTES_MAX, KEY_BYTES_MAX, PAGE_ROWS_MAX,
    PAYLOAD_BYTES_MAX, TERM_MAX, TERM_MIN,
};
use steadfast_store::{
    Abandonment, Batch, BeginOperation, CheckpointPage, Claim, Delay, Digest, Enqueue, HolderId, InvalidId,
    InvalidSpan, Label, OperationKey, OperationToken, Payload, PayloadTooLarge, SealedPayload,
    SequenceNumber, SqliteStore, Store, StoreError, SweepExpired, TaskId, Term, TransitionId, WorkItemId,
};

use crate::kit::{Kept, Place, append, apply, assert_is, claim, create, durable, enqueue, item, says, task};

/// Commits a batch that must be refused, and looks that nothing was harmed.
async fn refused(store: &SqliteStore, kept: &mut Kept, batch: Batch) -> StoreError {
    let before = store.health().await.unwrap();
    let error = store.commit(batch).await.unwrap_err();
    assert!(!error.may_have_been_applied());
    let after = store.health().await.unwrap();
    assert_eq!((before.tasks, before.work_items), (after.tasks, after.work_items));
    kept.goes_on(store).await;
    error
}

#[tokio::test]
async fn an_oversized_payload_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    let mut kept = Kept::begin(&store).await;
    let bytes = vec![7; PAYLOAD_BYTES_MAX + 1];
    for error in
        [Payload::new(bytes.clone()).unwrap_err(), SealedPayload::seal(bytes, store.env()).unwrap_err()]
    {
        let PayloadTooLarge { actual, limit } = error;
        assert_eq!((actual, limit), (PAYLOAD_BYTES_MAX + 1, PAYLOAD_BYTES_MAX));
        says(&error, "keep the bytes in a file and give the store its digest");
    }
    // One of exactly the limit is taken, and comes back.
    let largest = append("kept", vec![7; PAYLOAD_BYTES_MAX]);
    let id = largest.checkpoint;
    apply(&store, durable(create("large"))).await;
    apply(&store, durable(steadfast_store::AppendCheckpoint { task: task("large"), ..largest })).await;
    let found = store.checkpoint(id).await.unwrap().unwrap();
    assert_eq!(found.payload.unwrap().bytes().len(), PAYLOAD_BYTES_MAX);
    kept.goes_on(&store).await;
}

#[tokio::test]
async fn an_oversized_key_or_id_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    let mut kept = Kept::begin(&store).await;
    let errors = [
        OperationKey::new("k".repeat(KEY_BYTES_MAX + 1)).unwrap_err(),
        TaskId::new("t".repeat(ID_BYTES_MAX + 1)).unwrap_err(),
        // Bytes count, not characters.
        WorkItemId::new("é".repeat(ID_BYTES_MAX / 2 + 1)).unwrap_err(),
        HolderId::new("h".repeat(ID_BYTES_MAX + 1)).unwrap_err(),
        Label::new("l".repeat(ID_BYTES_MAX + 1)).unwrap_err(),
    ];
    for error in errors {
        assert_is!(error, InvalidId::TooLong { actual, limit, .. } if actual > limit);
        says(&error, "shorten it, or use its digest as the id");
    }
    let longest = OperationKey::new("k".repeat(KEY_BYTES_MAX)).unwrap();
    apply(&store, durable(begin(longest.clone(), Duration::from_secs(1)))).await;
    assert!(store.operation(&longest).await.unwrap().is_some());
    kept.goes_on(&store).await;
}

fn begin(key: OperationKey, term: Duration) -> BeginOperation {
    BeginOperation {
        key,
        fingerprint: Digest::of(b"call"),
        token: OperationToken::generate(&Env::system()),
        task: None,
        lease: None,
        term: Term::new(term).unwrap(),
        abandonment: Abandonment::Retake,
        fresh_for: None,
    }
}

#[tokio::test]
async fn a_batch_of_too_many_commands_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    let mut kept = Kept::begin(&store).await;
    let mut batch = Batch::durable();
    for number in 0..BATCH_COMMANDS_MAX {
        batch.add(create(&format!("task {number}")));
    }
    let mut over = batch.clone();
    over.add(create("one more"));
    let error = refused(&store, &mut kept, over).await;
    assert_is!(error, StoreError::TooLarge { limit: BATCH_COMMANDS_MAX, .. });
    says(&error, "split it");
    apply(&store, batch).await;
    kept.goes_on(&store).await;
}

#[tokio::test]
async fn a_batch_of_too_many_bytes_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    let mut kept = Kept::begin(&store).await;
    apply(&store, durable(create("large"))).await;
    let mut batch = Batch::durable();
    let evidence = append("large", "").evidence.bytes().len();
    for _ in 0..BATCH_BYTES_MAX / PAYLOAD_BYTES_MAX {
        batch.add(append("large", vec![7; PAYLOAD_BYTES_MAX - evidence]));
    }
    assert_eq!(batch.payload_bytes(), BATCH_BYTES_MAX);
    let mut over = batch.clone();
    over.add(steadfast_store::CreateTask { input: Payload::new("x").unwrap(), ..create("one more") });
    let error = refused(&store, &mut kept, over).await;
    assert_is!(error, StoreError::TooLarge { actual, limit: BATCH_BYTES_MAX, .. } if *actual == BATCH_BYTES_MAX + 1);
    says(&error, "split it, or keep the bytes elsewhere");
    apply(&store, batch).await;
    kept.goes_on(&store).await;
}

#[tokio::test]
async fn a_nul_in_any_kind_of_id_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    let mut kept = Kept::begin(&store).await;
    let text = "before\0after";
    let errors = [
        TaskId::new(text).unwrap_err(),
        WorkItemId::new(text).unwrap_err(),
        HolderId::new(text).unwrap_err(),
        Label::new(text).unwrap_err(),
        OperationKey::new(text).unwrap_err(),
        text.parse::<TaskId>().unwrap_err(),
    ];
    for error in errors {
        assert_is!(error, InvalidId::Nul { at: 6, .. });
        says(&error, "remove or encode it");
    }
    kept.goes_on(&store).await;
}

#[tokio::test]
async fn a_zero_or_absurd_term_or_delay_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    let mut kept = Kept::begin(&store).await;
    let moment = Duration::from_nanos(1);
    let terms =
        [Duration::ZERO, TERM_MIN.saturating_sub(moment), TERM_MAX + moment, Duration::MAX].map(Term::new);
    for error in terms.into_iter().map(Result::unwrap_err) {
        assert_is!(error, InvalidSpan { what: "term", .. });
        says(&error, "choose one inside these bounds");
    }
    for error in [DELAY_MAX + moment, Duration::MAX].map(Delay::new).map(Result::unwrap_err) {
        assert_is!(error, InvalidSpan { what: "delay", .. });
        says(&error, "choose one inside these bounds");
    }
    // The bounds themselves are taken, and mean what they say.
    apply(&store, durable(create("t"))).await;
    apply(&store, durable(Enqueue { delay: Delay::new(DELAY_MAX).unwrap(), ..enqueue("late", "t") })).await;
    apply(&store, durable(enqueue("now", "t"))).await;
    apply(&store, durable(claim(store.env(), TERM_MAX))).await;
    let lease = store.work_item(&item("now")).await.unwrap().unwrap().lease.unwrap();
    assert_eq!(lease.expires_at.since(lease.acquired_at), TERM_MAX);
    assert!(store.work_item(&item("late")).await.unwrap().unwrap().lease.is_none());
    kept.goes_on(&store).await;
}

#[tokio::test]
async fn pages_and_attempts_of_nothing_or_too_many_are_refused() {
    let place = Place::new();
    let store = place.open().await;
    let mut kept = Kept::begin(&store).await;
    let sweep = |limit| SweepExpired { sweep: TransitionId::generate(&Env::system()), limit };
    let wanted = |limit| Claim { limit, ..claim(&Env::system(), TERM_MIN) };
    for batch in [durable(sweep(0)), durable(wanted(0)), attempts(0)] {
        assert_is!(refused(&store, &mut kept, batch).await, StoreError::Invalid { .. });
    }
    for batch in [
        durable(sweep(PAGE_ROWS_MAX + 1)),
        durable(wanted(PAGE_ROWS_MAX + 1)),
        attempts(ATTEMPTS_MAX + 1),
        attempts(u32::MAX),
    ] {
        assert_is!(refused(&store, &mut kept, batch).await, StoreError::TooLarge { .. });
    }
    for limit in [0, PAGE_ROWS_MAX + 1] {
        let oldest = CheckpointPage::OldestFirst { after: SequenceNumber(0), limit };
        let error = store.checkpoints(&task("kept"), oldest).await.unwrap_err();
        assert_is!(error, StoreError::Invalid { .. } | StoreError::TooLarge { .. });
    }
}

fn attempts(max_attempts: u32) -> Batch {
    let mut batch = durable(create("t"));
    batch.add(Enqueue { max_attempts, ..enqueue("item", "t") });
    batch
}
