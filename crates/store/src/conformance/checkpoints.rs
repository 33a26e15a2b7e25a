//! Cases about chains of checkpoints: dense, linked, in order, and what was found when they were looked at.

use crate::command::AppendCheckpoint;
use crate::conformance::commands::{
    BatchExt, append, checkpoint, create, named, one, payload, sealed, verify,
};
use crate::conformance::failure::{Failure, Outcome, check, check_eq};
use crate::conformance::world::World;
use crate::digest::{Digest, Link};
use crate::outcome::{Appended, Reason};
use crate::record::{CheckpointPage, SequenceNumber, Verdict, Verification};

pub(super) async fn sequence_numbers_are_dense_and_links_recompute(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    world.apply(create("u")).await?;
    let lease = world.claim_one(1).await?.guard();
    let mut heads = [("t", SequenceNumber(0), Digest::ZERO), ("u", SequenceNumber(0), Digest::ZERO)];
    for number in 1..=12_u64 {
        // Two tasks taking turns, unevenly, with and without an item, under a guard and without.
        let (name, head, parent) = &mut heads[usize::from(number % 3 == 0)];
        let work_item = (number % 2 == 0).then(|| named("a"));
        let command = AppendCheckpoint { work_item, ..append(number, name) };
        let appended = if number % 4 == 0 {
            world.apply_guarded(&lease, command.clone()).await?
        } else {
            world.apply(command.clone()).await?
        };
        *head = head.next();
        *parent = Link { parent: *parent, sequence: head.0, contents: command.link_contents() }.digest();
        check_eq!(
            appended,
            Appended { sequence: *head, link: *parent },
            "the answer to append {number} to task {name}"
        );
        let task = world.task(name).await?;
        check_eq!(
            (task.head, task.head_link),
            (*head, *parent),
            "the head of task {name} after append {number}"
        );
        // A rejected append between them leaves no gap.
        let wrong = AppendCheckpoint { expected_head: Some(SequenceNumber(99)), ..append(1_000, name) };
        world.reason(wrong).await?;
    }
    check_eq!(world.chain("t").await?.len(), 8, "the checkpoints of task t");
    check_eq!(world.chain("u").await?.len(), 4, "the checkpoints of task u");
    Ok(())
}

pub(super) async fn an_appended_checkpoint_is_read_back_whole(mut world: World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    world.apply(append(1, "t")).await?;
    let command = AppendCheckpoint { work_item: Some(named("a")), kind: named("plan"), ..append(2, "t") };
    let appended = world.apply(command.clone()).await?;
    let read = world.store().checkpoint(command.checkpoint).await?;
    let read = read.ok_or_else(|| Failure::new("an acknowledged checkpoint is not there"))?;
    check_eq!(read.header.task, command.task, "its task");
    check_eq!(read.header.kind, command.kind, "its type");
    check_eq!(
        read.header.work_item,
        command.work_item,
        "its item, which is for the record and need not be there"
    );
    check_eq!(
        (read.header.sequence, read.header.link),
        (appended.sequence, appended.link),
        "its place and link"
    );
    check_eq!(read.header.created_at, world.env().clock().wall(), "its time");
    check_eq!(read.payload, Ok(command.payload), "its payload, with the salt");
    check_eq!(read.evidence, Ok(command.evidence), "its evidence");
    check_eq!(read.verification, None, "the look at its evidence that nobody has taken");
    check_eq!(world.store().checkpoint(checkpoint(99)).await?, None, "a checkpoint that was never appended");
    world.chain("t").await.map(drop)
}

pub(super) async fn an_append_to_another_head_than_expected_is_rejected(mut world: World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    let on =
        |number, head| AppendCheckpoint { expected_head: Some(SequenceNumber(head)), ..append(number, "t") };
    let wrong = |expected, head| Reason::WrongParent {
        task: named("t"),
        expected: SequenceNumber(expected),
        head: SequenceNumber(head),
    };
    check_eq!(world.reason(on(1, 1)).await?, wrong(1, 0), "an append to head 1 of a task without any");
    world.apply(on(1, 0)).await?;
    check_eq!(world.reason(on(2, 0)).await?, wrong(0, 1), "an append to a head that has moved on");
    check_eq!(world.reason(on(2, 2)).await?, wrong(2, 1), "an append to a head that is still to come");
    world.apply(on(2, 1)).await?;
    // Inside a batch the head is the one that the commands before have left.
    let rejection = world.rejected(&one(on(3, 2)).with(on(4, 2))).await?;
    check_eq!((rejection.index, rejection.reason), (1, wrong(2, 3)), "two appends to one head in a batch");
    // An append that was applied stays so, wherever the head is now.
    world.replayed(&one(on(1, 0))).await?;
    check_eq!(world.chain("t").await?.len(), 2, "the checkpoints of the task");
    Ok(())
}

pub(super) async fn a_checkpoint_id_means_one_checkpoint(mut world: World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    world.apply(create("u")).await?;
    world.apply(append(1, "t")).await?;
    world.apply(append(2, "t")).await?;
    let exists = Reason::CheckpointExists { checkpoint: checkpoint(1) };
    let others = [
        AppendCheckpoint { task: named("u"), ..append(1, "t") },
        AppendCheckpoint { kind: named("other"), ..append(1, "t") },
        AppendCheckpoint { work_item: Some(named("a")), ..append(1, "t") },
        AppendCheckpoint { payload: sealed("other"), ..append(1, "t") },
        AppendCheckpoint { evidence: payload("other"), ..append(1, "t") },
    ];
    for other in others {
        check_eq!(world.reason(other.clone()).await?, exists, "appending checkpoint 1 as {other:?}");
    }
    world.replayed(&one(append(1, "t"))).await?;
    Ok(())
}

pub(super) async fn pages_of_checkpoints_run_both_ways(mut world: World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    world.apply(create("other")).await?;
    for number in 1..=7 {
        world.apply(append(number, "t")).await?;
        world.apply(append(100 + number, "other")).await?;
    }
    let newest = |before: Option<u64>, limit| CheckpointPage::NewestFirst {
        before: before.map(SequenceNumber),
        limit,
    };
    let oldest = |after, limit| CheckpointPage::OldestFirst { after: SequenceNumber(after), limit };
    let pages: [(CheckpointPage, &[u64]); 14] = [
        (newest(None, 3), &[7, 6, 5]),
        (newest(Some(5), 3), &[4, 3, 2]),
        (newest(Some(2), 3), &[1]),
        (newest(Some(1), 3), &[]),
        (newest(Some(0), 3), &[]),
        (newest(Some(8), 1), &[7]),
        (newest(Some(u64::MAX), 1), &[7]),
        (newest(None, 1_000), &[7, 6, 5, 4, 3, 2, 1]),
        (oldest(0, 3), &[1, 2, 3]),
        (oldest(3, 3), &[4, 5, 6]),
        (oldest(6, 3), &[7]),
        (oldest(7, 3), &[]),
        (oldest(u64::MAX, 3), &[]),
        (oldest(0, 1_000), &[1, 2, 3, 4, 5, 6, 7]),
    ];
    for (page, expected) in pages {
        let found = world.store().checkpoints(&named("t"), page).await?;
        let sequences: Vec<_> = found.iter().map(|found| found.header.sequence.0).collect();
        check_eq!(sequences, expected, "the sequence numbers on {page:?}");
        check!(
            found.iter().all(|found| found.header.task.as_str() == "t"),
            "{page:?} holds checkpoints of another task"
        );
    }
    check_eq!(world.store().checkpoints(&named("nobody"), newest(None, 3)).await?, [], "a page of no task");
    Ok(())
}

pub(super) async fn the_latest_verification_counts(mut world: World<'_>) -> Outcome {
    let missing = Reason::NoSuchCheckpoint { checkpoint: checkpoint(1) };
    check_eq!(world.reason(verify(1, Verdict::Verified, "")).await?, missing, "a verdict on nothing");
    world.apply(create("t")).await?;
    world.apply(append(1, "t")).await?;
    // Details are cut at 4,096 bytes, before a character rather than inside it.
    let (long, cut) = ("é".repeat(3_000), "é".repeat(2_048));
    let (odd, odd_cut) = (format!("x{long}"), format!("x{}", "é".repeat(2_047)));
    let looks = [
        (Verdict::Verified, "", ""),
        (Verdict::Failed, "file a: gone", "file a: gone"),
        (Verdict::Failed, &long, &cut),
        (Verdict::Failed, &odd, &odd_cut),
        (Verdict::Verified, "", ""),
    ];
    for (verdict, said, kept) in looks {
        world.advance(std::time::Duration::from_secs(1));
        world.apply(verify(1, verdict, said)).await?;
        let found = world.store().checkpoint(checkpoint(1)).await?.and_then(|found| found.verification);
        let at = world.env().clock().wall();
        let expected = Verification { verdict, detail: kept.to_owned(), at };
        check_eq!(found, Some(expected.clone()), "the look that was recorded last");
        let page = CheckpointPage::NewestFirst { before: None, limit: 1 };
        let listed = world.store().checkpoints(&named("t"), page).await?.into_iter().next();
        check_eq!(listed.and_then(|found| found.verification), Some(expected), "the same on a page");
    }
    Ok(())
}
