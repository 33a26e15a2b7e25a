//! Work items: claims, leases, their ends, and sweeps.

use steadfast_store::decide::{
    Decision, decide_cancel_item, decide_claim, decide_enqueue, decide_guard, decide_reclaim, decide_renew,
    decide_requeue, decide_settle, error_boundary, is_asked_for,
};
use steadfast_store::{
    CancelItem, Claim, Enqueue, Enqueued, Fence, Guard, HolderId, ItemCancelled, LeaseRecord, Reason, Renew,
    Renewed, Requeue, Requeued, Settle, SettleItem, Settled, Settlement, Status, Task, WorkItem,
};

use super::{MILLI, NOW, SECOND, delay, item_id, label, leased, pending, task, task_id, term, transition};

fn claim() -> Claim {
    let holder = HolderId::new("other").unwrap();
    Claim { claim: transition(9), holder, term: term(), limit: 1, kinds: Vec::new(), task: None }
}

fn enqueue() -> Enqueue {
    let (item, task, kind) = (item_id("item"), task_id("task"), label("fetch"));
    Enqueue { item, task, kind, priority: 3, delay: delay(), max_attempts: 4 }
}

fn guard() -> Guard {
    Guard { item: item_id("item"), fence: Fence(7) }
}

fn settle(settle: Settle) -> SettleItem {
    SettleItem { guard: guard(), settle, detail: "why".to_owned() }
}

fn settled(item: &WorkItem, with: Settle) -> WorkItem {
    match decide_settle(Some(item), &settle(with), NOW) {
        Decision::Apply(row, answer) => {
            let told = Settled { status: row.status, available_at: row.available_at };
            assert_eq!(answer, told);
            row
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_item_is_the_same_only_with_the_same_task_kind_priority_and_attempts() {
    let there = pending();
    let answer = |command: &Enqueue| decide_enqueue(Some(&there), Some(&task(Status::Pending)), command, NOW);
    assert_eq!(answer(&enqueue()), Decision::Replayed(Enqueued));
    for other in [
        Enqueue { task: task_id("other"), ..enqueue() },
        Enqueue { kind: label("other"), ..enqueue() },
        Enqueue { priority: 4, ..enqueue() },
        Enqueue { max_attempts: 5, ..enqueue() },
    ] {
        let exists = Decision::Rejected(Reason::WorkItemExists { item: item_id("item") });
        assert_eq!(answer(&other), exists, "{other:?}");
    }
}

#[test]
fn an_item_is_added_to_a_task_that_goes_on_and_waits_for_its_delay() {
    let answer = |task: Option<&Task>| decide_enqueue(None, task, &enqueue(), NOW);
    let item = WorkItem {
        available_at: NOW.store.plus(5 * SECOND),
        fence: Fence(0),
        attempt: 0,
        transition: None,
        detail: String::new(),
        created_at: NOW.wall,
        ..pending()
    };
    assert_eq!(answer(Some(&task(Status::Pending))), Decision::Apply(item, Enqueued));
    assert_eq!(answer(None), Decision::Rejected(Reason::NoSuchTask { task: task_id("task") }));
    let ended = Reason::TaskEnded { task: task_id("task"), status: Status::Failed };
    assert_eq!(answer(Some(&task(Status::Failed))), Decision::Rejected(ended));
}

#[test]
fn a_claim_asks_for_kinds_and_for_a_task_and_takes_what_fits_both() {
    let of = |kinds: &[&str], task: Option<&str>| Claim {
        kinds: kinds.iter().map(|kind| label(kind)).collect(),
        task: task.map(task_id),
        ..claim()
    };
    let asks = |claim: &Claim| is_asked_for(&pending(), claim);
    assert!(asks(&of(&[], None)) && asks(&of(&["other", "fetch"], Some("task"))));
    assert!(!asks(&of(&["other"], None)) && !asks(&of(&[], Some("other"))));
    assert!(!asks(&of(&["fetch"], Some("other"))) && !asks(&of(&["other"], Some("task"))));
    assert_eq!(decide_claim(&pending(), &of(&["other"], None), NOW), None);
}

#[test]
fn a_claim_takes_an_item_from_the_very_moment_at_which_it_is_available() {
    let holder = HolderId::new("other").unwrap();
    let lease = LeaseRecord { holder, acquired_at: NOW.store, expires_at: NOW.store.plus(10 * SECOND) };
    let claimed = WorkItem {
        status: Status::InProgress,
        fence: Fence(8),
        attempt: 3,
        lease: Some(lease),
        transition: Some(transition(9)),
        ..pending()
    };
    assert_eq!(decide_claim(&pending(), &claim(), NOW), Some(claimed));
    let later = WorkItem { available_at: NOW.store.plus(MILLI), ..pending() };
    assert_eq!(decide_claim(&later, &claim(), NOW), None);
    assert_eq!(decide_claim(&leased(NOW.store), &claim(), NOW), None, "a lease ends by a sweep alone");
}

#[test]
fn only_the_current_fence_of_an_item_in_progress_is_a_lease() {
    let held = leased(NOW.store);
    assert_eq!(decide_guard(Some(&held), &guard()), Ok(()), "past its term, and not reclaimed");
    for shown in [Fence(6), Fence(8)] {
        let stale = Reason::StaleFence { item: item_id("item"), shown, current: Fence(7) };
        assert_eq!(decide_guard(Some(&held), &Guard { fence: shown, ..guard() }), Err(stale));
    }
    let (item, fence, status) = (item_id("item"), Fence(7), Status::Pending);
    assert_eq!(decide_guard(Some(&pending()), &guard()), Err(Reason::NotLeased { item, fence, status }));
    assert_eq!(decide_guard(None, &guard()), Err(Reason::NoSuchWorkItem { item: item_id("item") }));
}

#[test]
fn a_renewal_moves_the_deadline_and_nothing_else_and_never_nearer() {
    let renew = Renew { guard: guard(), term: term() };
    for (before, after) in
        [(NOW.store, NOW.store.plus(10 * SECOND)), (NOW.store.plus(11 * SECOND), NOW.store.plus(11 * SECOND))]
    {
        let renewed = Decision::Apply(leased(after), Renewed { expires_at: after });
        assert_eq!(decide_renew(Some(&leased(before)), &renew, NOW), renewed);
    }
    assert!(matches!(
        decide_renew(Some(&pending()), &renew, NOW),
        Decision::Rejected(Reason::NotLeased { .. })
    ));
}

#[test]
fn a_settlement_ends_the_lease_and_says_under_which_fence() {
    let held = leased(NOW.store);
    let given_back = |status, settlement| WorkItem {
        status,
        lease: None,
        settled: Some((Fence(7), settlement)),
        detail: "why".to_owned(),
        ..held.clone()
    };
    assert_eq!(settled(&held, Settle::Succeeded), given_back(Status::Succeeded, Settlement::Succeeded));
    assert_eq!(settled(&held, Settle::Failed), given_back(Status::Failed, Settlement::Failed));
    let retried = WorkItem {
        available_at: NOW.store.plus(5 * SECOND),
        ..given_back(Status::Pending, Settlement::Retried)
    };
    assert_eq!(settled(&held, Settle::Retry(delay())), retried);
    let released =
        WorkItem { available_at: NOW.store, attempt: 1, ..given_back(Status::Pending, Settlement::Released) };
    assert_eq!(settled(&held, Settle::Released), released);
}

#[test]
fn the_last_attempt_is_the_one_that_reaches_the_most_that_are_allowed() {
    for (attempt, status) in [(3, Status::Pending), (4, Status::Failed), (5, Status::Failed)] {
        let held = WorkItem { attempt, ..leased(NOW.store) };
        assert_eq!(settled(&held, Settle::Retry(delay())).status, status, "attempt {attempt} of 4");
        let reclaimed = decide_reclaim(&held, Some(&task(Status::Pending)), transition(9), NOW).unwrap();
        assert_eq!(reclaimed.status, status, "attempt {attempt} of 4");
    }
}

#[test]
fn a_settlement_made_again_is_known_until_another_took_its_place() {
    let done = settled(&leased(NOW.store), Settle::Succeeded);
    let again = |item: &WorkItem, with| decide_settle(Some(item), &settle(with), NOW);
    let told = Settled { status: Status::Succeeded, available_at: done.available_at };
    assert_eq!(again(&done, Settle::Succeeded), Decision::Replayed(told));
    assert!(matches!(again(&done, Settle::Failed), Decision::Rejected(Reason::NotLeased { .. })));
    let since = WorkItem { fence: Fence(8), ..done };
    assert_eq!(again(&since, Settle::Succeeded), Decision::Superseded);
    assert!(matches!(again(&since, Settle::Failed), Decision::Rejected(Reason::StaleFence { .. })));
}

#[test]
fn an_item_is_called_off_once_and_fences_off_whoever_holds_it() {
    let command = CancelItem { item: item_id("item") };
    let answer = |item: &WorkItem| decide_cancel_item(Some(item), &command);
    let held = leased(NOW.store);
    let off = WorkItem { status: Status::Cancelled, fence: Fence(8), lease: None, ..held.clone() };
    assert_eq!(answer(&held), Decision::Apply(off.clone(), ItemCancelled));
    assert_eq!(answer(&off), Decision::Replayed(ItemCancelled));
    for status in [Status::Succeeded, Status::Failed] {
        let ended = Reason::WorkItemEnded { item: item_id("item"), status };
        assert_eq!(answer(&WorkItem { status, ..pending() }), Decision::Rejected(ended));
    }
}

#[test]
fn only_what_failed_was_called_off_or_needs_attention_is_requeued() {
    let command = Requeue { requeue: transition(9), item: item_id("item"), delay: delay() };
    let answer = |item: &WorkItem, of| decide_requeue(Some(item), Some(&task(of)), &command, NOW);
    let available_at = NOW.store.plus(5 * SECOND);
    for status in [Status::Failed, Status::NeedsAttention, Status::Cancelled] {
        let item = WorkItem { status, ..pending() };
        let requeued = WorkItem {
            available_at,
            fence: Fence(8),
            attempt: 0,
            transition: Some(transition(9)),
            ..pending()
        };
        assert_eq!(
            answer(&item, Status::InProgress),
            Decision::Apply(requeued.clone(), Requeued { available_at })
        );
        assert_eq!(answer(&requeued, Status::InProgress), Decision::Replayed(Requeued { available_at }));
        let ended = Reason::TaskEnded { task: task_id("task"), status: Status::Succeeded };
        assert_eq!(answer(&item, Status::Succeeded), Decision::Rejected(ended));
    }
    for status in [Status::Pending, Status::InProgress, Status::Waiting, Status::Succeeded] {
        let other = Reason::NotRequeuable { item: item_id("item"), status };
        assert_eq!(answer(&WorkItem { status, ..pending() }, Status::InProgress), Decision::Rejected(other));
    }
}

#[test]
fn a_lease_is_reclaimed_from_the_very_moment_at_which_it_ends() {
    let of = |item: &WorkItem, status| decide_reclaim(item, Some(&task(status)), transition(9), NOW);
    let reclaimed = |status| WorkItem {
        status,
        detail: "the lease of worker ended without a word from its holder".to_owned(),
        fence: Fence(8),
        available_at: NOW.store,
        transition: Some(transition(9)),
        ..pending()
    };
    assert_eq!(of(&leased(NOW.store), Status::Pending), Some(reclaimed(Status::Pending)));
    assert_eq!(of(&leased(NOW.store), Status::Failed), Some(reclaimed(Status::Cancelled)));
    let orphan = decide_reclaim(&leased(NOW.store), None, transition(9), NOW);
    assert_eq!(orphan, Some(reclaimed(Status::Cancelled)));
    assert_eq!(of(&leased(NOW.store.plus(MILLI)), Status::Pending), None, "it has a millisecond left");
    assert_eq!(of(&pending(), Status::Pending), None);
    let not_held = WorkItem { status: Status::Cancelled, ..leased(NOW.store) };
    assert_eq!(of(&not_held, Status::Pending), None, "no lease is in progress");
}

#[test]
fn a_reclaim_tells_of_itself_under_one_id_unless_its_task_has_ended() {
    let reclaimed = |status| WorkItem { status, fence: Fence(8), ..pending() };
    let boundary = |item: &WorkItem| error_boundary(item, transition(9), "worker");
    assert_eq!(boundary(&reclaimed(Status::Cancelled)), None);
    let told = boundary(&reclaimed(Status::Pending)).unwrap();
    assert_eq!(boundary(&reclaimed(Status::Pending)).unwrap(), told);
    let text = String::from_utf8(told.payload.bytes().to_vec()).unwrap();
    assert!(text.contains("holder: worker\nstale fence: 7\nattempt: 2 of 4\nstatus: pending\n"), "{text}");
    let next = boundary(&WorkItem { fence: Fence(9), ..reclaimed(Status::Failed) }).unwrap();
    assert_ne!(next.id, told.id, "another reclaim is another checkpoint");
}
