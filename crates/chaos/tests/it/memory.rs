//! The matrices on the memory backend: what needs no process and no file runs there, with the same checks, and the rest is
//! skipped in sight.

use crate::runner::{Ran, run_matrix};

/// Runs a matrix in memory, and sees that exactly these cases ran, and none of them failed.
fn ran(matrix: &str, expected: &[&str], skipped: usize) {
    let ran = run_matrix(matrix, &["--quick", "--backend", "memory"]);
    assert_eq!((ran.code, &ran.report["backend"]), (0, &"memory".into()), "{}", ran.printed);
    assert_eq!(ran.report["skipped"], skipped, "{}", ran.printed);
    assert_eq!(ran.printed.matches("skipped: it ").count(), skipped, "{}", ran.printed);
    let cases = ran.report["cases"].as_array().unwrap().iter();
    let carried_out: Vec<&str> = cases
        .filter(|case| matches!(case["status"].as_str(), Some("passed" | "warned")))
        .map(|case| case["id"].as_str().unwrap())
        .collect();
    assert_eq!(carried_out, expected, "{}", ran.printed);
}

#[test]
fn the_chaos_cases_without_a_process_to_kill_run_in_memory() {
    ran("chaos", &["recovery_sweep", "llm_cache", "tool_replay"], 4);
}

#[test]
fn the_stress_cases_run_in_memory() {
    let cases =
        ["concurrent_tasks", "same_task_contention", "lease_contention", "sweep_large", "cache_stampede"];
    ran("stress", &cases, 0);
}

#[test]
fn the_measurements_with_limits_of_the_reference_run_in_memory() {
    let cases = ["checkpoint_verify", "llm_lookup", "tool_replay", "full_workflow"];
    ran("perf", &cases, 6);
}

fn is_seen(matrix: &str, case: &str, runs: &str, planted: &str, checks: &[&str]) {
    let arguments = [case, "--quick", "--backend", "memory", "--runs", runs, "--planted", planted];
    let ran: Ran = run_matrix(matrix, &arguments);
    assert_eq!(ran.code, 1, "{}", ran.printed);
    for check in checks {
        assert!(matches!(ran.check(check), "failed" | "over"), "{check}:\n{}", ran.printed);
    }
}

#[test]
fn the_checks_catch_planted_faults_in_memory_too() {
    let unswept = ["leases_reclaimed", "expired_found_off_by", "boundary_checkpoints_off_by"];
    is_seen("chaos", "recovery_sweep", "20", "skip-sweep", &unswept);
    is_seen("chaos", "recovery_sweep", "20", "no-heartbeat", &["live_leases_taken"]);
    is_seen("chaos", "llm_cache", "20", "no-cache", &["model_calls_off_by"]);
    is_seen("chaos", "tool_replay", "20", "rerun-tool", &["commands_run_again"]);
    is_seen("stress", "concurrent_tasks", "20", "forget-append", &["checkpoints", "acknowledged_lost"]);
    is_seen("stress", "lease_contention", "40", "work-twice", &["items_done_twice"]);
    is_seen("stress", "cache_stampede", "3", "no-cache", &["generations"]);
}
