//! The release level takes longer than one sitting: each campaign is done in parts, every part a campaign of its own
//! with the next seeds and held to the same rules. What has passed is kept in a file, and the same command of the same
//! program goes on from there.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, mem};

use serde::{Deserialize, Serialize};
use steadfast_store::planted;

use crate::case::{Case, Settings};
use crate::report::{CaseReport, CaseStatus, Check, Figure, Op, Report, status_of};
use crate::runner::{Matrix, RunnerError, commit, output};

/// What has passed of one campaign. Of another program or another division it is of no use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Done {
    /// A digest of the program.
    program: String,
    runs_of_part: usize,
    parts: usize,
    /// Those that failed first: that they passed later does not undo it.
    failed: usize,
    duration_ms: u64,
    planned: usize,
    succeeded: usize,
    faults_fired: BTreeMap<String, u64>,
    /// Each figure that has a limit, as it stood in its worst part.
    worst: Vec<Check>,
}

impl Done {
    /// Takes in a part that has passed.
    fn add(&mut self, part: &CaseReport) {
        self.parts += 1;
        self.duration_ms += part.duration_ms;
        self.planned += part.planned;
        self.succeeded += part.succeeded;
        for (fault, times) in &part.faults_fired {
            *self.faults_fired.entry(fault.clone()).or_default() += times;
        }
        for check in part.checks.iter().filter(|check| check.limit.is_some()) {
            match self.worst.iter_mut().find(|worst| worst.name == check.name) {
                Some(worst) if is_worse(check, worst) => *worst = check.clone(),
                Some(_) => {}
                None => self.worst.push(check.clone()),
            }
        }
    }
}

fn is_worse(check: &Check, than: &Check) -> bool {
    match check.op {
        Op::AtMost => check.value > than.value,
        Op::AtLeast => check.value < than.value,
        Op::Report => false,
    }
}

/// One campaign with its parts.
struct Divided<'a> {
    matrix: &'a Matrix<'a>,
    case: Case,
    runs: usize,
    runs_of_part: usize,
    done: Done,
    /// What it took at another time, if that is on record.
    expected: Option<Duration>,
    /// Whether what passes is kept: not with a mistake planted, nor where the program cannot be told.
    is_kept: bool,
}

impl<'a> Divided<'a> {
    /// With what passed before, if this is the same program and the parts are the same.
    fn resume(matrix: &'a Matrix<'a>, case: Case, program: Option<&str>, expected: Option<Duration>) -> Self {
        let runs = case.runs.at(matrix.settings.level);
        let runs_of_part = case.runs.part();
        let is_sound = matrix.settings.planted.is_none() && matches!(planted::chosen(), Ok(None));
        let (is_kept, program) = (is_sound && program.is_some(), program.unwrap_or_default().to_owned());
        let done = Done { program: program.clone(), runs_of_part, ..Done::default() };
        let mut divided = Self { matrix, case, runs, runs_of_part, done, expected, is_kept };
        if !is_kept {
            return divided;
        }
        // A file that does not decode is of another program: what it says is done again.
        let kept = fs::read(divided.file()).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        divided.done = kept
            .filter(|kept: &Done| kept.program == program && kept.runs_of_part == runs_of_part)
            .unwrap_or(divided.done);
        divided
    }

    fn file(&self) -> PathBuf {
        let Settings { folder, level, seed, .. } = &self.matrix.settings;
        folder.join(format!("prove-{}-{}-{seed}.done.json", self.case.id, level.name()))
    }

    fn keep(&self) -> io::Result<()> {
        if !self.is_kept {
            return Ok(());
        }
        let (file, mut json) = (self.file(), serde_json::to_vec_pretty(&self.done)?);
        json.push(b'\n');
        // Whole or not at all: whoever is killed here goes on from the part before.
        let aside = file.with_extension("tmp");
        fs::write(&aside, json)?;
        fs::rename(aside, file)
    }

    fn parts(&self) -> usize {
        self.runs.div_ceil(self.runs_of_part)
    }

    /// How long the rest will take: as long as what is done took, or else as it is on record.
    fn left(&self) -> Option<Duration> {
        let left = u32::try_from(self.parts().saturating_sub(self.done.parts)).ok()?;
        let parts = u32::try_from(self.parts()).ok()?;
        match u32::try_from(self.done.parts) {
            Ok(done) if done > 0 => Some(Duration::from_millis(self.done.duration_ms) * left / done),
            _ => self.expected.map(|all| all * left / parts.max(1)),
        }
    }

    /// What the next part is run with. Its seeds follow those of the part before, also where a run *is* its seed.
    fn settings_of_next(&self) -> Settings {
        let first = self.done.parts * self.runs_of_part;
        Settings {
            seed: self.matrix.settings.seed.wrapping_add(first as u64),
            runs: Some(self.runs_of_part.min(self.runs - first)),
            budget: None,
            ..self.matrix.settings.clone()
        }
    }

    /// Does what is left, until `until` if there is such a moment; ends with the first part that fails.
    /// Tells too whether a thread still hangs.
    fn go_on(
        &mut self,
        until: Option<Instant>,
        out: &mut dyn Write,
    ) -> Result<(CaseReport, bool), RunnerError> {
        let parts = self.parts();
        let known = self.left().map_or_else(|| "how long is not on record".to_owned(), about);
        let told = format!("  {parts} parts, {} of them done before; {known}", self.done.parts);
        writeln!(out, "{told}").and_then(|()| out.flush()).map_err(output)?;
        while self.done.parts < parts && until.is_none_or(|until| Instant::now() < until) {
            let settings = self.settings_of_next();
            let (part, is_hanging) = Matrix { settings, json: None, ..*self.matrix }.one(&self.case)?;
            if !matches!(part.status, CaseStatus::Passed | CaseStatus::Warned) {
                self.done.failed += 1;
                self.keep().map_err(output)?;
                return Ok((part, is_hanging));
            }
            self.done.add(&part);
            self.keep().map_err(output)?;
            let left = self.left().map_or_else(String::new, about);
            let told = format!("  part {} of {parts} passed; {left}", self.done.parts);
            writeln!(out, "{told}").and_then(|()| out.flush()).map_err(output)?;
        }
        Ok((self.report(), false))
    }

    fn report(&mut self) -> CaseReport {
        let Done { parts, failed, duration_ms, planned, succeeded, faults_fired, mut worst, .. } =
            mem::take(&mut self.done);
        worst.push(Figure::count("parts_that_failed_before", failed).reported());
        let Settings { level, seed, .. } = self.matrix.settings;
        let all = self.parts();
        let mut notes = vec![format!("{parts} of {all} parts; each figure is that of its worst part")];
        if parts < all {
            notes.push("the same command goes on from here".to_owned());
        }
        CaseReport {
            id: self.case.id,
            title: self.case.title,
            status: status_of(&worst, parts == 0),
            duration_ms,
            runs: self.runs.min(parts * self.runs_of_part),
            planned,
            succeeded,
            faults_fired,
            reproduce: format!(
                "cargo xtask {} {} --level {} --seed {seed}",
                self.matrix.name,
                self.case.id,
                level.name()
            ),
            checks: worst,
            notes,
            kept: None,
        }
    }
}

fn about(span: Duration) -> String {
    match span.as_secs() {
        seconds @ ..90 => format!("about {seconds} s left"),
        seconds @ 90..5_400 => format!("about {} min left", seconds.div_ceil(60)),
        seconds => format!("about {} h {} min left", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// A digest of the program that runs: a commit says nothing of a tree that was changed since.
fn program() -> Option<String> {
    let program = fs::read(std::env::current_exe().ok()?).ok()?;
    Some(blake3::hash(&program).to_hex().to_string())
}

/// Runs these campaigns in parts, each until all is done or the time that was given is over. `expected` tells what a
/// campaign should take.
///
/// # Errors
/// [`RunnerError`], when nothing could be run or nothing be written. A campaign that fails is no error.
pub(super) fn run(
    matrix: &Matrix<'_>,
    cases: &[Case],
    expected: impl Fn(&Case) -> Option<Duration>,
    out: &mut dyn Write,
) -> Result<Report, RunnerError> {
    let Settings { backend, seed, budget, folder, .. } = &matrix.settings;
    let program = program();
    let mut report = Report::new(matrix.name, backend.name(), *seed, commit());
    let resume = |case: &Case| Divided::resume(matrix, *case, program.as_deref(), expected(case));
    let all: Vec<_> = cases.iter().map(resume).collect();
    let known: Option<Duration> = all.iter().map(Divided::left).sum();
    let told =
        known.map_or_else(|| "for some campaigns it is not on record how long they take".to_owned(), about);
    writeln!(out, "{told}").map_err(output)?;
    for mut divided in all {
        let heading = format!("{} ({}):", divided.case.title, divided.case.id);
        writeln!(out, "{heading}").and_then(|()| out.flush()).map_err(output)?;
        let until = budget.map(|budget| Instant::now() + budget);
        let (told, is_hanging) = divided.go_on(until, out)?;
        writeln!(out, "{told}").map_err(output)?;
        report.duration_ms += told.duration_ms;
        report.add(told);
        if is_hanging {
            break;
        }
    }
    report.write(&folder.join(format!("{}.json", matrix.name))).map_err(output)?;
    if let Some(json) = &matrix.json {
        report.write(json).map_err(output)?;
    }
    writeln!(out, "{}", report.last_line()).map_err(output)?;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::case::{Backend, CaseError, Context, Level, Needs, Runs};
    use crate::planted::Planted;
    use crate::report::{Figure, Unit};

    /// The file in which the case of these tests notes its parts, and that which names the seed at which it fails.
    const LOG: &str = "parts.log";
    const BROKEN: &str = "broken";

    fn noted(folder: &Path) -> String {
        fs::read_to_string(folder.join(LOG)).unwrap_or_default()
    }

    fn note_and_pass(context: &mut Context) -> Result<(), CaseError> {
        let (folder, seed) = (context.settings().folder.clone(), context.settings().seed);
        let log = format!("{}{seed}+{} ", noted(&folder), context.runs());
        fs::write(folder.join(LOG), log).map_err(CaseError::io("noting a part"))?;
        for _ in 0..context.runs() {
            context.advance(true);
        }
        context.fired("cut", 2);
        let broken = fs::read_to_string(folder.join(BROKEN)).is_ok_and(|broken| broken == seed.to_string());
        context.check(Figure::count("lost", usize::from(broken)).at_most(0.0));
        let rate = f64::from(u32::try_from(seed).unwrap()) + 10.0;
        context.check(Figure::new("rate", rate, Unit::PerSecond).at_least(5.0));
        context.check(Figure::count("states", 7).reported());
        Ok(())
    }

    const CASE: Case = Case {
        id: "noting",
        title: "Noting",
        shows: "Nothing.",
        needs: Needs::Anything,
        runs: Runs::levels(1, 5, 12),
        run: note_and_pass,
    };

    fn ran(folder: &Path, budget: Option<Duration>) -> (Report, String) {
        ran_with(folder, budget, None)
    }

    fn ran_with(folder: &Path, budget: Option<Duration>, planted: Option<Planted>) -> (Report, String) {
        let settings = Settings {
            backend: Backend::Sqlite,
            level: Level::Release,
            seed: 1,
            runs: None,
            budget,
            timeout: Duration::from_secs(10),
            folder: folder.to_owned(),
            planted,
            sync_delay: None,
            url: None,
        };
        let matrix = Matrix { name: "prove", cases: &[CASE], settings, json: None };
        let mut printed = Vec::new();
        let report = run(&matrix, &[CASE], |_| Some(Duration::from_secs(600)), &mut printed).unwrap();
        (report, String::from_utf8(printed).unwrap())
    }

    #[test]
    fn a_part_that_failed_is_done_again_and_those_before_it_are_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(BROKEN), "6").unwrap();
        let (report, printed) = ran(folder.path(), None);
        assert_eq!((report.failed, noted(folder.path()).as_str()), (1, "1+5 6+5 "), "{printed}");
        assert!(printed.starts_with("about 10 min left\n"), "{printed}");
        assert!(
            printed.contains("again: cargo xtask prove noting --level release --seed 6 --runs 5"),
            "{printed}"
        );

        fs::remove_file(folder.path().join(BROKEN)).unwrap();
        let (report, printed) = ran(folder.path(), None);
        assert_eq!(noted(folder.path()), "1+5 6+5 6+5 11+2 ", "{printed}");
        let told = &report.cases[0];
        assert_eq!((told.runs, told.planned, told.succeeded), (12, 12, 12));
        assert_eq!(told.faults_fired["cut"], 6);
        let figures: Vec<_> = told.checks.iter().map(|check| (check.name.as_str(), check.value)).collect();
        let worst = [("lost", 0.0), ("rate", 11.0), ("parts_that_failed_before", 1.0)];
        assert_eq!(figures, worst, "the worst part's, and only those with a limit");
        assert!(printed.contains("part 3 of 3 passed"), "{printed}");
    }

    #[test]
    fn what_another_program_has_passed_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        ran(folder.path(), None);
        let (_, printed) = ran(folder.path(), None);
        assert_eq!(noted(folder.path()), "1+5 6+5 11+2 ", "all was done: {printed}");
        let file = folder.path().join("prove-noting-release-1.done.json");
        let kept = fs::read_to_string(&file).unwrap();
        fs::write(&file, kept.replace(&program().unwrap(), "0123456789abcdef")).unwrap();
        ran(folder.path(), None);
        assert_eq!(noted(folder.path()), "1+5 6+5 11+2 1+5 6+5 11+2 ");
    }

    #[test]
    fn a_time_that_was_over_at_once_has_shown_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (report, printed) = ran(folder.path(), Some(Duration::ZERO));
        assert_eq!((report.failed, noted(folder.path()).as_str()), (1, ""), "{printed}");
        assert!(printed.contains("the same command goes on from here"), "{printed}");
    }

    #[test]
    fn what_passed_with_a_mistake_planted_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let planted = Some(Planted::AckBeforeCommit);
        ran_with(folder.path(), None, planted);
        ran(folder.path(), None);
        assert_eq!(noted(folder.path()), "1+5 6+5 11+2 1+5 6+5 11+2 ");
        ran_with(folder.path(), None, planted);
        assert_eq!(noted(folder.path()), "1+5 6+5 11+2 1+5 6+5 11+2 1+5 6+5 11+2 ");
    }
}
