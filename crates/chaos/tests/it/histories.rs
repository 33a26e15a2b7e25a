//! The campaign of histories, shortened: it passes, and every fault that it names happens.

use crate::runner::run_matrix;

#[test]
fn a_dozen_histories_of_processes_that_die_and_answers_that_get_lost_are_linearizable() {
    let ran = run_matrix("prove", &["histories", "--runs", "12", "--seed", "7"]);
    assert_eq!(ran.code, 0, "{}", ran.printed);
    let case = &ran.report["cases"][0];
    assert_eq!((&case["planned"], &case["succeeded"]), (&12.into(), &12.into()), "{}", ran.printed);
    for fault in ["killed_before_commit", "killed_after_commit", "killed_at_random", "lost_answer"] {
        assert!(case["faults_fired"][fault].as_u64() > Some(0), "{fault}: {}", ran.printed);
    }
    for check in ["not_linearizable", "searches_exhausted"] {
        assert_eq!(ran.check(check), "ok", "{}", ran.printed);
    }
    let again = "cargo xtask prove histories --level pr --seed 7 --runs 12";
    assert_eq!(case["reproduce"], again);
}
