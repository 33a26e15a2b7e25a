//! `histories`: processes on one shared file make random calls at a few items, tasks, operations and caches, some of them
//! are killed, some answers get lost, and every call is written down with its interval. Then a judge decides whether
//! there is an order of the calls, one after the other, in which a correct store would have given these answers and
//! left this file.

mod call;
mod caller;
mod corrupt;
mod judge;
mod log;
mod look;
mod model;
mod names;
mod perform;
mod process;
mod search;
mod sql;
mod tally;
mod troop;
#[cfg(test)]
mod wrong;

use std::fs;
use std::path::{Path, PathBuf};

use call::History;
use tally::Tally;
use troop::{Made, Plan, Troop};

use crate::case::{Case, CaseError, Context, Needs, Runs};

pub use process::{CallerArgs, make_calls};

/// The campaign.
pub(super) const CASE: Case = Case {
    id: "histories",
    title: "Histories",
    shows: "Whatever processes ask of one file at once, killed or not: their answers are those of some order, one by one.",
    needs: Needs::Processes,
    runs: Runs::levels(50, 1_000, 20_000),
    run,
};

/// The faults, by name.
const KILLED_BEFORE_COMMIT: &str = "killed_before_commit";
const KILLED_AFTER_COMMIT: &str = "killed_after_commit";
const KILLED_AT_RANDOM: &str = "killed_at_random";
const LOST_ANSWER: &str = "lost_answer";

/// Histories on one file, before the next one is begun.
const HISTORIES_OF_A_TROOP: usize = 10;
/// Wrong histories that are told in full.
const WRONG_TOLD: usize = 3;

fn run(context: &mut Context) -> Result<(), CaseError> {
    context.name_faults([KILLED_BEFORE_COMMIT, KILLED_AFTER_COMMIT, KILLED_AT_RANDOM, LOST_ANSWER]);
    let mut tally = Tally::default();
    let done = make_and_judge(context, &mut tally);
    tally.tell(context);
    done
}

fn make_and_judge(context: &mut Context, tally: &mut Tally) -> Result<(), CaseError> {
    let (mut troop, mut number) = (None::<Troop>, 0);
    while context.goes_on(number) {
        let mut rng = context.rng(number);
        if number % HISTORIES_OF_A_TROOP == 0 {
            if let Some(troop) = troop.take() {
                troop.dismiss()?;
            }
            // Every size comes in turn.
            let size = 2 + (number / HISTORIES_OF_A_TROOP) % 7;
            troop = Some(Troop::new(context, &format!("troop-{number}"), size)?);
        }
        let Some(troop) = &mut troop else { break };
        let plan = Plan::draw(&mut rng, number as u64 + 1, troop.size());
        let Made { history, killed, lost } = troop.make(&plan)?;
        context.fired(LOST_ANSWER, lost);
        if let Some(fault) = killed {
            context.fired(fault, 1);
        }
        let judged = tally.take(&history, killed.is_some());
        if judged.is_right() {
            tally.corrupt(&history, number, &mut rng);
        } else if tally.wrong <= WRONG_TOLD {
            let file = keep(context.folder(), &history)?;
            let told = judged.complaints.first().map_or("", |complaint| complaint);
            let again = format!("cargo run --release -p steadfast-chaos -- judge-history {file}");
            context.findings.notes.push(format!("history {}: {told}\n  judge it again: {again}", number + 1));
        }
        context.advance(judged.exhausted == 0);
        number += 1;
    }
    troop.map_or(Ok(()), Troop::dismiss)
}

/// Which history to judge.
#[derive(Debug, Clone, clap::Args)]
pub struct JudgeArgs {
    /// A file that the campaign has kept.
    file: PathBuf,
}

/// Judges a history that was kept, once more, and says what is wrong with it.
///
/// # Errors
/// That the file cannot be read, or that no order explains the history.
pub fn judge_again(args: &JudgeArgs) -> Result<(), CaseError> {
    let json = fs::read(&args.file).map_err(CaseError::io("reading a history"))?;
    let history: History = serde_json::from_slice(&json).map_err(CaseError::store("read a history"))?;
    let judged = judge::judge(&history);
    if judged.is_right() {
        Ok(())
    } else {
        Err(CaseError::store("have such a history")(judged.complaints.join("\n")))
    }
}

/// Keeps a history that could not be, for a look at leisure.
fn keep(folder: &Path, history: &History) -> Result<String, CaseError> {
    let path = folder.join(format!("history-{}.json", history.setting.history));
    let json = serde_json::to_vec(history).map_err(CaseError::store("write a history"))?;
    fs::write(&path, json).map_err(CaseError::io("keeping a history"))?;
    Ok(path.display().to_string())
}
