//! What the command line answers without running anything.

use crate::runner::run;

#[test]
fn an_unknown_case_is_refused_with_the_known_ones() {
    let ran = run(&["kill9_recovery", "kill8_recovery"]);
    assert_eq!(ran.code, 2);
    for word in ["kill8_recovery", "kill9_recovery", "lease_expiration"] {
        assert!(ran.complaint.contains(word), "{}", ran.complaint);
    }
    assert!(ran.printed.is_empty());
}

#[test]
fn the_list_tells_what_each_case_shows() {
    let ran = run(&["--list"]);
    assert_eq!(ran.code, 0);
    for word in ["kill9_recovery", "Kill -9 Recovery", "lease_expiration", "SIGKILL"] {
        assert!(ran.printed.contains(word), "{}", ran.printed);
    }
}
