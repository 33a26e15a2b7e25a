//! Power loss: the store works on a device in memory that notes each operation, and the power is cut behind each of
//! them. The images that the cut could leave are built, opened, and held against what had been acknowledged by then.
//!
//! What is checked of every image: SQLite can read it, `integrity_check` and `foreign_key_check` have nothing to say,
//! the chains of all tasks give their links, digests and numbers when they are computed again, and the whole content is
//! that of the store after some commit: not before the newest durable acknowledgement (invariants 1, 6, 8, 23), not of a
//! batch that was answered to have failed (2), not half of anything, the schema included (7). One image in ten is
//! recovered by the store itself, which must recognise an acknowledged batch and go on, and is cut again meanwhile.
//!
//! *Simulated*: what a device may do is written down in `storage.rs` and `fault.rs`; no disk loses its power here.
//! SQLite draws the salts of its log by itself, so two runs of a seed differ in those bytes and in nothing else.

mod bench;
mod boundary;
mod campaign;
mod deed;
mod fact;
mod fault;
mod judge;
mod look;
mod mirror;
mod script;
mod session;
mod sql;
mod storage;
mod tally;
#[cfg(test)]
mod tests;
mod trace;

use std::sync::mpsc;
use std::time::Instant;
use std::{io, thread};

use steadfast_store::OpenError;

use self::bench::Bench;
use self::campaign::{IMAGES_OF_SCRIPT, Ran, Variant};
use self::tally::Tally;
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::memory_vfs::SyncRule;

/// The campaign.
pub(super) const CASE: Case = Case {
    id: "powerloss",
    title: "Simulated Power Loss",
    shows: "What was acknowledged as durable is there after a power cut at any write, sync, cut or removal of a file, \
            whatever had not been synced; with fewer syncs it is not.",
    needs: Needs::File,
    runs: Runs::levels(10_000, 200_000, 2_000_000),
    run,
};

/// Threads that cut; each has its own devices.
const THREADS: u8 = 2;
/// Scripts whose images are made for each control.
const CONTROL_SCRIPTS: usize = 2;

/// What kept a script or an image from being carried out.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the store did not open: {0}")]
    Open(OpenError),
    #[error("{0}")]
    Sql(#[from] rusqlite::Error),
    #[error("the files beside the device: {0}")]
    Io(#[from] io::Error),
    #[error("the simulation: {0}")]
    Mirror(String),
}

impl From<Trouble> for CaseError {
    fn from(trouble: Trouble) -> Self {
        Self::Process { process: "a script".to_owned(), what: trouble.to_string() }
    }
}

/// A script to be run.
struct Job {
    script: usize,
    variant: Variant,
    rng: fastrand::Rng,
    images: usize,
}

fn run(context: &mut Context) -> Result<(), CaseError> {
    Tally::name_faults(context);
    let normal = controlled(context, SyncRule::NoLog, "normal")?;
    let off = controlled(context, SyncRule::Nothing, "off")?;
    let began = Instant::now();
    let tally = cut_all(context)?;
    tally.report(context, began.elapsed().as_secs_f64() * f64::from(THREADS));
    tally::report_controls(context, &normal, &off);
    Ok(())
}

/// A device that leaves out syncs must lose what was acknowledged, or the campaign could not have noticed.
fn controlled(context: &Context, rule: SyncRule, name: &str) -> Result<Tally, CaseError> {
    let mut bench = Bench::new(context.folder())?;
    let mut tally = Tally::new(name);
    for script in 0..CONTROL_SCRIPTS {
        let variant = Variant { is_new: false, garbles: None, fails: false, rule };
        let rng = context.rng(usize::MAX - script);
        tally.add(script, campaign::run(&mut bench, variant, rng, IMAGES_OF_SCRIPT)?);
    }
    Ok(tally)
}

/// Runs script after script on several threads until there are enough images.
fn cut_all(context: &mut Context) -> Result<Tally, CaseError> {
    let (jobs, to_do) = crossed();
    let (done, results) = mpsc::channel();
    let mut tally = Tally::new("powerloss");
    let folder = context.folder().to_owned();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let (to_do, done, folder) = (&to_do, done.clone(), &folder);
            scope.spawn(move || work(folder, to_do, &done));
        }
        drop(done);
        let fed = feed(context, &jobs, &results, &mut tally);
        // Nobody waits for more.
        drop(jobs);
        fed
    })?;
    Ok(tally)
}

/// Jobs that several threads take from.
type Jobs = std::sync::Mutex<mpsc::Receiver<Job>>;
type Results = mpsc::Sender<(usize, Result<Ran, Trouble>)>;

fn crossed() -> (mpsc::Sender<Job>, Jobs) {
    let (send, receive) = mpsc::channel();
    (send, std::sync::Mutex::new(receive))
}

fn work(folder: &std::path::Path, jobs: &Jobs, done: &Results) {
    let mut bench = Bench::new(folder);
    loop {
        let job = jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
        let Ok(Job { script, variant, rng, images }) = job else { return };
        let ran = match &mut bench {
            Ok(bench) => campaign::run(bench, variant, rng, images),
            Err(trouble) => Err(Trouble::Mirror(trouble.to_string())),
        };
        if done.send((script, ran)).is_err() {
            return;
        }
    }
}

/// Hands out scripts, a few ahead, and takes in what came of them.
fn feed(
    context: &mut Context,
    jobs: &mpsc::Sender<Job>,
    results: &mpsc::Receiver<(usize, Result<Ran, Trouble>)>,
    tally: &mut Tally,
) -> Result<(), CaseError> {
    let (mut script, mut planned, mut open) = (0, 0, 0);
    loop {
        while open < 2 * usize::from(THREADS) && context.goes_on(planned) {
            let images = match context.settings().budget {
                Some(_) => IMAGES_OF_SCRIPT,
                None => IMAGES_OF_SCRIPT.min(context.runs() - planned),
            };
            let job = Job { script, variant: Variant::of(script), rng: context.rng(script), images };
            if jobs.send(job).is_err() {
                break;
            }
            (script, planned, open) = (script + 1, planned + images, open + 1);
            if context.settings().budget.is_some() {
                context.plan(planned);
            }
        }
        if open == 0 {
            return Ok(());
        }
        let (script, ran) = results
            .recv_timeout(context.deadline().left())
            .map_err(|_| CaseError::TimedOut { what: "the images of a script".to_owned() })?;
        open -= 1;
        let ran = ran.map_err(|trouble| CaseError::Process {
            process: format!("script {script}"),
            what: trouble.to_string(),
        })?;
        for _ in &ran.images {
            context.advance(true);
        }
        tally.add(script, ran);
    }
}
