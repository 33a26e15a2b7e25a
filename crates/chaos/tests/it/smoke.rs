//! The probe of a store in production: it tells how the store is, and leaves one finished task and nothing else.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use steadfast_store::env::Env;
use steadfast_store::{
    CreateTask, Delay, Enqueue, Label, Payload, SqliteStore, Store, StoreExt, TaskId, WorkItemId,
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
    for part in ["Checkpoints verified:", "Calls replayed:", "Answers cached:", "Expired leases:", "=== 1 "] {
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
