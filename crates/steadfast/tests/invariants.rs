//! The table of invariants names tests that are there, and leaves no number out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// How many invariants there are.
const INVARIANTS: usize = 25;
/// Shorter names in backquotes are files and types; those of tests are sentences.
const WORDS_MIN: usize = 4;

/// The names of all functions below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(text.split("fn ").skip(1).filter_map(|rest| {
                let name: String =
                    rest.chars().take_while(|next| next.is_alphanumeric() || *next == '_').collect();
                (!name.is_empty()).then_some(name)
            }));
        }
    }
}

#[test]
fn every_invariant_has_tests_and_every_test_in_the_table_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let table = fs::read_to_string(root.join("docs/invariants.md")).unwrap();
    let mut there = BTreeSet::new();
    functions(&root.join("crates"), &mut there);
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
