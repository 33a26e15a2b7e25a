//! All parts together, on every backend that is named by a URL: a worker vanishes in the midst of a step, and
//! another one goes on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod clean_up;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use steadfast::checkpoints::{ChainReport, CheckpointError, Failure, Finding};
use steadfast::prelude::*;
use tempfile::TempDir;

/// Long enough that a busy machine does not end it by accident.
const TERM: Duration = Duration::from_secs(1);

/// A store of every kind, with an empty folder for evidence.
async fn stores() -> Vec<(Arc<dyn Store>, TempDir)> {
    let mut stores = Vec::new();
    for scheme in ["memory:", "sqlite:"] {
        let folder = tempfile::tempdir().unwrap();
        let url = match scheme {
            "sqlite:" => format!("sqlite:{}", folder.path().join("work.db").display()),
            scheme => scheme.to_owned(),
        };
        stores.push((steadfast::open(&url, Env::system()).await.unwrap(), folder));
    }
    stores
}

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

/// One worker's view of the system.
struct Worker {
    leases: LeaseManager,
    checkpoints: CheckpointManager,
    tools: ToolLedger,
}

impl Worker {
    fn new(store: &Arc<dyn Store>, folder: &Path, name: &str) -> Self {
        let options = LeaseOptions { term: TERM, ..LeaseOptions::new(HolderId::new(name).unwrap()) };
        Self {
            leases: LeaseManager::new(store.clone(), options).unwrap(),
            checkpoints: CheckpointManager::new(store.clone(), CheckpointOptions::new(folder)),
            tools: ToolLedger::new(store.clone(), LedgerOptions::default()).unwrap(),
        }
    }

    async fn claim(&self) -> Lease {
        self.leases.wait_for_work(Duration::from_secs(20)).await.unwrap().unwrap()
    }

    fn call(lease: &Lease) -> ToolCall {
        ToolCall {
            task: Some(lease.item().task.clone()),
            lease: Some(lease.guard()),
            ..ToolCall::new(label("send-mail"), "report/mail", "to: all", Effect::AtMostOnce)
        }
    }

    /// A step with a file of its own as evidence.
    async fn step(&self, lease: &Lease, folder: &Path, state: &'static str) -> Prepared {
        fs::write(folder.join(state), state).unwrap();
        let evidence =
            EvidencePack::new(Rule::All, vec![self.checkpoints.observe_file(state).await.unwrap()]);
        let new = NewCheckpoint::new(lease.item().task.clone(), label("step"), state);
        let new = NewCheckpoint { work_item: Some(lease.item().id.clone()), ..new };
        self.checkpoints.prepare(NewCheckpoint { evidence: evidence.unwrap(), ..new }).unwrap()
    }
}

async fn submit(store: &Arc<dyn Store>) -> TaskId {
    let (task, kind) = (TaskId::new("report").unwrap(), label("research"));
    let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
    store.create_task(create).await.unwrap();
    let (item, task_of_item) = (WorkItemId::new("report/mail").unwrap(), task.clone());
    let (delay, max_attempts) = (Delay::ZERO, 3);
    store
        .enqueue(Enqueue { item, task: task_of_item, kind, priority: 0, delay, max_attempts })
        .await
        .unwrap();
    task
}

#[tokio::test]
async fn a_worker_vanishes_between_effect_and_record_and_another_one_goes_on() {
    for (store, folder) in stores().await {
        let folder = folder.path();
        let task = submit(&store).await;
        let sweeper = Sweeper::new(store.clone(), SweepOptions::default());
        let sweeping = sweeper.run_every(Duration::from_millis(20));

        let first = Worker::new(&store, folder, "first");
        let lease = first.claim().await;
        let drafted = first.step(&lease, folder, "drafted").await;
        first.checkpoints.commit_step(&drafted, Some(lease.guard()), |_| {}).await.unwrap();
        let Call::Begun(mail) = first.tools.call(&Worker::call(&lease)).await.unwrap() else { panic!() };
        let mailed = first.step(&lease, folder, "mailed").await;
        let stale = lease.guard();
        // The mail is sent, and nothing is heard of the worker any more.
        drop(lease);

        let second = Worker::new(&store, folder, "second");
        let lease = second.claim().await;
        assert!(lease.guard().fence > stale.fence);
        let plan = resume_plan(&second.checkpoints, &task).await.unwrap();
        assert_eq!(plan.from.unwrap().header.id, drafted.id());
        assert_eq!(plan.in_doubt.len(), 1);
        let call = Worker::call(&lease);
        assert!(matches!(second.tools.call(&call).await.unwrap(), Call::InDoubt(_)));

        // The first one wakes: it is fenced off, and what it knows settles the doubt.
        let sent = || ToolOutput::Succeeded("sent as 4711".into());
        let result = mail.finish_command(sent()).unwrap();
        let late = first.checkpoints.commit_step(&mailed, Some(stale), |batch| _ = batch.add(result)).await;
        assert!(matches!(late, Err(CheckpointError::Rejected(_))), "{late:?}");
        mail.late(sent()).await.unwrap();

        let Call::Replayed(output) = second.tools.call(&call).await.unwrap() else { panic!() };
        assert_eq!(output, sent());
        let step = second.step(&lease, folder, "mailed-after-all").await;
        let (guard, end) = (lease.guard(), lease.settle(Settle::Succeeded));
        second.checkpoints.commit_step(&step, Some(guard), |batch| _ = batch.add(end)).await.unwrap();
        drop(lease);

        let plan = resume_plan(&second.checkpoints, &task).await.unwrap();
        assert_eq!(plan.from.unwrap().header.id, step.id());
        assert!(plan.in_doubt.is_empty() && plan.pending.is_empty());
        // Drafted, the trace of the lost lease, mailed.
        let chain = second.checkpoints.verify_chain(&task).await.unwrap();
        assert!(matches!(chain, ChainReport::Intact { length: 3, .. }), "{chain:?}");
        let total = sweeping.stop().await;
        assert_eq!((total.expired_found, total.errors), (1, 0));
    }
}

#[tokio::test]
async fn a_heartbeat_keeps_its_lease_beside_a_sweeper_on_every_backend() {
    for (store, folder) in stores().await {
        submit(&store).await;
        let sweeper = Sweeper::new(store.clone(), SweepOptions::default());
        let sweeping = sweeper.run_every(Duration::from_millis(10));
        let worker = Worker::new(&store, folder.path(), "only");
        let lease = worker.claim().await;
        tokio::time::sleep(TERM * 3).await;
        assert_eq!(lease.loss(), None);
        lease.finish(Settle::Succeeded).await.unwrap();
        assert_eq!(sweeping.stop().await.expired_found, 0);
    }
}

#[tokio::test]
async fn evidence_that_names_the_stores_own_files_is_refused() {
    let mut refused = 0;
    for (store, folder) in stores().await {
        submit(&store).await;
        let worker = Worker::new(&store, folder.path(), "only");
        for entry in fs::read_dir(folder.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let error = worker.checkpoints.observe_file(&name).await.unwrap_err();
            let CheckpointError::NotObserved { finding, .. } = error else { panic!("{name}: {error}") };
            assert_eq!(finding, Finding::Failed(Failure::OwnFile), "{name}");
            refused += 1;
        }
    }
    assert!(refused > 0, "no store had a file");
}
