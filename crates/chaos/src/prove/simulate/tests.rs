//! That a seed is a run, and that each check of the oracle catches what it is there for.

use std::path::Path;

use super::oracle::Promise;
use super::plan::Plan;
use super::planted::Plant;
use super::trial::{failure, run, trial};

/// Seeds within which a planted bug must be caught.
const FEW: u64 = 400;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The seeds that keep every promise, from the first on.
fn is_sound(seed: u64, folder: &Path) {
    let trial = trial(seed, folder).unwrap();
    assert_eq!(trial.failure, None);
    assert!(trial.again.is_none_or(|again| again.is_same), "seed {seed} differs when it is run again");
}

#[test]
fn seeds_keep_every_promise_on_both_backends() {
    let folder = folder();
    for seed in 1..=12 {
        is_sound(seed, folder.path());
    }
}

#[test]
fn the_same_seed_is_the_same_run_byte_for_byte_and_another_one_is_not() {
    let folder = folder();
    let hash = |seed| run(&Plan::draw(seed), folder.path(), None).unwrap().hash;
    for seed in [3, 4, 20] {
        assert_eq!(hash(seed), hash(seed), "seed {seed}");
    }
    assert_ne!(hash(3), hash(4));
}

/// The store's wall clock lay behind its callers' by more than an answer counts: to them it was too old, to the store it
/// was not, so it could be neither used nor asked for again, and its items were never finished (36, 39). A claim that was
/// submitted again adopted a lease that the oracle took for abandoned (9285, 23820).
#[test]
fn seeds_that_once_failed_keep_every_promise() {
    let folder = folder();
    for seed in [36, 39, 9_285, 23_820] {
        is_sound(seed, folder.path());
    }
}

/// Runs seeds with the bug until something is broken, and holds that against the promises that must catch it.
fn is_caught(plant: Plant, by: &[Promise]) {
    let folder = folder();
    for seed in (1..=FEW).filter(|seed| seed % 10 != 0) {
        let plan = Plan::draw(seed);
        let told = run(&plan, folder.path(), Some(plant)).unwrap();
        if let Some(broken) = told.broken.first() {
            assert!(
                by.contains(&broken.promise),
                "{plant:?} was caught by another check, with seed {seed}: {broken}"
            );
            return;
        }
    }
    panic!("{plant:?} was not caught within {FEW} seeds");
}

#[test]
fn a_store_that_looks_at_no_fence_is_caught() {
    is_caught(Plant::NoFenceCheck, &[Promise::StaleGuard]);
}

#[test]
fn a_store_that_sweeps_by_the_wall_clock_is_caught() {
    is_caught(Plant::WallClockSweep, &[Promise::NotEarly, Promise::Attempts, Promise::ClaimOrder]);
}

#[test]
fn a_store_that_renews_what_was_reclaimed_is_caught() {
    is_caught(Plant::HeartbeatRevives, &[Promise::Renewal]);
}

#[test]
fn a_store_that_loses_what_it_acknowledged_is_caught() {
    is_caught(
        Plant::LostAcknowledgement,
        &[Promise::Rows, Promise::SameBytes, Promise::OneOwner, Promise::Outcome],
    );
}

#[test]
fn an_unknown_commit_that_is_tried_again_under_a_new_identity_is_caught() {
    is_caught(Plant::NewIdentity, &[Promise::OneIdentity]);
}

#[test]
fn a_ledger_that_is_written_after_the_call_is_caught() {
    is_caught(Plant::LedgerAfterCall, &[Promise::Intent]);
}

#[test]
fn a_call_in_doubt_that_is_made_again_is_caught() {
    is_caught(Plant::RerunDoubt, &[Promise::Once, Promise::Intent]);
}

#[test]
fn a_holder_that_does_not_stop_at_its_deadline_is_caught() {
    is_caught(Plant::IgnoreDeadline, &[Promise::Deadline]);
}

#[test]
fn a_model_left_out_of_the_cache_key_is_caught() {
    is_caught(Plant::ModelLeftOut, &[Promise::Crossed]);
}

#[test]
fn a_lease_that_nobody_reclaims_is_caught() {
    is_caught(Plant::NoSweep, &[Promise::Reclaimed]);
}

#[test]
fn a_failure_tells_the_smallest_plan_and_the_command_that_runs_it_again() {
    let folder = folder();
    let plan = Plan::draw(2);
    let plant = Some(Plant::LedgerAfterCall);
    let told = run(&plan, folder.path(), plant).unwrap();
    let text = failure(&plan, &told.broken[0], folder.path(), plant);
    assert!(text.contains("cargo xtask prove simulate --seed 2 --runs 1"), "{text}");
    assert!(text.contains("effects_without_intent"), "{text}");
    assert!(text.contains("errands "), "{text}");
    assert_eq!(text.matches("\n  at ").count(), 0, "no fault is needed for it: {text}");
}
