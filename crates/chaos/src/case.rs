//! What a case is, what it is given, and how it tells what it found. Chaos scenarios and benchmarks are both cases.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::perf::PerfError;
use crate::planted::Planted;
use crate::prove;
use crate::report::Check;

/// Which backend is under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Backend {
    /// One file, several processes.
    Sqlite,
    /// The reference in memory, gone with its process.
    Memory,
}

impl Backend {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Memory => "memory",
        }
    }
}

/// What a case cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing in particular.
    Anything,
    /// Several processes on one store, which outlives them.
    Processes,
    /// A store in a file, to be measured beside another file.
    File,
}

impl Needs {
    /// Why a case with these needs cannot be carried out on `backend`, if it cannot.
    pub const fn missing(self, backend: Backend) -> Option<&'static str> {
        match (self, backend) {
            (Self::Processes, Backend::Memory) => Some(
                "it needs processes that share a store, and the memory backend keeps nothing beyond its own",
            ),
            (Self::File, Backend::Memory) => {
                Some("it measures what is in a file, and the memory backend has none")
            }
            (Self::Processes | Self::File, Backend::Sqlite) | (Self::Anything, _) => None,
        }
    }
}

/// How much is done: each level does all that the one before does, and more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Before each change: a matrix with `--quick`, a campaign in minutes.
    Pr,
    /// Each night: a matrix without `--quick`, all campaigns in hours.
    Nightly,
    /// Before each release.
    Release,
}

impl Level {
    /// Every level, the least first.
    pub const ALL: [Self; 3] = [Self::Pr, Self::Nightly, Self::Release];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pr => "pr",
            Self::Nightly => "nightly",
            Self::Release => "release",
        }
    }
}

/// At the release level so many times the runs of the pr level are done at a stretch.
const PART_OF_PR: usize = 5;

/// How often a case repeats its operation, unless the command line says otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Runs {
    pr: usize,
    nightly: usize,
    release: usize,
    /// As many as are done at a stretch at the release level.
    part: usize,
}

impl Runs {
    /// Of a matrix: with `--quick` and without.
    pub const fn of(quick: usize, full: usize) -> Self {
        Self::levels(quick, full, full)
    }

    /// Of a campaign: at each level.
    pub const fn levels(pr: usize, nightly: usize, release: usize) -> Self {
        let part = if nightly < PART_OF_PR * pr { nightly } else { PART_OF_PR * pr };
        Self { pr, nightly, release, part }
    }

    /// Of a campaign whose levels are sizes of one thing, which is done at a stretch.
    pub const fn whole(pr: usize, nightly: usize, release: usize) -> Self {
        Self { pr, nightly, release, part: release }
    }

    /// At the release level: those that are done at a stretch.
    pub const fn part(self) -> usize {
        self.part
    }

    /// At this level.
    pub const fn at(self, level: Level) -> usize {
        match level {
            Level::Pr => self.pr,
            Level::Nightly => self.nightly,
            Level::Release => self.release,
        }
    }
}

/// One case of a matrix.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name on the command line.
    pub id: &'static str,
    /// Its title, for the heading.
    pub title: &'static str,
    /// One sentence: what it shows when it passes.
    pub shows: &'static str,
    /// What it cannot do without.
    pub needs: Needs,
    /// How often it repeats its operation.
    pub runs: Runs,
    /// Carries it out.
    pub run: fn(&mut Context) -> Result<(), CaseError>,
}

/// What the command line chose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The backend under test.
    pub backend: Backend,
    /// How many runs, and of what sizes.
    pub level: Level,
    /// Every plan is drawn from it.
    pub seed: u64,
    /// Runs of each case, when given.
    pub runs: Option<usize>,
    /// How long a campaign repeats its operation, when given, whatever its runs.
    pub budget: Option<Duration>,
    /// How long one case may take.
    pub timeout: Duration,
    /// Where databases live while a case runs, and are kept after a failure.
    pub folder: PathBuf,
    /// A fault that is built into the workers on purpose, to see a check catch it.
    pub planted: Option<Planted>,
    /// What every sync of a measured file takes longer.
    pub sync_delay: Option<Duration>,
    /// The store that is there already, for a case that probes one.
    pub url: Option<String>,
}

impl Settings {
    /// Fewer runs, smaller sizes.
    pub fn is_quick(&self) -> bool {
        self.level == Level::Pr
    }

    /// How often `case` repeats its operation.
    pub fn runs_of(&self, case: &Case) -> usize {
        self.runs.unwrap_or(case.runs.at(self.level))
    }

    /// The command that runs `case` again in the same way.
    pub fn reproduce(&self, matrix: &str, case: &Case) -> String {
        if let Some(url) = &self.url {
            return format!("cargo xtask {matrix} '{url}'");
        }
        let (id, backend, seed, runs) = (case.id, self.backend.name(), self.seed, self.runs_of(case));
        let mut command =
            format!("cargo xtask {matrix} {id} --backend {backend} --seed {seed} --runs {runs}");
        if matrix == prove::NAME {
            command = format!(
                "cargo xtask {matrix} {id} --level {} --seed {seed} --runs {runs}",
                self.level.name()
            );
        } else if self.is_quick() {
            command.push_str(" --quick");
        }
        if let Some(planted) = self.planted {
            command.push_str(" --planted ");
            command.push_str(planted.name());
        }
        if let Some(delay) = self.sync_delay {
            // Writing to a string cannot fail.
            let _ = write!(command, " --sync-delay {delay:?}");
        }
        command
    }
}

/// Why a case, or one run of it, could not be carried out. A check that does not hold is no error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaseError {
    /// The time of the case was over.
    #[error("the time of the case was over while waiting for {what}")]
    TimedOut {
        /// For what it waited.
        what: String,
    },
    /// A process that the case had started did not do as it should.
    #[error("{process}: {what}")]
    Process {
        /// Which one.
        process: String,
        /// What it did.
        what: String,
    },
    /// The operating system.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it could not be done.
        #[source]
        source: io::Error,
    },
    /// The case's own connection to the database.
    #[error("reading the database by SQL: {0}")]
    Sql(#[from] rusqlite::Error),
    /// A side of a measurement.
    #[error(transparent)]
    Measurement(#[from] PerfError),
    /// The store under test refused what it must not refuse.
    #[error("the store refused to {what}: {source}")]
    Store {
        /// What was asked of it.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CaseError {
    /// For `map_err`: trouble with the operating system while doing `what`.
    pub fn io(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what.to_string(), source }
    }

    /// A task of the case's own runtime did not end as it should.
    pub fn broken(task: &str, why: &tokio::task::JoinError) -> Self {
        Self::Process { process: task.to_owned(), what: why.to_string() }
    }

    /// For `map_err`: the store refused to do `what`.
    pub fn store<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Store { what, source: source.into() }
    }
}

/// When a case must have ended. Every wait of a case is bounded by it.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// That far from now.
    pub fn after(span: Duration) -> Self {
        Self(Instant::now() + span)
    }

    /// Time that is left.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// The earlier of this deadline and `span` from now.
    #[must_use]
    pub fn or_after(self, span: Duration) -> Self {
        self.or_at(Instant::now() + span)
    }

    /// The earlier of this deadline and `moment`.
    #[must_use]
    pub fn or_at(self, moment: Instant) -> Self {
        Self(self.0.min(moment))
    }

    /// Sleeps `span`, or until the deadline.
    ///
    /// # Errors
    /// [`CaseError::TimedOut`] when the deadline came first.
    pub fn sleep(self, span: Duration, what: &str) -> Result<(), CaseError> {
        let left = self.left();
        std::thread::sleep(span.min(left));
        if span > left { Err(CaseError::TimedOut { what: what.to_owned() }) } else { Ok(()) }
    }
}

/// What a case has found so far. Kept when it ends with an error, too.
#[derive(Debug, Default)]
pub struct Findings {
    /// Operations planned.
    pub planned: usize,
    /// Those carried out.
    pub succeeded: usize,
    /// The faults that it set out to meet, by name, and how often each happened. One that never did makes it void.
    pub faults: BTreeMap<String, u64>,
    /// Its figures.
    pub checks: Vec<Check>,
    /// What to tell beside the figures, a line each.
    pub notes: Vec<String>,
}

/// What a case is given.
#[derive(Debug)]
pub struct Context {
    case: Case,
    settings: Arc<Settings>,
    folder: PathBuf,
    deadline: Deadline,
    progress: ProgressBar,
    began: Instant,
    /// What it has found so far.
    pub findings: Findings,
}

impl Context {
    /// For the runner: a case with a folder of its own, from now on.
    pub fn new(case: Case, settings: Arc<Settings>, folder: PathBuf) -> Self {
        let runs = settings.runs_of(&case);
        let deadline = Deadline::after(settings.timeout);
        let findings = Findings { planned: runs, ..Findings::default() };
        let progress = progress(case.id, runs);
        Self { case, folder, deadline, progress, began: Instant::now(), findings, settings }
    }

    /// What the command line chose.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How often to repeat the operation.
    pub fn runs(&self) -> usize {
        self.settings.runs_of(&self.case)
    }

    /// A folder of the case's own. It is removed when the case passes.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// When it must have ended.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Randomness for one run, the same for the same seed.
    pub fn rng(&self, run: usize) -> fastrand::Rng {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.case.id.as_bytes());
        hasher.update(&self.settings.seed.to_le_bytes());
        hasher.update(&(run as u64).to_le_bytes());
        let mut seed = [0; 8];
        seed.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        fastrand::Rng::with_seed(u64::from_le_bytes(seed))
    }

    /// Says how many operations there will be, where they are not the runs.
    pub fn plan(&mut self, operations: usize) {
        self.findings.planned = operations;
        self.progress.set_length(operations as u64);
    }

    /// Whether operation `next` (from 0) is still to be done: one of the runs or, when the command line gave a time
    /// instead, begun within it. With a time, what was planned is what was begun.
    pub fn goes_on(&mut self, next: usize) -> bool {
        let Some(budget) = self.settings.budget else { return next < self.runs() };
        let goes_on = self.began.elapsed() < budget;
        if goes_on {
            self.plan(next + 1);
        }
        goes_on
    }

    /// Names faults that the campaign sets out to meet.
    pub fn name_faults<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        for name in names {
            self.findings.faults.entry(name.to_owned()).or_default();
        }
    }

    /// A fault happened so many times.
    pub fn fired(&mut self, fault: &str, times: u64) {
        *self.findings.faults.entry(fault.to_owned()).or_default() += times;
    }

    /// Adds a figure.
    pub fn check(&mut self, check: Check) {
        self.findings.checks.push(check);
    }

    /// One operation more has been carried out, or given up.
    pub fn advance(&mut self, succeeded: bool) {
        self.findings.succeeded += usize::from(succeeded);
        self.progress.inc(1);
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.progress.finish_and_clear();
    }
}

/// Shown on a terminal only.
fn progress(id: &'static str, runs: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(runs as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("  {msg} [{wide_bar}] {pos}/{len} {elapsed}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(id);
    bar
}
