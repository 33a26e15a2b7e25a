//! Campaign 8: any bytes at all, given to every decoder, to URLs and ids, to paths of evidence, and as damage to database
//! and log files. The committed corpora are replayed and mutated on stable Rust; from nightly on libFuzzer runs each
//! target as well.

mod corpus;
mod libfuzzer;
mod mutate;
pub mod targets;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::targets::{Met, TARGETS, Target};
use crate::case::{Case, CaseError, Context, Level, Needs, Runs};
use crate::report::{Figure, Unit};

/// The campaign.
pub const FUZZ: Case = Case {
    id: "fuzz",
    title: "Fuzzing",
    shows: "No bytes make a decoder, a URL, a path, or a damaged file panic, mislead, or hand out what nobody wrote.",
    needs: Needs::Anything,
    runs: Runs::levels(20_000, 200_000, 2_000_000),
    run,
};

/// How long libFuzzer runs each target.
const LIBFUZZER_TIME: Duration = Duration::from_secs(60);
/// It does little in less.
const LIBFUZZER_TIME_MIN: Duration = Duration::from_secs(5);
/// The input that is being tried, in the folder of the campaign: there afterwards, should it take the process with it.
const UNDER_WAY: &str = "input-under-way";

/// A target with its corpus, and what came of it.
struct Tried {
    target: Target,
    corpus: Vec<Vec<u8>>,
    executions: usize,
    failure: Option<String>,
}

/// What an input did that no input may do.
struct Failure<'a> {
    target: &'a Target,
    what: String,
    input: Vec<u8>,
}

fn run(context: &mut Context) -> Result<(), CaseError> {
    let level = context.settings().level;
    // Said before an hour is spent on the rest.
    let libfuzzer = if level == Level::Pr { None } else { Some(libfuzzer::LibFuzzer::found()?) };
    fuzz(context, TARGETS)?;
    if let Some(libfuzzer) = libfuzzer {
        let time = libfuzzer_time(context.settings().budget, TARGETS);
        libfuzzer.run(context, TARGETS, time)?;
    }
    Ok(())
}

/// Whoever names a time gets it twice: for what is mutated here, and for all the targets under libFuzzer.
fn libfuzzer_time(budget: Option<Duration>, targets: &[Target]) -> Duration {
    let share = |budget: Duration| budget / u32::try_from(targets.len()).unwrap_or(u32::MAX).max(1);
    budget.map_or(LIBFUZZER_TIME, |budget| share(budget).clamp(LIBFUZZER_TIME_MIN, LIBFUZZER_TIME))
}

/// Replays the corpora of the targets, then tries what is mutated from them, as often as the context says.
fn fuzz(context: &mut Context, targets: &[Target]) -> Result<(), CaseError> {
    let began = Instant::now();
    context.name_faults(targets.iter().flat_map(faults_of).collect::<Vec<_>>().iter().map(String::as_str));
    let mut all = Vec::new();
    let mut replayed = 0;
    for target in targets {
        let kept = corpus::read(target)?;
        let mut tried = Tried { target: *target, corpus: Vec::new(), executions: 0, failure: None };
        for kept in kept {
            replayed += 1;
            if !attempt(context, &mut tried, &kept.bytes)? {
                context.findings.notes.push(format!("the committed input {} fails", kept.path.display()));
            }
            tried.corpus.push(kept.bytes);
        }
        all.push(tried);
    }
    let shares: Vec<usize> =
        all.iter().enumerate().flat_map(|(index, tried)| vec![index; tried.target.share as usize]).collect();
    let mut next = 0;
    while context.goes_on(next) {
        let mut rng = context.rng(next);
        let tried = &mut all[shares[rng.usize(0..shares.len())]];
        let input = mutate::mutated(&tried.corpus, &mut rng);
        let is_good = tried.failure.is_none() && attempt(context, tried, &input)?;
        context.advance(is_good);
        next += 1;
    }
    report(context, &all, replayed, began.elapsed());
    Ok(())
}

/// The faults that a target has to meet: bytes that are taken, and bytes that are refused.
fn faults_of(target: &Target) -> [String; 2] {
    [Met::Taken, Met::Refused].map(|met| fault(target, met))
}

fn fault(target: &Target, met: Met) -> String {
    let met = match met {
        Met::Taken => "taken",
        Met::Refused => "refused",
    };
    format!("{}: {met}", target.name)
}

/// Tries one input, and whether nothing was wrong with what came of it. The first failure of a target is shrunk, kept
/// and told.
fn attempt(context: &mut Context, tried: &mut Tried, input: &[u8]) -> Result<bool, CaseError> {
    let under_way = context.folder().join(UNDER_WAY);
    fs::write(&under_way, input).map_err(CaseError::io("writing down the input under way"))?;
    tried.executions += 1;
    match outcome(&tried.target, input) {
        Ok(met) => {
            context.fired(&fault(&tried.target, met), 1);
            Ok(true)
        }
        Err(_) if tried.failure.is_some() => Ok(false),
        Err(what) => {
            let smallest = mutate::shrunk(input, |less| outcome(&tried.target, less).is_err());
            let what = outcome(&tried.target, &smallest).err().unwrap_or(what);
            let failure = Failure { target: &tried.target, what, input: smallest };
            let path = failure.keep(context.folder())?;
            context.findings.notes.push(failure.told(&path));
            tried.failure = Some(failure.what);
            Ok(false)
        }
    }
}

/// What came of an input, or what it broke.
fn outcome(target: &Target, input: &[u8]) -> Result<Met, String> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()))
            .unwrap_or_else(|| "it panicked".to_owned())
    })
}

impl Failure<'_> {
    /// Keeps the input under a name made of its content.
    fn keep(&self, folder: &Path) -> Result<PathBuf, CaseError> {
        let name = blake3::hash(&self.input).to_hex();
        let path = folder.join(format!("{}-{}", self.target.name, &name[..16]));
        fs::write(&path, &self.input).map_err(CaseError::io("keeping the input that failed"))?;
        Ok(path)
    }

    /// What broke, where the input is, and what replays it.
    fn told(&self, path: &Path) -> String {
        format!(
            "{} failed on {} bytes: {}\n{}",
            self.target.name,
            self.input.len(),
            self.what,
            replay(self.target, path)
        )
    }
}

/// The command that tries one input again: it joins the corpus, where it stays.
fn replay(target: &Target, input: &Path) -> String {
    format!(
        "replay: cp {} crates/chaos/fuzz/corpus/{}/ && cargo test -p steadfast-chaos --lib prove::fuzz",
        input.display(),
        target.name
    )
}

fn report(context: &mut Context, all: &[Tried], replayed: usize, took: Duration) {
    let executions: usize = all.iter().map(|tried| tried.executions).sum();
    let failed = all.iter().filter(|tried| tried.failure.is_some()).count();
    let mut per_target = BTreeMap::new();
    for tried in all {
        per_target.insert(tried.target.name, tried.executions);
    }
    context.check(Figure::count("targets_failed", failed).at_most(0.0));
    context.check(Figure::count("corpus_inputs_replayed", replayed).reported());
    context.check(Figure::count("executions", executions).reported());
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = executions as f64 / took.as_secs_f64().max(f64::EPSILON);
    context.check(Figure::new("executions_per_second", rate, Unit::PerSecond).reported());
    let told: Vec<String> =
        per_target.iter().map(|(name, executions)| format!("{name} {executions}")).collect();
    context.findings.notes.push(format!("executions: {}", told.join(", ")));
}

#[cfg(test)]
mod tests;
