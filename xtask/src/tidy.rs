//! `cargo xtask tidy`: the rules of this workspace that no compiler checks. Also runs as a test,
//! so `cargo test --workspace` fails on an untidy tree.

mod manifest;
mod paths;
mod place;
mod rules;
mod source;
mod tree;

use std::fmt;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use rules::RULES;
use tree::File;

/// One rule: its row in the table that `--list` prints, and the check itself.
pub(crate) struct Rule {
    /// One word, printed with each violation.
    name: &'static str,
    /// What it forbids.
    forbids: &'static str,
    /// Where that is allowed after all; empty when nowhere.
    allowed: &'static str,
    /// Looks at one file and reports what breaks the rule in it.
    check: fn(&File, &mut Findings),
}

/// What one rule found in one file.
#[derive(Default)]
pub(crate) struct Findings(Vec<(usize, String)>);

impl Findings {
    /// Reports the line (from 1) and a sentence that says what to do; only the first of a line
    /// is kept.
    fn add(&mut self, line: usize, advice: impl Into<String>) {
        if self.0.iter().all(|(known, _)| *known != line) {
            self.0.push((line, advice.into()));
        }
    }
}

/// A broken rule, as it is printed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    path: String,
    line: usize,
    rule: &'static str,
    advice: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}: {}", self.path, self.line, self.rule, self.advice)
    }
}

/// Checks the tree below `root` and prints what it found; the code is 1 when a rule is broken and
/// 2 when the tree cannot be read.
pub(crate) fn run(root: &Path) -> ExitCode {
    let files = match tree::read(root) {
        Ok(files) => files,
        Err(error) => {
            eprintln!("tidy: cannot read the tree: {error}");
            return ExitCode::from(2);
        }
    };
    let violations: Vec<Violation> = files.iter().flat_map(violations_of).collect();
    let mut printed = String::new();
    for violation in &violations {
        // Writing to a string cannot fail.
        let _ = writeln!(printed, "{violation}");
    }
    let _ = writeln!(printed, "tidy: {} files, {} violations", files.len(), violations.len());
    super::print(&printed);
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The rules as text: name, what it forbids, where that is allowed.
pub(crate) fn rules_table() -> String {
    let mut table = String::new();
    for rule in RULES {
        let _ = writeln!(table, "{:<12}{}", rule.name, rule.forbids);
        if !rule.allowed.is_empty() {
            let _ = writeln!(table, "{:<12}  allowed: {}", "", rule.allowed);
        }
    }
    table
}

fn violations_of(file: &File) -> Vec<Violation> {
    let mut violations = Vec::new();
    for rule in RULES {
        let mut findings = Findings::default();
        (rule.check)(file, &mut findings);
        violations.extend(findings.0.into_iter().map(|(line, advice)| Violation {
            path: file.path.clone(),
            line,
            rule: rule.name,
            advice,
        }));
    }
    violations.sort_by_key(|violation| violation.line);
    violations
}

/// What the tests of the rules share.
#[cfg(test)]
mod testing {
    use super::{File, violations_of};

    /// The rules that `text` breaks at `path`, each with its line, through the whole table: a
    /// rule that nobody listed finds nothing.
    pub(crate) fn broken(path: &str, text: &str) -> Vec<(&'static str, usize)> {
        let file = File::new(path.to_owned(), text.to_owned());
        violations_of(&file).into_iter().map(|violation| (violation.rule, violation.line)).collect()
    }

    /// As [`broken`], with a header in front, so that line 1 of `body` is line 2.
    pub(crate) fn broken_body(path: &str, body: &str) -> Vec<(&'static str, usize)> {
        broken(path, &format!("//! A file that the tests of tidy made up.\n{body}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let files = tree::read(&crate::workspace_root()).unwrap();
        assert!(files.iter().any(|file| file.path == "xtask/src/tidy.rs"), "the tree was not found");
        let violations: Vec<String> = files.iter().flat_map(violations_of).map(|v| v.to_string()).collect();
        assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
    }

    #[test]
    fn a_violation_names_path_line_and_rule() {
        let file = File::new("crates/store/src/late.rs".into(), "//! Too short.\n".into());
        let printed: Vec<String> = violations_of(&file).iter().map(ToString::to_string).collect();
        assert_eq!(printed.len(), 1);
        assert!(printed[0].starts_with("crates/store/src/late.rs:1: headers: "), "{}", printed[0]);
    }

    #[test]
    fn the_table_has_a_row_for_every_rule_and_no_name_twice() {
        let table = rules_table();
        for (index, rule) in RULES.iter().enumerate() {
            assert!(table.lines().any(|line| line.starts_with(rule.name)), "{}", rule.name);
            assert!(RULES[..index].iter().all(|other| other.name != rule.name), "{}", rule.name);
        }
    }
}
