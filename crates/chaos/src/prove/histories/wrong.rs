//! Histories made by hand, right ones and wrong ones beside them: what the judge must let pass, and what it must not.
//! Times are milliseconds; store time and boot time are the same here.

use super::call::{
    Answer, Asked, Call, End, History, ItemRow, ItemSetting, ItemStatus, Lease, LeaseRow, Link, OperationRow,
    OperationStatus, Reclaimed, Setting, Settlement, Why,
};
use super::judge::{judge, judge_within};

/// One millisecond of the boot clock.
const MS: u64 = 1_000_000;
const TERM: i64 = 100;
const FIRST: Lease = Lease { item: 0, fence: 1 };

/// Two items of one task, an operation and a cache; everything was made at 0.
fn history(calls: Vec<Call>) -> History {
    let item = ItemSetting { task: 0, priority: 0, max_attempts: 3, delay: 0 };
    let items = vec![item.clone(), item];
    let setting = Setting { history: 1, items, tasks: 1, operations: 1, caches: 1 };
    History { setting, made: (0, 0), anchor: 0, calls }
}

fn open(from: u64, to: u64, asked: Asked) -> Call {
    Call { process: 0, caller: 0, asked, is_again: false, start: from * MS, end: to * MS, answer: None }
}

fn call(from: u64, to: u64, asked: Asked, answer: Answer) -> Call {
    Call { answer: Some(answer), ..open(from, to, asked) }
}

fn again(call: Call) -> Call {
    Call { is_again: true, ..call }
}

fn passes(calls: Vec<Call>) {
    let judged = judge(&history(calls));
    assert!(judged.is_right(), "{:?}", judged.complaints);
}

fn is_caught(calls: Vec<Call>) {
    let judged = judge(&history(calls));
    assert!(!judged.complaints.is_empty());
    assert_eq!(judged.exhausted, 0, "{:?}", judged.complaints);
}

fn held(item: usize, fence: u64, claim: u64, acquired: i64) -> ItemRow {
    ItemRow {
        item,
        status: ItemStatus::InProgress,
        fence,
        attempt: 1,
        available: 0,
        lease: Some(LeaseRow { holder: claim, acquired, expires: acquired + TERM }),
        transition: Some(claim),
        settled: None,
    }
}

fn claim(id: u64) -> Asked {
    Asked::Claim { id, term: TERM, limit: 1 }
}

fn claimed(row: ItemRow) -> Answer {
    Answer::Claimed(vec![row])
}

fn first_claim() -> Call {
    call(10, 20, claim(7), claimed(held(0, 1, 7, 15)))
}

fn sweep(id: u64) -> Asked {
    Asked::Sweep { id, limit: 10 }
}

fn swept(fence: u64) -> Answer {
    let lease = Lease { item: 0, fence };
    Answer::Swept(vec![Reclaimed { lease, status: ItemStatus::Pending, has_boundary: true }])
}

fn settle(lease: Lease, how: Settlement) -> Asked {
    Asked::Settle { lease, how, delay: 0 }
}

fn succeeded() -> Answer {
    Answer::Settled { status: ItemStatus::Succeeded, available: 0 }
}

fn append(id: u64) -> Asked {
    Asked::Append { task: 0, id, expected: None, lease: None }
}

fn begin(token: u64) -> Asked {
    Asked::Begin { operation: 0, fingerprint: 0, token, term: TERM, lease: None, is_retaken: true }
}

fn begun(at: i64, attempt: u32) -> Answer {
    Answer::Begun { expires: at + TERM, attempt }
}

fn finish(token: u64, output: u64) -> Asked {
    Asked::Finish { operation: 0, token, end: End::Succeeded(output) }
}

const FINISHED: Answer = Answer::Finished { status: OperationStatus::Succeeded };

fn finished_row(output: u64) -> Answer {
    Answer::Operation(Some(OperationRow {
        fingerprint: 0,
        status: OperationStatus::Succeeded,
        is_retaken: true,
        token: 3,
        lease: None,
        expires: 15 + TERM,
        output: Some(output),
        attempt: 1,
    }))
}

#[test]
fn two_claims_that_overlap_get_two_items_in_either_order() {
    passes(vec![first_claim(), call(12, 30, claim(8), claimed(held(1, 1, 8, 16)))]);
    let second = call(10, 20, claim(7), claimed(held(1, 1, 7, 15)));
    passes(vec![second, call(12, 30, claim(8), claimed(held(0, 1, 8, 14)))]);
}

#[test]
fn one_fence_for_two_holders_is_caught() {
    is_caught(vec![first_claim(), call(12, 30, claim(8), claimed(held(0, 1, 8, 14)))]);
}

#[test]
fn a_claim_that_finds_nothing_where_something_is_to_be_had_is_caught() {
    let nothing = Answer::Claimed(Vec::new());
    is_caught(vec![call(10, 20, claim(7), nothing.clone())]);
    // Before the items were available it is right.
    let mut early = history(vec![call(10, 20, claim(7), nothing)]);
    early.setting.items.iter_mut().for_each(|item| item.delay = 20);
    assert!(judge(&early).is_right());
}

#[test]
fn a_claim_out_of_turn_is_caught() {
    is_caught(vec![call(10, 20, claim(7), claimed(held(1, 1, 7, 15)))]);
    // Its stamp says that it came first, and then the first item was still there.
    is_caught(vec![first_claim(), call(12, 30, claim(8), claimed(held(1, 1, 8, 14)))]);
}

#[test]
fn a_deadline_that_is_not_one_term_after_the_claim_is_caught() {
    let mut row = held(0, 1, 7, 15);
    row.lease = row.lease.map(|lease| LeaseRow { expires: lease.expires + 1, ..lease });
    is_caught(vec![call(10, 20, claim(7), claimed(row))]);
}

#[test]
fn a_stamp_outside_of_its_call_is_caught() {
    is_caught(vec![call(10, 20, claim(7), claimed(held(0, 1, 7, 21)))]);
    is_caught(vec![call(10, 20, claim(7), claimed(held(0, 1, 7, 9)))]);
}

#[test]
fn a_stale_read_is_caught_and_one_that_overlaps_is_not() {
    let mut before = held(0, 0, 7, 15);
    (before.status, before.attempt, before.lease, before.transition) = (ItemStatus::Pending, 0, None, None);
    let read =
        |from, to, row: &ItemRow| call(from, to, Asked::ReadItem { item: 0 }, Answer::Item(row.clone()));
    passes(vec![first_claim(), read(12, 30, &before)]);
    passes(vec![first_claim(), read(21, 30, &held(0, 1, 7, 15))]);
    is_caught(vec![first_claim(), read(21, 30, &before)]);
    // Nor does it turn back.
    is_caught(vec![first_claim(), read(12, 14, &held(0, 1, 7, 15)), read(15, 16, &before)]);
}

#[test]
fn a_lease_reclaimed_before_its_term_is_caught() {
    passes(vec![first_claim(), call(110, 120, sweep(9), swept(1))]);
    is_caught(vec![first_claim(), call(100, 114, sweep(9), swept(1))]);
}

#[test]
fn a_lease_that_was_renewed_is_not_reclaimed_by_its_old_term() {
    let renew = |until| {
        let asked = Asked::Renew { lease: FIRST, term: TERM };
        call(50, 60, asked, Answer::Renewed { expires: until })
    };
    passes(vec![first_claim(), renew(155), call(150, 160, sweep(9), swept(1))]);
    is_caught(vec![first_claim(), renew(155), call(120, 130, sweep(9), swept(1))]);
    is_caught(vec![first_claim(), renew(161), call(250, 260, sweep(9), swept(1))]);
}

#[test]
fn a_sweep_that_leaves_an_ended_lease_is_caught() {
    let nothing = Answer::Swept(Vec::new());
    passes(vec![first_claim(), call(110, 120, sweep(9), nothing.clone())]);
    is_caught(vec![first_claim(), call(116, 120, sweep(9), nothing)]);
}

#[test]
fn a_heartbeat_that_revives_a_reclaimed_lease_is_caught() {
    let renew = Asked::Renew { lease: FIRST, term: TERM };
    let stale = Answer::Rejected(Why::StaleFence { current: 2 });
    let reclaimed = call(115, 120, sweep(9), swept(1));
    passes(vec![first_claim(), reclaimed.clone(), call(130, 140, renew.clone(), stale)]);
    is_caught(vec![first_claim(), reclaimed, call(130, 140, renew, Answer::Renewed { expires: 235 })]);
}

#[test]
fn a_fence_that_falls_back_is_caught() {
    let mut row = held(0, 1, 8, 135);
    (row.attempt, row.available) = (2, 117);
    let reclaimed = call(115, 120, sweep(9), swept(1));
    let second = call(130, 140, Asked::Claim { id: 8, term: TERM, limit: 2 }, claimed(row));
    is_caught(vec![first_claim(), reclaimed, second]);
}

#[test]
fn one_lease_settled_in_two_ways_is_caught() {
    let first = call(30, 40, settle(FIRST, Settlement::Succeeded), succeeded());
    let ended = Answer::Rejected(Why::NotLeased { status: ItemStatus::Succeeded });
    passes(vec![first_claim(), first.clone(), call(50, 60, settle(FIRST, Settlement::Failed), ended)]);
    let failed = Answer::Settled { status: ItemStatus::Failed, available: 0 };
    is_caught(vec![first_claim(), first, call(50, 60, settle(FIRST, Settlement::Failed), failed)]);
}

#[test]
fn a_settlement_without_an_answer_may_or_may_not_have_happened_but_not_both() {
    let lost = open(30, 40, settle(FIRST, Settlement::Succeeded));
    let renew = |at: u64| {
        let renewed = Answer::Renewed { expires: i64::try_from(at).unwrap() + 5 + TERM };
        call(at, at + 10, Asked::Renew { lease: FIRST, term: TERM }, renewed)
    };
    let refused = |at: u64| {
        let why = Why::NotLeased { status: ItemStatus::Succeeded };
        call(at, at + 10, Asked::Renew { lease: FIRST, term: TERM }, Answer::Rejected(why))
    };
    passes(vec![first_claim(), lost.clone(), renew(50)]);
    passes(vec![first_claim(), lost.clone(), refused(50)]);
    is_caught(vec![first_claim(), lost.clone(), refused(50), renew(70)]);
    // After its process was dead it happens no more.
    is_caught(vec![first_claim(), lost, renew(50), refused(70)]);
}

#[test]
fn a_settlement_that_is_asked_again_is_recognised_and_not_applied_twice() {
    let released = |at: i64| Answer::Settled { status: ItemStatus::Pending, available: at };
    let lost = open(30, 90, settle(FIRST, Settlement::Released));
    let repeated = |answer| again(call(50, 60, settle(FIRST, Settlement::Released), answer));
    passes(vec![first_claim(), lost.clone(), repeated(released(35))]);
    passes(vec![first_claim(), lost.clone(), repeated(released(55))]);
    is_caught(vec![first_claim(), lost, repeated(released(65))]);
}

#[test]
fn a_cancelled_item_that_is_still_held_is_caught() {
    let cancel = call(30, 40, Asked::Cancel { item: 0 }, Answer::Cancelled);
    let stale = Answer::Rejected(Why::StaleFence { current: 2 });
    passes(vec![first_claim(), cancel.clone(), call(50, 60, settle(FIRST, Settlement::Succeeded), stale)]);
    is_caught(vec![first_claim(), cancel, call(50, 60, settle(FIRST, Settlement::Succeeded), succeeded())]);
}

#[test]
fn a_sequence_number_given_twice_or_left_out_is_caught() {
    let appended = |from, to, id, sequence| call(from, to, append(id), Answer::Appended { sequence });
    passes(vec![appended(10, 30, 1, 2), appended(20, 40, 2, 1)]);
    is_caught(vec![appended(10, 30, 1, 1), appended(20, 40, 2, 1)]);
    is_caught(vec![appended(10, 30, 1, 1), appended(20, 40, 2, 3)]);
    is_caught(vec![appended(10, 20, 1, 2), appended(30, 40, 2, 1)]);
    // One without an answer may have taken the number in between.
    passes(vec![appended(10, 30, 1, 1), open(15, 50, append(3)), appended(20, 40, 2, 3)]);
}

#[test]
fn a_chain_without_what_was_acknowledged_is_caught() {
    let appended = |from, to, id, sequence| call(from, to, append(id), Answer::Appended { sequence });
    let chain = |links: &[u64]| {
        let links = links.iter().copied().map(Link::Own).collect();
        call(50, 60, Asked::ReadChain { task: 0 }, Answer::Chain(links))
    };
    passes(vec![appended(10, 20, 1, 1), appended(30, 40, 2, 2), chain(&[1, 2])]);
    is_caught(vec![appended(10, 20, 1, 1), appended(30, 40, 2, 2), chain(&[1])]);
    is_caught(vec![appended(10, 20, 1, 1), appended(30, 40, 2, 2), chain(&[2, 1])]);
    is_caught(vec![appended(10, 20, 1, 1), appended(30, 40, 2, 2), chain(&[1, 2, 3])]);
}

#[test]
fn a_checkpoint_under_a_stale_fence_is_caught() {
    let guarded = |answer| {
        let asked = Asked::Append { task: 0, id: 1, expected: None, lease: Some(FIRST) };
        call(130, 140, asked, answer)
    };
    let reclaimed = call(115, 120, sweep(9), swept(1));
    let stale = Answer::Rejected(Why::StaleFence { current: 2 });
    passes(vec![first_claim(), guarded(Answer::Appended { sequence: 1 })]);
    passes(vec![first_claim(), reclaimed.clone(), guarded(stale)]);
    is_caught(vec![first_claim(), reclaimed, guarded(Answer::Appended { sequence: 2 })]);
}

#[test]
fn a_step_of_which_only_a_half_was_applied_is_caught() {
    let asked = Asked::Step { task: 0, id: 1, lease: FIRST, how: Settlement::Succeeded, delay: 0 };
    let lost = open(30, 40, asked);
    let head = |head| call(50, 60, Asked::ReadHead { task: 0 }, Answer::Head(head));
    let mut row = held(0, 1, 7, 15);
    let item = |row: &ItemRow| call(50, 60, Asked::ReadItem { item: 0 }, Answer::Item(row.clone()));
    passes(vec![first_claim(), lost.clone(), head(0), item(&row)]);
    is_caught(vec![first_claim(), lost.clone(), head(1), item(&row)]);
    (row.status, row.lease, row.settled) = (ItemStatus::Succeeded, None, Some((1, Settlement::Succeeded)));
    passes(vec![first_claim(), lost.clone(), head(1), item(&row)]);
    is_caught(vec![first_claim(), lost, head(0), item(&row)]);
}

#[test]
fn two_owners_of_one_operation_are_caught() {
    let first = call(10, 20, begin(3), begun(15, 1));
    let in_flight = Answer::Rejected(Why::InFlight { expires: 115 });
    passes(vec![first.clone(), call(30, 40, begin(4), in_flight)]);
    passes(vec![first.clone(), call(130, 140, begin(4), begun(135, 2))]);
    is_caught(vec![first.clone(), call(30, 40, begin(4), begun(35, 2))]);
    is_caught(vec![first, call(12, 40, begin(4), begun(15, 1))]);
}

#[test]
fn an_operation_that_was_taken_over_is_not_finished_by_its_old_owner() {
    let taken = [call(10, 20, begin(3), begun(15, 1)), call(130, 140, begin(4), begun(135, 2))];
    let with = |late: Answer| {
        let late = call(150, 160, finish(3, 1), late);
        taken.iter().cloned().chain([late]).collect::<Vec<_>>()
    };
    passes(with(Answer::Rejected(Why::StaleToken)));
    is_caught(with(FINISHED));
}

#[test]
fn other_bytes_than_the_finished_ones_are_caught() {
    let done = [call(10, 20, begin(3), begun(15, 1)), call(30, 40, finish(3, 5), FINISHED)];
    let with = |output: u64| {
        let read = call(50, 60, Asked::ReadOperation { operation: 0 }, finished_row(output));
        done.iter().cloned().chain([read]).collect::<Vec<_>>()
    };
    passes(with(5));
    is_caught(with(6));
    // Nor does it end anew.
    let other = call(50, 60, finish(3, 6), FINISHED);
    is_caught(done.iter().cloned().chain([other]).collect());
    let ended = Answer::Rejected(Why::Ended { status: OperationStatus::Succeeded });
    passes(done.iter().cloned().chain([call(50, 60, begin(4), ended)]).collect());
    is_caught(done.iter().cloned().chain([call(50, 60, begin(4), begun(55, 2))]).collect());
}

#[test]
fn another_fingerprint_that_is_no_conflict_is_caught() {
    let other =
        Asked::Begin { operation: 0, fingerprint: 1, token: 4, term: TERM, lease: None, is_retaken: true };
    let first = call(10, 20, begin(3), begun(15, 1));
    passes(vec![first.clone(), call(30, 40, other.clone(), Answer::Rejected(Why::Conflict))]);
    let in_flight = Answer::Rejected(Why::InFlight { expires: 115 });
    is_caught(vec![first.clone(), call(30, 40, other.clone(), in_flight)]);
    is_caught(vec![first, call(130, 140, other, begun(135, 2))]);
}

#[test]
fn a_doubtful_operation_that_is_run_again_is_caught() {
    let doubtful = |token| Asked::Begin {
        operation: 0,
        fingerprint: 0,
        token,
        term: TERM,
        lease: None,
        is_retaken: false,
    };
    let first = call(10, 20, doubtful(3), begun(15, 1));
    let in_doubt = Answer::Rejected(Why::InDoubt { token: 3 });
    passes(vec![first.clone(), call(130, 140, doubtful(4), in_doubt)]);
    is_caught(vec![first, call(130, 140, doubtful(4), begun(135, 2))]);
}

#[test]
fn two_winners_of_one_flight_are_caught() {
    let ask = |from, to, value, told, is_hit| {
        call(from, to, Asked::Ask { cache: 0, value }, Answer::Told { value: told, is_hit })
    };
    passes(vec![ask(10, 40, 1, 1, false), ask(20, 50, 2, 1, true)]);
    is_caught(vec![ask(10, 40, 1, 1, false), ask(20, 50, 2, 2, false)]);
    is_caught(vec![ask(10, 40, 1, 1, false), ask(20, 50, 2, 2, true)]);
    // An answer before the call that it comes from.
    is_caught(vec![ask(10, 20, 1, 2, true), ask(30, 40, 2, 2, false)]);
    // The winner may have died.
    passes(vec![open(10, 40, Asked::Ask { cache: 0, value: 1 }), ask(20, 50, 2, 1, true)]);
}

#[test]
fn an_answer_before_the_call_that_it_tells_of_is_caught() {
    let head = call(5, 9, Asked::ReadHead { task: 0 }, Answer::Head(1));
    is_caught(vec![head, call(10, 20, append(1), Answer::Appended { sequence: 1 })]);
}

#[test]
fn a_sweep_that_is_asked_again_tells_what_it_told_before_and_not_what_was_called_off_since() {
    let lost = open(110, 190, sweep(9));
    let cancel = call(130, 140, Asked::Cancel { item: 0 }, Answer::Cancelled);
    let repeated = |answer| again(call(150, 160, sweep(9), answer));
    passes(vec![first_claim(), lost.clone(), repeated(swept(1))]);
    passes(vec![first_claim(), lost.clone(), cancel.clone(), repeated(Answer::Superseded)]);
    let lease = Lease { item: 0, fence: 2 };
    let status = ItemStatus::Cancelled;
    let changed = Answer::Swept(vec![Reclaimed { lease, status, has_boundary: false }]);
    is_caught(vec![first_claim(), lost, cancel, repeated(changed)]);
}

#[test]
fn a_step_that_is_asked_again_is_recognised_by_its_checkpoint() {
    let asked = Asked::Step { task: 0, id: 1, lease: FIRST, how: Settlement::Succeeded, delay: 0 };
    let stepped = |sequence| Answer::Stepped { sequence, status: ItemStatus::Succeeded, available: 0 };
    let first = call(30, 40, asked.clone(), stepped(1));
    passes(vec![first_claim(), first.clone(), again(call(50, 60, asked.clone(), stepped(1)))]);
    is_caught(vec![first_claim(), first.clone(), again(call(50, 60, asked.clone(), stepped(2)))]);
    is_caught(vec![first_claim(), first, again(call(50, 60, asked, Answer::Superseded))]);
}

#[test]
fn a_search_that_is_too_long_is_no_pass() {
    // Each of these may or may not have happened, and the read tells of more of them than there are.
    let mut calls: Vec<Call> = (1..=24).map(|id| open(10, 40, append(id))).collect();
    calls.push(call(30, 40, Asked::ReadHead { task: 0 }, Answer::Head(25)));
    let judged = judge_within(&history(calls), 10_000);
    assert!(judged.exhausted > 0 && !judged.is_right(), "{judged:?}");
}
