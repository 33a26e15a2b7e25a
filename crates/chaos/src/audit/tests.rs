//! The looks of the runner, shown to see: a file is made by the store, and damaged by SQL behind its back.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use steadfast_store::env::Env;
use steadfast_store::{
    AppendCheckpoint, CheckpointId, Claim, CreateTask, Delay, Enqueue, HolderId, Label, Payload,
    SealedPayload, SqliteOptions, SqliteStore, StoreExt, TaskId, Term, TransitionId, WorkItemId,
};

use super::{Audit, chain_faults, newest_verified};

const ARTIFACT: &str = "artifact.txt";

/// A task with four checkpoints, and two items of which one is held; the third checkpoint's evidence is that the artifact
/// reads `three`, the others' that it reads `all`.
async fn furnished(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("agent.db");
    let env = Env::system();
    let store = SqliteStore::open(SqliteOptions::new(&path), env.clone()).await.unwrap();
    let (task, kind) = (TaskId::new("report").unwrap(), Label::new("step").unwrap());
    let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
    store.create_task(create).await.unwrap();
    for number in 1..=4 {
        let content = if number == 3 { "three" } else { "all" };
        let digest = blake3::hash(content.as_bytes()).to_hex();
        let evidence = format!(
            r#"{{"version":1,"rule":"all","pieces":[{{"file_hash":{{"path":"{ARTIFACT}","blake3":"{digest}"}}}}]}}"#
        );
        let append = AppendCheckpoint {
            checkpoint: CheckpointId::generate(&env),
            task: task.clone(),
            kind: kind.clone(),
            work_item: None,
            expected_head: None,
            payload: SealedPayload::seal(format!("state {number}"), &env).unwrap(),
            evidence: Payload::new(evidence).unwrap(),
            copy_of: None,
        };
        store.append_checkpoint(append).await.unwrap();
    }
    for name in ["held", "free"] {
        let enqueue = Enqueue {
            item: WorkItemId::new(name).unwrap(),
            task: task.clone(),
            kind: kind.clone(),
            priority: i32::from(name == "held"),
            delay: Delay::ZERO,
            max_attempts: 1,
        };
        store.enqueue(enqueue).await.unwrap();
    }
    let claim = Claim {
        claim: TransitionId::generate(&env),
        holder: HolderId::new("holder").unwrap(),
        term: Term::new(Duration::from_secs(60)).unwrap(),
        limit: 1,
        kinds: Vec::new(),
        task: None,
    };
    assert_eq!(store.claim(claim).await.unwrap().items.len(), 1);
    store.close().await;
    path
}

/// What is found after `damage`: gaps, breaks, and where to go on when the artifact reads `content`.
async fn found(damage: &str, content: &str) -> (usize, usize, u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = furnished(folder.path()).await;
    std::fs::write(folder.path().join(ARTIFACT), content).unwrap();
    Connection::open(&path).unwrap().execute_batch(damage).unwrap();
    let audit = Audit::open(&path).unwrap();
    let task = audit.task("report").unwrap().unwrap();
    let rows = audit.checkpoints(&task).unwrap();
    let faults = chain_faults(&task, &rows);
    (faults.gaps.len(), faults.breaks.len(), newest_verified(&task, &rows, folder.path()))
}

#[tokio::test]
async fn a_chain_as_the_store_wrote_it_has_no_fault() {
    assert_eq!(found("", "all").await, (0, 0, 4));
}

#[tokio::test]
async fn the_resume_point_depends_on_what_the_evidence_says_now() {
    assert_eq!(found("", "three").await, (0, 0, 3));
    assert_eq!(found("", "neither").await, (0, 0, 0));
}

#[tokio::test]
async fn every_damaged_column_breaks_the_chain() {
    for (column, value) in [
        ("payload", "x'00'"),
        ("evidence", "x'00'"),
        ("salt", "zeroblob(16)"),
        ("checkpoint_type", "'other'"),
        ("work_item_id", "'other'"),
        ("checkpoint_id", "zeroblob(16)"),
        ("payload_digest", "zeroblob(32)"),
        ("evidence_digest", "zeroblob(32)"),
        ("parent_link", "zeroblob(32)"),
        ("link", "zeroblob(32)"),
    ] {
        let damage = format!("UPDATE checkpoints SET {column} = {value} WHERE sequence_number = 4");
        let (_, breaks, resume_point) = found(&damage, "all").await;
        assert!(breaks > 0, "{column}");
        assert_eq!(resume_point, 2, "{column}: the third one's evidence does not hold");
    }
}

#[tokio::test]
async fn a_lost_checkpoint_is_a_gap_or_a_wrong_head() {
    let (gaps, breaks, _) = found("DELETE FROM checkpoints WHERE sequence_number = 2", "all").await;
    assert!(gaps == 1 && breaks > 0);
    let (gaps, breaks, _) = found("DELETE FROM checkpoints WHERE sequence_number = 4", "all").await;
    assert!(gaps == 0 && breaks > 0, "the task knows that there was one more");
    let renumber = "UPDATE checkpoints SET sequence_number = 5 WHERE sequence_number = 4";
    let (gaps, breaks, _) = found(renumber, "all").await;
    assert!(gaps == 1 && breaks > 0);
}

#[tokio::test]
async fn a_row_that_refers_to_nothing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = furnished(folder.path()).await;
    assert!(Audit::open(&path).unwrap().faults().unwrap().is_empty());
    let orphan = "PRAGMA foreign_keys = OFF; UPDATE checkpoints SET task_id = 77 WHERE sequence_number = 4";
    Connection::open(&path).unwrap().execute_batch(orphan).unwrap();
    assert_eq!(Audit::open(&path).unwrap().faults().unwrap().len(), 1);
}

#[tokio::test]
async fn an_item_that_is_leased_by_half_is_told() {
    let now = "'2026-01-01 00:00:00.000'";
    for (column, none, some) in [
        ("lease_holder", "NULL", "'holder'"),
        ("lease_acquired_at", "NULL", now),
        ("lease_expires_at", "NULL", now),
        ("status", "'pending'", "'in_progress'"),
    ] {
        for (item, value) in [("held", none), ("free", some)] {
            let folder = tempfile::tempdir().unwrap();
            let path = furnished(folder.path()).await;
            assert_eq!(Audit::open(&path).unwrap().faults().unwrap(), [""; 0]);
            let damage = format!("UPDATE work_items SET {column} = {value} WHERE work_item_id = '{item}'");
            Connection::open(&path).unwrap().execute_batch(&damage).unwrap();
            let told = Audit::open(&path).unwrap().faults().unwrap();
            assert!(told.len() == 1 && told[0].contains(item), "{damage}: {told:?}");
        }
    }
}

#[tokio::test]
async fn looking_leaves_the_log_of_a_killed_process_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = furnished(folder.path()).await;
    let writer = Connection::open(&path).unwrap();
    // As a process does that is killed.
    writer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    writer.execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE tasks SET status = 'failed'").unwrap();
    drop(writer);
    let log = path.with_extension("db-wal");
    let before = std::fs::read(&log).unwrap();
    assert!(!before.is_empty());
    let audit = Audit::open(&path).unwrap();
    assert_eq!(audit.task("report").unwrap().unwrap().status, "failed");
    assert!(audit.faults().unwrap().is_empty());
    drop(audit);
    assert_eq!(std::fs::read(&log).unwrap(), before);
}
