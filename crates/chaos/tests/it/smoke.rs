//! The probe of a store in production: it tells how the store is, and leaves one finished task and nothing else.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use steadfast_leases::{LeaseManager, LeaseOptions};
use steadfast_recovery::{SweepOptions, Sweeper};
use steadfast_store::env::Env;
use steadfast_store::{
    CreateTask, Delay, Enqueue, HolderId, Label, Payload, SqliteStore, Store, StoreExt, TaskId, WorkItemId,
};
use steadfast_store::{SqliteOptions, TaskPage, WorkItemPage};

fn smoke(folder: &Path, url: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast-chaos"));
    command.args(["smoke", url, "--folder"]).arg(folder).stdin(Stdio::null());
    command.output().unwrap()
}

#[tokio::test]
async fn a_probe_of_a_live_store_passes_and_leaves_its_work_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.db");
    let live = SqliteStore::open(SqliteOptions::new(&file), Env::system()).await.unwrap();
    let (task, kind) = (TaskId::new("live").unwrap(), Label::new("research").unwrap());
    live.create_task(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() })
        .await
        .unwrap();
    let item = WorkItemId::new("live/1").unwrap();
    live.enqueue(Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 1 })
        .await
        .unwrap();
    let page = || WorkItemPage { after: None, task: None, status: None, limit: 10 };
    let before = live.work_items(page()).await.unwrap();

    let output = smoke(&folder.path().join("out"), &format!("sqlite:{}", file.display()));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{printed}");
    for part in [
        "Checkpoints verified:",
        "Resume points found:",
        "Calls replayed:",
        "Answers cached:",
        "Expired leases:",
        "=== 1 ",
    ] {
        assert!(printed.contains(part), "{part}\n{printed}");
    }
    let after = live.work_items(page()).await.unwrap();
    assert_eq!(after.len(), before.len() + 1);
    assert!(after.contains(&before[0]), "the live item was touched: {after:?}");
    let tasks = live.tasks(TaskPage { after: None, status: None, limit: 10 }).await.unwrap();
    let probe = tasks.iter().find(|task| task.id.as_str() != "live").unwrap();
    assert_eq!((probe.status.as_str(), probe.head.0), ("succeeded", 1));
    assert!(live.health().await.unwrap().operations.is_empty(), "an operation was left behind");
}

#[tokio::test]
async fn what_a_killed_probe_left_is_called_off_by_the_next_one_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.db");
    let live = SqliteStore::open(SqliteOptions::new(&file), Env::system()).await.unwrap();
    let live: Arc<dyn Store> = Arc::new(live);
    let names =
        [("steadfast-smoke-0", "steadfast-smoke"), ("steadfast-smoke-mine", "mine"), ("other", "mine")];
    for (name, kind) in names {
        let (task, kind) = (TaskId::new(name).unwrap(), Label::new(kind).unwrap());
        let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
        live.create_task(create).await.unwrap();
        let item = WorkItemId::new(name).unwrap();
        live.enqueue(Enqueue { item, task, kind, priority: 0, delay: Delay::ZERO, max_attempts: 1 })
            .await
            .unwrap();
    }
    let options = LeaseOptions {
        term: Duration::from_millis(20),
        heartbeat: false,
        ..LeaseOptions::new(HolderId::new("killed").unwrap())
    };
    let leases = LeaseManager::new(live.clone(), options).unwrap();
    drop(leases.claim_many(3).await.unwrap());
    let sweeper = Sweeper::new(live.clone(), SweepOptions::default());
    let mut swept = 0;
    while swept < names.len() as u64 {
        swept += sweeper.run_once().await.failed;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let output = smoke(&folder.path().join("out"), &format!("sqlite:{}", file.display()));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{printed}");
    for (name, wanted) in
        [("steadfast-smoke-0", "cancelled"), ("steadfast-smoke-mine", "failed"), ("other", "failed")]
    {
        let item = live.work_item(&WorkItemId::new(name).unwrap()).await.unwrap().unwrap();
        assert_eq!(item.status.as_str(), wanted, "{name}");
        let task = live.task(&TaskId::new(name).unwrap()).await.unwrap().unwrap();
        assert_eq!(task.status.as_str() == "cancelled", wanted == "cancelled", "{name}: {:?}", task.status);
    }
}

#[test]
fn a_probe_of_a_store_that_is_not_there_says_so_and_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none.db");
    let output = smoke(folder.path(), &format!("sqlite:{}", file.display()));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("is not there: correct the path"), "{printed}");
    assert!(!file.exists());
}
