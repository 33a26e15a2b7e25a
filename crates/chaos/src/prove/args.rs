//! The command line of the campaigns.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use steadfast_store::planted;

use super::{CAMPAIGNS, NAME, PLANTED, parts, record};
use crate::case::{Backend, Case, Level, Settings};
use crate::cli::{EXIT_USAGE, code_of, complain, list};
use crate::planted::Planted;
use crate::runner::Matrix;

/// How long one campaign may take at each level, unless the command line says otherwise.
const fn limit_of(level: Level) -> Duration {
    Duration::from_secs(match level {
        Level::Pr => 600,
        Level::Nightly => 3 * 3_600,
        Level::Release => 48 * 3_600,
    })
}

/// What a campaign may take beyond the time that it was given to repeat its operation: some build programs of their own,
/// and libFuzzer comes after what is repeated.
const BEYOND_BUDGET: Duration = Duration::from_secs(1_800);

/// What `prove` takes.
#[derive(Debug, Clone, Args)]
pub struct ProveArgs {
    /// The campaigns to run, by their ids; all when none is named.
    #[arg(value_name = "CAMPAIGN")]
    campaigns: Vec<String>,
    /// Print the campaigns and what each tries to break, and run nothing.
    #[arg(long)]
    list: bool,
    /// How much is done.
    #[arg(long, value_enum, default_value_t = Level::Pr)]
    level: Level,
    /// What every plan is drawn from: the same seed, the same plans.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs of each campaign, instead of the level's number.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Repeat each campaign's operation for so many minutes, instead of a number of times.
    #[arg(long, value_name = "MINUTES", conflicts_with = "runs", value_parser = clap::value_parser!(u32).range(1..=10_080))]
    minutes: Option<u32>,
    /// How long one campaign may take, in seconds; then it fails with a diagnosis and everything it started is killed.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Write the JSON report here as well.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where databases live while a campaign runs and are kept after a failure, and where the JSON report goes.
    #[arg(long, value_name = "FOLDER", default_value = "target/steadfast")]
    folder: PathBuf,
    /// Build a fault into the workers, to see a check catch it.
    #[arg(long, value_enum, hide = true, conflicts_with = "record")]
    planted: Option<Planted>,
    /// Write what passed into docs/reliability.json and the tables of docs/reliability.md.
    #[arg(long)]
    record: bool,
}

impl ProveArgs {
    /// Runs the campaigns as the command line says, and prints; the code is 1 when one failed and 2 when the command
    /// line names what is not there.
    pub fn run(self) -> ExitCode {
        let budget = self.minutes.map(|minutes| Duration::from_secs(60 * u64::from(minutes)));
        let limit = budget.map_or_else(|| limit_of(self.level), |budget| budget + BEYOND_BUDGET);
        let settings = Settings {
            backend: Backend::Sqlite,
            level: self.level,
            seed: self.seed,
            runs: self.runs.and_then(|runs| usize::try_from(runs).ok()),
            budget,
            timeout: self.timeout.map_or(limit, Duration::from_secs),
            folder: self.folder,
            planted: self.planted,
            sync_delay: None,
            url: None,
        };
        let mut out = io::stdout().lock();
        match planted::chosen() {
            Ok(None) => {}
            // Nobody reading on is no failure.
            Ok(Some(bug)) => drop(writeln!(out, "{PLANTED}{}", bug.name())),
            Err(error) => {
                complain(&error);
                return ExitCode::from(EXIT_USAGE);
            }
        }
        if self.list {
            // Nobody reading on (`| head`) is no failure.
            drop(list(CAMPAIGNS, &settings, &mut out));
            return ExitCode::SUCCESS;
        }
        let level = settings.level;
        let matrix = Matrix { name: NAME, cases: CAMPAIGNS, settings, json: self.json };
        let ran = matrix.chosen(&self.campaigns).and_then(|chosen| {
            if level == Level::Release && self.runs.is_none() {
                let expected = |case: &Case| record::expected(case.id, case.runs.at(level));
                parts::run(&matrix, &chosen, expected, &mut out)
            } else {
                matrix.run(&chosen, &mut out)
            }
        });
        drop(out);
        if self.record
            && let Ok(report) = &ran
            && let Err(error) = record::add(report, level)
        {
            complain(&error);
            return ExitCode::FAILURE;
        }
        code_of(ran, false)
    }
}
