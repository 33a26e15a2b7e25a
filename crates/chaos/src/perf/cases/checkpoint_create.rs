//! `checkpoint_create`: one durable checkpoint after the other, each side having every second turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::{Ground, in_time, latencies, mean, median_ratio, ms, pairs, runtime, spread};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::perf::closed::Sink;
use crate::perf::stats::{Paired, Samples};
use crate::perf::subject::Subject;
use crate::perf::table::Table;
use crate::perf::{Floor, FloorOptions, PAYLOAD_BYTES, TASKS, file};
use crate::report::{Figure, Unit};

/// The case.
pub(super) const CASE: Case = Case {
    id: "checkpoint_create",
    title: "Checkpoint Creation",
    shows: "A durable checkpoint takes at most 1.4 times as long as the same bytes in bare SQLite.",
    needs: Needs::File,
    runs: Runs::of(15, 31),
    run,
};

/// Of the floor's p50, pair by pair.
const P50_RATIO_MAX: f64 = 1.4;
/// The reference's limits.
const AVERAGE_MAX_MS: f64 = 10.0;
const P95_MAX_MS: f64 = 20.0;
/// Rows of each side in a pair.
const ROWS_QUICK: usize = 60;
const ROWS_FULL: usize = 300;

/// The two sides, and what each turn took.
struct Turns {
    subject: Arc<Subject>,
    floor: Floor,
    rng: fastrand::Rng,
    row: usize,
    took: Vec<Duration>,
    floor_took: Vec<Duration>,
    /// Pages that single rows added to the log.
    pages: Vec<f64>,
    floor_pages: Vec<f64>,
}

fn run(context: &mut Context) -> Result<(), CaseError> {
    let ground = Ground::new(context)?;
    let runtime = runtime()?;
    let mut turns = Turns::open(&ground, &runtime, context)?;
    let pairs = pairs(context).get();
    let rows = if context.settings().is_quick() { ROWS_QUICK } else { ROWS_FULL };
    context.plan(pairs);
    let (mut ratios, mut subjects, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..pairs {
        let (subject, floor) = turns.pair(&ground, &runtime, rows)?;
        ratios.push(subject / floor);
        subjects.push(subject);
        floors.push(floor);
        context.advance(true);
        in_time(context, "the pairs")?;
    }
    let outcome =
        Paired { ratio: Samples::new(ratios), subject: Samples::new(subjects), base: Samples::new(floors) };
    turns.report(context, &outcome);
    runtime.block_on(turns.subject.close());
    Ok(())
}

impl Turns {
    fn open(ground: &Ground, runtime: &Runtime, context: &Context) -> Result<Self, CaseError> {
        let mut options = FloorOptions::new(ground.path("floor.db"), ground.seed);
        options.vfs.clone_from(&ground.vfs);
        let mut floor = Floor::create(&options)?;
        floor.warm()?;
        let subject = runtime.block_on(async {
            let subject = ground.subject(TASKS).await?;
            subject.warm(context.deadline()).await.map(|()| subject)
        })?;
        let empty = Vec::new;
        Ok(Self {
            subject,
            floor,
            rng: context.rng(1),
            row: 0,
            took: Vec::new(),
            floor_took: Vec::new(),
            pages: empty(),
            floor_pages: empty(),
        })
    }

    /// One row of the one and one of the other, in alternating order; gives the p50 of both in milliseconds.
    fn pair(&mut self, ground: &Ground, runtime: &Runtime, rows: usize) -> Result<(f64, f64), CaseError> {
        let first = self.took.len();
        for turn in 0..rows {
            if turn % 2 == 0 {
                self.create(ground, runtime)?;
                self.create_on_floor()?;
            } else {
                self.create_on_floor()?;
                self.create(ground, runtime)?;
            }
        }
        let p50 = |took: &[Duration]| Samples::of_durations_ms(&took[first..]).median();
        Ok((p50(&self.took), p50(&self.floor_took)))
    }

    fn create(&mut self, ground: &Ground, runtime: &Runtime) -> Result<(), CaseError> {
        let payload = ground.pool.cut(&mut self.rng, PAYLOAD_BYTES);
        let pages = self.subject.store().log_pages();
        let took = runtime.block_on(async {
            let began = Instant::now();
            self.subject.put(self.row, payload).await.map(|()| began.elapsed())
        })?;
        grown(&mut self.pages, pages.into(), self.subject.store().log_pages().into());
        self.took.push(took);
        self.row += 1;
        Ok(())
    }

    fn create_on_floor(&mut self) -> Result<(), CaseError> {
        let pages = file::logged_pages(self.floor.connection())?;
        self.floor_took.push(self.floor.create_one()?);
        grown(&mut self.floor_pages, pages, file::logged_pages(self.floor.connection())?);
        Ok(())
    }

    fn report(&self, context: &mut Context, outcome: &Paired) {
        let name = "create_p50_ratio";
        let ratio = median_ratio(context, name, &outcome.ratio);
        context.check(ratio.at_most(P50_RATIO_MAX));
        context.check(spread(name, &outcome.ratio).reported());
        let took = Samples::of_durations_ms(&self.took);
        latencies(context, "create", &took, AVERAGE_MAX_MS, P95_MAX_MS);
        let floor_took = Samples::of_durations_ms(&self.floor_took);
        context.check(ms("floor_p50_ms", floor_took.median()).reported());
        context.check(ms("floor_p99_ms", floor_took.quantile(0.99)).reported());
        let pages = |name: &str, pages: &[f64]| {
            Figure::new(name, mean(&Samples::new(pages.to_vec())), Unit::Ratio).reported()
        };
        context.check(pages("log_pages_per_row", &self.pages));
        context.check(pages("floor_log_pages_per_row", &self.floor_pages));
    }
}

/// Notes by how much the log grew; one that has started over tells nothing.
#[allow(clippy::cast_precision_loss, reason = "a log has less than 2^32 pages")]
fn grown(pages: &mut Vec<f64>, before: u64, after: u64) {
    if after > before {
        pages.push((after - before) as f64);
    }
}
