//! A check that cannot fail is a defect: each fault that is planted in the workers fails the check of its name.

use crate::runner::{Ran, run, run_matrix};

fn is_caught(case: &str, planted: &str, checks: &[&str]) {
    let ran = run(&[case, "--quick", "--planted", planted]);
    have_failed(&ran, planted, checks);
    for check in checks {
        assert!(
            ran.printed.contains(&format!("{check}: ")),
            "the fault is not told in words:\n{}",
            ran.printed
        );
    }
}

/// The same for the figures of a crew, with so many runs.
fn is_seen(matrix: &str, case: &str, runs: &str, planted: &str, checks: &[&str]) {
    let ran = run_matrix(matrix, &[case, "--quick", "--runs", runs, "--planted", planted]);
    have_failed(&ran, planted, checks);
}

fn have_failed(ran: &Ran, planted: &str, checks: &[&str]) {
    assert_eq!(ran.code, 1, "{}", ran.printed);
    for check in checks {
        assert!(matches!(ran.check(check), "failed" | "over"), "{check}:\n{}", ran.printed);
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

#[test]
fn a_checkpoint_that_was_never_made_is_missed_among_concurrent_ones() {
    let checks = ["checkpoints", "acknowledged_lost"];
    is_seen("chaos", "concurrent_checkpoints", "2", "forget-append", &checks);
    is_seen("stress", "concurrent_tasks", "20", "forget-append", &checks);
    is_seen("stress", "same_task_contention", "2", "forget-append", &checks);
}

#[test]
fn a_process_that_starves_is_noticed() {
    is_seen("chaos", "concurrent_checkpoints", "2", "dawdle", &["poorest_process_share"]);
}

#[test]
fn a_living_holder_whose_leases_are_taken_is_noticed() {
    is_seen("chaos", "recovery_sweep", "20", "no-heartbeat", &["live_leases_taken"]);
}

#[test]
fn leases_that_nobody_reclaims_are_noticed() {
    let checks = ["leases_reclaimed", "expired_found_off_by", "boundary_checkpoints_off_by"];
    is_seen("chaos", "recovery_sweep", "20", "skip-sweep", &checks);
    is_seen("stress", "sweep_large", "1000", "skip-sweep", &["leases_reclaimed_of_1000"]);
}

#[test]
fn leases_that_are_reclaimed_before_their_term_are_noticed() {
    is_seen("chaos", "recovery_sweep", "20", "clock-ahead", &["reclaimed_early"]);
    is_seen("stress", "sweep_large", "1000", "clock-ahead", &["reclaimed_early_of_1000"]);
}

#[test]
fn a_model_that_is_asked_beside_the_cache_counts_it() {
    is_seen("chaos", "llm_cache", "20", "no-cache", &["model_calls_off_by"]);
    is_seen("stress", "cache_stampede", "3", "no-cache", &["generations"]);
    is_seen("chaos", "full_e2e", "2", "no-cache", &["model_calls_paid_again"]);
}

#[test]
fn a_command_that_runs_beside_the_ledger_counts_itself() {
    is_seen("chaos", "tool_replay", "20", "rerun-tool", &["commands_run_again"]);
}

#[test]
fn an_answer_that_gets_lost_on_the_way_makes_the_result_wrong() {
    let checks = ["results_right", "results_right_without_cache"];
    is_seen("chaos", "full_e2e", "2", "wrong-answer", &checks);
}

#[test]
fn an_item_that_nobody_submitted_breaks_the_sum() {
    is_caught("kill9_recovery", "submit-twice", &["items_not_conserved"]);
    is_seen("chaos", "full_e2e", "2", "submit-twice", &["items_not_conserved", "faults_without_cache"]);
}

#[test]
fn a_call_in_doubt_that_an_agent_repeats_happens_twice() {
    is_seen("chaos", "full_e2e", "4", "rerun-doubt", &["at_most_once_repeated"]);
}

#[test]
fn an_item_that_is_done_twice_is_noticed() {
    is_seen("stress", "lease_contention", "40", "work-twice", &["items_done_twice"]);
}

/// The same for the campaign of kills: with so few that it cannot meet every fault, but the check of each bug fails.
fn is_caught_by_kills(planted: &str, checks: &[&str]) {
    let ran = run_matrix("prove", &["sigkill", "--runs", "70", "--planted", planted]);
    have_failed(&ran, planted, checks);
    for check in checks {
        assert!(ran.printed.contains(&format!("{check}: ")), "not told in words:\n{}", ran.printed);
    }
}

#[test]
fn a_checkpoint_that_is_told_of_before_its_commit_is_missed_among_eight_workers() {
    is_caught_by_kills("ack-before-commit", &["acknowledged_lost"]);
}

#[test]
fn a_call_in_doubt_that_one_of_eight_workers_repeats_happens_twice() {
    is_caught_by_kills("rerun-doubt", &["at_most_once_repeated"]);
}

#[test]
fn a_result_that_one_of_eight_workers_records_apart_leaves_a_step_open() {
    is_caught_by_kills("record-apart", &["steps_unaccounted"]);
}
