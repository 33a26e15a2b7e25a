//! The campaign `simulate`: several workers, sweepers, heartbeats, caches and ledgers, the office that hands in their
//! work and the store that they share, in one thread on a virtual clock. Everything that happens is drawn from one
//! seed: what is paused, killed, slowed, lost, delayed and overtaken; and so the same seed is the same run, byte for
//! byte.
//!
//! Run `k` of `--seed N` simulates seed `N + k`. So one seed is run again by `--seed N --runs 1`, and a later start goes
//! on where an earlier one ended by naming the seed after its last one, which the report tells.

mod backend;
mod errand;
mod executor;
mod link;
mod machine;
mod office;
mod oracle;
mod plan;
mod planted;
mod server;
mod shrink;
mod tally;
#[cfg(test)]
mod tests;
mod trial;
mod worker;
mod world;

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use self::tally::Tally;
use self::trial::{Trial, trial};
use crate::case::{Case, CaseError, Context, Needs, Runs};

/// See the module.
pub(super) const CAMPAIGN: Case = Case {
    id: "simulate",
    title: "Deterministic Simulation",
    shows: "Whatever is paused, killed, slowed, lost, delayed, overtaken or told a wrong time: no lease, effect, outcome or row goes wrong, and once all has healed everything finishes.",
    needs: Needs::Anything,
    runs: Runs::levels(1_000, 30_000, 300_000),
    run,
};

/// A campaign that fails so often has told enough.
const FAILURES_MAX: usize = 5;
/// Files in memory, where syncing costs nothing: what a sync is worth is another campaign's subject.
const MEMORY_FOLDER: &str = "/dev/shm";

fn run(context: &mut Context) -> Result<(), CaseError> {
    let folder = fast_folder(context.folder())?;
    let began = Instant::now();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut tally = Tally::begin(context);
    let done = thread::scope(|scope| {
        let (seeds, next_seeds) = sync_channel::<u64>(1);
        let (results, told) = channel();
        let next_seeds = Arc::new(Mutex::new(next_seeds));
        for _ in 0..threads {
            let (seeds, results, folder) = (Arc::clone(&next_seeds), results.clone(), folder.path());
            scope.spawn(move || work(&seeds, &results, folder));
        }
        drop((results, next_seeds));
        hand_out(context, &mut tally, seeds, &told)
    });
    tally.report(context, began.elapsed(), threads);
    done
}

/// Gives out seeds until the campaign has had its runs or its time, and collects what came of them.
fn hand_out(
    context: &mut Context,
    tally: &mut Tally,
    seeds: SyncSender<u64>,
    told: &Receiver<Result<Trial, String>>,
) -> Result<(), CaseError> {
    let first = context.settings().seed;
    let mut next = 0;
    while tally.failures() < FAILURES_MAX && context.goes_on(next) {
        if context.deadline().left().is_zero() {
            return Err(CaseError::TimedOut { what: format!("seed {}", first + next as u64) });
        }
        if seeds.send(first.wrapping_add(next as u64)).is_err() {
            break;
        }
        next += 1;
        for told in told.try_iter() {
            tally.add(context, told);
        }
    }
    drop(seeds);
    for told in told {
        tally.add(context, told);
    }
    Ok(())
}

/// Runs seeds until there are no more.
fn work(
    seeds: &Mutex<Receiver<u64>>,
    results: &std::sync::mpsc::Sender<Result<Trial, String>>,
    folder: &Path,
) {
    loop {
        let next = seeds.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(seed) = next else { return };
        if results.send(trial(seed, folder)).is_err() {
            return;
        }
    }
}

/// A folder for the databases of runs on SQLite.
fn fast_folder(own: &Path) -> Result<tempfile::TempDir, CaseError> {
    let make = |parent| tempfile::Builder::new().prefix("steadfast-simulate-").tempdir_in(parent);
    make(Path::new(MEMORY_FOLDER)).or_else(|_| make(own)).map_err(CaseError::io("a folder for databases"))
}
