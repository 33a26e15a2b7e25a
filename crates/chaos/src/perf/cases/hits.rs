//! What `llm_lookup` and `tool_replay` have in common: hits through the component that answers them, each beside a bare
//! select of a value of the same size, with the same request brought into one form and digested. In memory there is
//! nothing to select from, and the reference's limits alone hold.

use std::time::{Duration, Instant};

use serde_json::Value;
use steadfast_store::Digest;
use tokio::runtime::Runtime;

use super::{Ground, in_time, latencies, median_ratio, pairs, spread};
use crate::case::{Backend, CaseError, Context};
use crate::perf::stats::Samples;
use crate::perf::{Floor, FloorOptions};
use crate::report::{Check, Figure, Unit};

/// Of the floor's p50, pair by pair.
const P50_RATIO_MAX: f64 = 3.0;
/// The reference's limits.
const AVERAGE_MAX_MS: f64 = 5.0;
const P95_MAX_MS: f64 = 10.0;
/// Values that are there.
pub(super) const VALUES: usize = 10_000;
/// Look-ups of each side in a pair.
const LOOKUPS_QUICK: usize = 500;
const LOOKUPS_FULL: usize = 2_000;

/// What answers.
pub(super) trait Hits {
    /// Asks for the value of that number, which is there.
    async fn hit(&self, index: usize) -> Result<(), CaseError>;
    /// The same request as the floor digests it.
    fn request(&self, index: usize) -> Value;
}

/// The hits, beside the floor where there is a file; their figures begin with `name`.
pub(super) fn measure(
    context: &mut Context,
    ground: &Ground,
    runtime: &Runtime,
    hits: &impl Hits,
    name: &str,
) -> Result<(), CaseError> {
    match ground.backend {
        Backend::Sqlite => beside_the_floor(context, ground, runtime, hits, name),
        Backend::Memory => alone(context, runtime, hits, name),
    }
}

/// As many hits as there would be beside the floor.
fn alone(context: &mut Context, runtime: &Runtime, hits: &impl Hits, name: &str) -> Result<(), CaseError> {
    let turns = pairs(context).get();
    context.plan(turns);
    let lookups = lookups(context);
    let mut rng = context.rng(1);
    let mut took = Vec::new();
    for _ in 0..turns {
        for _ in 0..lookups {
            took.push(runtime.block_on(of_ours(hits, rng.usize(..VALUES)))?);
        }
        context.advance(true);
        in_time(context, "the look-ups")?;
    }
    tell(context, name, &Samples::of_durations_ms(&took));
    Ok(())
}

fn lookups(context: &Context) -> usize {
    if context.settings().is_quick() { LOOKUPS_QUICK } else { LOOKUPS_FULL }
}

/// The latencies, within the reference's limits.
fn tell(context: &mut Context, name: &str, took: &Samples) {
    context.check(p50_us(format!("{name}_p50_us"), took));
    latencies(context, name, took, AVERAGE_MAX_MS, P95_MAX_MS);
}

fn p50_us(name: impl Into<String>, took: &Samples) -> Check {
    Figure::new(name, took.median() * 1_000.0, Unit::Us).reported()
}

/// Both sides in turns.
fn beside_the_floor(
    context: &mut Context,
    ground: &Ground,
    runtime: &Runtime,
    hits: &impl Hits,
    name: &str,
) -> Result<(), CaseError> {
    let mut options = FloorOptions::new(ground.path("floor.db"), ground.seed);
    options.vfs.clone_from(&ground.vfs);
    options.values = VALUES;
    let floor = Floor::create(&options)?;
    let pairs = pairs(context).get();
    context.plan(pairs);
    let lookups = lookups(context);
    let mut rng = context.rng(1);
    let (mut ratios, mut took, mut floor_took) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..pairs {
        let (ours, floors) = runtime.block_on(pair(hits, &floor, &mut rng, lookups))?;
        let p50 = |took: &[Duration]| Samples::of_durations_ms(took).median();
        ratios.push(p50(&ours) / p50(&floors));
        took.extend(ours);
        floor_took.extend(floors);
        context.advance(true);
        in_time(context, "the pairs")?;
    }
    let (ratio_name, ratio) = (format!("{name}_p50_ratio"), Samples::new(ratios));
    let median = median_ratio(context, &ratio_name, &ratio);
    context.check(median.at_most(P50_RATIO_MAX));
    context.check(spread(&ratio_name, &ratio).reported());
    let (took, floor_took) = (Samples::of_durations_ms(&took), Samples::of_durations_ms(&floor_took));
    tell(context, name, &took);
    context.check(p50_us("floor_p50_us", &floor_took));
    Ok(())
}

/// One look-up of the one and one of the other, in alternating order, of one number for both.
async fn pair(
    hits: &impl Hits,
    floor: &Floor,
    rng: &mut fastrand::Rng,
    lookups: usize,
) -> Result<(Vec<Duration>, Vec<Duration>), CaseError> {
    let (mut took, mut floor_took) = (Vec::with_capacity(lookups), Vec::with_capacity(lookups));
    for turn in 0..lookups {
        let index = rng.usize(..VALUES);
        if turn % 2 == 0 {
            took.push(of_ours(hits, index).await?);
            floor_took.push(of_floor(hits, floor, index)?);
        } else {
            floor_took.push(of_floor(hits, floor, index)?);
            took.push(of_ours(hits, index).await?);
        }
    }
    Ok((took, floor_took))
}

async fn of_ours(hits: &impl Hits, index: usize) -> Result<Duration, CaseError> {
    let began = Instant::now();
    hits.hit(index).await?;
    Ok(began.elapsed())
}

/// The request as JSON with its fields in order, digested, and the select.
fn of_floor(hits: &impl Hits, floor: &Floor, index: usize) -> Result<Duration, CaseError> {
    let request = hits.request(index);
    let began = Instant::now();
    let canonical = serde_json::to_vec(&request).map_err(CaseError::store("take a request"))?;
    std::hint::black_box(Digest::of(&canonical));
    floor.point_select(index)?;
    Ok(began.elapsed())
}
