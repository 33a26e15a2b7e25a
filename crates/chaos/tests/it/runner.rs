//! Starts the runner in a folder of the test's own, and reads what it printed and wrote.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What a run of the runner left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) printed: String,
    pub(crate) complaint: String,
    /// The JSON report; null without one.
    pub(crate) report: Value,
    pub(crate) folder: tempfile::TempDir,
}

impl Ran {
    /// The status of a check of the first case.
    pub(crate) fn check(&self, name: &str) -> &str {
        let checks = self.report["cases"][0]["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name);
        check.unwrap_or_else(|| panic!("no check {name}:\n{}", self.printed))["status"].as_str().unwrap()
    }
}

/// The runner's command with these arguments, working below `folder`.
pub(crate) fn command(folder: &Path, matrix: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast-chaos"));
    command.arg(matrix).args(arguments).arg("--folder").arg(folder).stdin(Stdio::null());
    command
}

/// Runs the chaos matrix to its end.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    run_matrix("chaos", arguments)
}

/// Runs a matrix to its end.
pub(crate) fn run_matrix(matrix: &str, arguments: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let Output { status, stdout, stderr } = command(folder.path(), matrix, arguments).output().unwrap();
    let report = std::fs::read(folder.path().join(format!("{matrix}.json"))).unwrap_or_default();
    Ran {
        code: status.code().unwrap(),
        printed: String::from_utf8(stdout).unwrap(),
        complaint: String::from_utf8(stderr).unwrap(),
        report: serde_json::from_slice(&report).unwrap_or_default(),
        folder,
    }
}
