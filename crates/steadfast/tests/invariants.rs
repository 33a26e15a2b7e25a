//! The table of invariants names tests that are there, and leaves no number out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// How many invariants there are.
const INVARIANTS: usize = 25;
/// Shorter names in backquotes are files and types; those of tests are sentences.
const WORDS_MIN: usize = 4;

/// Where the suite that every backend runs lists its cases: tests of other crates are made of them.
const CASES: &str = "crates/store/src/conformance/cases.rs";

/// The names of all tests below a folder.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(tests_in(&fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The functions that stand right below the attribute of a test, whatever other attributes stand in between.
fn tests_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        let bare = line.strip_prefix("pub(crate) ").unwrap_or(line);
        let bare = bare.strip_prefix("async ").unwrap_or(bare);
        if line == "#[test]" || line == "#[tokio::test]" || line.starts_with("#[tokio::test(") {
            is_test = true;
        } else if let Some(rest) = bare.strip_prefix("fn ").filter(|_| is_test) {
            found.push(rest.chars().take_while(|next| next.is_alphanumeric() || *next == '_').collect());
            is_test = false;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            is_test = false;
        }
    }
    found
}

/// The cases of the conformance suite: the lines of its list that hold a name and nothing else.
fn conformance_cases(list: &str) -> BTreeSet<String> {
    let list = list.split_once("macro_rules! for_each_conformance_case").unwrap().1;
    let list = list.split_once("macro_rules!").unwrap().0;
    let is_name =
        |line: &&str| line.chars().all(|next| next.is_ascii_lowercase() || "_0123456789".contains(next));
    list.lines().map(str::trim).filter(|line| !line.is_empty()).filter(is_name).map(str::to_owned).collect()
}

#[test]
fn a_function_is_a_test_only_below_its_attribute() {
    let text = "
        #[test]
        fn one_that_is() {}

        #[tokio::test(flavor = \"multi_thread\")]
        // said beside it
        #[ignore = \"a word\"]
        async fn another_one_that_is() {}

        fn a_helper_with_a_long_name() {}

        #[allow(dead_code)]
        async fn a_helper_with_an_attribute() {}

        /// `#[test]` stands in words only.
        fn a_helper_with_words() {}";
    assert_eq!(tests_in(text), ["one_that_is", "another_one_that_is"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cases = conformance_cases(&fs::read_to_string(root.join(CASES)).unwrap());
    assert!(cases.contains("a_heartbeat_never_revives_a_reclaimed_lease"), "{cases:?}");
    assert!(!cases.contains("for_each_conformance_case") && !cases.contains("sweeping"), "{cases:?}");
}

#[test]
fn every_invariant_has_tests_and_every_test_in_the_table_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let table = fs::read_to_string(root.join("docs/invariants.md")).unwrap();
    let mut there = conformance_cases(&fs::read_to_string(root.join(CASES)).unwrap());
    tests_below(&root.join("crates"), &mut there);
    let rows: Vec<(usize, &str)> = table
        .lines()
        .filter_map(|line| {
            let (number, rest) = line.strip_prefix("| ")?.split_once(" |")?;
            Some((number.parse().ok()?, rest))
        })
        .collect();
    let numbers: Vec<usize> = rows.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=INVARIANTS).collect::<Vec<_>>());
    for (number, row) in rows {
        let quoted = row.split('`').skip(1).step_by(2);
        let tests: Vec<&str> = quoted.filter(|name| name.split('_').count() >= WORDS_MIN).collect();
        assert!(tests.len() >= 2, "invariant {number} has {} tests", tests.len());
        for test in tests {
            assert!(there.contains(test), "invariant {number}: there is no test {test}");
        }
    }
}

#[test]
fn every_file_in_the_table_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let table = fs::read_to_string(root.join("docs/invariants.md")).unwrap();
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let Some(kept_in) = line.split(" | ").nth(2) else { continue };
        for path in kept_in.split('`').skip(1).step_by(2) {
            let places = [format!("crates/{path}"), format!("crates/store/src/{path}")];
            assert!(places.iter().any(|place| root.join(place).exists()), "{path}");
        }
    }
}
