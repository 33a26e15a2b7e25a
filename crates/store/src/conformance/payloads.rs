//! Cases about payloads: every byte comes back under its digest, none at all included.

use bytes::Bytes;

use crate::command::{AppendCheckpoint, CreateTask, FinishTask, OperationEnd, TaskEnd};
use crate::conformance::commands::{append, begin, checkpoint, create, end, finish, named, payload, sealed};
use crate::conformance::failure::{Failure, Outcome, check, check_eq};
use crate::conformance::world::World;
use crate::digest::Digest;
use crate::limits::{PAGE_BYTES_MAX, PAYLOAD_BYTES_MAX};
use crate::payload::{Payload, SealedPayload};
use crate::record::{CheckpointPage, SequenceNumber};

/// Bytes of every value, repeating only after a prime number of them, so that no page of a file looks like another.
fn pattern(length: usize) -> Bytes {
    const PERIOD: usize = 65_521;
    let block: Vec<u8> =
        (0..PERIOD).map(|index| (index.wrapping_mul(0x9e37_79b1) >> 11).to_le_bytes()[0]).collect();
    let mut bytes = block.repeat(length / PERIOD + 1);
    bytes.truncate(length);
    bytes.into()
}

fn check_same(found: Option<&Payload>, expected: &Payload, what: &str) -> Outcome {
    let digest = found.map(|found| (found.bytes().len(), found.digest(), Digest::of(found.bytes())));
    let expected = (expected.bytes().len(), expected.digest(), expected.digest());
    check_eq!(digest, Some(expected), "length, digest and digest of the bytes of {what}");
    Ok(())
}

/// Writes the bytes to all five places for payloads and reads them back.
async fn check_round_trip(world: &mut World<'_>, name: &str, number: u64, bytes: &Bytes) -> Outcome {
    let plain = payload(bytes.clone());
    let sealed = SealedPayload::seal(bytes.clone(), world.env())?;
    world.apply(CreateTask { input: plain.clone(), ..create(name) }).await?;
    world.apply(begin(name, number)).await?;
    world.apply(end(name, number, OperationEnd::Failed(plain.clone()))).await?;
    let command =
        AppendCheckpoint { payload: sealed.clone(), evidence: plain.clone(), ..append(number, name) };
    world.apply(command).await?;
    world.apply(FinishTask { result: plain.clone(), ..finish(name, TaskEnd::Succeeded) }).await?;

    let store = world.store();
    let record = store.task_record(&named(name)).await?;
    check_same(record.as_ref().map(|record| &record.input), &plain, &format!("the input of {name}"))?;
    let result = record.as_ref().and_then(|record| record.result.as_ref());
    check_same(result, &plain, &format!("the result of {name}"))?;
    let operation = store.operation(&named(name)).await?;
    let output = operation.as_ref().and_then(|record| record.output.as_ref());
    check_same(output, &plain, &format!("the output of operation {name}"))?;
    let digest = operation.as_ref().and_then(|record| record.operation.output);
    check_eq!(digest, Some(plain.digest()), "the output's digest on operation {name}");

    let read = store.checkpoint(checkpoint(number)).await?;
    let read = read.ok_or_else(|| Failure::new(format_args!("the checkpoint of {name} is not there")))?;
    check_same(read.evidence.as_ref().ok(), &plain, &format!("the evidence of {name}"))?;
    let kept = read.payload.as_ref().map(|kept| (kept.digest(), *kept.salt(), Digest::of(kept.bytes())));
    let expected = (sealed.digest(), *sealed.salt(), plain.digest());
    check_eq!(kept, Ok(expected), "digest, salt and bytes of the checkpoint of {name}");
    Ok(())
}

pub(super) async fn payloads_come_back_byte_for_byte(mut world: World<'_>) -> Outcome {
    let all: Bytes = (0..=u8::MAX).collect();
    let payloads = [
        ("one NUL", Bytes::from_static(&[0])),
        ("every byte", all),
        ("no UTF-8", Bytes::from_static(&[0xff, 0xfe, 0x00, 0x80])),
        ("a quote", Bytes::from_static(b"'; --\"\\%_\r\n\t")),
        ("a page", pattern(4_096)),
        ("more than a page", pattern(70_001)),
        ("a mebibyte", pattern(1024 * 1024)),
    ];
    for (number, (name, bytes)) in (1..).zip(&payloads) {
        check_round_trip(&mut world, name, number, bytes).await?;
    }
    Ok(())
}

pub(super) async fn a_payload_of_the_largest_size_comes_back(mut world: World<'_>) -> Outcome {
    let bytes = pattern(PAYLOAD_BYTES_MAX);
    world.apply(create("t")).await?;
    let command = AppendCheckpoint { payload: sealed(bytes), ..append(1, "t") };
    world.apply(command.clone()).await?;
    let read = world.store().checkpoint(checkpoint(1)).await?;
    let kept = read.and_then(|read| read.payload.ok());
    let same = kept.as_ref().is_some_and(|kept| *kept == command.payload);
    let length = kept.map(|kept| kept.bytes().len());
    check!(same, "a payload of {PAYLOAD_BYTES_MAX} bytes came back changed, with {length:?} bytes");
    Ok(())
}

pub(super) async fn an_empty_payload_is_not_the_lack_of_one(mut world: World<'_>) -> Outcome {
    world.apply(create("open")).await?;
    world.apply(begin("open", 100)).await?;
    let record = world.store().task_record(&named("open")).await?;
    check_eq!(record.map(|record| (record.task.result, record.result)), Some((None, None)), "no result");
    let record = world.store().operation(&named("open")).await?;
    check_eq!(record.map(|record| (record.operation.output, record.output)), Some((None, None)), "no output");
    check_round_trip(&mut world, "empty", 1, &Bytes::new()).await
}

pub(super) async fn a_page_of_large_payloads_ends_early_and_the_next_goes_on(
    mut world: World<'_>,
) -> Outcome {
    const COUNT: usize = 4;
    let bytes = pattern(PAGE_BYTES_MAX / 2 - 1);
    world.apply(create("t")).await?;
    for number in 1..=COUNT as u64 {
        world.apply(AppendCheckpoint { payload: sealed(bytes.clone()), ..append(number, "t") }).await?;
    }
    let (mut up, mut down) = (Vec::new(), Vec::new());
    while up.len() < COUNT {
        let after = SequenceNumber(up.last().copied().unwrap_or(0));
        let page = CheckpointPage::OldestFirst { after, limit: 1_000 };
        up.extend(page_of(&world, page).await?);
    }
    while down.len() < COUNT {
        let before = down.last().copied().map(SequenceNumber);
        let page = CheckpointPage::NewestFirst { before, limit: 1_000 };
        down.extend(page_of(&world, page).await?);
    }
    check_eq!(
        (up, down),
        (vec![1, 2, 3, 4], vec![4, 3, 2, 1]),
        "the pages one after the other, oldest and newest first"
    );
    Ok(())
}

/// The sequence numbers on a page, which must have a row, and stop after the row that reaches the limit.
async fn page_of(world: &World<'_>, page: CheckpointPage) -> Outcome<Vec<u64>> {
    let found = world.store().checkpoints(&named("t"), page).await?;
    check!(!found.is_empty(), "{page:?} is empty though there are more");
    let mut bytes = 0;
    for (index, checkpoint) in found.iter().enumerate() {
        check!(
            bytes < PAGE_BYTES_MAX,
            "{page:?} goes on for {} rows after {bytes} bytes",
            found.len() - index
        );
        bytes += checkpoint.payload.as_ref().map_or(0, |payload| payload.bytes().len());
        bytes += checkpoint.evidence.as_ref().map_or(0, |evidence| evidence.bytes().len());
    }
    Ok(found.iter().map(|found| found.header.sequence.0).collect())
}
