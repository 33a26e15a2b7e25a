//! Cases about batches that are submitted at the same time, and so may be written together: each is answered for
//! itself, whatever becomes of its neighbours.

use std::collections::BTreeSet;

use crate::batch::{Batch, Durability};
use crate::command::{CreateTask, Enqueue};
use crate::conformance::commands::{
    BatchExt, TERM, append, begin, claim, create, enqueue, guard, named, one, payload, renew,
};
use crate::conformance::failure::{Failure, Outcome, check, check_eq, check_matches};
use crate::conformance::world::World;
use crate::error::StoreError;
use crate::limits::{BATCH_BYTES_MAX, BATCH_COMMANDS_MAX};
use crate::outcome::{self, Committed, Reason, Rejection};
use crate::payload::Payload;
use crate::record::Fence;

const COUNT: u64 = 100;

/// What must become of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Applied,
    Missing,
    Stale,
    Torn,
    TooLarge,
    Invalid,
}

fn fate(number: u64) -> Fate {
    match number % 10 {
        0 => Fate::Missing,
        1 => Fate::Stale,
        2 => Fate::Torn,
        3 => Fate::TooLarge,
        4 => Fate::Invalid,
        _ => Fate::Applied,
    }
}

/// A batch that would leave its number in every table, with something in it that decides its fate.
fn batch(number: u64, large: &Payload) -> Batch {
    let name = format!("n{number}");
    let durability = if number.is_multiple_of(4) { Durability::Relaxed } else { Durability::Durable };
    let batch = Batch::new(durability)
        .with(append(number, "t"))
        .with(create(&name))
        .with(enqueue(&name, &name))
        .with(begin(&name, number));
    match fate(number) {
        Fate::Applied => batch.with(append(1_000 + number, "t")),
        Fate::Missing => Batch::new(durability).with(append(number, "missing")),
        Fate::Stale => batch.with_guarded(&guard("a", 1), append(1_000 + number, "t")),
        Fate::Torn => batch.with(append(1_000 + number, "missing")),
        Fate::TooLarge if number % 20 == 3 => {
            let large = |name: &str| CreateTask { input: large.clone(), ..create(name) };
            batch.with(large("large 1")).with(large("large 2")).with(large("large 3"))
        }
        Fate::TooLarge => {
            (0..=BATCH_COMMANDS_MAX as u64).fold(batch, |batch, more| batch.with(append(10_000 + more, "t")))
        }
        Fate::Invalid => batch.with(Enqueue { max_attempts: 0, ..enqueue("b", "t") }),
    }
}

fn check_answer(number: u64, answer: &Result<Committed, StoreError>) -> Outcome {
    let missing = || Reason::NoSuchTask { task: named("missing") };
    let expected = match fate(number) {
        Fate::Applied => {
            let applied = match answer {
                Ok(Committed::Applied(applied)) if !applied.is_replayed() => applied.outcomes(),
                other => {
                    return Err(Failure::new(format_args!(
                        "batch {number}, which holds, was answered {other:?}"
                    )));
                }
            };
            let two = matches!(applied, [outcome::Outcome::Appended(first), _, _, _, outcome::Outcome::Appended(last)] if last.sequence == first.sequence.next());
            check!(two, "batch {number} was answered by the outcomes of something else: {applied:?}");
            return Ok(());
        }
        Fate::Missing => Rejection { index: 0, reason: missing() },
        Fate::Torn => Rejection { index: 4, reason: missing() },
        Fate::Stale => {
            let reason = Reason::StaleFence { item: named("a"), shown: Fence(1), current: Fence(3) };
            Rejection { index: 4, reason }
        }
        Fate::TooLarge => {
            check_matches!(
                answer,
                Err(StoreError::TooLarge { .. }),
                "the answer to batch {number}, which is too large"
            );
            return Ok(());
        }
        Fate::Invalid => {
            check_matches!(
                answer,
                Err(StoreError::Invalid { .. }),
                "the answer to batch {number}, which makes no sense"
            );
            return Ok(());
        }
    };
    check_matches!(answer, Ok(Committed::Rejected(rejection)) if *rejection == expected, "the answer to batch {number}, where {expected:?} is right");
    Ok(())
}

/// A task with an item whose fence 1 is stale.
async fn furnish(world: &mut World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    world.claim_one(1).await?;
    world.lose_leases(2).await?;
    let held = world.claim_one(3).await?.guard();
    world.apply(renew(&held, TERM * 2)).await?;
    Ok(())
}

pub(super) async fn a_batch_is_answered_for_itself_whatever_its_neighbours_do(
    mut world: World<'_>,
) -> Outcome {
    furnish(&mut world).await?;
    let large = payload(vec![0_u8; BATCH_BYTES_MAX / 3 + 1]);
    let boundaries = world.chain("t").await?.len();
    let mut submitting = Vec::new();
    for number in 1..=COUNT {
        let (store, batch) = (world.store(), batch(number, &large));
        submitting.push(world.start(async move { Ok(store.commit(batch).await) }));
    }
    for (number, submitted) in (1..).zip(submitting) {
        check_answer(number, &submitted.await?)?;
    }

    let store = world.store();
    for number in 1..=COUNT {
        let name = format!("n{number}");
        let there = [
            store.task(&named(&name)).await?.is_some(),
            store.work_item(&named(&name)).await?.is_some(),
            store.operation(&named(&name)).await?.is_some(),
        ];
        let expected = fate(number) == Fate::Applied;
        check_eq!(
            there,
            [expected; 3],
            "whether task, item and operation of batch {number} ({:?}) are there",
            fate(number)
        );
    }
    let applied = (1..=COUNT).filter(|number| fate(*number) == Fate::Applied).count();
    let chain = world.chain("t").await?;
    let ids: BTreeSet<_> = chain.iter().map(|found| found.header.id).collect();
    check_eq!(
        (chain.len(), ids.len()),
        (boundaries + 2 * applied, chain.len()),
        "the checkpoints of {applied} batches, each once"
    );
    Ok(())
}

pub(super) async fn the_same_batch_submitted_many_times_at_once_is_applied_once(
    mut world: World<'_>,
) -> Outcome {
    world.queue("t", &["a"]).await?;
    let peer = world.peer().await?;
    let batch = one(append(1, "t")).with(claim(1, 1)).with(begin("k", 1));
    let mut submitting = Vec::new();
    for number in 0..20 {
        let store = if number % 2 == 0 { world.store() } else { std::sync::Arc::clone(&peer) };
        let batch = batch.clone();
        submitting.push(world.start(async move { Ok(store.commit(batch).await?) }));
    }
    let mut answers = Vec::new();
    for submitted in submitting {
        answers.push(submitted.await?.into_applied()?);
    }
    let first = answers.iter().filter(|applied| !applied.is_replayed()).count();
    check_eq!(first, 1, "how many of the submissions applied it");
    let outcomes: Vec<_> = answers.iter().map(outcome::Applied::outcomes).collect();
    check!(
        outcomes.windows(2).all(|pair| pair[0] == pair[1]),
        "one batch was answered differently: {outcomes:?}"
    );
    check_eq!(world.chain("t").await?.len(), 1, "the checkpoints");
    check_eq!(world.item("a").await?.fence, Fence(1), "the fence");
    Ok(())
}
