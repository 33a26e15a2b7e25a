//! The command line: which scenario, how it is scheduled, and what is planted.

use std::path::PathBuf;

use crate::bugs::{BUGS, Bug};
use crate::scenarios::{SCENARIOS, Scenario};

/// How the next to go on is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chooser {
    /// Each time by chance.
    Random,
    /// By priorities that change at few instants (Burckhardt et al., ASPLOS 2010).
    Pct,
}

/// What is to be explored.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) scenario: &'static Scenario,
    pub(crate) chooser: Chooser,
    pub(crate) seed: u64,
    pub(crate) schedules: usize,
    pub(crate) planted: Option<&'static Bug>,
    /// Where databases live for a moment.
    pub(crate) folder: PathBuf,
}

impl Arguments {
    /// Reads `SCENARIO --scheduler random|pct --seed N --schedules N [--planted BUG] [--folder FOLDER]`.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let name = words.next().ok_or("name a scenario, or --list")?;
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name);
        let scenario = scenario.ok_or_else(|| format!("there is no scenario {name:?}: see --list"))?;
        let mut read = Self {
            scenario,
            chooser: Chooser::Random,
            seed: 1,
            schedules: 1_000,
            planted: None,
            folder: std::env::temp_dir(),
        };
        while let Some(option) = words.next() {
            let value = words.next().ok_or_else(|| format!("{option} lacks its value"))?;
            let number = || value.parse::<u64>().map_err(|error| format!("{option} {value}: {error}"));
            match option.as_str() {
                "--scheduler" if value == "random" => read.chooser = Chooser::Random,
                "--scheduler" if value == "pct" => read.chooser = Chooser::Pct,
                "--seed" => read.seed = number()?,
                "--schedules" => read.schedules = usize::try_from(number()?).unwrap_or(usize::MAX),
                "--folder" => read.folder = value.into(),
                "--planted" => {
                    let bug = BUGS.iter().find(|bug| bug.name == value);
                    read.planted = Some(bug.ok_or_else(|| format!("there is no bug {value:?}: see --list"))?);
                }
                _ => return Err(format!("{option} {value} means nothing here")),
            }
        }
        Ok(read)
    }
}
