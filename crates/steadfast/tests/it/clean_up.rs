//! The clean-up statement of the manual, run by an operator on the file of a store that is open: the chain says that it
//! was pruned and verifies, and the next checkpoint has the number that it would have had.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use steadfast::checkpoints::{ChainBreak, ChainReport};
use steadfast::prelude::*;
use steadfast::store::SequenceNumber;

use crate::label;

const CLEAN_UP: &str = "\
DELETE FROM checkpoints
WHERE checkpoint_id IN (
    SELECT checkpoint_id
    FROM checkpoints c1
    WHERE (
        SELECT COUNT(*)
        FROM checkpoints c2
        WHERE c2.task_id = c1.task_id
          AND c2.sequence_number > c1.sequence_number
    ) >= 100
);";
const MADE: u64 = 130;
/// What the statement leaves of each task.
const KEPT: u64 = 100;

async fn open(folder: &Path) -> (Arc<dyn Store>, CheckpointManager) {
    let url = format!("sqlite:{}", folder.join("work.db").display());
    let store = steadfast::open(&url, Env::system()).await.unwrap();
    let checkpoints = CheckpointManager::new(store.clone(), CheckpointOptions::new(folder));
    (store, checkpoints)
}

/// One more checkpoint, under evidence that holds; its number.
async fn step(checkpoints: &CheckpointManager, task: &TaskId) -> SequenceNumber {
    let piece = checkpoints.observe_file("notes.md").await.unwrap();
    let evidence = EvidencePack::new(Rule::All, vec![piece]).unwrap();
    let new = NewCheckpoint { evidence, ..NewCheckpoint::new(task.clone(), label("step"), "state") };
    let prepared = checkpoints.prepare(new).unwrap();
    checkpoints.commit_step(&prepared, None, |_| {}).await.unwrap().appended.sequence
}

/// The chain as it must be once so many were made: pruned, and whole from there.
async fn is_pruned(checkpoints: &CheckpointManager, task: &TaskId, made: u64) {
    let report = checkpoints.verify_chain(task).await.unwrap();
    let ChainReport::Pruned { through, length, .. } = report else { panic!("{report:?}") };
    assert_eq!((through, length), (SequenceNumber(MADE - KEPT), made - (MADE - KEPT)));
    let plan = resume_plan(checkpoints, task).await.unwrap();
    assert_eq!(plan.from.unwrap().header.sequence, SequenceNumber(made));
}

#[tokio::test]
async fn after_the_clean_up_of_the_manual_a_chain_verifies_as_pruned_and_goes_on_with_the_next_number() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    assert!(fs::read_to_string(manual).unwrap().contains(CLEAN_UP), "the manual has another statement");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("notes.md"), "three sources").unwrap();
    let (store, checkpoints) = open(folder).await;
    let tasks = [("crowded", MADE), ("small", 3)].map(|(name, made)| (TaskId::new(name).unwrap(), made));
    for (task, made) in &tasks {
        let create = CreateTask { task: task.clone(), kind: label("research"), input: Payload::empty() };
        store.create_task(create).await.unwrap();
        for number in 1..=*made {
            assert_eq!(step(&checkpoints, task).await, SequenceNumber(number));
        }
    }
    let [(crowded, _), (small, _)] = &tasks;
    let is_intact = async |task| checkpoints.verify_chain(task).await.unwrap();
    assert!(matches!(is_intact(crowded).await, ChainReport::Intact { length: MADE, .. }));

    let operator = Connection::open(folder.join("work.db")).unwrap();
    assert_eq!(operator.execute(CLEAN_UP, []).unwrap(), usize::try_from(MADE - KEPT).unwrap());
    is_pruned(&checkpoints, crowded, MADE).await;
    assert!(matches!(is_intact(small).await, ChainReport::Intact { length: 3, .. }));
    assert_eq!(step(&checkpoints, crowded).await, SequenceNumber(MADE + 1));
    is_pruned(&checkpoints, crowded, MADE + 1).await;

    // Another process would find the same.
    let (_store, reopened) = open(folder).await;
    is_pruned(&reopened, crowded, MADE + 1).await;
    assert_eq!(step(&reopened, crowded).await, SequenceNumber(MADE + 2));
    assert_eq!(step(&checkpoints, crowded).await, SequenceNumber(MADE + 3));

    // A hole is no pruning.
    let removed = operator.execute("DELETE FROM checkpoints WHERE sequence_number = 60", []).unwrap();
    assert_eq!(removed, 1);
    let report = checkpoints.verify_chain(crowded).await.unwrap();
    let ChainReport::Broken { at: SequenceNumber(60), why: ChainBreak::Missing } = report else {
        panic!("{report:?}")
    };
}
