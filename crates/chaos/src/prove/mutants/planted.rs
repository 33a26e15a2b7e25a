//! The runner with bugs that can be planted: a build of its own, and one process of it for each bug.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use steadfast_store::planted::{Bug, VARIABLE};

use super::table::Catch;
use crate::case::{CaseError, Context};
use crate::process::Process;
use crate::prove::PLANTED;

/// Names a runner that was built with the feature `planted` before; it is not built again then.
const GIVEN: &str = "STEADFAST_PLANTED_RUNNER";
/// What the runner is built with.
const FEATURES: &str = "model,planted";
const PACKAGE: &str = "steadfast-chaos";
/// What one campaign may take, in seconds.
const LIMIT_SECONDS: u64 = 300;
/// So many of the last lines are told of a campaign that did not do what it must.
const LINES_TOLD: usize = 20;

/// The runner with the bugs.
#[derive(Debug)]
pub(super) struct Runner {
    program: PathBuf,
}

/// What a process of it found.
#[derive(Debug, Default)]
pub(super) struct Child {
    /// The bug that it said was planted.
    pub(super) planted: Option<String>,
    /// Whether its campaign passed.
    pub(super) passed: bool,
    /// The names of the checks that failed.
    pub(super) failed_checks: Vec<String>,
    /// The last lines that it printed.
    pub(super) told: Vec<String>,
}

impl Runner {
    /// The one that is there, or one that is built now, in the target folder of this very program.
    pub(super) fn find(context: &Context) -> Result<Self, CaseError> {
        if let Some(given) = env::var_os(GIVEN) {
            return Ok(Self { program: PathBuf::from(given) });
        }
        // Cargo puts the next build of another kind into the same place.
        let program = context.folder().join("runner");
        let built = build(context.folder())?;
        let kept = fs::hard_link(&built, &program).or_else(|_| fs::copy(&built, &program).map(drop));
        kept.map_err(CaseError::io("keeping the runner with the bugs"))?;
        Ok(Self { program })
    }

    /// Runs a campaign with a bug, or without one.
    pub(super) fn run(&self, context: &Context, bug: Option<Bug>, catch: &Catch) -> Result<Child, CaseError> {
        let name = format!("{}-{}", bug.map_or("sound", Bug::name), catch.campaign);
        let folder = context.folder().join(&name);
        fs::create_dir(&folder).map_err(CaseError::io("making a folder"))?;
        let limit = LIMIT_SECONDS.min(context.deadline().left().as_secs());
        let mut command = Command::new(&self.program);
        command
            .args(["prove", catch.campaign, "--level", "pr"])
            .args(["--runs", &catch.runs.to_string()])
            .args(["--seed", &context.settings().seed.to_string()])
            .args(["--timeout", &limit.to_string()])
            .arg("--folder")
            .arg(&folder)
            .env_remove(VARIABLE);
        if let Some(bug) = bug {
            command.env(VARIABLE, bug.name());
        }
        let mut process = Process::of(&name, &folder, command)?;
        let mut printed = Vec::new();
        while let Some(line) = process.next_line(context.deadline())? {
            printed.push(line.text);
        }
        process.wait(context.deadline())?;
        let report = fs::read(folder.join("prove.json")).map_err(CaseError::io("reading a report"))?;
        let report = serde_json::from_slice(&report).map_err(CaseError::store("read a report"))?;
        Ok(Child::read(&printed, &report))
    }
}

impl Child {
    /// A process that came to no report.
    #[allow(clippy::needless_pass_by_value, reason = "it is what a result hands over")]
    pub(super) fn broken(error: CaseError) -> Self {
        Self { told: vec![format!("  {error}")], ..Self::default() }
    }

    fn read(printed: &[String], report: &Value) -> Self {
        let planted = printed.iter().find_map(|line| line.strip_prefix(PLANTED));
        let last = &printed[printed.len().saturating_sub(LINES_TOLD)..];
        let cases = report["cases"].as_array().into_iter().flatten();
        let checks = cases.flat_map(|case| case["checks"].as_array().into_iter().flatten());
        let failed = checks.filter(|check| matches!(check["status"].as_str(), Some("failed" | "over")));
        Self {
            planted: planted.map(str::to_owned),
            passed: report["passed"].as_u64().unwrap_or(0) + report["warned"].as_u64().unwrap_or(0) > 0
                && report["failed"] == 0,
            failed_checks: failed.filter_map(|check| Some(check["name"].as_str()?.to_owned())).collect(),
            told: last.iter().map(|line| format!("  {line}")).collect(),
        }
    }
}

/// Builds it, with the profile of this program, and says where it is.
fn build(folder: &Path) -> Result<PathBuf, CaseError> {
    let log = folder.join("build.log");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(["build", "--package", PACKAGE, "--bin", PACKAGE, "--features", FEATURES]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    command.arg("--message-format=json-render-diagnostics").stdin(Stdio::null());
    command.stderr(File::create(&log).map_err(CaseError::io("keeping the build's log"))?);
    let output = command.output().map_err(CaseError::io("starting cargo"))?;
    let built =
        output.status.success().then(|| executable(&String::from_utf8_lossy(&output.stdout))).flatten();
    built.ok_or_else(|| {
        let what = format!("it did not build the runner with {FEATURES}: see {}", log.display());
        CaseError::Process { process: "cargo".to_owned(), what }
    })
}

/// Where cargo says that it put the runner.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut built = messages.filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)));
    built.next_back()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(status: &str) -> Value {
        let checks = json!([{ "name": "lost", "status": status }, { "name": "kept", "status": "ok" }]);
        let failed = u8::from(status == "failed");
        json!({ "passed": 1 - failed, "warned": 0, "failed": failed, "cases": [{ "id": "a", "checks": checks }] })
    }

    #[test]
    fn a_report_tells_which_checks_failed_and_whether_the_bug_was_there() {
        let printed = ["planted: torn-batch".to_owned(), "A Case (a):".to_owned()];
        let child = Child::read(&printed, &report("failed"));
        assert_eq!((child.planted.as_deref(), child.passed), (Some("torn-batch"), false));
        assert_eq!(child.failed_checks, ["lost"]);
        let child = Child::read(&printed[1..], &report("ok"));
        assert_eq!((child.planted, child.passed, child.failed_checks.len()), (None, true, 0));
        assert!(!Child::read(&[], &json!({})).passed, "a report of nothing is not one of a pass");
    }

    #[test]
    fn cargo_says_last_where_the_runner_is() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"executable\":null}\n",
            "no message\n",
            "{\"reason\":\"compiler-artifact\",\"executable\":\"/t/release/runner\"}\n",
            "{\"reason\":\"build-finished\",\"success\":true}\n",
        );
        assert_eq!(executable(messages), Some(PathBuf::from("/t/release/runner")));
        assert_eq!(executable(""), None);
    }
}
