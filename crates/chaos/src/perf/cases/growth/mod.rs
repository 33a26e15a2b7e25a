//! `growth`: what everything takes in a store with very many rows, against one with a thousand.

mod device;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use steadfast_checkpoints::{CheckpointManager, CheckpointOptions};
use steadfast_leases::{LeaseManager, LeaseOptions};
use steadfast_store::env::Env;
use steadfast_store::{
    Abandonment, AppendCheckpoint, Batch, BeginOperation, CheckpointId, Digest, FinishOperation, HolderId,
    Label, OperationEnd, OperationKey, OperationToken, Payload, SealedPayload, Settle, SqliteOptions, Store,
    StoreExt, TaskId, Term,
};
use tokio::runtime::Runtime;

use self::device::Device;
use super::{Ground, in_time, ms, runtime};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::perf::queue::Queue;
use crate::perf::stats::Samples;
use crate::perf::subject::{commit, refused};
use crate::report::{Figure, Unit};

/// The case.
pub(super) const CASE: Case = Case {
    id: "growth",
    title: "Growth",
    shows: "With a million rows everything takes at most one and a half times as long as with a thousand.",
    needs: Needs::File,
    runs: Runs::of(7, 15),
    run,
};

/// Of the time with [`SMALL`] rows.
const RATIO_MAX: f64 = 1.5;
const SMALL: usize = 1_000;
const SIZES_QUICK: [usize; 1] = [20_000];
const SIZES_FULL: [usize; 3] = [10_000, 100_000, 1_000_000];
/// Checkpoints of a task: whoever resumes one reads the newest of it.
const CHECKPOINTS_OF_TASK: usize = 100;
/// Commands in a batch when a store is filled.
const FILLING_BATCH: usize = 1_000;
/// Rounds of everything in one turn.
const TURN_QUICK: usize = 20;
const TURN_FULL: usize = 40;
/// Payloads are small: it is rows that grow.
const BYTES: usize = 100;
/// What is measured. In both stores it is done with the newest [`SMALL`] rows: history grows, what a worker is at does
/// not. The same for rows anywhere is told beside it: there a large store reads pages that nobody has read for long.
const KINDS: [&str; 6] =
    ["create", "claim_settle", "lookup", "last_verified", "lookup_anywhere", "last_verified_anywhere"];
/// The second of them.
const CLAIM_SETTLE: usize = 1;
/// Of them, how many write, and how many have a limit.
const WRITING: usize = 2;
const JUDGED: usize = 4;

/// What one operation costs.
#[derive(Debug, Clone, Copy)]
struct Cost {
    ms: f64,
    /// Reads that reach the device.
    reads: f64,
}

/// A store with equally many checkpoints, waiting items and finished operations.
struct Site {
    queue: Queue,
    checkpoints: CheckpointManager,
    leases: LeaseManager,
    device: Arc<Device>,
    rows: usize,
    state: Bytes,
    step: Label,
}

impl Site {
    async fn open(ground: &Ground, name: &str, sync_delay: Option<Duration>) -> Result<Self, CaseError> {
        let mut options = SqliteOptions::new(ground.path(name));
        let (device, vfs) = Device::register(sync_delay)?;
        options.vfs = Some(vfs);
        let queue = Queue::open(options, Env::system()).await?;
        let store = queue.store().clone();
        let checkpoints = CheckpointManager::new(store.clone(), CheckpointOptions::new("."));
        let holder = HolderId::new("worker-1").map_err(refused("take a name"))?;
        let leases = LeaseManager::new(store, LeaseOptions::new(holder)).map_err(refused("take a term"))?;
        let state = ground.pool.cut(&mut fastrand::Rng::with_seed(1), BYTES);
        let step = Label::new("step").map_err(refused("take a label"))?;
        Ok(Self { queue, checkpoints, leases, device, rows: 0, state, step })
    }

    /// Brings every table to so many rows.
    async fn grow(&mut self, rows: usize, context: &Context) -> Result<(), CaseError> {
        self.queue.enqueue(rows - self.rows, context.deadline()).await?;
        let mut row = self.rows;
        while row < rows {
            let (mut made, mut done) = (Batch::relaxed(), Batch::relaxed());
            for row in row..rows.min(row + FILLING_BATCH / 2) {
                made.add(self.append(row)?);
                let (begin, finish) = self.operation(row)?;
                done.add(begin);
                done.add(finish);
            }
            row += made.entries().len();
            commit(self.queue.store(), made, "fill the store").await?;
            commit(self.queue.store(), done, "fill the store").await?;
            in_time(context, "the store to be filled")?;
        }
        self.rows = rows;
        Ok(())
    }

    /// Writes and adds no row until the log has been folded twice and keeps its length: a commit to a log that still
    /// grows waits for the file system too, and the smaller store would look slow for it.
    async fn warm(&mut self, context: &Context) -> Result<(), CaseError> {
        let (mut folds, mut last) = (0, self.queue.store().log_pages());
        while folds < 2 {
            self.one(CLAIM_SETTLE, 0).await?;
            let pages = self.queue.store().log_pages();
            folds += usize::from(pages < last);
            last = pages;
            in_time(context, "the log to keep its length")?;
        }
        Ok(())
    }

    /// A task among those that the rows belong to.
    fn task(&self, row: usize) -> Result<TaskId, CaseError> {
        Queue::task(row / CHECKPOINTS_OF_TASK % self.queue.tasks())
    }

    fn append(&self, row: usize) -> Result<AppendCheckpoint, CaseError> {
        let env = self.queue.store().env();
        Ok(AppendCheckpoint {
            checkpoint: CheckpointId::generate(env),
            task: self.task(row)?,
            kind: self.step.clone(),
            work_item: None,
            expected_head: None,
            payload: SealedPayload::seal(self.state.clone(), env).map_err(refused("seal a payload"))?,
            evidence: Payload::empty(),
            copy_of: None,
        })
    }

    fn key(row: usize) -> Result<(OperationKey, Digest), CaseError> {
        let fingerprint = Digest::of(&row.to_le_bytes());
        let key = OperationKey::new(format!("tool-ledger:search:{fingerprint}"));
        Ok((key.map_err(refused("take a key"))?, fingerprint))
    }

    fn operation(&self, row: usize) -> Result<(BeginOperation, FinishOperation), CaseError> {
        let (key, fingerprint) = Self::key(row)?;
        let mut token = [0; 16];
        token.copy_from_slice(&fingerprint.as_bytes()[..16]);
        let token = OperationToken::from_bytes(token);
        let output = Payload::new(self.state.clone()).map_err(refused("take an output"))?;
        let begin = BeginOperation {
            key: key.clone(),
            fingerprint,
            token,
            task: None,
            lease: None,
            term: Term::new(Duration::from_mins(1)).map_err(refused("take a term"))?,
            abandonment: Abandonment::Retake,
            fresh_for: None,
        };
        Ok((begin, FinishOperation { key, token, end: OperationEnd::Succeeded(output) }))
    }

    /// So many rounds of everything in turn, as a worker has it; of each kind the median time and the mean of reads.
    /// Every commit makes the readers forget their pages, in a small store as in a large one.
    #[allow(clippy::cast_precision_loss, reason = "a mean of few reads")]
    async fn turn(
        &mut self,
        rounds: usize,
        rng: &mut fastrand::Rng,
    ) -> Result<[Cost; KINDS.len()], CaseError> {
        let mut took = [const { Vec::new() }; KINDS.len()];
        let mut reads = [0; KINDS.len()];
        for _ in 0..rounds {
            for (kind, took) in took.iter_mut().enumerate() {
                let reach = if kind < JUDGED { SMALL } else { self.rows };
                let before = self.device.reads();
                took.push(self.one(kind, self.rows - 1 - rng.usize(..reach)).await?);
                reads[kind] += self.device.reads() - before;
            }
        }
        let cost = |kind: usize| Cost {
            ms: Samples::of_durations_ms(&took[kind]).median(),
            reads: reads[kind] as f64 / rounds as f64,
        };
        Ok(std::array::from_fn(cost))
    }

    /// One operation of a kind, on this row or its task.
    async fn one(&mut self, kind: usize, row: usize) -> Result<Duration, CaseError> {
        let append = self.append(row)?;
        let (task, key) = (self.task(row)?, Self::key(row)?.0);
        let store = self.queue.store();
        let began = Instant::now();
        match KINDS[kind] {
            "create" => {
                store.append_checkpoint(append).await.map_err(refused("append"))?;
            }
            "claim_settle" => {
                let lease = self.leases.claim().await.map_err(refused("claim"))?;
                let lease = lease.ok_or_else(|| refused("claim")("there was no item"))?;
                lease.finish(Settle::Released).await.map_err(refused("settle"))?;
            }
            "lookup" | "lookup_anywhere" => {
                let found = store.operation(&key).await.map_err(refused("look up"))?;
                found.ok_or_else(|| refused("look up")("the operation is not there"))?;
            }
            _ => {
                let found = self.checkpoints.last_verified(&task).await;
                let found = found.map_err(refused("find the newest that verifies"))?;
                found.checkpoint.ok_or_else(|| refused("resume")("no checkpoint verifies"))?;
            }
        }
        Ok(began.elapsed())
    }
}

fn run(context: &mut Context) -> Result<(), CaseError> {
    let runtime = runtime()?;
    let ground = Ground::new(context)?;
    let is_quick = context.settings().is_quick();
    let sizes: &[usize] = if is_quick { &SIZES_QUICK } else { &SIZES_FULL };
    let sync_delay = context.settings().sync_delay;
    let pairs = context.runs();
    context.plan(sizes.len() * pairs);
    let mut small = runtime.block_on(async {
        let mut site = Site::open(&ground, "small.db", sync_delay).await?;
        site.grow(SMALL, context).await?;
        site.warm(context).await?;
        Ok::<_, CaseError>(site)
    })?;
    let mut large = runtime.block_on(Site::open(&ground, "large.db", sync_delay))?;
    let turns = if is_quick { TURN_QUICK } else { TURN_FULL };
    let mut rng = context.rng(1);
    for rows in sizes {
        runtime.block_on(async {
            large.grow(*rows, context).await?;
            large.warm(context).await
        })?;
        for figure in compare(context, &runtime, (&mut small, &mut large), turns, &mut rng)? {
            context.findings.checks.extend(figure);
        }
    }
    runtime.block_on(async {
        for site in [small, large] {
            let Site { queue, checkpoints, leases, .. } = site;
            drop((checkpoints, leases));
            queue.close().await;
        }
    });
    Ok(())
}

/// Both stores in turns, so that whatever the machine does it does to both.
#[allow(clippy::cast_precision_loss, reason = "a mean of few reads")]
fn compare(
    context: &mut Context,
    runtime: &Runtime,
    (small, large): (&mut Site, &mut Site),
    turns: usize,
    rng: &mut fastrand::Rng,
) -> Result<Vec<Vec<crate::report::Check>>, CaseError> {
    let mut ratios = vec![Vec::new(); KINDS.len()];
    let mut took = vec![Vec::new(); KINDS.len()];
    let mut reads = vec![(0.0, 0.0); KINDS.len()];
    // Not counted: after it both caches are warm.
    for pair in 0..=context.runs() {
        let (of_small, of_large) = runtime.block_on(async {
            Ok::<_, CaseError>(if pair % 2 == 0 {
                let of_small = small.turn(turns, rng).await?;
                (of_small, large.turn(turns, rng).await?)
            } else {
                let of_large = large.turn(turns, rng).await?;
                (small.turn(turns, rng).await?, of_large)
            })
        })?;
        if pair > 0 {
            for kind in 0..KINDS.len() {
                ratios[kind].push(of_large[kind].ms / of_small[kind].ms);
                took[kind].push(of_large[kind].ms);
                reads[kind].0 += of_small[kind].reads / context.runs() as f64;
                reads[kind].1 += of_large[kind].reads / context.runs() as f64;
            }
        }
        if pair > 0 {
            context.advance(true);
        }
        in_time(context, "the pairs")?;
    }
    let rows = large.rows;
    let mut checks = Vec::new();
    for (kind, name) in KINDS.iter().enumerate() {
        let ratio = Samples::new(std::mem::take(&mut ratios[kind]));
        let took = Samples::new(std::mem::take(&mut took[kind]));
        context.findings.notes.push(format!("{name} with {rows} rows: {} of {SMALL}", ratio.summary()));
        let figure = Figure::ratio(format!("{name}_ratio_{rows}"), ratio.median());
        let read = |rows, reads| Figure::new(format!("{name}_reads_{rows}"), reads, Unit::Count).reported();
        checks.push(vec![
            match kind {
                0..WRITING => figure.at_most(RATIO_MAX),
                // A reader finds its cache empty after each commit, and a deeper tree is more pages to read.
                WRITING..JUDGED => figure.at_most(RATIO_MAX).advisory(),
                _ => figure.reported(),
            },
            ms(format!("{name}_{rows}_ms"), took.median()).reported(),
            read(SMALL, reads[kind].0),
            read(rows, reads[kind].1),
        ]);
    }
    Ok(checks)
}
