//! Cases about limits: at N it works and is kept, at N + 1 it is refused and nothing was written.

use std::fmt::Debug;
use std::str::FromStr;
use std::time::Duration;

use crate::batch::Batch;
use crate::command::{BeginOperation, Claim, CreateTask, Enqueue, SweepExpired};
use crate::conformance::commands::{
    BatchExt, append, begin, claim, create, enqueue, guard, named, one, payload, sweep, term, token,
    transition,
};
use crate::conformance::failure::{Outcome, check_eq, check_matches};
use crate::conformance::text::Described;
use crate::conformance::world::World;
use crate::error::StoreError;
use crate::id::{HolderId, InvalidId, Label, OperationKey, TaskId, WorkItemId};
use crate::limits::{
    ATTEMPTS_MAX, BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, DELAY_MAX, ID_BYTES_MAX, KEY_BYTES_MAX, PAGE_ROWS_MAX,
    PAYLOAD_BYTES_MAX, TERM_MAX, TERM_MIN,
};
use crate::payload::{Payload, SealedPayload};
use crate::record::{CheckpointPage, OperationPage, SequenceNumber};
use crate::time::{Delay, Term};

pub(super) async fn ids_and_keys_at_their_limit_are_kept_and_longer_ones_refused(
    mut world: World<'_>,
) -> Outcome {
    for letter in ["x", "é", "\u{10348}"] {
        let id = letter.repeat(ID_BYTES_MAX / letter.len());
        let key = letter.repeat(KEY_BYTES_MAX / letter.len());
        world.apply(CreateTask { kind: named(&id), ..create(&id) }).await?;
        world.apply(Enqueue { kind: named(&id), ..enqueue(&id, &id) }).await?;
        let held = world.apply(Claim { holder: named(&id), ..claim(letter.len() as u64, 1) }).await?.items;
        let shown: Vec<_> = held.iter().map(|item| (item.id.as_str(), item.kind.as_str())).collect();
        check_eq!(shown, [(id.as_str(), id.as_str())], "an item with names of {} bytes", id.len());
        world.apply(BeginOperation { task: Some(named(&id)), ..begin(&key, letter.len() as u64) }).await?;
        let page = OperationPage { after: None, status: None, limit: 2 };
        let keys: Vec<_> =
            world.store().operations(&named(&id), page).await?.into_iter().map(|found| found.key).collect();
        check_eq!(keys, [named(&key)], "an operation under a key of {} bytes", key.len());
    }
    let (id, key) = ("x".repeat(ID_BYTES_MAX + 1), "x".repeat(KEY_BYTES_MAX + 1));
    check_id::<TaskId>(&id, ID_BYTES_MAX)?;
    check_id::<WorkItemId>(&id, ID_BYTES_MAX)?;
    check_id::<HolderId>(&id, ID_BYTES_MAX)?;
    check_id::<Label>(&id, ID_BYTES_MAX)?;
    check_id::<OperationKey>(&key, KEY_BYTES_MAX)
}

fn check_id<T: Debug + FromStr<Err = InvalidId>>(long: &str, limit: usize) -> Outcome {
    let over = limit + 1;
    check_matches!(long.parse::<T>(), Err(InvalidId::TooLong { actual, limit: told, .. }) if *actual == over && *told == limit, "one byte over the limit");
    check_matches!("".parse::<T>(), Err(InvalidId::Empty { .. }), "an empty name");
    check_matches!("nul\0inside".parse::<T>(), Err(InvalidId::Nul { at: 3, .. }), "a NUL in a name");
    check_matches!("nul\0".parse::<T>(), Err(InvalidId::Nul { at: 3, .. }), "a NUL at the end of a name");
    Ok(())
}

pub(super) async fn names_of_any_text_are_kept_as_they_are(mut world: World<'_>) -> Outcome {
    let names = [
        "it's; --",
        "\"quoted\"",
        "%_*?",
        " space ",
        "line\nbreak",
        "tab\t",
        "\u{feff}mark",
        "e\u{301}",
        "\u{e9}",
        "\u{1}",
        "a",
        "A",
    ];
    for (number, name) in (1..).zip(names) {
        world
            .applied(
                &one(create(name))
                    .with(enqueue(name, name))
                    .with(begin(name, number))
                    .with(append(number, name)),
            )
            .await?;
    }
    for (number, name) in (1..).zip(names) {
        check_eq!(world.task(name).await?.id.as_str(), name, "the task");
        check_eq!(world.item(name).await?.task.as_str(), name, "the item's task");
        let operation = world.store().operation(&named(name)).await?;
        check_eq!(
            operation.map(|found| found.operation.owner.token),
            Some(token(number)),
            "the owner of operation {name:?}"
        );
        check_eq!(world.chain(name).await?.len(), 1, "the checkpoints of task {name:?}");
    }
    let taken = world.apply(claim(1, 1_000)).await?.items;
    let mut order = names;
    order.sort_unstable();
    let taken: Vec<_> = taken.iter().map(|item| item.id.as_str()).collect();
    check_eq!(taken, order, "the order in which they are claimed: by their bytes");
    Ok(())
}

pub(super) async fn a_payload_over_the_limit_is_refused(world: World<'_>) -> Outcome {
    let over = vec![0_u8; PAYLOAD_BYTES_MAX + 1];
    let sealed = SealedPayload::seal(over.clone(), world.env()).map(|sealed| sealed.digest());
    check_matches!(sealed, Err(error) if error.actual == PAYLOAD_BYTES_MAX + 1, "sealing one byte too many");
    let plain = Payload::new(over).map(|plain| plain.digest());
    check_matches!(plain, Err(error) if error.limit == PAYLOAD_BYTES_MAX, "a payload of one byte too many");
    Ok(())
}

/// Submits a batch that is over the limit, by one.
async fn check_over(world: &mut World<'_>, batch: &Batch, limit: usize, what: &str) -> Outcome {
    let error = world.failed(batch).await?;
    let over = limit + 1;
    check_matches!(error, StoreError::TooLarge { actual, limit: told, .. } if *actual == over && *told == limit, "{what} over the limit by one");
    Ok(())
}

pub(super) async fn a_batch_is_bounded_in_commands(mut world: World<'_>) -> Outcome {
    let mut batch = Batch::durable();
    for number in 0..BATCH_COMMANDS_MAX {
        batch.add(create(&format!("t{number}")));
    }
    check_over(&mut world, &batch.clone().with(create("one more")), BATCH_COMMANDS_MAX, "a batch").await?;
    let applied = world.applied(&batch).await?;
    check_eq!(applied.outcomes().len(), BATCH_COMMANDS_MAX, "the outcomes of the largest batch");
    Ok(())
}

pub(super) async fn a_batch_is_bounded_in_payload_bytes(mut world: World<'_>) -> Outcome {
    let half = payload(vec![7_u8; BATCH_BYTES_MAX / 2]);
    let batch = one(CreateTask { input: half.clone(), ..create("a") })
        .with(CreateTask { input: half, ..create("b") });
    let over = batch.clone().with(CreateTask { input: payload("x"), ..create("c") });
    check_over(&mut world, &over, BATCH_BYTES_MAX, "a batch").await?;
    world.applied(&batch).await?;
    let empty = batch.with(CreateTask { input: Payload::empty(), ..create("c") });
    world.applied(&empty).await?;
    Ok(())
}

pub(super) async fn pages_claims_and_sweeps_are_bounded_in_rows(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    let limit = PAGE_ROWS_MAX as usize;
    check_over(&mut world, &one(claim(1, PAGE_ROWS_MAX + 1)), limit, "a claim").await?;
    check_over(&mut world, &one(sweep(1, PAGE_ROWS_MAX + 1)), limit, "a sweep").await?;
    for none in [one(claim(1, 0)), one(sweep(1, 0)), one(create("u")).with(claim(1, 0))] {
        check_matches!(world.failed(&none).await?, StoreError::Invalid { .. }, "{}", Described(&none));
    }
    world.apply(Claim { claim: transition(1), ..claim(1, PAGE_ROWS_MAX) }).await?;
    world.apply(SweepExpired { sweep: transition(2), limit: PAGE_ROWS_MAX }).await?;

    let (store, task) = (world.store(), named("t"));
    for rows in [0, 1, PAGE_ROWS_MAX, PAGE_ROWS_MAX + 1, u32::MAX] {
        let errors = [
            store.checkpoints(&task, CheckpointPage::NewestFirst { before: None, limit: rows }).await.err(),
            store
                .checkpoints(&task, CheckpointPage::OldestFirst { after: SequenceNumber(0), limit: rows })
                .await
                .err(),
            store.operations(&task, OperationPage { after: None, status: None, limit: rows }).await.err(),
        ];
        for error in errors {
            let expected = match (rows, &error) {
                (0, Some(StoreError::Invalid { .. })) | (1..=PAGE_ROWS_MAX, None) => true,
                (_, Some(StoreError::TooLarge { actual, limit, .. })) => {
                    rows > PAGE_ROWS_MAX && *actual == rows as usize && *limit == PAGE_ROWS_MAX as usize
                }
                _ => false,
            };
            check_eq!(expected, true, "whether a page of {rows} rows is answered rightly by {error:?}");
        }
    }
    Ok(())
}

pub(super) async fn a_page_of_the_most_rows_is_full(mut world: World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    let count = u64::from(PAGE_ROWS_MAX) + 1;
    let numbers: Vec<u64> = (1..=count).collect();
    for numbers in numbers.chunks(BATCH_COMMANDS_MAX / 4) {
        let mut batch = Batch::durable();
        for number in numbers {
            batch.add(append(*number, "t"));
            batch.add(enqueue(&format!("item {number:04}"), "t"));
            batch.add(BeginOperation {
                task: Some(named("t")),
                ..begin(&format!("key {number:04}"), *number)
            });
        }
        world.applied(&batch).await?;
    }
    let page = CheckpointPage::NewestFirst { before: None, limit: PAGE_ROWS_MAX };
    let sequences: Vec<u64> = world
        .store()
        .checkpoints(&named("t"), page)
        .await?
        .iter()
        .map(|found| found.header.sequence.0)
        .collect();
    check_eq!(sequences, (2..=count).rev().collect::<Vec<_>>(), "the largest page of checkpoints");
    let page = OperationPage { after: None, status: None, limit: PAGE_ROWS_MAX };
    let keys = world.store().operations(&named("t"), page).await?;
    let last = keys.last().map(|operation| operation.key.to_string());
    check_eq!((keys.len(), last), (1_000, Some("key 1000".to_owned())), "the largest page of operations");
    check_eq!(
        world.apply(claim(1, PAGE_ROWS_MAX)).await?.items.len(),
        1_000,
        "the items of the largest claim"
    );
    check_eq!(world.lose_leases(2).await?.len(), 1_000, "the leases of the largest sweep");
    check_eq!(world.store().health().await?.checkpoints, count + 1_000, "the checkpoints afterwards");
    Ok(())
}

pub(super) async fn terms_delays_and_attempts_at_their_bounds(mut world: World<'_>) -> Outcome {
    let tick = Duration::from_nanos(1);
    check_matches!(Term::new(TERM_MIN.saturating_sub(tick)), Err(_), "a term just too short");
    check_matches!(Term::new(TERM_MAX + tick), Err(_), "a term just too long");
    check_matches!(Delay::new(DELAY_MAX + tick), Err(_), "a delay just too long");
    check_matches!(Delay::new(Duration::MAX), Err(_), "a delay without an end");

    world.apply(create("t")).await?;
    let now = world.store().health().await?.store_time;
    for (number, span, max_attempts) in [(1, TERM_MIN, 1), (2, TERM_MAX, ATTEMPTS_MAX)] {
        let item = format!("a{number}");
        world.apply(Enqueue { max_attempts, ..enqueue(&item, "t") }).await?;
        let held = world.apply(Claim { term: term(span), ..claim(number, 1) }).await?.items;
        let ends = held.first().and_then(|item| item.lease.as_ref()).map(|lease| lease.expires_at);
        check_eq!(ends, Some(now.plus(span)), "the end of a lease of {span:?}");
        let begun = world.apply(BeginOperation { term: term(span), ..begin(&item, number) }).await?;
        check_eq!(begun.expires_at, now.plus(span), "the end of an operation's term of {span:?}");
    }
    world.apply(Enqueue { delay: Delay::new(DELAY_MAX)?, ..enqueue("late", "t") }).await?;
    check_eq!(world.item("late").await?.available_at, now.plus(DELAY_MAX), "when the longest delay is over");

    let none = one(Enqueue { max_attempts: 0, ..enqueue("b", "t") });
    check_matches!(world.failed(&none).await?, StoreError::Invalid { .. }, "an item without attempts");
    let over = one(create("u")).with(Enqueue { max_attempts: ATTEMPTS_MAX + 1, ..enqueue("b", "t") });
    check_over(&mut world, &over, ATTEMPTS_MAX as usize, "an item's attempts").await
}

pub(super) async fn an_operation_whose_lease_is_not_its_guard_is_refused(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a", "b"]).await?;
    let held = world.apply(claim(1, 2)).await?.items;
    check_eq!(held.len(), 2, "the items claimed");
    let other = BeginOperation { lease: Some(guard("b", 1)), ..begin("k", 1) };
    let batch = Batch::durable().with_guarded(&guard("a", 1), other);
    check_matches!(
        world.failed(&batch).await?,
        StoreError::Invalid { .. },
        "a guard of one item and a lease on another"
    );
    Ok(())
}
