//! The campaign `conformance`: what every store must do, case by case on SQLite, and beside it what the components and
//! the file promise that no case of the suite can see: from another process, past the store, or in what a wrapped store
//! answers.

mod components;
mod file;
mod harness;
mod sql;
mod unsure;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use steadfast_store::conformance::{CASES, run_case_seeded};
use steadfast_store::env::Env;
use steadfast_store::{Label, SqliteOptions, SqliteStore, TaskId};

use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::report::Figure;

use harness::Sqlite;

/// The campaign.
pub(super) const CASE: Case = Case {
    id: "conformance",
    title: "Conformance of the Embedded Store",
    shows: "The embedded store passes every case of the suite, and answers, intents and bytes are what the components promise.",
    needs: Needs::Anything,
    runs: Runs::levels(1, 20, 200),
    run,
};

/// The task of every probe.
const TASK: &str = "probe";
/// Probes beside the suite.
const PROBES: usize = 6;
/// So many lines of a failed case are told.
const LINES_TOLD: usize = 6;

fn run(context: &mut Context) -> Result<(), CaseError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build();
    runtime.map_err(CaseError::io("starting a runtime"))?.block_on(async {
        context.plan(context.runs() * (CASES.len() + PROBES));
        let mut failed = BTreeMap::new();
        for run in 0..context.runs() {
            suite(context, run, &mut failed).await;
            probes(context, run).await?;
        }
        context.check(Figure::count("cases_of_the_suite", CASES.len()).reported());
        context.check(Figure::count("cases_failed", failed.len()).at_most(0.0));
        for (name, times) in failed {
            context.check(Figure::count(name, times).at_most(0.0));
        }
        Ok(())
    })
}

/// Every case, each under a seed of its own.
async fn suite(context: &mut Context, run: usize, failed: &mut BTreeMap<&'static str, usize>) {
    let mut rng = context.rng(run);
    for case in CASES {
        let seed = rng.u64(..);
        if let Err(failure) = run_case_seeded(&Sqlite, case.name(), seed).await {
            *failed.entry(case.name()).or_default() += 1;
            let told = failure.to_string();
            context.findings.notes.extend(told.lines().take(LINES_TOLD).map(str::to_owned));
        }
        context.advance(true);
    }
}

async fn probes(context: &mut Context, run: usize) -> Result<(), CaseError> {
    let folder = context.folder().join(format!("probes-{run}"));
    std::fs::create_dir(&folder).map_err(CaseError::io("making a folder"))?;
    components::model_keys(context, &folder).await?;
    components::intents(context, &folder).await?;
    components::unknown_answers(context, &folder).await?;
    file::damaged_bytes(context, &folder).await?;
    file::synced_answers(context, &folder, run).await?;
    file::other_processes(context, &folder).await?;
    for _ in 0..PROBES {
        context.advance(true);
    }
    Ok(())
}

/// A store in a file of its own.
async fn store(options: SqliteOptions) -> Result<Arc<SqliteStore>, CaseError> {
    Ok(Arc::new(SqliteStore::open(options, Env::system()).await.map_err(CaseError::store("open"))?))
}

fn options(folder: &Path, name: &str) -> SqliteOptions {
    SqliteOptions::new(folder.join(format!("{name}.db")))
}

fn task() -> Result<TaskId, CaseError> {
    TaskId::new(TASK).map_err(CaseError::store("take a name"))
}

fn kind() -> Result<Label, CaseError> {
    Label::new(TASK).map_err(CaseError::store("take a name"))
}
