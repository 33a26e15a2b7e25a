//! `kill9_recovery`: real workers are killed with SIGKILL, at random instants and at chosen places, and others recover
//! from them. What was acknowledged is there, effects are counted outside, every step is accounted for.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::plan::{Plan, STEPS, plan};
use super::tally::Tally;
use super::trial::{self, Outcome, Terms};
use super::{DETAILS_MAX, SWEEP_PERIOD, TERM, recovery_max};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::scenarios::site::Site;

/// The case.
pub(in crate::scenarios) const CASE: Case = Case {
    id: "kill9_recovery",
    title: "Kill -9 Recovery",
    shows: "Workers killed with SIGKILL at any instant lose nothing that was acknowledged, and others finish their task.",
    needs: Needs::Processes,
    runs: Runs::of(5, 50),
    run,
};

/// How often a run is tried whose worker was done before it could be killed.
const TRIES_MAX: i32 = 20;
/// Folders of runs that went wrong which are kept.
const KEPT_MAX: usize = 5;

/// A campaign under way.
struct Campaign {
    folder: PathBuf,
    tally: Tally,
    pace: Duration,
    kept: usize,
}

fn run(context: &mut Context) -> Result<(), CaseError> {
    let folder = context.folder().to_owned();
    let mut campaign = Campaign { folder, tally: Tally::new(), pace: Duration::ZERO, kept: 0 };
    let done = campaign.run(context);
    context.findings.checks = campaign.tally.checks(recovery_max());
    context.findings.notes.extend(campaign.tally.faults.details(DETAILS_MAX));
    done
}

impl Campaign {
    fn run(&mut self, context: &mut Context) -> Result<(), CaseError> {
        // Undisturbed, to know how long it takes; and what holds after kills must hold without.
        let calm = Plan { kills: Vec::new(), damage: None, loses_cache: false };
        if let Outcome::Complete(took) = self.one(context, ("calm", 0), &calm)? {
            self.pace = took;
        }
        for run in 0..context.runs() {
            let mut rng = context.rng(run);
            let plan = plan(run, context.settings().is_quick(), &mut rng);
            self.tally.planned_hits.extend(plan.planned_hits());
            self.tally.damage_planned |= plan.damage.is_some();
            let done = self.tried(context, run, &plan);
            let is_complete = match done {
                Ok(Outcome::Complete(_)) => true,
                Ok(Outcome::Missed(_)) => {
                    context.findings.notes.push(format!("run {run}: no kill hit in {TRIES_MAX} tries"));
                    false
                }
                Err(error @ CaseError::TimedOut { .. }) => return Err(error),
                Err(error) => {
                    context.findings.notes.push(format!("run {run}: {error}"));
                    false
                }
            };
            context.advance(is_complete);
        }
        Ok(())
    }

    fn tried(&mut self, context: &Context, run: usize, plan: &Plan) -> Result<Outcome, CaseError> {
        for attempt in 0..TRIES_MAX {
            let name = if attempt == 0 { format!("run-{run}") } else { format!("run-{run}-{attempt}") };
            match self.one(context, (&name, attempt), plan)? {
                // It was quicker than the one that was measured before.
                Outcome::Missed(Some(took)) => self.pace = took,
                Outcome::Missed(None) => {}
                complete @ Outcome::Complete(_) => return Ok(complete),
            }
        }
        Ok(Outcome::Missed(None))
    }

    /// One run in a folder of its own, which stays when something went wrong.
    fn one(
        &mut self,
        context: &Context,
        (name, attempt): (&str, i32),
        plan: &Plan,
    ) -> Result<Outcome, CaseError> {
        let folder = self.folder.join(name);
        let planted = context.settings().planted;
        let before = self.tally.faults.count();
        let terms = Terms { name, pace: self.pace, attempt, deadline: context.deadline() };
        let done = Site::new(folder.clone(), STEPS, TERM, SWEEP_PERIOD, planted)
            .and_then(|site| trial::run(&site, plan, terms, &mut self.tally));
        let is_sound = done.is_ok() && self.tally.faults.count() == before;
        self.put_away(&folder, is_sound);
        done
    }

    fn put_away(&mut self, folder: &Path, is_sound: bool) {
        if !is_sound && self.kept < KEPT_MAX {
            self.kept += 1;
        } else {
            // What cannot be removed now goes with the folder of the case.
            drop(fs::remove_dir_all(folder));
        }
    }
}
