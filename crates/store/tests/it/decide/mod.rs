//! Single decisions, called as a backend calls them, with the whole row in view. The conformance suite sees only what a
//! store hands out; here every column is compared, and every bound is tried at itself and one millisecond beside it.

#![allow(clippy::unwrap_used, reason = "what makes rows is called by tests alone")]

mod checkpoints;
mod items;
mod operations;
mod tasks;

use std::time::Duration;

use steadfast_store::{
    Delay, Digest, Fence, HolderId, Label, LeaseRecord, Now, SequenceNumber, Status, StoreTime, Task, TaskId,
    Term, TransitionId, WallTime, WorkItem, WorkItemId,
};

/// When everything here is decided; the two clocks are far apart, so that one taken for the other shows.
const NOW: Now =
    Now { store: StoreTime::from_millis(100_000), wall: WallTime::from_millis(1_795_500_000_000) };
/// When all rows were created.
const CREATED: WallTime = WallTime::from_millis(1_795_400_000_000);
const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn task_id(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

fn item_id(name: &str) -> WorkItemId {
    WorkItemId::new(name).unwrap()
}

fn label(name: &str) -> Label {
    Label::new(name).unwrap()
}

fn transition(number: u8) -> TransitionId {
    TransitionId::from_bytes([number; 16])
}

fn term() -> Term {
    Term::new(10 * SECOND).unwrap()
}

fn delay() -> Delay {
    Delay::new(5 * SECOND).unwrap()
}

/// A task with three checkpoints.
fn task(status: Status) -> Task {
    Task {
        id: task_id("task"),
        kind: label("research"),
        status,
        input: Digest::of(b"input"),
        result: None,
        head: SequenceNumber(3),
        head_link: Digest::of(b"link"),
        pruned_through: SequenceNumber(0),
        created_at: CREATED,
        finished_at: None,
    }
}

/// An item that was claimed before, so that nothing in its row is what a new one has.
fn pending() -> WorkItem {
    WorkItem {
        id: item_id("item"),
        task: task_id("task"),
        kind: label("fetch"),
        status: Status::Pending,
        priority: 3,
        available_at: NOW.store,
        fence: Fence(7),
        attempt: 2,
        max_attempts: 4,
        lease: None,
        transition: Some(transition(1)),
        settled: None,
        detail: "as before".to_owned(),
        created_at: CREATED,
    }
}

/// The same under a lease that ends then.
fn leased(expires_at: StoreTime) -> WorkItem {
    let holder = HolderId::new("worker").unwrap();
    let lease = LeaseRecord { holder, acquired_at: StoreTime::from_millis(90_000), expires_at };
    WorkItem {
        status: Status::InProgress,
        available_at: StoreTime::from_millis(80_000),
        lease: Some(lease),
        ..pending()
    }
}
