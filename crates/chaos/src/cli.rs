//! The command line of the runner, and of the processes that it starts of itself.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::case::{Backend, Case, Level, Settings};
use crate::crew::{self, CrewArgs};
use crate::perf::{CommitterArgs, PerfArgs, commit_at_random};
use crate::planted::Planted;
use crate::prove::histories::{CallerArgs, JudgeArgs, judge_again, make_calls};
use crate::prove::iofault::{self, ChildArgs};
use crate::prove::{ProveArgs, VisitArgs};
use crate::recorder::{self, RecorderArgs};
use crate::report::Report;
use crate::runner::{Matrix, RunnerError};
use crate::scenarios;
use crate::smoke;
use crate::worker::{self, WorkerArgs};

/// The exit code of a command line that cannot be understood, as is customary on Unix.
pub(crate) const EXIT_USAGE: u8 = 2;

/// Shows what Steadfast promises, by breaking what it stands on.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Kill real processes and check what was recovered.
    Chaos(MatrixArgs),
    /// Load one shared file with many processes and workers, and check that nothing is lost or done twice.
    Stress(MatrixArgs),
    /// Measure what the store promises of its speed, against a floor in the same process.
    Perf(PerfArgs),
    /// Try to break each promise: campaigns of power cuts, faults, kills, simulations, histories and planted bugs.
    Prove(ProveArgs),
    /// Probe a store in production: once through every component, on a task of its own.
    Smoke(SmokeArgs),
    /// The world outside, in a process of its own; started by the scenarios.
    #[command(hide = true)]
    EffectRecorder(RecorderArgs),
    /// The process that is killed; started by the scenarios.
    #[command(hide = true)]
    Worker(WorkerArgs),
    /// A process that loads a shared store; started by the scenarios.
    #[command(hide = true)]
    Crew(CrewArgs),
    /// A process that makes calls for a history; started by a campaign.
    #[command(hide = true)]
    HistoryCaller(CallerArgs),
    /// Judge a history again that a campaign has kept.
    #[command(hide = true)]
    JudgeHistory(JudgeArgs),
    /// A process that opens a database and closes it; started by a campaign.
    #[command(hide = true)]
    Visit(VisitArgs),
    /// The store whose system calls fail; started by a campaign.
    #[command(hide = true)]
    IofaultChild(ChildArgs),
    /// The process whose commits a waiter hears of; started by a measurement.
    #[command(hide = true)]
    PerfCommitter(CommitterArgs),
}

/// What every matrix takes.
#[derive(Debug, Clone, Args)]
pub struct MatrixArgs {
    /// The cases to run, by their ids; all when none is named.
    #[arg(value_name = "CASE")]
    cases: Vec<String>,
    /// Print the cases and what each shows, and run nothing.
    #[arg(long)]
    list: bool,
    /// Fewer runs: seconds instead of minutes.
    #[arg(long)]
    quick: bool,
    /// The backend under test.
    #[arg(long, value_enum, default_value_t = Backend::Sqlite)]
    backend: Backend,
    /// What every plan is drawn from: the same seed, the same plans.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs of each case, instead of its own number; for a measurement, pairs of runs.
    #[arg(long, visible_alias = "pairs", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// How long one case may take, in seconds; then it fails with a diagnosis and everything it started is killed.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    /// Write the JSON report here as well.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where databases live while a case runs and are kept after a failure, and where the JSON report goes.
    #[arg(long, value_name = "FOLDER", default_value = "target/steadfast")]
    folder: PathBuf,
    /// Print everything, and exit with 0 whatever came of it: for noisy machines.
    #[arg(long)]
    report_only: bool,
    /// Build a fault into the workers, to see a check catch it.
    #[arg(long, value_enum, hide = true)]
    planted: Option<Planted>,
}

/// What a probe takes.
#[derive(Debug, Clone, Args)]
struct SmokeArgs {
    /// The store: `sqlite:PATH`. It must be there; nothing is made or upgraded.
    url: String,
    /// How long it may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Write the JSON report here as well.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the JSON report goes.
    #[arg(long, value_name = "FOLDER", default_value = "target/steadfast")]
    folder: PathBuf,
}

impl SmokeArgs {
    fn run(self) -> ExitCode {
        let Self { url, timeout, json, folder } = self;
        let settings = Settings {
            backend: if url == "memory:" { Backend::Memory } else { Backend::Sqlite },
            level: Level::Nightly,
            seed: 1,
            runs: None,
            budget: None,
            timeout: Duration::from_secs(timeout),
            folder,
            planted: None,
            sync_delay: None,
            url: Some(url),
        };
        let matrix = Matrix { name: "smoke", cases: smoke::CASES, settings, json };
        code_of(matrix.run(smoke::CASES, &mut io::stdout().lock()), false)
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Chaos(args) => args.run("chaos", scenarios::CHAOS, None),
        Verb::Stress(args) => args.run("stress", scenarios::STRESS, None),
        Verb::Perf(args) => args.run(),
        Verb::Prove(args) => args.run(),
        Verb::Smoke(args) => args.run(),
        Verb::EffectRecorder(args) => told(recorder::record(&args)),
        Verb::Worker(args) => told(worker::work(args)),
        Verb::Crew(args) => told(crew::crew(args)),
        Verb::HistoryCaller(args) => told(make_calls(&args)),
        Verb::JudgeHistory(args) => told(judge_again(&args)),
        Verb::Visit(args) => told(args.run()),
        Verb::IofaultChild(args) => told(iofault::submit_all(&args)),
        Verb::PerfCommitter(args) => told(commit_at_random(&args)),
    }
}

impl MatrixArgs {
    /// Chooses these cases when the command line names none and does not ask for the list.
    pub fn name_if_none(&mut self, names: &[&str]) {
        if self.cases.is_empty() {
            self.cases = names.iter().map(|name| (*name).to_owned()).collect();
        }
    }

    /// Runs the matrix `name` of these cases as the command line says, and prints; the code is 1 when a case failed
    /// and 2 when the command line names what is not there.
    pub fn run(self, name: &'static str, cases: &[Case], sync_delay: Option<Duration>) -> ExitCode {
        let settings = Settings {
            backend: self.backend,
            level: if self.quick { Level::Pr } else { Level::Nightly },
            seed: self.seed,
            runs: self.runs.and_then(|runs| usize::try_from(runs).ok()),
            budget: None,
            timeout: Duration::from_secs(self.timeout),
            folder: self.folder,
            planted: self.planted,
            sync_delay,
            url: None,
        };
        let mut out = io::stdout().lock();
        if self.list {
            // Nobody reading on (`| head`) is no failure.
            drop(list(cases, &settings, &mut out));
            return ExitCode::SUCCESS;
        }
        let matrix = Matrix { name, cases, settings, json: self.json };
        let ran = matrix.chosen(&self.cases).and_then(|chosen| matrix.run(&chosen, &mut out));
        drop(out);
        code_of(ran, self.report_only)
    }
}

/// 1 when a case failed, unless that is only to be told, and 2 when the command line names what is not there.
pub(crate) fn code_of(ran: Result<Report, RunnerError>, report_only: bool) -> ExitCode {
    match ran {
        Ok(report) if report.failed > 0 && report_only => {
            let told = "report only: what failed is told, and the exit code is 0 all the same";
            // Nobody reading on is no failure.
            drop(writeln!(io::stdout(), "{told}"));
            ExitCode::SUCCESS
        }
        Ok(report) if report.failed > 0 => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error @ RunnerError::UnknownCase { .. }) => {
            complain(&error);
            ExitCode::from(EXIT_USAGE)
        }
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn list(cases: &[Case], settings: &Settings, out: &mut dyn Write) -> io::Result<()> {
    for case in cases {
        writeln!(out, "{:<20}{} ({} runs)", case.id, case.title, settings.runs_of(case))?;
        writeln!(out, "{:<20}{}", "", case.shows)?;
    }
    Ok(())
}

fn told<E: std::error::Error>(done: Result<(), E>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn complain(error: &dyn std::error::Error) {
    // Nobody may be listening.
    drop(writeln!(io::stderr(), "error: {error}"));
}
