//! What is looked for in each state that is reached: promises, which none may break, and situations, which must come up.

use stateright::Property;
use steadfast_store::{Settlement, Status, WorkItem};

use super::protocol::Protocol;
use super::rows::{Rows, fence};
use super::state::{Age, Call, Held, Item, Promise, State, Worker};

/// What must come up, or the exploration has shown nothing.
pub(super) const SITUATIONS: [&str; 5] = [
    "a stale worker works beside an heir",
    "a heartbeat is under way for a lease that is over",
    "an item is a dead letter",
    "both items succeed",
    "a claim is unknown and its lease has ended",
];

/// Each promise, and each situation.
pub(super) fn properties() -> Vec<Property<Protocol>> {
    let mut properties = Vec::new();
    // The checker takes plain functions: one for each promise.
    macro_rules! always {
        ($($promise:ident),+) => {$(
            properties.push(Property::always(Promise::$promise.name(), |model: &Protocol, state| {
                model.holds(Promise::$promise, state)
            }));
        )+};
    }
    always!(FencesGrow, OneHolder, NoStaleEffect, NoRevival, HolderIsHeard, FullTerm);
    always!(AttemptsOnce, CapHolds, NothingLost, CanFinish);
    properties.extend([
        Property::sometimes(SITUATIONS[0], |_: &Protocol, state: &State| {
            let stale = |worker: &Worker| matches!(worker, Worker::Works(held) if !held.holds);
            let heir = |worker: &Worker| matches!(worker, Worker::Works(held) if held.holds);
            state.workers.iter().any(stale) && state.workers.iter().any(heir)
        }),
        Property::sometimes(
            SITUATIONS[1],
            |_: &Protocol, state: &State| matches!(state.stray, Some(Call::Renew(held)) if !held.holds),
        ),
        Property::sometimes(SITUATIONS[2], |_: &Protocol, state: &State| {
            state.items.iter().any(|item| item.status == Status::Failed && item.settled.is_none())
        }),
        Property::sometimes(SITUATIONS[3], |_: &Protocol, state: &State| {
            state.items.iter().all(|item| item.status == Status::Succeeded)
        }),
        Property::sometimes(SITUATIONS[4], |_: &Protocol, state: &State| {
            let unknown = |worker: &Worker| match worker {
                Worker::ClaimUnknown(tag) => {
                    state.items.iter().any(|item| item.claimed_by == Some(*tag) && item.lease == Some(0))
                }
                _ => false,
            };
            state.workers.iter().any(unknown)
        }),
    ]);
    properties
}

impl Protocol {
    /// Whether an item that everybody has forgotten is swept, claimed and settled in the end.
    fn can_finish(&self, index: u8, item: Item) -> bool {
        let mut item = item;
        // Each attempt takes a claim and at most one reclaim.
        for _ in 0..=2 * (self.rows.size.attempts + 1) {
            (item.lease, item.waits) = (item.lease.map(|_| 0), 0);
            let row = self.rows.row(index, item);
            let next = match item.status {
                status if status.is_terminal() => return true,
                Status::InProgress => self.rows.reclaim(&row),
                _ => self.rows.claim(&row, 0).and_then(|claimed| {
                    let claimed = WorkItem { fence: fence(Age::Newest), ..claimed };
                    let held = Held { item: index, fence: Age::Newest, holds: true };
                    self.rows.settle(&claimed, held, Settlement::Succeeded)
                }),
            };
            let Some(next) = next else { return false };
            item = Rows::item(item, &next);
        }
        false
    }

    /// What a state shows by itself.
    fn holds(&self, promise: Promise, state: &State) -> bool {
        if state.broken == Some(promise) {
            return false;
        }
        match promise {
            Promise::NothingLost => state.items.iter().all(|item| {
                let leased = item.lease.is_some();
                let is_known = matches!(
                    item.status,
                    Status::Pending | Status::InProgress | Status::Succeeded | Status::Failed
                );
                is_known && (item.status == Status::InProgress) == leased && leased == item.promised.is_some()
            }),
            Promise::CanFinish => (0..).zip(&state.items).all(|(index, item)| self.can_finish(index, *item)),
            _ => true,
        }
    }
}
