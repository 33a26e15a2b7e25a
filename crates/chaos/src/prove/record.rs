//! What campaigns found, kept in the tree: `docs/reliability.json` for machines, and the tables of
//! `docs/reliability.md`, which are made from it and from nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::CAMPAIGNS;
use crate::case::Level;
use crate::report::{CaseReport, CaseStatus, Report};

/// The record, from the root of the workspace.
const RECORD: &str = "docs/reliability.json";
/// The document, from the root of the workspace.
const DOCUMENT: &str = "docs/reliability.md";
/// The tables stand between these two lines.
const BEGIN: &str = "<!-- tables: written by `cargo xtask prove --record` -->";
const END: &str = "<!-- end of the tables -->";

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("{}: {source}: run this from the root of the workspace", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{RECORD} does not decode: {0}: restore it from the repository")]
    Damaged(#[from] serde_json::Error),
    #[error("{DOCUMENT} lacks the line `{0}`: restore it from the repository")]
    NoPlace(&'static str),
}

/// Every recorded run: of each campaign, the last that passed at each level.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Record(BTreeMap<String, BTreeMap<String, Run>>);

/// One recorded run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Run {
    commit: String,
    command: String,
    duration_ms: u64,
    /// Of the operation, as the level or the command line had it.
    #[serde(default)]
    runs: usize,
    planned: usize,
    succeeded: usize,
    #[serde(default)]
    faults_fired: BTreeMap<String, u64>,
    /// Each figure as it was printed, with its threshold.
    figures: Vec<(String, String)>,
}

impl Run {
    fn new(case: &CaseReport, commit: &str) -> Self {
        let figures = case
            .checks
            .iter()
            .map(|check| (check.label(), format!("{} {}", check.shown_value(), check.shown_limit())));
        Self {
            commit: commit.to_owned(),
            command: case.reproduce.clone(),
            duration_ms: case.duration_ms,
            runs: case.runs,
            planned: case.planned,
            succeeded: case.succeeded,
            faults_fired: case.faults_fired.clone(),
            figures: figures.map(|(label, shown)| (label, shown.trim_end().to_owned())).collect(),
        }
    }
}

/// Records what passed, and makes the tables anew.
pub(super) fn add(report: &Report, level: Level) -> Result<(), RecordError> {
    let mut record = read(Path::new(RECORD))?;
    for case in &report.cases {
        if is_whole(level, case.id, case.runs)
            && matches!(case.status, CaseStatus::Passed | CaseStatus::Warned)
        {
            let runs = record.0.entry(case.id.to_owned()).or_default();
            runs.insert(level.name().to_owned(), Run::new(case, &report.commit));
        }
    }
    let mut json = serde_json::to_string_pretty(&record)?;
    json.push('\n');
    write(Path::new(RECORD), &json)?;
    let document = text(Path::new(DOCUMENT))?;
    write(Path::new(DOCUMENT), &with_tables(&document, &record, &ids())?)
}

/// Whether that is all of the level: a release that was stopped on the way is none yet.
fn is_whole(level: Level, id: &str, runs: usize) -> bool {
    level != Level::Release
        || CAMPAIGNS.iter().any(|campaign| campaign.id == id && runs >= campaign.runs.at(level))
}

/// How long so many runs of a campaign should take, going by the longest that is on record.
pub(super) fn expected(id: &str, runs: usize) -> Option<Duration> {
    let record = read(Path::new(RECORD)).ok()?;
    let longest = record.0.get(id)?.values().filter(|run| run.runs > 0).max_by_key(|run| run.runs)?;
    let one = Duration::from_millis(longest.duration_ms) / u32::try_from(longest.runs).ok()?;
    Some(one * u32::try_from(runs).ok()?)
}

/// The campaigns in the order of the tables.
fn ids() -> Vec<&'static str> {
    CAMPAIGNS.iter().map(|campaign| campaign.id).collect()
}

fn text(path: &Path) -> Result<String, RecordError> {
    fs::read_to_string(path).map_err(|source| RecordError::File { path: path.to_owned(), source })
}

fn write(path: &Path, text: &str) -> Result<(), RecordError> {
    fs::write(path, text).map_err(|source| RecordError::File { path: path.to_owned(), source })
}

/// The record; an empty one when there is none yet.
fn read(path: &Path) -> Result<Record, RecordError> {
    match text(path) {
        Ok(text) => Ok(serde_json::from_str(&text)?),
        Err(RecordError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Record::default())
        }
        Err(error) => Err(error),
    }
}

/// The document with its tables made from the record.
fn with_tables(document: &str, record: &Record, campaigns: &[&str]) -> Result<String, RecordError> {
    let (before, rest) = document.split_once(BEGIN).ok_or(RecordError::NoPlace(BEGIN))?;
    let (_, after) = rest.split_once(END).ok_or(RecordError::NoPlace(END))?;
    Ok(format!("{before}{BEGIN}\n{}{END}{after}", tables(record, campaigns)))
}

fn tables(record: &Record, campaigns: &[&str]) -> String {
    let mut told = String::new();
    // Writing to a string cannot fail.
    let _ =
        writeln!(told, "\n| campaign | level | carried out | faults fired | took | at commit | command |");
    told.push_str("|---|---|---|---|---|---|---|\n");
    let runs: Vec<(&str, &str, &Run)> = campaigns
        .iter()
        .filter_map(|id| record.0.get(*id).map(|runs| (*id, runs)))
        .flat_map(|(id, runs)| {
            Level::ALL.into_iter().filter_map(move |level| Some((id, level.name(), runs.get(level.name())?)))
        })
        .collect();
    for (id, level, run) in &runs {
        let fired: u64 = run.faults_fired.values().sum();
        let kinds = run.faults_fired.len();
        let fired = if kinds == 0 { "–".to_owned() } else { format!("{fired} of {kinds} kinds") };
        let commit = run.commit.get(..12).unwrap_or(&run.commit);
        let _ = writeln!(
            told,
            "| `{id}` | {level} | {} of {} | {fired} | {:.0} s | `{commit}` | `{}` |",
            run.succeeded,
            run.planned,
            Duration::from_millis(run.duration_ms).as_secs_f64().ceil(),
            run.command,
        );
    }
    for (id, level, run) in &runs {
        let _ = writeln!(told, "\n### `{id}`, {level}\n\n| figure | value and threshold |\n|---|---|");
        for (label, shown) in &run.figures {
            let _ = writeln!(told, "| {label} | {shown} |");
        }
        if !run.faults_fired.is_empty() {
            let fired: Vec<_> =
                run.faults_fired.iter().map(|(fault, times)| format!("{fault} {times}")).collect();
            let _ = writeln!(told, "| faults fired | {} |", fired.join(", "));
        }
    }
    told.push('\n');
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_document_are_those_of_the_recorded_runs() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let document = text(&root.join(DOCUMENT)).unwrap();
        let record = read(&root.join(RECORD)).unwrap();
        assert_eq!(
            with_tables(&document, &record, &ids()).unwrap(),
            document,
            "make them with cargo xtask prove --record"
        );
    }

    #[test]
    fn a_release_that_was_stopped_on_the_way_is_not_recorded() {
        let all = 2_000_000;
        assert!(
            is_whole(Level::Release, "powerloss", all) && !is_whole(Level::Release, "powerloss", all - 1)
        );
        assert!(is_whole(Level::Pr, "powerloss", 1), "fewer runs are what the command asked for");
    }

    #[test]
    fn a_figure_that_differs_from_the_record_changes_the_tables() {
        let campaign = "powerloss";
        let run = |value: &str| Run {
            commit: "0123456789abcdef".to_owned(),
            command: "cargo xtask prove".to_owned(),
            duration_ms: 1_500,
            runs: 10,
            planned: 10,
            succeeded: 10,
            faults_fired: BTreeMap::from([("torn".to_owned(), 3)]),
            figures: vec![("Acknowledged lost".to_owned(), value.to_owned())],
        };
        let record = |value| {
            Record(BTreeMap::from([(campaign.to_owned(), BTreeMap::from([("pr".to_owned(), run(value))]))]))
        };
        let document = format!("above\n{BEGIN}\nstale\n{END}\nbelow\n");
        let told = with_tables(&document, &record("0 ✓"), &[campaign]).unwrap();
        assert!(told.contains("| Acknowledged lost | 0 ✓ |") && !told.contains("stale"), "{told}");
        assert!(told.contains("| 3 of 1 kinds | 2 s | `0123456789ab` |"), "{told}");
        assert!(told.starts_with("above\n") && told.ends_with("\nbelow\n"), "{told}");
        assert_ne!(told, with_tables(&document, &record("1 ❌"), &[campaign]).unwrap());
        assert!(matches!(with_tables("nothing", &record(""), &[]), Err(RecordError::NoPlace(BEGIN))));
    }
}
