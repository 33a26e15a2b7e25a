//! The quick campaign passes, and reports as agreed.

use crate::runner::{Ran, run, run_matrix};

#[test]
fn the_quick_chaos_cases_pass_and_are_reported() {
    let ran = run(&["--quick", "--seed", "7"]);
    assert_eq!(ran.code, 0, "{}", ran.printed);
    let report = &ran.report;
    // A busy machine may be slow, but it may not be wrong.
    let good = report["passed"].as_u64().unwrap() + report["warned"].as_u64().unwrap();
    assert_eq!((good, &report["failed"], &report["skipped"]), (7, &0.into(), &0.into()), "{}", ran.printed);
    assert_eq!(
        (&report["matrix"], &report["backend"], &report["seed"]),
        (&"chaos".into(), &"sqlite".into(), &7.into())
    );
    let expected = [
        ("kill9_recovery", 5, 5),
        ("concurrent_checkpoints", 10, 100),
        ("lease_expiration", 2, 2),
        ("recovery_sweep", 100, 100),
        ("llm_cache", 1_000, 2_000),
        ("tool_replay", 100, 200),
        ("full_e2e", 10, 10),
    ];
    are_reported(&ran, "chaos", &expected);
    for phase in [
        "before_commit",
        "in_transaction",
        "in_commit",
        "after_commit",
        "before_acknowledgement",
        "in_wal_checkpoint",
    ] {
        assert_eq!(ran.check(&format!("kills_{phase}")), "ok");
    }
    let last = ran.printed.lines().last().unwrap();
    assert!(last.starts_with("=== ") && last.ends_with("s ==="), "{last}");
    assert!(
        ran.printed.contains("Acknowledged lost:                0           ✓ (threshold: 0)"),
        "{}",
        ran.printed
    );
    // What passed leaves its report and nothing else.
    let left: Vec<_> =
        std::fs::read_dir(ran.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["chaos.json"]);
}

#[test]
fn the_quick_stress_cases_pass_and_are_reported() {
    let ran = run_matrix("stress", &["--quick", "--seed", "7"]);
    assert_eq!(ran.code, 0, "{}", ran.printed);
    let good = ran.report["passed"].as_u64().unwrap() + ran.report["warned"].as_u64().unwrap();
    assert_eq!((good, &ran.report["failed"]), (5, &0.into()), "{}", ran.printed);
    let expected = [
        ("concurrent_tasks", 100, 500),
        ("same_task_contention", 20, 400),
        ("lease_contention", 4_000, 4_000),
        ("sweep_large", 10_000, 11_000),
        ("cache_stampede", 50, 350),
    ];
    are_reported(&ran, "stress", &expected);
}

/// Of each case: its id, its runs, and the operations that it planned and carried out.
fn are_reported(ran: &Ran, matrix: &str, expected: &[(&str, usize, usize)]) {
    let cases = ran.report["cases"].as_array().unwrap();
    assert_eq!(cases.len(), expected.len());
    for (case, (id, runs, planned)) in cases.iter().zip(expected) {
        assert_eq!(
            (&case["id"], &case["planned"], &case["succeeded"]),
            (&(*id).into(), &(*planned).into(), &(*planned).into())
        );
        let again = format!("cargo xtask {matrix} {id} --backend sqlite --seed 7 --runs {runs} --quick");
        assert_eq!(case["reproduce"], again.as_str());
    }
}
