//! `sweep`: one pass over very many expired leases, with a checkpoint for each, against one bare UPDATE and one INSERT a
//! lease, of the same rows in the same tables and in transactions of the same size.

use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_recovery::{SweepOptions, Sweeper};
use steadfast_store::env::{Env, ManualClock};
use steadfast_store::{CheckpointPage, SqliteOptions, Store};
use tokio::runtime::Runtime;

use super::{Ground, in_time, median_ratio, ms, runtime, spread};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::perf::queue::Queue;
use crate::perf::same_rows::SameRows;
use crate::perf::stats::paired;
use crate::perf::subject::refused;
use crate::report::{Figure, Unit};

/// The case.
pub(super) const CASE: Case = Case {
    id: "sweep",
    title: "Recovery Sweep",
    shows: "A pass takes at most three times as long as bare updates and inserts of the same rows.",
    needs: Needs::File,
    runs: Runs::of(3, 5),
    run,
};

/// Of the bare rows, where it is promised.
const RATIO_MAX: f64 = 3.0;
const PROMISED_LEASES: usize = 100_000;
/// The reference's limit for a thousand.
const THOUSAND_MAX_MS: f64 = 10_000.0;
const SIZES_QUICK: [usize; 2] = [1_000, 10_000];
const SIZES_FULL: [usize; 3] = [1_000, PROMISED_LEASES, 1_000_000];
/// How long the leases last, on a clock that is moved by hand.
const TERM: Duration = Duration::from_mins(5);

fn run(context: &mut Context) -> Result<(), CaseError> {
    let runtime = runtime()?;
    let sizes: &[usize] = if context.settings().is_quick() { &SIZES_QUICK } else { &SIZES_FULL };
    context.plan(sizes.iter().map(|leases| pairs(context, *leases).get()).sum());
    for leases in sizes {
        measure(context, &runtime, *leases)?;
    }
    Ok(())
}

/// A million is swept once: it is reported.
fn pairs(context: &Context, leases: usize) -> std::num::NonZeroUsize {
    if leases > PROMISED_LEASES { std::num::NonZeroUsize::MIN } else { super::pairs(context) }
}

fn measure(context: &mut Context, runtime: &Runtime, leases: usize) -> Result<(), CaseError> {
    let ground = Ground::new(context)?;
    let deadline = context.deadline();
    let clock = Arc::new(ManualClock::new());
    let open = |name| {
        let mut options = SqliteOptions::new(ground.path(name));
        options.vfs.clone_from(&ground.vfs);
        runtime.block_on(async {
            let mut queue = Queue::open(options, Env::system().with_clock(clock.clone())).await?;
            queue.enqueue(leases, deadline).await?;
            // Not measured: it warms the log.
            pass(&queue, &clock, leases).await?;
            Ok::<_, CaseError>(queue)
        })
    };
    let (queue, floor) = (open("queue.db")?, open("floor.db")?);
    let payload = vec![b'x'; runtime.block_on(boundary_bytes(&queue))?];
    let page = SweepOptions::default().page as usize;
    runtime.block_on(floor.claim_all(TERM))?;
    let mut bare = SameRows::open(&ground.path("floor.db"), ground.seed)?;
    let mut is_leased = true;
    let rates = paired::<CaseError>(
        pairs(context, leases),
        || {
            context.advance(true);
            in_time(context, "the passes")?;
            runtime.block_on(pass(&queue, &clock, leases)).map(|took| took.as_secs_f64() * 1_000.0)
        },
        || {
            if !is_leased {
                runtime.block_on(floor.claim_all(TERM))?;
            }
            let began = Instant::now();
            bare.reclaim_all(page, &payload)?;
            is_leased = false;
            Ok(began.elapsed().as_secs_f64() * 1_000.0)
        },
    )?;
    drop(bare);
    runtime.block_on(async {
        queue.close().await;
        floor.close().await;
    });
    let name = format!("ratio_{leases}");
    let ratio = median_ratio(context, &name, &rates.ratio);
    context.check(if leases == PROMISED_LEASES { ratio.at_most(RATIO_MAX) } else { ratio.reported() });
    context.check(spread(&name, &rates.ratio).reported());
    let took = ms(format!("sweep_{leases}_ms"), rates.subject.median());
    context.check(if leases == 1_000 { took.at_most(THOUSAND_MAX_MS) } else { took.reported() });
    context.check(ms(format!("floor_{leases}_ms"), rates.base.median()).reported());
    #[allow(clippy::cast_precision_loss, reason = "at most a million leases")]
    let per_second = leases as f64 / (rates.subject.median() / 1_000.0);
    context.check(Figure::new(format!("leases_{leases}"), per_second, Unit::PerSecond).reported());
    Ok(())
}

/// One pass over all items, leased and expired before.
async fn pass(queue: &Queue, clock: &ManualClock, leases: usize) -> Result<Duration, CaseError> {
    let claimed = queue.claim_all(TERM).await?;
    clock.advance(TERM);
    let sweeper = Sweeper::new(queue.store().clone(), SweepOptions::default());
    let began = Instant::now();
    let stats = sweeper.run_once().await;
    let took = began.elapsed();
    let counts = [claimed as u64, stats.recovered, stats.checkpoints_created];
    if counts.iter().any(|count| *count != leases as u64) || stats.errors > 0 {
        return Err(refused("reclaim every lease")(format!("{claimed} leased: {stats:?}")));
    }
    Ok(took)
}

/// How long the payload is that a pass writes for each lease, for the bare rows to be as long.
async fn boundary_bytes(queue: &Queue) -> Result<usize, CaseError> {
    let page = CheckpointPage::NewestFirst { before: None, limit: 1 };
    let newest =
        queue.store().checkpoints(&Queue::task(0)?, page).await.map_err(refused("read a checkpoint"))?;
    let payload = newest.first().and_then(|checkpoint| checkpoint.payload.as_ref().ok());
    Ok(payload.map_or(0, |payload| payload.bytes().len()))
}
