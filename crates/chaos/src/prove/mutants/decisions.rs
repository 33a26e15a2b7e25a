//! Small changes to the pure decisions, by cargo-mutants: each must make some test fail. What is changed and which
//! tests are run stands in `.cargo/mutants.toml`; which changes nobody can see, and why, in `docs/mutants.md`.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::survivors::Listed;
use crate::case::{CaseError, Context};
use crate::report::Figure;

/// Parts that the mutants are tried in, so that progress is seen and none of them takes too long.
const SHARDS: usize = 8;
/// Mutants at most: more of them are to be narrowed down in the configuration.
const MUTANTS_MAX: f64 = 150.0;
/// Where the list stands, from the root of the workspace.
const LIST: &str = "docs/mutants.md";
/// Where the mutants are built, in the folder of the campaign.
const BUILD: &str = "mutants-build";
/// How often cargo-mutants is asked whether it has ended.
const END_POLL: Duration = Duration::from_millis(200);
/// Files that cargo-mutants leaves, one mutant a line.
const OUTCOMES: [&str; 4] = ["caught", "missed", "timeout", "unviable"];
/// Some mutant survived.
const EXIT_MISSED: i32 = 2;
/// Some mutant ran into the time limit.
const EXIT_TIMEOUT: i32 = 3;

/// Tries every mutant.
pub(super) fn survive(context: &mut Context) -> Result<(), CaseError> {
    let text = fs::read_to_string(LIST).map_err(CaseError::io(format!("reading {LIST}")))?;
    let listed = Listed::read(&text);
    let mut found: [Vec<String>; OUTCOMES.len()] = Default::default();
    context.plan(context.findings.planned + SHARDS);
    for shard in 0..SHARDS {
        let folder = context.folder().join(format!("mutants-{shard}"));
        fs::create_dir(&folder).map_err(CaseError::io("making a folder"))?;
        attempt(context, shard, &folder)?;
        for (outcome, found) in OUTCOMES.into_iter().zip(&mut found) {
            let file = folder.join("mutants.out").join(format!("{outcome}.txt"));
            let told = fs::read_to_string(&file).map_err(CaseError::io(file.display()))?;
            found.extend(told.lines().map(str::to_owned));
        }
        context.advance(true);
    }
    let [caught, missed, late, unviable] = found;
    let tried = caught.len() + missed.len() + late.len() + unviable.len();
    let unlisted: Vec<&String> = missed.iter().filter(|mutant| !listed.has(mutant)).collect();
    context.check(Figure::count("mutants_tried", tried).at_most(MUTANTS_MAX));
    context.check(Figure::count("mutants_caught", caught.len() + late.len()).at_least(1.0));
    context.check(Figure::count("mutants_that_do_not_compile", unviable.len()).reported());
    context.check(Figure::count("survivors_with_a_reason", missed.len() - unlisted.len()).reported());
    context.check(Figure::count("survivors_without_a_reason", unlisted.len()).at_most(0.0));
    let stale = listed.not_among(&missed);
    context.check(Figure::count("reasons_for_mutants_that_were_caught", stale.len()).at_most(0.0));
    let survived = unlisted.into_iter().map(|mutant| format!("survived: {mutant}"));
    let caught = stale.into_iter().map(|mutant| format!("listed, and caught: {mutant}"));
    context.findings.notes.extend(survived.chain(caught));
    Ok(())
}

/// Tries one part of the mutants.
fn attempt(context: &Context, shard: usize, folder: &Path) -> Result<(), CaseError> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let log = File::create(folder.join("cargo-mutants.log")).map_err(CaseError::io("keeping a log"))?;
    let mut command = Command::new(cargo);
    command
        .args(["mutants", "--line-col=false", "--colors=never", "--shard", &format!("{shard}/{SHARDS}")])
        .arg("--output")
        .arg(folder)
        // What the decisions depend on is built by the first part for all of them.
        .env("CARGO_TARGET_DIR", context.folder().join(BUILD))
        .stdin(Stdio::null())
        .stderr(log.try_clone().map_err(CaseError::io("keeping a log"))?)
        .stdout(log);
    let mut child = command.spawn().map_err(CaseError::io("starting cargo mutants"))?;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(CaseError::io("waiting for cargo mutants"))? {
            break status;
        }
        if context.deadline().left().is_zero() {
            drop(child.kill());
            drop(child.wait());
            return Err(CaseError::TimedOut { what: "cargo mutants".to_owned() });
        }
        thread::sleep(END_POLL);
    };
    if matches!(status.code(), Some(0 | EXIT_MISSED | EXIT_TIMEOUT)) {
        return Ok(());
    }
    let log = folder.join("cargo-mutants.log");
    let advice = "`cargo install cargo-mutants --locked` installs it";
    let what = format!("it ended with {status}: see {}; {advice}", log.display());
    Err(CaseError::Process { process: "cargo mutants".to_owned(), what })
}
