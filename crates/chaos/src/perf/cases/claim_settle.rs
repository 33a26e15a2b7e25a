//! `claim_settle`: workers that claim one item after the other and settle it, against a bare queue that commits in
//! groups; and the longest that anybody waits, in one process and among ten.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_leases::{LeaseManager, LeaseOptions};
use steadfast_store::env::Env;
use steadfast_store::{HolderId, Settle, SqliteOptions};
use tokio::runtime::Runtime;

use super::{Ground, in_time, median_ratio, ms, pairs, runtime, spread};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::crew::WorkReport;
use crate::crew::field::Field;
use crate::perf::queue::{BareQueue, BareQueueFile, Desk, Queue};
use crate::perf::stats::{Samples, paired};
use crate::perf::subject::refused;
use crate::report::{Figure, Unit};

/// The case.
pub(super) const CASE: Case = Case {
    id: "claim_settle",
    title: "Claim And Settle",
    shows: "Twenty workers get at least half as many items done as a bare queue, and nobody waits long.",
    needs: Needs::File,
    runs: Runs::of(7, 15),
    run,
};

/// Of a bare pair, at the number of workers where it is promised.
const RATIO_MIN: f64 = 0.5;
const PROMISED_WORKERS: usize = 20;
/// The longest wait, in one process and with ten.
const STALL_MAX_MS: f64 = 50.0;
const STALL_TEN_MAX_MS: f64 = 250.0;
/// Workers, and items of one run.
const LOADS: [(usize, usize); 4] = [(1, 500), (8, 2_000), (PROMISED_WORKERS, 4_000), (100, 8_000)];
const QUICK_DIVISOR: usize = 5;
/// Processes, workers of each, and items for all of them.
const MEMBERS: usize = 10;
const WORKERS_OF_MEMBER: usize = 2;
const SHARED_QUICK: usize = 1_000;
const SHARED_FULL: usize = 5_000;

/// One side: claims an item, settles it, and says how long the longer of the two took; `None` when there is none.
trait Line: Send + Sync + 'static {
    fn pair(&self) -> impl Future<Output = Result<Option<Duration>, CaseError>> + Send;
}

impl Line for LeaseManager {
    async fn pair(&self) -> Result<Option<Duration>, CaseError> {
        let began = Instant::now();
        let Some(lease) = self.claim().await.map_err(refused("claim"))? else { return Ok(None) };
        let claim = began.elapsed();
        let began = Instant::now();
        lease.finish(Settle::Succeeded).await.map_err(refused("settle"))?;
        Ok(Some(claim.max(began.elapsed())))
    }
}

struct BareLine {
    desk: Desk,
    holder: String,
}

impl Line for BareLine {
    async fn pair(&self) -> Result<Option<Duration>, CaseError> {
        let began = Instant::now();
        let Some(ticket) = self.desk.claim(&self.holder).await? else { return Ok(None) };
        let claim = began.elapsed();
        let began = Instant::now();
        if !self.desk.settle(ticket).await? {
            return Err(refused("settle")("the ticket of the bare queue was stale"));
        }
        Ok(Some(claim.max(began.elapsed())))
    }
}

/// What one run gave.
struct Drive {
    items_per_second: f64,
    longest: Duration,
}

/// Lets all workers work until nothing is left.
#[allow(clippy::cast_precision_loss, reason = "some thousand items")]
async fn drive(workers: Vec<impl Line>, items: usize) -> Result<Drive, CaseError> {
    let began = Instant::now();
    let work = |worker: Arc<_>| async move {
        let (mut done, mut longest) = (0, Duration::ZERO);
        while let Some(took) = Line::pair(&*worker).await? {
            (done, longest) = (done + 1, longest.max(took));
        }
        Ok::<_, CaseError>((done, longest))
    };
    let running: Vec<_> = workers.into_iter().map(|worker| tokio::spawn(work(Arc::new(worker)))).collect();
    let (mut done, mut longest) = (0, Duration::ZERO);
    for worker in running {
        let worker = worker.await.map_err(|broken| CaseError::broken("a worker", &broken))??;
        (done, longest) = (done + worker.0, longest.max(worker.1));
    }
    if done != items {
        return Err(refused("give out every item")(format!("{done} of {items} were done")));
    }
    Ok(Drive { items_per_second: items as f64 / began.elapsed().as_secs_f64(), longest })
}

fn run(context: &mut Context) -> Result<(), CaseError> {
    let runtime = runtime()?;
    let divisor = if context.settings().is_quick() { QUICK_DIVISOR } else { 1 };
    context.plan(LOADS.len() * pairs(context).get());
    let (mut stalls, mut bare_stalls) = (Vec::new(), Vec::new());
    for (workers, items) in LOADS {
        measure(context, &runtime, workers, items / divisor, &mut stalls, &mut bare_stalls)?;
    }
    // As for `group_commit`: the median over the pairs of the longest wait, since a shared machine stalls either side
    // now and then.
    let (stalls, bare_stalls) = (Samples::new(stalls), Samples::new(bare_stalls));
    context.check(ms("longest_stall_ms", stalls.median()).at_most(STALL_MAX_MS));
    context.check(ms("longest_stall_worst_ms", stalls.max()).reported());
    context.check(ms("floor_longest_stall_ms", bare_stalls.median()).reported());
    context.check(ms("floor_longest_stall_worst_ms", bare_stalls.max()).reported());
    among_processes(context)
}

fn measure(
    context: &mut Context,
    runtime: &Runtime,
    workers: usize,
    items: usize,
    stalls: &mut Vec<f64>,
    bare_stalls: &mut Vec<f64>,
) -> Result<(), CaseError> {
    let ground = Ground::new(context)?;
    let deadline = context.deadline();
    let mut options = SqliteOptions::new(ground.path("queue.db"));
    options.vfs.clone_from(&ground.vfs);
    let mut queue = runtime.block_on(Queue::open(options, Env::system()))?;
    let mut bare = Some(BareQueueFile::create(ground.path("floor.db"), ground.vfs.clone())?);
    let is_judged = workers >= 8;
    let rates = paired::<CaseError>(
        pairs(context),
        || {
            context.advance(true);
            in_time(context, "the pairs")?;
            runtime.block_on(async {
                queue.enqueue(items, deadline).await?;
                let drive = drive(managers(&queue, workers)?, items).await?;
                if is_judged {
                    stalls.push(drive.longest.as_secs_f64() * 1_000.0);
                }
                Ok(drive.items_per_second)
            })
        },
        || {
            let mut file = bare.take().ok_or_else(|| refused("go on")("the bare queue has ended"))?;
            file.enqueue(items)?;
            let serving = BareQueue::start(file)?;
            let line = |worker| BareLine { desk: serving.desk(), holder: holder(worker) };
            let drive = runtime.block_on(drive((0..workers).map(line).collect(), items))?;
            if is_judged {
                bare_stalls.push(drive.longest.as_secs_f64() * 1_000.0);
            }
            bare = Some(serving.stop()?);
            Ok(drive.items_per_second)
        },
    )?;
    runtime.block_on(queue.close());
    let name = format!("ratio_{workers}");
    let ratio = median_ratio(context, &name, &rates.ratio);
    context.check(if workers == PROMISED_WORKERS { ratio.at_least(RATIO_MIN) } else { ratio.reported() });
    context.check(spread(&name, &rates.ratio).reported());
    for (side, rates) in [("", &rates.subject), ("floor_", &rates.base)] {
        let name = format!("{side}items_{workers}");
        context.check(Figure::new(name, rates.median(), Unit::PerSecond).reported());
    }
    Ok(())
}

fn holder(worker: usize) -> String {
    format!("worker-{worker}")
}

fn managers(queue: &Queue, workers: usize) -> Result<Vec<LeaseManager>, CaseError> {
    let manager = |worker| {
        let holder = HolderId::new(holder(worker)).map_err(refused("take a name"))?;
        LeaseManager::new(queue.store().clone(), LeaseOptions::new(holder)).map_err(refused("take a term"))
    };
    (0..workers).map(manager).collect()
}

/// Ten processes on one file: fairness between them is what their longest wait tells.
#[allow(clippy::cast_precision_loss, reason = "some thousand items")]
fn among_processes(context: &mut Context) -> Result<(), CaseError> {
    let items = if context.settings().is_quick() { SHARED_QUICK } else { SHARED_FULL };
    let field = Field::new(context, "processes")?;
    field.submit(&["shared".to_owned()], items)?;
    let hands = field.start_together((0..MEMBERS).map(|member| {
        let log = field.path("work.log").display().to_string();
        let options: Vec<(&str, Box<dyn Display>)> =
            vec![("workers", Box::new(WORKERS_OF_MEMBER)), ("item-us", Box::new(0)), ("log", Box::new(log))];
        (format!("member-{member}"), "work", options)
    }))?;
    let (mut longest, mut done, mut spans) = (Vec::new(), Vec::new(), Vec::new());
    for hand in hands {
        let report: WorkReport = hand.report()?;
        longest.push(report.longest_ms);
        spans.push(report.span_ms);
        done.push(report.done.iter().sum::<usize>());
    }
    let all: usize = done.iter().sum();
    let rate = all as f64 / Samples::new(spans).max() * 1_000.0;
    context.check(Figure::count("items_of_ten_processes", all).at_least(items as f64));
    context.check(Figure::new("items_10_processes", rate, Unit::PerSecond).reported());
    context.check(ms("longest_stall_10_processes_ms", Samples::new(longest).max()).at_most(STALL_TEN_MAX_MS));
    Ok(())
}
