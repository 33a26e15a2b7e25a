//! The program that explores: built by cargo under `--cfg steadfast_shuttle`, in a target folder of its own, so that
//! ordinary builds stay as they are; started once for each portion, and read by its line of JSON.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::plan::Portion;
use crate::case::{CaseError, Deadline};

/// Its package, and its binary.
const PACKAGE: &str = "steadfast-schedules";
/// What puts shuttle in the place of locks, channels and threads.
const FLAGS: &str = "--cfg steadfast_shuttle";
/// Where cargo builds it, and how; from the root of the workspace.
const TARGET: &str = "target/schedules";
const PROFILE: &str = "schedules";
/// How often a process is asked whether it has ended.
const END_POLL: Duration = Duration::from_millis(1);

/// What there is to explore.
#[derive(Debug, Deserialize)]
pub(super) struct Catalogue {
    pub(super) scenarios: Vec<Scenario>,
    pub(super) bugs: Vec<Bug>,
}

/// One scenario.
#[derive(Debug, Deserialize)]
pub(super) struct Scenario {
    pub(super) name: String,
    /// Of a hundred schedules, how many are this one's.
    pub(super) share: usize,
    /// What must happen in some of them.
    pub(super) meets: Vec<String>,
}

/// A bug that can be planted.
#[derive(Debug, Deserialize)]
pub(super) struct Bug {
    pub(super) name: String,
    /// Which scenario must find it.
    pub(super) scenario: String,
    /// Words of what it finds.
    pub(super) breaks: String,
}

/// What one start of the program came to.
#[derive(Debug, Deserialize)]
pub(super) struct Told {
    /// Schedules begun.
    pub(super) schedules: usize,
    /// Those of them that were different.
    pub(super) different: usize,
    /// Choices between several who could go on.
    pub(super) choices: u64,
    /// What happened, and how often.
    pub(super) met: BTreeMap<String, u64>,
    /// What broke, in the last schedule.
    pub(super) failed: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Program {
    binary: PathBuf,
    /// For databases, and for what is printed on standard error.
    folder: PathBuf,
}

impl Program {
    /// Builds it, if it is not built.
    pub(super) fn build(folder: &Path, deadline: Deadline) -> Result<Self, CaseError> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target = root.join(TARGET);
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build
            .args(["build", "--quiet", "--locked", "--profile", PROFILE, "-p", PACKAGE, "--target-dir"])
            .arg(&target)
            .current_dir(&root)
            .env("RUSTFLAGS", FLAGS)
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        let program = Self { binary: target.join(PROFILE).join(PACKAGE), folder: folder.to_owned() };
        program.output("cargo build", &mut build, &[0], deadline)?;
        Ok(program)
    }

    /// What there is to explore.
    pub(super) fn catalogue(&self, deadline: Deadline) -> Result<Catalogue, CaseError> {
        self.told(Command::new(&self.binary).arg("--list"), &[0], deadline)
    }

    /// Explores a portion.
    pub(super) fn explore(
        &self,
        portion: &Portion,
        planted: Option<&str>,
        deadline: Deadline,
    ) -> Result<Told, CaseError> {
        let mut command = Command::new(&self.binary);
        command.args(arguments(portion, planted)).arg("--folder").arg(&self.folder);
        // 1 says that something broke.
        self.told(&mut command, &[0, 1], deadline)
    }

    /// The command that explores this portion again.
    pub(super) fn command_of(portion: &Portion) -> String {
        format!(
            "RUSTFLAGS='{FLAGS}' cargo run --profile {PROFILE} --target-dir {TARGET} -p {PACKAGE} -- {}",
            arguments(portion, None).join(" ")
        )
    }

    /// The same with a planted bug.
    pub(super) fn command(portion: &Portion, planted: &str) -> String {
        format!("{} --planted {planted}", Self::command_of(portion))
    }

    fn told<T: for<'a> Deserialize<'a>>(
        &self,
        command: &mut Command,
        codes: &[i32],
        deadline: Deadline,
    ) -> Result<T, CaseError> {
        let output = self.output(PACKAGE, command, codes, deadline)?;
        serde_json::from_str(&output)
            .map_err(|error| broken(PACKAGE, format!("printed what does not decode ({error}): {output}")))
    }

    /// Runs it to its end, and gives what it printed.
    fn output(
        &self,
        name: &str,
        command: &mut Command,
        codes: &[i32],
        deadline: Deadline,
    ) -> Result<String, CaseError> {
        let failed = |source| CaseError::Io { what: format!("starting {name}"), source };
        let errors = self.folder.join("schedules.stderr");
        let printed = self.folder.join("schedules.stdout");
        command
            .stdin(Stdio::null())
            .stdout(File::create(&printed).map_err(failed)?)
            .stderr(File::create(&errors).map_err(failed)?);
        let mut running = Running(command.spawn().map_err(failed)?);
        let status = loop {
            if let Some(status) = running.0.try_wait().map_err(failed)? {
                break status;
            }
            deadline.sleep(END_POLL, name)?;
        };
        if status.code().is_some_and(|code| codes.contains(&code)) {
            return text(&printed).map_err(failed);
        }
        let last = text(&errors).unwrap_or_default();
        let last: Vec<&str> = last.lines().rev().take(10).collect();
        Err(broken(name, format!("{status}: {}", last.into_iter().rev().collect::<Vec<_>>().join(" | "))))
    }
}

/// Kills what is still running when the campaign gives up.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn text(path: &Path) -> std::io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn broken(name: &str, what: String) -> CaseError {
    CaseError::Process { process: name.to_owned(), what }
}

fn arguments(portion: &Portion, planted: Option<&str>) -> Vec<String> {
    let Portion { scenario, chooser, seed, schedules } = portion;
    let mut words = vec![scenario.clone(), "--scheduler".to_owned(), chooser.name().to_owned()];
    words.extend(["--seed".to_owned(), seed.to_string(), "--schedules".to_owned(), schedules.to_string()]);
    words.extend(planted.into_iter().flat_map(|bug| ["--planted".to_owned(), bug.to_owned()]));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prove::schedules::plan::Chooser;

    #[test]
    fn a_portion_is_replayed_by_one_command() {
        let portion =
            Portion { scenario: "answers".to_owned(), chooser: Chooser::Pct, seed: 7, schedules: 500 };
        let command = Program::command(&portion, "room-kept");
        assert!(command.starts_with("RUSTFLAGS='--cfg steadfast_shuttle' cargo run "), "{command}");
        let own = "-- answers --scheduler pct --seed 7 --schedules 500 --planted room-kept";
        assert!(command.ends_with(own), "{command}");
    }

    #[test]
    fn what_broke_is_read_from_the_line_that_the_program_prints() {
        let line =
            r#"{"schedules":3,"different":3,"choices":90,"met":{"queue full":2},"failed":"deadlock!"}"#;
        let told: Told = serde_json::from_str(line).unwrap();
        assert_eq!((told.schedules, told.failed.as_deref()), (3, Some("deadlock!")));
        assert_eq!(told.met["queue full"], 2);
    }

    #[test]
    fn a_program_that_dies_is_an_error_and_not_a_portion_in_which_nothing_broke() {
        let folder = tempfile::tempdir().unwrap();
        let program = Program { binary: "/bin/false".into(), folder: folder.path().to_owned() };
        let error = program.catalogue(Deadline::after(Duration::from_secs(60))).unwrap_err();
        assert!(error.to_string().contains("exit status: 1"), "{error}");
    }
}
