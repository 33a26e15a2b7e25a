//! `llm_lookup`: finding a finished operation by its key, as each hit of a model cache does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_store::{
    Abandonment, Batch, BeginOperation, Digest, FinishOperation, OperationEnd, OperationKey, OperationToken,
    Payload, Store, Term,
};
use tokio::runtime::Runtime;

use super::{Ground, in_time, latencies, median_ratio, pairs, runtime, spread};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::perf::stats::Samples;
use crate::perf::subject::{Subject, commit, refused};
use crate::perf::{Floor, FloorOptions, VALUE_BYTES};
use crate::report::{Figure, Unit};

/// The case.
pub(super) const CASE: Case = Case {
    id: "llm_lookup",
    title: "LLM Cache Lookup",
    shows: "A hit takes at most three times as long as a bare point select with the same digest and copy.",
    needs: Needs::File,
    runs: Runs { quick: 15, full: 31 },
    run,
};

/// Of the floor's p50, pair by pair.
const P50_RATIO_MAX: f64 = 3.0;
/// The reference's limits.
const AVERAGE_MAX_MS: f64 = 5.0;
const P95_MAX_MS: f64 = 10.0;
/// Values that are there.
const VALUES: usize = 10_000;
/// Operations in a batch when the file is filled.
const FILLING_BATCH: usize = 250;
/// Lookups of each side in a pair.
const LOOKUPS_QUICK: usize = 500;
const LOOKUPS_FULL: usize = 2_000;

fn run(context: &mut Context) -> Result<(), CaseError> {
    let ground = Ground::new(context)?;
    let runtime = runtime()?;
    let mut options = FloorOptions::new(ground.path("floor.db"), ground.seed);
    options.vfs.clone_from(&ground.vfs);
    options.values = VALUES;
    let floor = Floor::create(&options)?;
    let (subject, keys) = runtime.block_on(filled(&ground, context))?;
    let pairs = pairs(context).get();
    context.plan(pairs);
    let lookups = if context.settings().quick { LOOKUPS_QUICK } else { LOOKUPS_FULL };
    let mut rng = context.rng(1);
    let (mut ratios, mut took, mut floor_took) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..pairs {
        let (ours, floors) = pair(&runtime, &subject, &floor, &keys, &mut rng, lookups)?;
        let p50 = |took: &[Duration]| Samples::of_durations_ms(took).median();
        ratios.push(p50(&ours) / p50(&floors));
        took.extend(ours);
        floor_took.extend(floors);
        context.advance(true);
        in_time(context, "the pairs")?;
    }
    runtime.block_on(subject.close());
    let (name, ratio) = ("hit_p50_ratio", Samples::new(ratios));
    let median = median_ratio(context, name, &ratio);
    context.check(median.at_most(P50_RATIO_MAX));
    context.check(spread(name, &ratio).reported());
    let took = Samples::of_durations_ms(&took);
    let floor_took = Samples::of_durations_ms(&floor_took);
    let us =
        |name: &str, samples: &Samples| Figure::new(name, samples.median() * 1_000.0, Unit::Us).reported();
    context.check(us("hit_p50_us", &took));
    context.check(us("floor_p50_us", &floor_took));
    latencies(context, "hit", &took, AVERAGE_MAX_MS, P95_MAX_MS);
    Ok(())
}

/// One lookup of the one and one of the other, in alternating order, of one key for both.
fn pair(
    runtime: &Runtime,
    subject: &Subject,
    floor: &Floor,
    keys: &[OperationKey],
    rng: &mut fastrand::Rng,
    lookups: usize,
) -> Result<(Vec<Duration>, Vec<Duration>), CaseError> {
    let (mut took, mut floor_took) = (Vec::with_capacity(lookups), Vec::with_capacity(lookups));
    runtime.block_on(async {
        for turn in 0..lookups {
            let index = rng.usize(..keys.len());
            if turn % 2 == 0 {
                took.push(hit(subject, &keys[index]).await?);
                floor_took.push(floor.point_select(index)?.elapsed);
            } else {
                floor_took.push(floor.point_select(index)?.elapsed);
                took.push(hit(subject, &keys[index]).await?);
            }
        }
        Ok::<(), CaseError>(())
    })?;
    Ok((took, floor_took))
}

async fn hit(subject: &Subject, key: &OperationKey) -> Result<Duration, CaseError> {
    let began = Instant::now();
    let found = subject.store().operation(key).await.map_err(refused("look an operation up"))?;
    let took = began.elapsed();
    let output = found.and_then(|record| record.output);
    let is_whole = output.is_some_and(|output| output.bytes().len() == VALUE_BYTES);
    if is_whole { Ok(took) } else { Err(refused("look an operation up")("its output is not there")) }
}

/// A store with that many finished operations.
async fn filled(ground: &Ground, context: &Context) -> Result<(Arc<Subject>, Vec<OperationKey>), CaseError> {
    let subject = ground.subject(1).await?;
    let mut rng = context.rng(2);
    let term = Term::new(Duration::from_secs(60)).map_err(refused("take a term"))?;
    let mut keys = Vec::with_capacity(VALUES);
    while keys.len() < VALUES {
        let mut batch = Batch::relaxed();
        for _ in 0..FILLING_BATCH {
            let fingerprint = Digest::of(&rng.u128(..).to_le_bytes());
            let key = OperationKey::new(format!("llm-cache:{fingerprint}")).map_err(refused("take a key"))?;
            let token = OperationToken::from_bytes(rng.u128(..).to_be_bytes());
            let output =
                Payload::new(ground.pool.cut(&mut rng, VALUE_BYTES)).map_err(refused("take an output"))?;
            batch.add(BeginOperation {
                key: key.clone(),
                fingerprint,
                token,
                task: None,
                lease: None,
                term,
                abandonment: Abandonment::Retake,
                fresh_for: None,
            });
            batch.add(FinishOperation { key: key.clone(), token, end: OperationEnd::Succeeded(output) });
            keys.push(key);
        }
        commit(subject.store(), batch, "fill the cache").await?;
    }
    Ok((subject, keys))
}
