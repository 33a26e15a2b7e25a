//! The shipped alert rules and the manual, held against what is counted. What a rule answers is shown by promtool
//! (`docs/alerts_test.yml`); here, that every rule has such a test both ways, wherever promtool is not.

use std::collections::BTreeSet;

use crate::heard::Heard;

const RULES: &str = include_str!("../../../../docs/alerts.yml");
const RULES_TEST: &str = include_str!("../../../../docs/alerts_test.yml");
const MANUAL: &str = include_str!("../../../../docs/operations.md");

/// The metrics that a text names; of the parts of a summary, the summary.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    let metrics = words.filter(|word| word.starts_with("steadfast_"));
    metrics.map(|name| name.trim_end_matches("_sum").trim_end_matches("_count")).collect()
}

/// The files speak of nothing that is not counted, and the manual of all that is.
pub(crate) fn speak_of_what_is_counted(heard: &Heard) {
    let all = heard.all();
    let counted: BTreeSet<&str> = all.iter().map(|(name, _)| name.split('{').next().unwrap()).collect();
    for (file, text) in [("the rules", RULES), ("their test", RULES_TEST), ("the manual", MANUAL)] {
        let names = names(text);
        assert!(names.len() > 10, "{file}: {names:?}");
        let unknown: Vec<_> = names.difference(&counted).collect();
        assert!(unknown.is_empty(), "{file} speaks of what is never counted: {unknown:?}");
    }
    let told = names(MANUAL);
    let untold: Vec<_> = counted.difference(&told).collect();
    assert!(untold.is_empty(), "the manual says nothing of {untold:?}");
}

#[test]
fn every_rule_is_shown_to_fire_and_to_keep_quiet() {
    let name = |rest: &'static str| rest.split([',', '\n']).next().unwrap().trim();
    let rules: BTreeSet<_> = RULES.split("- alert: ").skip(1).map(name).collect();
    assert!(rules.len() >= 20, "{rules:?}");
    let (mut fires, mut quiet) = (BTreeSet::new(), BTreeSet::new());
    for case in RULES_TEST.split("alertname: ").skip(1) {
        let is_quiet = case.split("exp_alerts:").nth(1).unwrap().trim_start().starts_with("[]");
        if is_quiet {
            quiet.insert(name(case))
        } else {
            fires.insert(name(case))
        };
    }
    assert_eq!((&fires, &quiet), (&rules, &rules));
}
