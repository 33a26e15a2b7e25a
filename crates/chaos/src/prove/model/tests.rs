//! The model finds what each flaw breaks, and the store's decisions break nothing.

use std::collections::HashSet;
use std::time::Duration;

use super::promises::SITUATIONS;
use super::protocol::Protocol;
use super::rows::{Flaw, Rows, Size};
use super::state::{Promise, State};
use super::{Explored, explore};
use stateright::Model;

const SMALLEST: Size = Size { term: 1, attempts: 1 };
const PATIENCE: Duration = Duration::from_secs(600);

fn found(flaw: Flaw, promise: Promise) -> Explored {
    explore(super::SMALL, flaw, Some(promise), PATIENCE).unwrap()
}

#[test]
fn without_the_fence_check_a_stale_effect_is_applied_and_the_way_there_is_told() {
    let explored = found(Flaw::NoFenceCheck, Promise::NoStaleEffect);
    let (_, way) = explored.broken.iter().find(|(name, _)| *name == Promise::NoStaleEffect.name()).unwrap();
    println!("{}", way.join("\n"));
    // One worker claims and ends its lease, another claims, and the first goes on.
    assert_eq!(way.len(), 4, "{way:#?}");
    assert!(way[0].starts_with("Claim") && way[2].starts_with("Claim"), "{way:#?}");
    assert!(way[3].starts_with("Write") || way[3].starts_with("Settle"), "{way:#?}");
}

#[test]
fn every_flaw_is_found_by_the_promise_it_breaks_and_every_promise_has_its_flaw() {
    let mut tried = HashSet::new();
    for (flaw, promise) in Flaw::ALL {
        let explored = found(flaw, promise);
        let names: Vec<_> = explored.broken.iter().map(|(name, _)| *name).collect();
        assert!(names.contains(&promise.name()), "{flaw:?} broke {names:?}");
        tried.insert(promise);
    }
    assert!(Promise::ALL.iter().all(|promise| tried.contains(promise)), "{tried:?}");
}

#[test]
fn the_decisions_of_the_store_break_no_promise_in_a_small_model() {
    let explored = explore(SMALLEST, Flaw::None, None, PATIENCE).unwrap();
    assert!(explored.is_whole && explored.broken.is_empty(), "{explored:?}");
    assert_eq!(explored.situations, SITUATIONS.len());
}

#[test]
fn an_item_survives_the_way_into_a_row_and_back() {
    let model = Protocol::new(Rows::new(SMALLEST, Flaw::None).unwrap(), false);
    let mut seen = HashSet::from([State::first()]);
    let mut open = vec![State::first()];
    while let Some(state) = open.pop() {
        for item in state.items {
            assert_eq!(Rows::item(item, &model.rows.row(0, item)), item);
        }
        if seen.len() < 20_000 {
            open.extend(model.next_states(&state).into_iter().filter(|next| seen.insert(next.clone())));
        }
    }
}

#[test]
fn the_order_of_workers_and_items_makes_no_other_state() {
    let model = Protocol::new(Rows::new(SMALLEST, Flaw::None).unwrap(), false);
    let mut state = State::first();
    // Any way through the model: always another of the steps that change something.
    for turn in 0..60 {
        let next = model.next_states(&state);
        state = next[turn * 7 % next.len()].clone();
        let mut other = state.clone();
        other.workers.rotate_left(1);
        other.items.swap(0, 1);
        other.each_held(|held| held.item = 1 - held.item);
        assert_eq!(state.clone().canonical(), other.canonical());
    }
}
