//! Runs the targets under libFuzzer by cargo-fuzz, which guides its inputs by the code that they reach. It needs compiler
//! flags that stable Rust refuses without `RUSTC_BOOTSTRAP`: only this build sets it, nothing that is shipped does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::corpus;
use super::targets::Target;
use crate::case::{CaseError, Context};
use crate::report::Figure;

/// An execution that takes longer hangs.
const EXECUTION_TIME_MAX: Duration = Duration::from_secs(30);
/// Memory of the whole process, the sanitizer's own included.
const MEMORY_MIB_MAX: u32 = 4_096;
/// What is shown of the words of a run that failed.
const TAIL_LINES: usize = 30;

/// cargo-fuzz, which is there.
#[derive(Debug)]
pub(super) struct LibFuzzer {
    version: String,
}

impl LibFuzzer {
    /// Looks for it.
    ///
    /// # Errors
    /// [`CaseError::Process`], with the command that installs it.
    pub(super) fn found() -> Result<Self, CaseError> {
        let mut ask = Command::new("cargo");
        ask.args(["fuzz", "--version"]).stdin(Stdio::null());
        match ask.output() {
            Ok(answer) if answer.status.success() => {
                Ok(Self { version: String::from_utf8_lossy(&answer.stdout).trim().to_owned() })
            }
            _ => Err(CaseError::Process {
                process: "cargo fuzz".to_owned(),
                what: "it is not installed, and this level runs each target by it: cargo install cargo-fuzz --locked"
                    .to_owned(),
            }),
        }
    }

    /// Runs each target for `time`, from its committed corpus. What it finds beside that is kept in the campaign's folder
    /// only.
    pub(super) fn run(
        &self,
        context: &mut Context,
        targets: &[Target],
        time: Duration,
    ) -> Result<(), CaseError> {
        context.findings.notes.push(format!("{}, {} s for each target", self.version, time.as_secs()));
        let (mut executions, mut failed) = (0, 0);
        for target in targets {
            if context.deadline().left() < time {
                return Err(CaseError::TimedOut { what: format!("libFuzzer on {}", target.name) });
            }
            let found = context.folder().join("libfuzzer").join(target.name);
            fs::create_dir_all(&found).map_err(CaseError::io("making a folder for what libFuzzer finds"))?;
            let output = command(target, &found, time)
                .output()
                .map_err(CaseError::io(format!("cargo fuzz run {}", target.name)))?;
            let said = String::from_utf8_lossy(&output.stderr);
            executions += executed(&said);
            context.findings.notes.push(told(target, &output, &said, &found));
            failed += usize::from(!output.status.success());
        }
        context.check(Figure::count("libfuzzer_targets_failed", failed).at_most(0.0));
        context.check(Figure::count("libfuzzer_executions", executions).at_least(1.0));
        Ok(())
    }
}

/// The first folder is the one that libFuzzer writes to; from the committed one it only reads.
fn command(target: &Target, found: &Path, time: Duration) -> Command {
    let mut artifacts = found.join("failed-").into_os_string();
    artifacts = {
        let mut flag = std::ffi::OsString::from("-artifact_prefix=");
        flag.push(artifacts);
        flag
    };
    let mut command = Command::new("cargo");
    command
        .args(["fuzz", "run", "--fuzz-dir"])
        .arg(corpus::package())
        .arg("--target-dir")
        .arg(build_folder())
        .arg(target.name)
        .arg(found)
        .arg(corpus::folder(target))
        .arg("--")
        .arg(format!("-max_total_time={}", time.as_secs()))
        .arg(format!("-timeout={}", EXECUTION_TIME_MAX.as_secs()))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
        .args(["-print_final_stats=1", "-max_len=4096"])
        .arg(artifacts)
        .env("RUSTC_BOOTSTRAP", "1")
        .stdin(Stdio::null());
    command
}

/// Beside what else is built in the tree, so that one clean removes all of it.
fn build_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz")
}

/// How many executions the closing statistics tell of.
fn executed(said: &str) -> usize {
    let line = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// One line for a target that held; what libFuzzer said last, and the input, for one that did not.
fn told(target: &Target, output: &Output, said: &str, found: &Path) -> String {
    let name = target.name;
    if output.status.success() {
        return format!("libFuzzer, {name}: {} executions", executed(said));
    }
    let lines: Vec<&str> = said.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
    let inputs = fs::read_dir(found).into_iter().flatten().flatten().map(|entry| entry.path());
    let failed = inputs
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("failed-")));
    let replays: Vec<String> = failed.map(|path| super::replay(target, &path)).collect();
    format!("libFuzzer, {name}: {} ({})\n{tail}\n{}", output.status, executed(said), replays.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_statistics_tell_how_often_a_target_was_run() {
        assert_eq!(
            executed("Done 7\nstat::number_of_executed_units: 123456\nstat::new_units_added: 3\n"),
            123_456
        );
        assert_eq!(executed("it broke off"), 0);
    }
}
