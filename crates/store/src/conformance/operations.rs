//! Cases about operations: one owner at a time, one outcome for ever, and doubt where neither is known.

use crate::command::{BeginOperation, OperationEnd, Settle, TaskEnd};
use crate::conformance::commands::{
    ALMOST_TERM, TERM, begin, begin_once, create, doubt, end, finish, guard, ms, named, one, payload, renew,
    settle, succeed, term, token,
};
use crate::conformance::failure::{Failure, Outcome, check, check_eq};
use crate::conformance::snapshot::operations;
use crate::conformance::world::World;
use crate::digest::Digest;
use crate::outcome::{OperationBegun, Reason};
use crate::payload::Payload;
use crate::record::{
    Abandonment, Guard, Operation, OperationPage, OperationRecord, OperationStatus, Ownership, Status,
};
use crate::time::Delay;

async fn read(world: &World<'_>, key: &str) -> Outcome<OperationRecord> {
    let record = world.store().operation(&named(key)).await?;
    record.ok_or_else(|| Failure::new(format_args!("operation {key} is not there")))
}

fn ended(status: OperationStatus) -> Reason {
    Reason::OperationEnded { status }
}

pub(super) async fn an_operation_is_begun_finished_and_read_back(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    let lease = world.claim_one(1).await?.guard();
    let begun_at = world.store().health().await?;
    let ends = [
        ("k", OperationEnd::Succeeded(payload("output")), OperationStatus::Succeeded),
        ("k2", OperationEnd::Failed(payload("error")), OperationStatus::Failed),
    ];
    for (number, (key, how, status)) in (1..).zip(ends) {
        let command = BeginOperation {
            task: Some(named("t")),
            lease: Some(lease.clone()),
            term: term(ms(2_500)),
            ..begin_once(key, number)
        };
        let begun = world.apply_guarded(&lease, command).await?;
        let expires_at = begun_at.store_time.plus(ms(2_500));
        check_eq!(begun, OperationBegun { expires_at, attempt: 1 }, "the answer to beginning {key}");
        let pending = Operation {
            key: named(key),
            task: Some(named("t")),
            fingerprint: Digest::of(key.as_bytes()),
            status: OperationStatus::Pending,
            abandonment: Abandonment::Doubt,
            owner: Ownership { token: token(number), lease: Some(lease.clone()), expires_at },
            output: None,
            attempt: 1,
            created_at: begun_at.wall_time,
            finished_at: None,
        };
        let record = OperationRecord { operation: pending.clone(), output: None };
        check_eq!(read(&world, key).await?, record, "operation {key} under way");
        check_eq!(
            world.apply(end(key, number, how.clone())).await?.status,
            status,
            "the answer to ending {key}"
        );
        let output = how.output().cloned();
        let finished_at = Some(world.env().clock().wall());
        let digest = output.as_ref().map(Payload::digest);
        let finished = Operation { status, output: digest, finished_at, ..pending };
        check_eq!(
            read(&world, key).await?,
            OperationRecord { operation: finished, output },
            "operation {key} at its end"
        );
    }
    check_eq!(world.store().operation(&named("other")).await?, None, "an operation that was never begun");
    Ok(())
}

pub(super) async fn an_operation_for_a_task_that_is_not_there_is_rejected(mut world: World<'_>) -> Outcome {
    let under = BeginOperation { task: Some(named("t")), ..begin("k", 1) };
    let missing = Reason::NoSuchTask { task: named("t") };
    check_eq!(world.reason(under.clone()).await?, missing, "an intent for a task that is not there");
    world.apply(create("t")).await?;
    world.apply(under).await?;
    check_eq!(read(&world, "k").await?.operation.task, Some(named("t")), "the task of the operation");
    Ok(())
}

pub(super) async fn the_same_key_with_another_fingerprint_is_a_conflict(mut world: World<'_>) -> Outcome {
    let other = |number| BeginOperation { fingerprint: Digest::of(b"other"), ..begin("k", number) };
    let conflict = Reason::FingerprintConflict { stored: Digest::of(b"k") };
    world.apply(begin("k", 1)).await?;
    check_eq!(world.reason(other(2)).await?, conflict, "another call under the key of one under way");
    check_eq!(world.reason(other(1)).await?, conflict, "another call under the same token");
    world.advance(TERM);
    check_eq!(world.reason(other(2)).await?, conflict, "another call under the key of an abandoned one");
    world.apply(doubt("k", 1)).await?;
    check_eq!(world.reason(other(2)).await?, conflict, "another call under the key of one in doubt");
    world.apply(succeed("k", 1, "output")).await?;
    check_eq!(world.reason(other(2)).await?, conflict, "another call under the key of a finished one");
    Ok(())
}

pub(super) async fn an_operation_is_in_flight_until_its_term_ends_and_then_retaken(
    mut world: World<'_>,
) -> Outcome {
    let expires_at = world.apply(begin("k", 1)).await?.expires_at;
    let in_flight = Reason::OperationInFlight { expires_at };
    check_eq!(world.reason(begin("k", 2)).await?, in_flight, "a second owner at once");
    world.advance(ALMOST_TERM);
    check_eq!(
        world.reason(begin("k", 2)).await?,
        in_flight,
        "a second owner a millisecond before the term ends"
    );
    world.advance(ms(1));
    let begun = world.apply(begin_once("k", 2)).await?;
    check_eq!(
        begun,
        OperationBegun { expires_at: expires_at.plus(TERM), attempt: 2 },
        "the second owner's answer"
    );
    let operation = read(&world, "k").await?.operation;
    let owner = Ownership { token: token(2), lease: None, expires_at: expires_at.plus(TERM) };
    let expected = (owner, 2, Abandonment::Doubt);
    check_eq!(
        (operation.owner, operation.attempt, operation.abandonment),
        expected,
        "the operation as retaken"
    );
    check_eq!(
        world.reason(succeed("k", 1, "late")).await?,
        Reason::StaleToken,
        "the first owner's late result"
    );
    check_eq!(
        world.reason(begin("k", 1)).await?,
        Reason::OperationInFlight { expires_at: expires_at.plus(TERM) },
        "the first owner beginning again"
    );
    world.apply(succeed("k", 2, "output")).await?;
    Ok(())
}

/// Holds item `a` and begins operation `k` under its lease.
async fn begin_under_lease(world: &mut World<'_>, command: BeginOperation) -> Outcome<Guard> {
    world.queue("t", &["a"]).await?;
    let lease = world.claim_one(1).await?.guard();
    world.apply_guarded(&lease, BeginOperation { lease: Some(lease.clone()), ..command }).await?;
    Ok(lease)
}

pub(super) async fn an_operation_under_a_lease_is_owned_as_long_as_the_lease(
    mut world: World<'_>,
) -> Outcome {
    let short = BeginOperation { term: term(ms(10)), ..begin("k", 1) };
    let lease = begin_under_lease(&mut world, short).await?;
    let expires_at = read(&world, "k").await?.operation.owner.expires_at;
    let in_flight = Reason::OperationInFlight { expires_at };
    world.advance(TERM / 2);
    check_eq!(world.reason(begin("k", 2)).await?, in_flight, "a second owner after the operation's own term");
    world.apply(renew(&lease, TERM)).await?;
    world.advance(ALMOST_TERM);
    check_eq!(world.reason(begin("k", 2)).await?, in_flight, "a second owner under the renewed lease");
    world.advance(ms(1));
    check_eq!(world.reason(begin("k", 2)).await?, in_flight, "a second owner before the lease is reclaimed");
    let owned = Reason::OperationOwned { expires_at };
    check_eq!(world.reason(doubt("k", 1)).await?, owned, "a doubt under a lease that still holds");
    world.lose_leases(2).await?;
    check_eq!(world.apply(begin("k", 2)).await?.attempt, 2, "the attempt after the lease was reclaimed");
    Ok(())
}

pub(super) async fn an_operation_is_retaken_at_once_after_its_lease_was_lost(
    mut world: World<'_>,
) -> Outcome {
    let long = BeginOperation { term: term(TERM * 60), ..begin("k", 1) };
    let lease = begin_under_lease(&mut world, long).await?;
    world.lose_leases(2).await?;
    check_eq!(
        world.apply(begin("k", 2)).await?.attempt,
        2,
        "the attempt after a reclaim, long before the term"
    );

    let again = world.claim_one(3).await?.guard();
    let long = BeginOperation { term: term(TERM * 60), lease: Some(again.clone()), ..begin("l", 3) };
    world.apply_guarded(&again, long).await?;
    check_eq!(
        world.reason(begin("l", 4)).await?,
        Reason::OperationInFlight { expires_at: read(&world, "l").await?.operation.owner.expires_at },
        "a second owner under the lease"
    );
    world.apply(settle(&again, Settle::Retry(Delay::ZERO))).await?;
    check_eq!(world.apply(begin("l", 4)).await?.attempt, 2, "the attempt after the lease was given back");
    check_eq!(
        world.reason(succeed("l", 3, "late")).await?,
        Reason::StaleToken,
        "the late result of the first owner"
    );
    check_eq!(lease.item, again.item, "the item of both leases");
    Ok(())
}

pub(super) async fn an_abandoned_operation_declared_doubtful_is_not_run_again(
    mut world: World<'_>,
) -> Outcome {
    world.apply(begin_once("k", 1)).await?;
    world.advance(TERM);
    let in_doubt = Reason::OperationInDoubt { token: token(1) };
    check_eq!(world.reason(begin("k", 2)).await?, in_doubt, "a second owner after the term");
    world.advance(TERM * 100);
    check_eq!(world.reason(begin_once("k", 2)).await?, in_doubt, "a second owner much later");
    check_eq!(
        world.apply(doubt("k", 1)).await?.status,
        OperationStatus::InDoubt,
        "the answer to declaring the doubt"
    );
    let operation = read(&world, "k").await?.operation;
    let expected = (OperationStatus::InDoubt, None, None);
    check_eq!(
        (operation.status, operation.output, operation.finished_at),
        expected,
        "the operation in doubt"
    );
    check_eq!(world.reason(begin("k", 2)).await?, in_doubt, "a second owner after the doubt was declared");
    world.replayed(&one(doubt("k", 1))).await?;

    let lease = begin_under_lease(&mut world, begin_once("l", 3)).await?;
    check_eq!(lease, guard("a", 1), "the lease of the second operation");
    world.lose_leases(2).await?;
    let in_doubt = Reason::OperationInDoubt { token: token(3) };
    check_eq!(world.reason(begin("l", 4)).await?, in_doubt, "a second owner after the lease was lost");
    Ok(())
}

pub(super) async fn a_late_result_settles_the_doubt(mut world: World<'_>) -> Outcome {
    for (number, key, declared) in [(1, "k", false), (2, "l", true)] {
        world.apply(begin_once(key, number)).await?;
        world.advance(TERM * 2);
        if declared {
            world.apply(doubt(key, number)).await?;
        }
        check_eq!(
            world.reason(succeed(key, 99, "forged")).await?,
            Reason::StaleToken,
            "another token's result"
        );
        let status = world.apply(succeed(key, number, "late")).await?.status;
        check_eq!(
            status,
            OperationStatus::Succeeded,
            "the answer to a late result (doubt declared: {declared})"
        );
        check_eq!(read(&world, key).await?.output, Some(payload("late")), "the output after a late result");
        check_eq!(
            world.reason(begin(key, 9)).await?,
            ended(OperationStatus::Succeeded),
            "beginning it again"
        );
    }
    Ok(())
}

pub(super) async fn a_finished_operation_never_changes(mut world: World<'_>) -> Outcome {
    let ends = [
        ("k", OperationEnd::Succeeded(payload("output")), OperationStatus::Succeeded),
        ("l", OperationEnd::Failed(payload("output")), OperationStatus::Failed),
    ];
    for (number, (key, how, status)) in (1..).zip(ends) {
        world.apply(begin(key, number)).await?;
        world.apply(end(key, number, how.clone())).await?;
        world.advance(TERM * 2);
        let others = [
            OperationEnd::Succeeded(payload("other")),
            OperationEnd::Failed(payload("other")),
            OperationEnd::InDoubt,
        ];
        for other in others {
            check_eq!(
                world.reason(end(key, number, other.clone())).await?,
                ended(status),
                "ending {key} by {other:?}"
            );
        }
        let swapped = match &how {
            OperationEnd::Succeeded(output) => OperationEnd::Failed(output.clone()),
            _ => OperationEnd::Succeeded(payload("output")),
        };
        check_eq!(
            world.reason(end(key, number, swapped)).await?,
            ended(status),
            "the same output as the other end of {key}"
        );
        check_eq!(world.reason(begin(key, 50 + number)).await?, ended(status), "beginning {key} again");
        check_eq!(
            world.reason(begin_once(key, 50 + number)).await?,
            ended(status),
            "beginning {key} once more"
        );
        world.replayed(&one(end(key, number, how))).await?;
    }
    Ok(())
}

pub(super) async fn an_operation_cannot_be_in_doubt_while_it_is_owned(mut world: World<'_>) -> Outcome {
    let expires_at = world.apply(begin_once("k", 1)).await?.expires_at;
    let owned = Reason::OperationOwned { expires_at };
    check_eq!(world.reason(doubt("k", 1)).await?, owned, "a doubt at once");
    world.advance(ALMOST_TERM);
    check_eq!(world.reason(doubt("k", 1)).await?, owned, "a doubt a millisecond before the term ends");
    world.advance(ms(1));
    world.apply(doubt("k", 1)).await?;
    Ok(())
}

pub(super) async fn ending_an_operation_asks_for_its_key_and_its_newest_token(
    mut world: World<'_>,
) -> Outcome {
    check_eq!(
        world.reason(succeed("k", 1, "output")).await?,
        Reason::NoSuchOperation,
        "a result for no operation"
    );
    check_eq!(world.reason(doubt("k", 1)).await?, Reason::NoSuchOperation, "a doubt about no operation");
    world.apply(begin("k", 1)).await?;
    check_eq!(
        world.reason(succeed("k", 2, "output")).await?,
        Reason::StaleToken,
        "a result of another token"
    );
    check_eq!(world.reason(doubt("k", 2)).await?, Reason::StaleToken, "a doubt of another token");
    world.apply(succeed("k", 1, "output")).await?;
    check_eq!(
        world.reason(succeed("k", 2, "output")).await?,
        Reason::StaleToken,
        "the same result of another token"
    );
    Ok(())
}

/// After which key, in which state, at most how many, and the keys on that page.
type Listed = (Option<&'static str>, Option<OperationStatus>, u32, &'static [&'static str]);

pub(super) async fn pages_of_operations_run_in_the_order_of_their_keys(mut world: World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    world.apply(create("u")).await?;
    for (number, key) in (1..).zip(["é", "b", "a:2", "B", "a:10", "a"]) {
        world.apply(BeginOperation { task: Some(named("t")), ..begin(key, number) }).await?;
    }
    world.apply(BeginOperation { task: Some(named("u")), ..begin("of u", 20) }).await?;
    world.apply(begin("of no task", 21)).await?;
    world.apply(succeed("b", 2, "output")).await?;
    world.apply(succeed("a", 6, "output")).await?;
    world.advance(TERM);
    world.apply(doubt("a:2", 3)).await?;

    let pages: [Listed; 9] = [
        (None, None, 1_000, &["B", "a", "a:10", "a:2", "b", "é"]),
        (None, None, 2, &["B", "a"]),
        (Some("a"), None, 2, &["a:10", "a:2"]),
        (Some("a:1"), None, 1, &["a:10"]),
        (Some("é"), None, 2, &[]),
        (None, Some(OperationStatus::Succeeded), 1_000, &["a", "b"]),
        (Some("a"), Some(OperationStatus::Succeeded), 1, &["b"]),
        (None, Some(OperationStatus::Pending), 2, &["B", "a:10"]),
        (None, Some(OperationStatus::InDoubt), 9, &["a:2"]),
    ];
    for (after, status, limit, expected) in pages {
        let page = OperationPage { after: after.map(named), status, limit };
        let found = world.store().operations(&named("t"), page.clone()).await?;
        let keys: Vec<_> = found.iter().map(|operation| operation.key.as_str()).collect();
        check_eq!(keys, expected, "the keys on {page:?}");
    }
    check_eq!(
        operations(&*world.store(), &named("u"), None).await?.len(),
        1,
        "the operations of another task"
    );
    check_eq!(operations(&*world.store(), &named("nobody"), None).await?, [], "the operations of no task");
    Ok(())
}

pub(super) async fn an_operation_that_its_owner_abandons_is_in_doubt_or_free_as_declared(
    mut world: World<'_>,
) -> Outcome {
    world.queue("t", &["a"]).await?;
    let lease = world.claim_one(1).await?.guard();
    let held = |key, number| BeginOperation { lease: Some(lease.clone()), ..begin_once(key, number) };
    let abandoned = |key, number| end(key, number, OperationEnd::Abandoned);
    world.apply(held("doubtful", 1)).await?;
    world.apply(BeginOperation { abandonment: Abandonment::Retake, ..held("free", 2) }).await?;
    check_eq!(
        world.reason(doubt("doubtful", 1)).await?,
        Reason::OperationOwned { expires_at: world.store().health().await?.store_time.plus(TERM) },
        "somebody else's word while the owner has it"
    );
    let status = world.apply(abandoned("doubtful", 1)).await?.status;
    check_eq!(status, OperationStatus::InDoubt, "the owner's word");
    world.replayed(&one(abandoned("doubtful", 1))).await?;
    for _ in 0..2 {
        let status = world.apply(abandoned("free", 2)).await?.status;
        check_eq!(status, OperationStatus::Pending, "the owner's word on what may be run again");
    }
    let reason = world.reason(held("doubtful", 11)).await?;
    check!(matches!(reason, Reason::OperationInDoubt { .. }), "begun again in doubt: {reason}");
    check_eq!(world.apply(held("free", 12)).await?.attempt, 2, "the next attempt at what was free");
    check_eq!(world.reason(abandoned("free", 2)).await?, Reason::StaleToken, "the former owner's word");
    world.apply(succeed("doubtful", 1, "output")).await?;
    check_eq!(
        world.reason(abandoned("doubtful", 1)).await?,
        ended(OperationStatus::Succeeded),
        "the word against a result"
    );
    Ok(())
}

pub(super) async fn an_operation_that_did_not_happen_is_begun_at_once(mut world: World<'_>) -> Outcome {
    world.queue("t", &["a"]).await?;
    let lease = world.claim_one(1).await?.guard();
    let held = BeginOperation { lease: Some(lease), ..begin_once("held", 1) };
    world.apply(held).await?;
    world.apply(begin_once("doubtful", 2)).await?;
    world.advance(TERM);
    world.apply(doubt("doubtful", 2)).await?;
    for (key, number) in [("held", 1), ("doubtful", 2)] {
        let freed = world.apply(end(key, number, OperationEnd::DidNotHappen)).await?;
        check_eq!(freed.status, OperationStatus::Pending, "where {key} stands");
        let begun = world.apply(begin_once(key, number + 10)).await?;
        check_eq!(begun.attempt, 2, "the next attempt at {key}");
        let late = world.reason(end(key, number, OperationEnd::DidNotHappen)).await?;
        check_eq!(late, Reason::StaleToken, "the same word once another has begun");
        world.apply(succeed(key, number + 10, "output")).await?;
        let refused = world.reason(end(key, number + 10, OperationEnd::DidNotHappen)).await?;
        check_eq!(refused, ended(OperationStatus::Succeeded), "the word against a result");
    }
    Ok(())
}

pub(super) async fn no_operation_is_begun_for_a_task_that_has_ended(mut world: World<'_>) -> Outcome {
    world.apply(create("t")).await?;
    let for_task = |key, number| BeginOperation { task: Some(named("t")), ..begin(key, number) };
    world.apply(for_task("vanished", 1)).await?;
    world.apply(for_task("done", 2)).await?;
    world.apply(succeed("done", 2, "output")).await?;
    world.apply(finish("t", TaskEnd::Succeeded)).await?;
    world.advance(TERM);
    let over = Reason::TaskEnded { task: named("t"), status: Status::Succeeded };
    check_eq!(world.reason(for_task("new", 3)).await?, over, "a new one");
    check_eq!(world.reason(for_task("vanished", 4)).await?, over, "one whose owner vanished");
    let renewed = BeginOperation { fresh_for: Some(ms(1)), ..for_task("done", 5) };
    check_eq!(world.reason(renewed).await?, ended(OperationStatus::Succeeded), "one whose outcome is old");
    world.apply(succeed("vanished", 1, "late")).await?;
    Ok(())
}
