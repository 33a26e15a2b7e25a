//! The campaign `components`: what the components and the file promise and no case of the suite can see, since it is seen
//! from another process, past the store, or in what a wrapped store answers.

mod calls;
mod file;
mod sql;
mod visit;

use std::path::Path;
use std::sync::Arc;

use steadfast_store::env::Env;
use steadfast_store::{Label, SqliteOptions, SqliteStore, TaskId};

use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::report::{Check, Figure};

pub use visit::VisitArgs;

/// The campaign.
pub(super) const CASE: Case = Case {
    id: "components",
    title: "Promises of Components and File",
    shows: "Answers, intents and bytes are what the components promise, seen from outside.",
    needs: Needs::Anything,
    runs: Runs::levels(2, 50, 500),
    run,
};

/// The task of every probe.
const TASK: &str = "probe";
/// Probes of a run.
const PROBES: usize = 6;

fn run(context: &mut Context) -> Result<(), CaseError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build();
    runtime.map_err(CaseError::io("starting a runtime"))?.block_on(async {
        context.plan(context.runs() * PROBES);
        let mut broken = 0;
        let mut figures = Figures::default();
        for run in 0..context.runs() {
            broken += probes(context, run, &mut figures).await?;
        }
        for (name, count) in figures.0 {
            context.check(none(name, count));
        }
        context.check(none("probes_broken_off", broken));
        Ok(())
    })
}

/// What no probe may ever see.
fn none(name: &str, count: usize) -> Check {
    Figure::count(name, count).at_most(0.0)
}

/// What the probes of all runs saw, by name, in the order in which they first told it.
#[derive(Debug, Default)]
struct Figures(Vec<(&'static str, usize)>);

impl Figures {
    fn add(&mut self, name: &'static str, count: usize) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += count,
            None => self.0.push((name, count)),
        }
    }
}

/// Every probe, whatever becomes of the others; how many of them could not be carried out.
async fn probes(context: &mut Context, run: usize, figures: &mut Figures) -> Result<usize, CaseError> {
    let folder = context.folder().join(format!("probes-{run}"));
    std::fs::create_dir(&folder).map_err(CaseError::io("making a folder"))?;
    let done = [
        calls::model_keys(figures, &folder).await,
        calls::intents(figures, &folder).await,
        calls::unknown_answers(figures, &folder).await,
        file::damaged_bytes(figures, &folder).await,
        file::synced_answers(figures, &folder, run).await,
        file::other_processes(figures, &folder, context.deadline()).await,
    ];
    let mut broken = 0;
    for done in done {
        context.advance(done.is_ok());
        if let Err(error) = done {
            broken += 1;
            context.findings.notes.push(format!("a probe broke off: {error}"));
        }
    }
    Ok(broken)
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
