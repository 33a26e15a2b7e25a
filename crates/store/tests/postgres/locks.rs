//! What is held until a transaction ends: the first commit is stopped right before its COMMIT is sent, and whoever must
//! not come in between is seen to wait.

use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use steadfast_store::env::{Env, Failpoint, Failpoints};
use steadfast_store::{
    Abandonment, AppendCheckpoint, Batch, BeginOperation, CheckpointId, Committed, Digest, EraseCheckpoint,
    FinishTask, Guard, Label, NoPayload, OperationKey, OperationToken, Payload, PostgresStore,
    PruneCheckpoints, Reason, RecordVerification, SealedPayload, Status, Store, StoreExt, SweepExpired,
    TaskEnd, TaskId, Term, TransitionId, Verdict,
};
use tokio::task::JoinHandle;

use crate::kit::{PATIENCE, Schema, claim, create, enqueue};

/// How long somebody is watched who must wait.
const WATCHED: Duration = Duration::from_millis(300);

/// Keeps the first commit that comes by until it is let go.
#[derive(Debug)]
struct HeldBack {
    arrived: Mutex<Option<mpsc::Sender<()>>>,
    let_go: Mutex<mpsc::Receiver<()>>,
}

impl Failpoints for HeldBack {
    fn reach(&self, point: Failpoint) {
        if point == Failpoint::COMMIT_BEFORE
            && let Some(arrived) = self.arrived.lock().take()
        {
            arrived.send(()).unwrap();
            self.let_go.lock().recv_timeout(PATIENCE).unwrap();
        }
    }
}

/// A store on a schema of its own.
struct Bench {
    schema: Arc<Schema>,
    store: Arc<PostgresStore>,
}

impl Bench {
    async fn new() -> Option<Self> {
        let schema = Schema::new(crate::server::url()?).await.unwrap();
        let store = Arc::new(PostgresStore::open(schema.options(), Env::system()).await.unwrap());
        store.create_task(create("t")).await.unwrap();
        Some(Self { schema, store })
    }

    /// Commits through another handle, and stops before its COMMIT. Ends once it stands there.
    async fn hold_back(&self, batch: Batch) -> Held {
        let (arrived, has_arrived) = mpsc::channel();
        let (let_go, go) = mpsc::channel();
        let held = HeldBack { arrived: Mutex::new(Some(arrived)), let_go: Mutex::new(go) };
        let env = Env::system().with_failpoints(Arc::new(held));
        let first = PostgresStore::open(self.schema.options(), env).await.unwrap();
        let committing = tokio::spawn(async move { first.commit(batch).await.unwrap() });
        tokio::task::spawn_blocking(move || has_arrived.recv_timeout(PATIENCE).unwrap()).await.unwrap();
        Held { committing, let_go }
    }

    fn start<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        work: impl FnOnce(Arc<PostgresStore>) -> F,
    ) -> JoinHandle<T> {
        tokio::spawn(work(Arc::clone(&self.store)))
    }
}

/// A commit that stands before its COMMIT.
struct Held {
    committing: JoinHandle<Committed>,
    let_go: mpsc::Sender<()>,
}

impl Held {
    /// Released after `other` was seen to wait for it; ends when both have ended.
    async fn released_after<T>(self, other: JoinHandle<T>) -> (Committed, T) {
        tokio::time::sleep(WATCHED).await;
        assert!(!other.is_finished(), "it did not wait for the commit that stands before its COMMIT");
        self.let_go.send(()).unwrap();
        (self.committing.await.unwrap(), other.await.unwrap())
    }
}

fn task() -> TaskId {
    TaskId::new("t").unwrap()
}

fn append(number: u8) -> AppendCheckpoint {
    AppendCheckpoint {
        checkpoint: CheckpointId::from_bytes([number; 16]),
        task: task(),
        kind: Label::new("step").unwrap(),
        work_item: None,
        expected_head: None,
        copy_of: None,
        payload: SealedPayload::seal("state", &Env::system()).unwrap(),
        evidence: Payload::empty(),
    }
}

fn alone<C: steadfast_store::TypedCommand>(command: C) -> Batch {
    let mut batch = Batch::durable();
    batch.add(command);
    batch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_claim_submitted_again_waits_for_its_first_submission() {
    let Some(bench) = Bench::new().await else { return };
    for item in ["a", "b"] {
        bench.store.enqueue(enqueue(item, "t")).await.unwrap();
    }
    let held = bench.hold_back(alone(claim(1))).await;
    // The server has not heard of the first COMMIT yet; whoever lost the connection by now would ask again.
    let again = bench.start(|store| async move { store.commit(alone(claim(1))).await.unwrap() });
    let (submitted, again) = held.released_after(again).await;
    let (submitted, again) = (submitted.into_applied().unwrap(), again.into_applied().unwrap());
    assert_eq!(submitted.outcomes(), again.outcomes());
    assert_eq!((submitted.is_replayed(), again.is_replayed()), (false, true));
    let counts = bench.store.health().await.unwrap().work_items;
    assert_eq!(counts, [(Status::Pending, 1), (Status::InProgress, 1)], "one claim holds one item");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_submitted_again_waits_and_is_answered_whole() {
    let Some(bench) = Bench::new().await else { return };
    let mut batch = alone(append(1));
    batch.add(BeginOperation {
        key: OperationKey::new("k").unwrap(),
        fingerprint: Digest::ZERO,
        token: OperationToken::from_bytes([1; 16]),
        task: None,
        lease: None,
        term: Term::new(Duration::from_secs(60)).unwrap(),
        abandonment: Abandonment::Retake,
        fresh_for: None,
    });
    let held = bench.hold_back(batch.clone()).await;
    // It waits for the chain after it has looked for the operation, which is not there by then.
    let again = bench.start(|store| async move { store.commit(batch).await.unwrap() });
    let (submitted, again) = held.released_after(again).await;
    let (submitted, again) = (submitted.into_applied().unwrap(), again.into_applied().unwrap());
    assert_eq!(submitted.outcomes(), again.outcomes());
    assert!(again.is_replayed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_sweep_takes_a_lease_under_an_effect_that_it_guards() {
    let Some(bench) = Bench::new().await else { return };
    bench.store.enqueue(enqueue("a", "t")).await.unwrap();
    let term = Term::new(Duration::from_millis(10)).unwrap();
    let claimed = bench.store.claim(steadfast_store::Claim { term, ..claim(1) }).await.unwrap();
    let guard: Guard = claimed.items[0].guard();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut guarded = Batch::durable();
    guarded.add_guarded(guard, append(1));
    let held = bench.hold_back(guarded).await;
    let sweep = |number| SweepExpired { sweep: TransitionId::from_bytes([number; 16]), limit: 10 };
    // It passes by what is held.
    assert_eq!(bench.store.sweep_expired(sweep(2)).await.unwrap().reclaimed, []);
    held.let_go.send(()).unwrap();
    assert!(matches!(held.committing.await.unwrap(), Committed::Applied(_)));
    assert_eq!(bench.store.sweep_expired(sweep(3)).await.unwrap().reclaimed.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_does_not_end_while_something_is_added_to_it() {
    let Some(bench) = Bench::new().await else { return };
    let held = bench.hold_back(alone(enqueue("a", "t"))).await;
    let finish = FinishTask { task: task(), end: TaskEnd::Succeeded, result: Payload::empty() };
    let finishing = bench.start(|store| async move { store.finish_task(finish).await.unwrap() });
    let (added, _) = held.released_after(finishing).await;
    assert!(matches!(added, Committed::Applied(_)));
    let late = bench.store.enqueue(enqueue("b", "t")).await.unwrap_err();
    assert!(matches!(late.reason(), Some(Reason::TaskEnded { .. })), "{late}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_erasure_waits_for_a_copy_that_is_being_made_and_takes_it_too() {
    let Some(bench) = Bench::new().await else { return };
    let (origin, other) = (append(1), append(2));
    bench.store.append_checkpoint(origin.clone()).await.unwrap();
    let copy = AppendCheckpoint { copy_of: Some(origin.checkpoint), payload: origin.payload, ..other };
    let held = bench.hold_back(alone(copy.clone())).await;
    let erase = EraseCheckpoint { checkpoint: origin.checkpoint };
    let erasing = bench.start(|store| async move { store.erase_checkpoint(erase).await.unwrap() });
    let (_, erased) = held.released_after(erasing).await;
    assert_eq!(erased.erased, 2, "the origin and the copy");
    let found = bench.store.checkpoint(copy.checkpoint).await.unwrap().unwrap();
    assert_eq!(found.payload, Err(NoPayload::Erased));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pruning_waits_for_a_verdict_and_keeps_what_it_verified() {
    let Some(bench) = Bench::new().await else { return };
    for number in 1..=3 {
        bench.store.append_checkpoint(append(number)).await.unwrap();
    }
    let verified = RecordVerification {
        checkpoint: append(1).checkpoint,
        verdict: Verdict::Verified,
        detail: String::new(),
    };
    let held = bench.hold_back(alone(verified)).await;
    let prune = PruneCheckpoints { task: task(), keep: 1, limit: 10 };
    let pruning = bench.start(|store| async move { store.prune_checkpoints(prune).await.unwrap() });
    let (_, pruned) = held.released_after(pruning).await;
    assert_eq!(pruned.removed, 0, "the newest verified checkpoint is the first of them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_to_one_task_go_one_after_the_other_and_those_to_others_do_not_wait() {
    let Some(bench) = Bench::new().await else { return };
    bench.store.create_task(create("u")).await.unwrap();
    let held = bench.hold_back(alone(append(1))).await;
    let elsewhere = AppendCheckpoint { task: TaskId::new("u").unwrap(), ..append(2) };
    assert_eq!(bench.store.append_checkpoint(elsewhere).await.unwrap().sequence.0, 1);
    // Nor does what is only added beside the chain.
    bench.store.enqueue(enqueue("a", "t")).await.unwrap();
    let appending = bench.start(|store| async move { store.append_checkpoint(append(3)).await.unwrap() });
    let (_, appended) = held.released_after(appending).await;
    assert_eq!(appended.sequence.0, 2);
}
