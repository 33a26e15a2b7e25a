//! The campaign `conformance`: what every store must do, case by case on SQLite, each time under other seeds.

mod harness;

use std::collections::BTreeMap;

use steadfast_store::conformance::{CASES, run_case_seeded};
use tokio::task::JoinSet;

use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::report::Figure;

use harness::Sqlite;

/// The campaign.
pub(super) const CASE: Case = Case {
    id: "conformance",
    title: "Conformance of the Embedded Store",
    shows: "The embedded store passes every case of the public suite.",
    needs: Needs::Anything,
    runs: Runs::levels(1, 20, 200),
    run,
};

/// Cases that run at once.
const LANES: usize = 4;
/// So many lines of a failed case are told.
const LINES_TOLD: usize = 6;

fn run(context: &mut Context) -> Result<(), CaseError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build();
    runtime.map_err(CaseError::io("starting a runtime"))?.block_on(async {
        context.plan(context.runs() * CASES.len());
        let mut failed = BTreeMap::new();
        for run in 0..context.runs() {
            suite(context, run, &mut failed).await;
        }
        context.check(Figure::count("cases_of_the_suite", CASES.len()).reported());
        context.check(Figure::count("cases_failed", failed.len()).at_most(0.0));
        for (name, times) in failed {
            context.check(Figure::count(name, times).at_most(0.0));
        }
        Ok(())
    })
}

/// Every case, each under a seed of its own, some of them side by side: most of what they do is to wait for syncs.
async fn suite(context: &mut Context, run: usize, failed: &mut BTreeMap<&'static str, usize>) {
    let mut rng = context.rng(run);
    let mut cases = CASES.iter();
    let mut lanes = JoinSet::new();
    loop {
        while lanes.len() < LANES
            && let Some(case) = cases.next()
        {
            let (name, seed) = (case.name(), rng.u64(..));
            lanes.spawn(async move { (name, run_case_seeded(&Sqlite, name, seed).await) });
        }
        match lanes.join_next().await {
            None => return,
            Some(Ok((_, Ok(())))) => {}
            Some(Ok((name, Err(failure)))) => {
                *failed.entry(name).or_default() += 1;
                let told = failure.to_string();
                context.findings.notes.extend(told.lines().take(LINES_TOLD).map(str::to_owned));
            }
            // The suite catches the panics of its cases; this is one of its own.
            Some(Err(error)) => {
                *failed.entry("the_suite_itself").or_default() += 1;
                context.findings.notes.push(error.to_string());
            }
        }
        context.advance(true);
    }
}
