//! What a run found: cases with their checks, as JSON for machines and as text for people.

mod check;
mod print;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Serialize;

pub use check::{Check, CheckStatus, Figure, Op, Unit};

/// What came of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseStatus {
    /// Every check holds, with room.
    Passed,
    /// Every check holds, some only just; or an advisory figure is beyond its limit.
    Warned,
    /// Some check does not hold, or the case could not be carried out.
    Failed,
    /// It does not apply.
    Skipped,
}

/// One case of a matrix and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct CaseReport {
    /// Its id, as the command line takes it.
    pub id: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What came of it.
    pub status: CaseStatus,
    /// How long it took.
    pub duration_ms: u64,
    /// How often it was to repeat its operation.
    #[serde(skip)]
    pub runs: usize,
    /// Operations it planned: runs, rounds, requests.
    pub planned: usize,
    /// Those that were carried out.
    pub succeeded: usize,
    /// The faults that a campaign set out to meet, and how often each happened.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub faults_fired: BTreeMap<String, u64>,
    /// The command that runs it again in the same way.
    pub reproduce: String,
    /// Its figures.
    pub checks: Vec<Check>,
    /// Why it was skipped, or what went wrong, a line each.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// Where what it left behind is kept, after a failure.
    #[serde(skip)]
    pub kept: Option<PathBuf>,
}

/// A whole matrix.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Which matrix: `chaos`, `perf` …
    pub matrix: &'static str,
    /// The backend under test.
    pub backend: &'static str,
    /// The seed that every plan was drawn from.
    pub seed: u64,
    /// The commit of the tree, or `unknown`.
    pub commit: String,
    /// How long all of it took.
    pub duration_ms: u64,
    /// Cases that passed.
    pub passed: usize,
    /// Cases that passed with a warning.
    pub warned: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Cases that were skipped.
    pub skipped: usize,
    /// The cases, in the order they ran.
    pub cases: Vec<CaseReport>,
}

impl Report {
    /// A report without cases.
    pub fn new(matrix: &'static str, backend: &'static str, seed: u64, commit: String) -> Self {
        let (duration_ms, passed, warned, failed, skipped) = (0, 0, 0, 0, 0);
        let cases = Vec::new();
        Self { matrix, backend, seed, commit, duration_ms, passed, warned, failed, skipped, cases }
    }

    /// Adds a case and counts it.
    pub fn add(&mut self, case: CaseReport) {
        match case.status {
            CaseStatus::Passed => self.passed += 1,
            CaseStatus::Warned => self.warned += 1,
            CaseStatus::Failed => self.failed += 1,
            CaseStatus::Skipped => self.skipped += 1,
        }
        self.cases.push(case);
    }

    /// Writes it as JSON, making the folder when it is not there.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent().filter(|folder| *folder != Path::new("")) {
            fs::create_dir_all(folder)?;
        }
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        fs::write(path, json)
    }
}

/// What the checks of a case say together; `errors` when something else went wrong.
pub fn status_of(checks: &[Check], errors: bool) -> CaseStatus {
    if errors || checks.iter().any(Check::is_failure) {
        CaseStatus::Failed
    } else if checks.iter().any(Check::is_warning) {
        CaseStatus::Warned
    } else {
        CaseStatus::Passed
    }
}
