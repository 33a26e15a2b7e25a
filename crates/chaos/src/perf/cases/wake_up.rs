//! `wake_up`: another process commits at random instants; how long after its acknowledgement a waiter of this process
//! has seen the commit.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use steadfast_store::env::Env;
use steadfast_store::{
    AppendCheckpoint, CheckpointId, CheckpointPage, CommandError, InvalidId, Label, OpenError, Payload,
    PayloadTooLarge, SealedPayload, SqliteOptions, SqliteStore, Store, StoreExt, TaskId,
};

use super::{Ground, ms, runtime};
use crate::case::{Case, CaseError, Context, Deadline, Needs, Runs};
use crate::perf::stats::Samples;
use crate::perf::subject::{Subject, refused};
use crate::process::{Process, die_with};
use crate::report::Figure;

/// The case.
pub(super) const CASE: Case = Case {
    id: "wake_up",
    title: "Wake-Up Across Processes",
    shows: "A waiter hears of another process's commit within 50 ms of its acknowledgement, 99 times of 100.",
    needs: Needs::File,
    runs: Runs::of(ROUNDS_QUICK, ROUNDS_FULL),
    run,
};

/// How long after the acknowledgement.
const P99_MAX_MS: f64 = 50.0;
const ROUNDS_QUICK: usize = 50;
const ROUNDS_FULL: usize = 200;
/// The pause before a commit, drawn anew each time.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 5..=60;
/// After so long a wait without news the waiter looks at its deadline.
const WAIT: Duration = Duration::from_secs(1);

/// How the other process is started.
#[derive(Debug, Clone, clap::Args)]
pub struct CommitterArgs {
    /// The store's file.
    #[arg(long)]
    database: PathBuf,
    /// The task that gets the checkpoints.
    #[arg(long)]
    task: String,
    /// How many it gets.
    #[arg(long)]
    rounds: usize,
    /// What the pauses are drawn from.
    #[arg(long)]
    seed: u64,
    /// The process to die with.
    #[arg(long)]
    parent: u32,
}

/// Why the other process stops before its time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitterError {
    /// Its runtime, or the runner's ear.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A name.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// A payload.
    #[error(transparent)]
    Payload(#[from] PayloadTooLarge),
    /// A commit.
    #[error(transparent)]
    Commit(#[from] CommandError),
}

/// The other process: appends checkpoints at random instants. Each holds the boot clock from before its commit; the
/// boot clock from after its answer is printed.
///
/// # Errors
/// [`CommitterError`].
pub fn commit_at_random(args: &CommitterArgs) -> Result<(), CommitterError> {
    die_with(args.parent)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        let env = Env::system();
        let store = SqliteStore::open(SqliteOptions::new(&args.database), env.clone()).await?;
        let (task, kind) = (TaskId::new(&args.task)?, Label::new("step")?);
        let mut rng = fastrand::Rng::with_seed(args.seed);
        for _ in 0..args.rounds {
            tokio::time::sleep(Duration::from_millis(rng.u64(PAUSE_MS))).await;
            let before = Bytes::copy_from_slice(&nanos(&env).to_le_bytes());
            store
                .append_checkpoint(AppendCheckpoint {
                    checkpoint: CheckpointId::generate(&env),
                    task: task.clone(),
                    kind: kind.clone(),
                    work_item: None,
                    expected_head: None,
                    payload: SealedPayload::seal(before, &env)?,
                    evidence: Payload::empty(),
                    copy_of: None,
                })
                .await?;
            let mut out = io::stdout().lock();
            writeln!(out, "{}", nanos(&env))?;
            out.flush()?;
        }
        store.close().await;
        Ok(())
    })
}

/// The boot clock, which all processes of a machine read alike, in nanoseconds.
fn nanos(env: &Env) -> u64 {
    u64::try_from(env.clock().boot().elapsed.as_nanos()).unwrap_or(u64::MAX)
}

/// What the waiter has seen: when it came back, and what the commit says of its own beginning.
struct Seen {
    back: u64,
    begun: u64,
}

fn run(context: &mut Context) -> Result<(), CaseError> {
    let rounds = if context.settings().is_quick() { ROUNDS_QUICK } else { ROUNDS_FULL };
    context.plan(rounds);
    // Without a slow device: the other process would need the same.
    let ground = Ground::delayed(context, None)?;
    let runtime = runtime()?;
    let subject = runtime.block_on(ground.subject(1))?;
    let arguments = [
        "perf-committer".to_owned(),
        format!("--database={}", ground.path("subject.db").display()),
        format!("--task={}", subject.task(0)),
        format!("--rounds={rounds}"),
        format!("--seed={}", context.settings().seed),
        format!("--parent={}", std::process::id()),
    ];
    let other = Process::start("committer", context.folder(), arguments)?;
    // On a thread of the runtime, as a worker's own wait would be.
    let deadline = context.deadline();
    let waiting = runtime.spawn(wait(Arc::clone(&subject), rounds, deadline));
    let (mut late, mut whole) = (Vec::new(), Vec::new());
    let mut acknowledged = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let Some(line) = other.next_line(deadline)? else { return Err(other.error("ended too early")) };
        acknowledged.push(line.text.parse::<u64>().map_err(|_| other.error("printed no time"))?);
        context.advance(true);
    }
    let seen = runtime.block_on(waiting).map_err(|broken| CaseError::broken("the waiter", &broken))??;
    for (seen, acknowledged) in seen.iter().zip(acknowledged) {
        // The waiter may be first: the commit stands before its answer has travelled.
        late.push(Duration::from_nanos(seen.back.saturating_sub(acknowledged)));
        whole.push(Duration::from_nanos(seen.back.saturating_sub(seen.begun)));
    }
    runtime.block_on(subject.close());
    let (late, whole) = (Samples::of_durations_ms(&late), Samples::of_durations_ms(&whole));
    context.check(ms("wake_up_p50_ms", late.median()).reported());
    context.check(ms("wake_up_p99_ms", late.quantile(0.99)).at_most(P99_MAX_MS));
    context.check(ms("wake_up_max_ms", late.max()).reported());
    context.check(ms("wake_up_with_commit_p99_ms", whole.quantile(0.99)).reported());
    context.check(Figure::count("commits_unseen", rounds - late.len()).at_most(0.0));
    Ok(())
}

/// Waits for each commit, and looks whether it is there.
async fn wait(subject: Arc<Subject>, rounds: usize, deadline: Deadline) -> Result<Vec<Seen>, CaseError> {
    let store = subject.store();
    let mut seen = Vec::with_capacity(rounds);
    while seen.len() < rounds {
        let stamp = store.change_stamp();
        let newest = CheckpointPage::NewestFirst { before: None, limit: 1 };
        let task = store.task(subject.task(0)).await.map_err(refused("read a task"))?;
        let back = nanos(store.env());
        let head = task.map_or(0, |task| task.head.0);
        if usize::try_from(head).unwrap_or(usize::MAX) > seen.len() {
            let page =
                store.checkpoints(subject.task(0), newest).await.map_err(refused("read a checkpoint"))?;
            let begun = page.first().and_then(|checkpoint| checkpoint.payload.as_ref().ok());
            let begun =
                begun.and_then(|payload| payload.bytes()[..].try_into().ok()).map_or(0, u64::from_le_bytes);
            seen.push(Seen { back, begun });
            continue;
        }
        if deadline.left().is_zero() {
            return Err(CaseError::TimedOut { what: "a commit of the other process".to_owned() });
        }
        store.changed(stamp, WAIT).await;
    }
    Ok(seen)
}
