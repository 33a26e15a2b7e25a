//! Stores with planted bugs, to show that the suite can fail: each must be caught by cases that are named here, and
//! the same store without its bug must pass them all.

mod forgets_on_reopen;
mod ignores_the_fence;
mod reads_stale;
mod reuses_a_sequence_number;
mod tears_a_batch;
mod wrapper;

use steadfast_store::conformance::{CASES, Case, Report, run};

use wrapper::{Bug, Planted};

/// Runs the whole suite on a store with `bug`, and asserts that the cases of these names failed.
async fn assert_caught<B: Bug + Default>(names: &[&str]) -> Report {
    let report = run(&Planted::<B>::default()).await;
    for name in names {
        assert!(CASES.iter().any(|case| case.name() == *name), "there is no case {name}");
        assert!(report.has_failed(name), "{name} did not catch {:?}:\n{report}", B::default());
    }
    assert_eq!(report.passed.len() + report.failed.len(), CASES.len(), "some case was not run");
    report
}

/// No bug: the wrapper hands everything on.
#[derive(Debug, Default)]
struct Faithful;

impl Bug for Faithful {}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_without_a_planted_bug_passes_everything() {
    let report = run(&Planted::<Faithful>::default()).await;
    assert!(report.failed.is_empty(), "\n{report}");
    let names: Vec<_> = CASES.iter().map(Case::name).collect();
    assert_eq!(report.passed, names);
}
