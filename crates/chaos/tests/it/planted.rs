//! A check that cannot fail is a defect: each fault that is planted in the workers fails the check of its name.

use crate::runner::run;

fn is_caught(case: &str, planted: &str, checks: &[&str]) {
    let ran = run(&[case, "--quick", "--planted", planted]);
    assert_eq!(ran.code, 1, "{}", ran.printed);
    for check in checks {
        assert_eq!(ran.check(check), "failed", "{}", ran.printed);
        assert!(
            ran.printed.contains(&format!("{check}: ")),
            "the fault is not told in words:\n{}",
            ran.printed
        );
    }
    assert!(ran.printed.contains(&format!("--planted {planted}")), "{}", ran.printed);
}

#[test]
fn a_checkpoint_that_is_told_of_before_its_commit_is_missed() {
    is_caught("kill9_recovery", "ack-before-commit", &["acknowledged_lost"]);
}

#[test]
fn an_effect_before_its_intent_is_seen_and_happens_twice() {
    let checks = ["effects_without_intent", "at_most_once_repeated"];
    is_caught("kill9_recovery", "effect-before-intent", &checks);
}

#[test]
fn a_result_that_is_recorded_apart_leaves_a_step_open() {
    is_caught("kill9_recovery", "record-apart", &["steps_unaccounted"]);
}

#[test]
fn a_call_in_doubt_that_is_run_again_happens_twice() {
    is_caught("kill9_recovery", "rerun-doubt", &["at_most_once_repeated"]);
}

#[test]
fn going_on_from_a_checkpoint_that_does_not_verify_is_seen() {
    is_caught("kill9_recovery", "resume-unverified", &["wrong_resume_points"]);
}

#[test]
fn an_unguarded_write_after_a_takeover_is_found_in_the_file() {
    is_caught("lease_expiration", "no-guard", &["stale_writes_taken"]);
}

#[test]
fn a_holder_that_does_not_hear_of_its_loss_is_noticed() {
    is_caught("lease_expiration", "ignore-loss", &["holders_not_told"]);
}
