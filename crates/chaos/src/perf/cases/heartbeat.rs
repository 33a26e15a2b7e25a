//! `heartbeat`: beats on a runtime of one thread, beside producers on the same thread that commit large payloads. A
//! commit must never hold the thread, however slow the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use bytes::Bytes;
use steadfast_store::env::{Env, Failpoint, Failpoints};
use steadfast_store::{
    Batch, Claim, Delay, Enqueue, Guard, HolderId, Label, Renew, StoreExt, Term, TransitionId, WorkItemId,
};
use tokio::time::MissedTickBehavior;

use super::{Ground, in_time, ms};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::perf::closed::Pool;
use crate::perf::stats::Samples;
use crate::perf::subject::{Subject, SubjectOptions, commit, refused};
use crate::report::Figure;

/// The case.
pub(super) const CASE: Case = Case {
    id: "heartbeat",
    title: "Heartbeat Beside Large Commits",
    shows: "On a runtime of one thread no beat is late because of a commit, even where a sync takes 200 ms.",
    needs: Needs::File,
    runs: Runs::of(BEATS_QUICK, BEATS_FULL),
    run,
};

const BEATS_QUICK: usize = 100;
const BEATS_FULL: usize = 300;
/// Time between two beats.
const PERIOD: Duration = Duration::from_millis(20);
/// How late a beat may be.
const LATE_MAX_MS: f64 = 50.0;
/// A disk on which a thread that waited for a commit would miss ten beats.
const SLOW_DISK: Duration = Duration::from_millis(200);
const PRODUCERS: usize = 16;
const PAYLOAD_BYTES: usize = 64 * 1024;
const TERM: Duration = Duration::from_secs(60);

/// Counts commits that are made on the thread of the runtime: there must be none.
#[derive(Debug)]
struct Where {
    runtime: ThreadId,
    here: AtomicUsize,
}

impl Failpoints for Where {
    fn reach(&self, point: Failpoint) {
        let is_commit = point == Failpoint::BEGIN_BEFORE || point == Failpoint::COMMIT_BEFORE;
        if is_commit && thread::current().id() == self.runtime {
            self.here.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What one phase found, in milliseconds.
struct Phase {
    late: Samples,
    renewed: Samples,
    machine_late: Samples,
    commits_here: usize,
}

fn run(context: &mut Context) -> Result<(), CaseError> {
    let beats = if context.settings().is_quick() { BEATS_QUICK } else { BEATS_FULL };
    context.plan(2 * beats);
    let phases = [("", context.settings().sync_delay), ("slow_disk_", Some(SLOW_DISK))];
    let mut commits_here = 0;
    for (name, delay) in phases {
        let ground = Ground::delayed(context, delay)?;
        let phase = phase(context, &ground, beats)?;
        commits_here += phase.commits_here;
        let Phase { late, renewed, machine_late, .. } = phase;
        context.check(ms(format!("heartbeat_{name}late_p99_ms"), late.quantile(0.99)).reported());
        context.check(ms(format!("heartbeat_{name}late_max_ms"), late.max()).at_most(LATE_MAX_MS));
        // What the machine itself does to a thread that only sleeps.
        context.check(ms(format!("machine_{name}late_max_ms"), machine_late.max()).reported());
        context.check(ms(format!("renewal_{name}p50_ms"), renewed.median()).reported());
        let unanswered = beats.saturating_sub(renewed.len());
        context.check(Figure::count(format!("renewals_{name}failed"), unanswered).at_most(0.0));
    }
    context.check(Figure::count("commits_on_the_runtime", commits_here).at_most(0.0));
    Ok(())
}

fn phase(context: &mut Context, ground: &Ground, beats: usize) -> Result<Phase, CaseError> {
    let failed = CaseError::io("starting a runtime of one thread");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
    let is_over = Arc::new(AtomicBool::new(false));
    let machine = thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || sleeper(&is_over)
    });
    let listener = Arc::new(Where { runtime: thread::current().id(), here: AtomicUsize::new(0) });
    let beaten = runtime.block_on(beside_producers(context, ground, listener.clone(), beats, &is_over));
    is_over.store(true, Ordering::Relaxed);
    let machine_late = machine.join().unwrap_or_default();
    let (late, renewed) = beaten?;
    Ok(Phase {
        late: Samples::of_durations_ms(&late),
        renewed: Samples::of_durations_ms(&renewed),
        machine_late: Samples::of_durations_ms(&machine_late),
        commits_here: listener.here.load(Ordering::Relaxed),
    })
}

/// How late a thread is that does nothing but sleep.
fn sleeper(is_over: &AtomicBool) -> Vec<Duration> {
    let mut late = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let due = Instant::now() + PERIOD;
        thread::sleep(PERIOD);
        late.push(due.elapsed());
    }
    late
}

async fn beside_producers(
    context: &mut Context,
    ground: &Ground,
    listener: Arc<Where>,
    beats: usize,
    is_over: &Arc<AtomicBool>,
) -> Result<(Vec<Duration>, Vec<Duration>), CaseError> {
    let mut options =
        SubjectOptions::new(&ground.path("subject.db"), ground.vfs.clone(), PRODUCERS, ground.pool.clone());
    options.env = Env::system().with_failpoints(listener);
    let subject = Subject::open(options).await?;
    let guard = lease(&subject).await?;
    let mut producers = Vec::new();
    for producer in 0..PRODUCERS {
        let (subject, pool, is_over) = (Arc::clone(&subject), ground.pool.clone(), Arc::clone(is_over));
        producers.push(tokio::spawn(async move { produce(&subject, producer, &pool, &is_over).await }));
    }
    let beaten = beat(context, &subject, &guard, beats).await;
    is_over.store(true, Ordering::Relaxed);
    for producer in producers {
        producer.await.map_err(|broken| CaseError::broken("a producer", &broken))??;
    }
    subject.close().await;
    beaten
}

/// An item under a lease.
async fn lease(subject: &Subject) -> Result<Guard, CaseError> {
    let store = subject.store();
    let mut batch = Batch::durable();
    let kind = Label::new("beat").map_err(refused("take a label"))?;
    let term = Term::new(TERM).map_err(refused("take a term"))?;
    let item = WorkItemId::new("beat").map_err(refused("take a name"))?;
    let task = subject.task(0).clone();
    batch.add(Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 1 });
    commit(store, batch, "enqueue").await?;
    let holder = HolderId::new("heart").map_err(refused("take a name"))?;
    let claim = Claim {
        claim: TransitionId::from_bytes([7; 16]),
        holder,
        term,
        limit: 1,
        kinds: Vec::new(),
        task: None,
    };
    let claimed = store.claim(claim).await.map_err(refused("claim"))?;
    claimed
        .items
        .first()
        .map(steadfast_store::WorkItem::guard)
        .ok_or_else(|| refused("claim")("there was nothing"))
}

async fn produce(
    subject: &Subject,
    producer: usize,
    pool: &Pool,
    is_over: &AtomicBool,
) -> Result<(), CaseError> {
    let mut rng = fastrand::Rng::with_seed(producer as u64);
    while !is_over.load(Ordering::Relaxed) {
        let payload: Bytes = pool.cut(&mut rng, PAYLOAD_BYTES);
        let append = subject.append(producer, payload)?;
        subject.store().append_checkpoint(append).await.map_err(refused("append a checkpoint"))?;
    }
    Ok(())
}

/// Each beat sends a renewal and does not wait for it; how late the beat itself was is what counts. Gives that, and
/// how long the renewals took.
async fn beat(
    context: &mut Context,
    subject: &Arc<Subject>,
    guard: &Guard,
    beats: usize,
) -> Result<(Vec<Duration>, Vec<Duration>), CaseError> {
    let term = Term::new(TERM).map_err(refused("take a term"))?;
    let mut ticks = tokio::time::interval(PERIOD);
    // A beat that was missed is counted as late once; the ones after it are due in their own time.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut late, mut renewals) = (Vec::new(), Vec::new());
    for _ in 0..beats {
        let due = ticks.tick().await;
        late.push(due.elapsed());
        let (subject, guard) = (Arc::clone(subject), guard.clone());
        renewals.push(tokio::spawn(async move {
            let began = Instant::now();
            subject.store().renew(Renew { guard, term }).await.map(|_| began.elapsed())
        }));
        context.advance(true);
        in_time(context, "the beats")?;
    }
    let mut renewed = Vec::new();
    for renewal in renewals {
        let answer = renewal.await.map_err(|broken| CaseError::broken("a renewal", &broken))?;
        renewed.extend(answer.ok());
    }
    Ok((late, renewed))
}
