//! The quick campaign passes, and reports as agreed.

use crate::runner::run;

#[test]
fn both_quick_cases_pass_and_are_reported() {
    let ran = run(&["--quick", "--seed", "7"]);
    assert_eq!(ran.code, 0, "{}", ran.printed);
    let report = &ran.report;
    // A busy machine may be slow, but it may not be wrong.
    let good = report["passed"].as_u64().unwrap() + report["warned"].as_u64().unwrap();
    assert_eq!((good, &report["failed"], &report["skipped"]), (2, &0.into(), &0.into()), "{}", ran.printed);
    assert_eq!(
        (&report["matrix"], &report["backend"], &report["seed"]),
        (&"chaos".into(), &"sqlite".into(), &7.into())
    );
    for (case, (id, planned)) in
        report["cases"].as_array().unwrap().iter().zip([("kill9_recovery", 5), ("lease_expiration", 2)])
    {
        assert_eq!(
            (&case["id"], &case["planned"], &case["succeeded"]),
            (&id.into(), &planned.into(), &planned.into())
        );
        let again = format!("cargo xtask chaos {id} --backend sqlite --seed 7 --runs {planned} --quick");
        assert_eq!(case["reproduce"], again.as_str());
    }
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
