//! Carries out the cases of a matrix one after the other, each in a thread and a folder of its own and under its time
//! limit, and reports.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::case::{Case, CaseError, Context, Findings, Settings};
use crate::diagnosis;
use crate::report::{CaseReport, CaseStatus, Report, status_of};

/// How long after its deadline a case may still clean up before it is given up.
const GRACE: Duration = if cfg!(test) { Duration::from_secs(3) } else { Duration::from_secs(15) };

/// Why nothing was carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunnerError {
    /// The command line names a case that is not there.
    #[error("there is no case {name:?}: choose among {}", known.join(", "))]
    UnknownCase {
        /// The name.
        name: String,
        /// The cases that are there.
        known: Vec<&'static str>,
    },
    /// The folder for databases and reports cannot be used.
    #[error("{}: {source}: choose another folder with --folder", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The report cannot be written.
    #[error("the report could not be written: {source}")]
    Output {
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A matrix to be run: a list of cases and what the command line said.
#[derive(Debug)]
pub struct Matrix<'a> {
    /// Its name: the verb of the command line, and the name of its JSON file.
    pub name: &'static str,
    /// Its cases.
    pub cases: &'a [Case],
    /// What was chosen.
    pub settings: Settings,
    /// Where to write the JSON report as well.
    pub json: Option<PathBuf>,
}

impl Matrix<'_> {
    /// The cases that were asked for, in the order of the matrix; all when none was named.
    ///
    /// # Errors
    /// [`RunnerError::UnknownCase`].
    pub fn chosen(&self, names: &[String]) -> Result<Vec<Case>, RunnerError> {
        if let Some(name) = names.iter().find(|name| self.cases.iter().all(|case| case.id != name.as_str())) {
            let known = self.cases.iter().map(|case| case.id).collect();
            return Err(RunnerError::UnknownCase { name: name.clone(), known });
        }
        let is_chosen = |case: &&Case| names.is_empty() || names.iter().any(|name| name == case.id);
        Ok(self.cases.iter().filter(is_chosen).copied().collect())
    }

    /// Runs these cases, prints what they find, writes the JSON report.
    ///
    /// # Errors
    /// [`RunnerError`], when nothing could be run or nothing be written. A case that fails is no error.
    pub fn run(&self, cases: &[Case], out: &mut dyn Write) -> Result<Report, RunnerError> {
        let started = Instant::now();
        let settings = &self.settings;
        let mut report = Report::new(self.name, settings.backend.name(), settings.seed, commit());
        for case in cases {
            let heading = format!("{} ({}):", case.title, case.id);
            writeln!(out, "{heading}").and_then(|()| out.flush()).map_err(output)?;
            let (told, is_hanging) = self.one(case)?;
            writeln!(out, "{told}").map_err(output)?;
            report.add(told);
            if is_hanging {
                // Its thread cannot be ended; what it started ends with this process.
                break;
            }
        }
        report.duration_ms = millis(started.elapsed());
        let own = settings.folder.join(format!("{}.json", self.name));
        report.write(&own).map_err(output)?;
        if let Some(json) = &self.json {
            report.write(json).map_err(output)?;
        }
        writeln!(out, "{}", report.last_line()).map_err(output)?;
        Ok(report)
    }

    /// One case, and whether it still hangs.
    pub(crate) fn one(&self, case: &Case) -> Result<(CaseReport, bool), RunnerError> {
        let settings = &Arc::new(self.settings.clone());
        let mut told = CaseReport {
            id: case.id,
            title: case.title,
            status: CaseStatus::Skipped,
            duration_ms: 0,
            runs: settings.runs_of(case),
            planned: 0,
            succeeded: 0,
            faults_fired: BTreeMap::new(),
            reproduce: settings.reproduce(self.name, case),
            checks: Vec::new(),
            notes: Vec::new(),
            kept: None,
        };
        if let Some(reason) = case.needs.missing(settings.backend) {
            told.notes.push(reason.to_owned());
            return Ok((told, false));
        }
        let folder = own_folder(&settings.folder, case.id)?;
        let started = Instant::now();
        let done = attempt(*case, settings, folder.path());
        told.duration_ms = millis(started.elapsed());
        let is_hanging = done.is_none();
        let (findings, error) = done.unwrap_or_else(|| {
            let what = "its own code, which does not come back".to_owned();
            (
                Findings { planned: settings.runs_of(case), ..Findings::default() },
                Some(CaseError::TimedOut { what }),
            )
        });
        let Findings { planned, succeeded, faults, checks, notes } = findings;
        (told.planned, told.succeeded, told.checks, told.notes) = (planned, succeeded, checks, notes);
        let has_error = error.is_some();
        told.notes.extend(error.map(|error| format!("error: {error}")));
        // The rule of an honest campaign: what was hardly carried out proves nothing.
        let is_void = succeeded * 10 < planned * 9 || planned == 0;
        if is_void {
            told.notes.push(format!("void: {succeeded} of {planned} planned operations were carried out"));
        }
        // Nor does a campaign whose fault never happened.
        let unmet: Vec<&str> =
            faults.iter().filter(|(_, times)| **times == 0).map(|(name, _)| &**name).collect();
        if !unmet.is_empty() {
            told.notes.push(format!("void: never happened: {}", unmet.join(", ")));
        }
        let is_void = is_void || !unmet.is_empty();
        told.faults_fired = faults;
        told.status = status_of(&told.checks, has_error || is_void);
        if told.status == CaseStatus::Failed {
            diagnosis::beside_databases(folder.path(), settings, &told);
            told.kept = Some(folder.keep());
        }
        Ok((told, is_hanging))
    }
}

/// Runs the case on a thread of its own. `None` when it did not come back. A thread, since the death signal of the
/// processes that it starts is tied to it.
fn attempt(case: Case, settings: &Arc<Settings>, folder: &Path) -> Option<(Findings, Option<CaseError>)> {
    let (answer, answered) = mpsc::channel();
    let (settings, folder) = (Arc::clone(settings), folder.to_owned());
    let patience = settings.timeout + GRACE;
    let thread = thread::spawn(move || {
        let mut context = Context::new(case, settings, folder);
        let error = (case.run)(&mut context).err();
        // Nobody listens any more when it is late.
        drop(answer.send((std::mem::take(&mut context.findings), error)));
    });
    match answered.recv_timeout(patience) {
        Ok(done) => Some(done),
        Err(mpsc::RecvTimeoutError::Timeout) => None,
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let what = match thread.join() {
                Err(panic) => {
                    panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "it panicked".to_owned())
                }
                Ok(()) => "it ended without an answer".to_owned(),
            };
            Some((Findings::default(), Some(CaseError::Process { process: case.id.to_owned(), what })))
        }
    }
}

fn own_folder(parent: &Path, id: &str) -> Result<tempfile::TempDir, RunnerError> {
    let make = || {
        std::fs::create_dir_all(parent)?;
        // Absolute, so that it can be named to processes and in messages alike.
        tempfile::Builder::new().prefix(&format!("{id}-")).tempdir_in(parent.canonicalize()?)
    };
    make().map_err(|source| RunnerError::Folder { folder: parent.to_owned(), source })
}

/// For `map_err`: a report could not be written.
pub(crate) fn output(source: io::Error) -> RunnerError {
    RunnerError::Output { source }
}

/// The commit of the tree, when git can tell.
pub(crate) fn commit() -> String {
    let mut git = Command::new("git");
    git.args(["rev-parse", "HEAD"]).stdin(Stdio::null()).stderr(Stdio::null());
    let told = git.output().ok().filter(|output| output.status.success());
    told.map_or_else(
        || "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Backend, Level, Needs, Runs};
    use crate::report::Figure;

    fn case(id: &'static str, run: fn(&mut Context) -> Result<(), CaseError>) -> Case {
        let (title, shows, needs) = ("A Case", "Nothing.", Needs::Anything);
        Case { id, title, shows, needs, runs: Runs::of(1, 10), run }
    }

    /// Runs one case of ten planned operations, and gives its report and what was printed.
    fn ran(run: fn(&mut Context) -> Result<(), CaseError>) -> (Report, String) {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            backend: Backend::Sqlite,
            level: Level::Nightly,
            seed: 1,
            runs: None,
            budget: None,
            timeout: Duration::ZERO,
            folder: folder.path().to_owned(),
            planted: None,
            sync_delay: None,
            url: None,
        };
        let cases = [case("one", run), case("two", |_| Ok(()))];
        let matrix = Matrix { name: "chaos", cases: &cases, settings, json: None };
        let mut printed = Vec::new();
        let report = matrix.run(&cases[..1], &mut printed).unwrap();
        (report, String::from_utf8(printed).unwrap())
    }

    fn carried_out(context: &mut Context, operations: usize) {
        for _ in 0..operations {
            context.advance(true);
        }
    }

    #[test]
    fn a_case_passes_when_nine_of_ten_operations_were_carried_out_and_every_check_holds() {
        let (report, printed) = ran(|context| {
            carried_out(context, 9);
            context.check(Figure::count("lost", 0).at_most(0.0));
            Ok(())
        });
        assert_eq!((report.passed, report.failed), (1, 0), "{printed}");
        assert_eq!(report.cases[0].kept, None);
    }

    #[test]
    fn a_case_that_was_hardly_carried_out_is_void() {
        let (report, printed) = ran(|context| {
            carried_out(context, 8);
            Ok(())
        });
        assert_eq!(report.failed, 1);
        assert!(printed.contains("void: 8 of 10 planned operations were carried out"), "{printed}");
    }

    #[test]
    fn a_case_that_never_met_a_fault_it_names_is_void() {
        let (report, printed) = ran(|context| {
            carried_out(context, 10);
            context.name_faults(["torn", "lost"]);
            context.fired("torn", 2);
            Ok(())
        });
        assert_eq!(report.failed, 1);
        assert!(printed.contains("void: never happened: lost"), "{printed}");
        assert!(printed.contains("Faults fired: lost 0, torn 2"), "{printed}");
    }

    #[test]
    fn an_error_and_a_panic_fail_the_case_and_keep_what_it_found() {
        let (report, printed) = ran(|context| {
            carried_out(context, 10);
            context.check(Figure::count("lost", 0).at_most(0.0));
            Err(CaseError::TimedOut { what: "a sign".to_owned() })
        });
        assert_eq!((report.failed, report.cases[0].checks.len()), (1, 1));
        assert!(
            printed.contains("error: the time of the case was over while waiting for a sign"),
            "{printed}"
        );
        let (report, printed) = ran(|context| panic!("on {} runs", context.runs()));
        assert_eq!(report.failed, 1);
        assert!(printed.contains("on 10 runs"), "{printed}");
    }

    #[test]
    fn a_case_that_does_not_come_back_is_given_up() {
        let (report, printed) = ran(|_| {
            thread::sleep(Duration::from_secs(15));
            Ok(())
        });
        assert_eq!(report.failed, 1);
        assert!(printed.contains("its own code, which does not come back"), "{printed}");
    }

    #[test]
    fn cases_are_chosen_by_their_ids() {
        let cases = [case("one", |_| Ok(())), case("two", |_| Ok(()))];
        let settings = Settings {
            backend: Backend::Memory,
            level: Level::Pr,
            seed: 3,
            runs: None,
            budget: None,
            timeout: Duration::ZERO,
            folder: PathBuf::new(),
            planted: None,
            sync_delay: None,
            url: None,
        };
        let matrix = Matrix { name: "chaos", cases: &cases, settings, json: None };
        assert_eq!(matrix.chosen(&[]).unwrap().len(), 2);
        assert_eq!(matrix.chosen(&["two".to_owned()]).unwrap()[0].id, "two");
        let error = matrix.chosen(&["three".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("\"three\"") && error.contains("one, two"), "{error}");
        let again = matrix.settings.reproduce("chaos", &cases[0]);
        assert_eq!(again, "cargo xtask chaos one --backend memory --seed 3 --runs 1 --quick");
    }
}
