//! The small good store that the targets damage: a database file and its log, made once and committed, so that an input
//! that ever failed goes on meaning the same. What was written into it is known by formula.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use steadfast_store::env::{Env, ManualClock, SeededRng};
use steadfast_store::{
    Abandonment, AppendCheckpoint, BeginOperation, CheckpointId, Claim, CreateTask, Delay, Digest, Enqueue,
    EraseCheckpoint, FinishOperation, FinishTask, HolderId, Label, OperationEnd, OperationKey,
    OperationToken, Payload, RecordVerification, SealedPayload, Settle, SettleItem, SqliteOptions,
    SqliteStore, Store, StoreExt, TaskEnd, TaskId, Term, TransitionId, Verdict, WorkItemId,
};

/// The database file, as the first half of the commits left it after its log was folded.
pub(super) const DATABASE: &[u8] = include_bytes!("../../../../fuzz/image/agent.db");
/// The log with the second half.
pub(super) const LOG: &[u8] = include_bytes!("../../../../fuzz/image/agent.db-wal");

/// The tasks.
pub(super) const TASKS: [&str; 2] = ["report", "letter"];
/// Checkpoints of each task, numbered from 1; the first half of them is in the database file.
pub(super) const CHECKPOINTS: u8 = 6;
/// The checkpoint of the second task that was erased.
pub(super) const ERASED: u8 = 2;
/// Operations, numbered from 1; the last one was never finished.
pub(super) const OPERATIONS: u8 = 6;
/// Work items, numbered from 1.
pub(super) const ITEMS: u8 = 4;
/// Longer than a page, so that it goes on over others.
const LONG_BYTES: usize = 5_000;

/// The environment in which the image was made and is read: a clock that stands, and one seed.
pub(super) fn env() -> Env {
    Env::system().with_clock(Arc::new(ManualClock::new())).with_rng(Arc::new(SeededRng::new(4)))
}

pub(super) fn task(index: usize) -> TaskId {
    known(TaskId::new(TASKS[index]))
}

pub(super) fn item(number: u8) -> WorkItemId {
    known(WorkItemId::new(format!("item-{number}")))
}

pub(super) fn operation(number: u8) -> OperationKey {
    known(OperationKey::new(format!("tool-ledger:tool:{number}")))
}

pub(super) fn checkpoint(task: usize, number: u8) -> CheckpointId {
    let mut bytes = [0x51; 16];
    (bytes[1], bytes[15]) = (u8::try_from(task).unwrap_or(0), number);
    CheckpointId::from_bytes(bytes)
}

pub(super) fn input(task: usize) -> String {
    format!("the input of {}", TASKS[task])
}

pub(super) fn result(task: usize) -> String {
    format!("the result of {}", TASKS[task])
}

pub(super) fn state(task: usize, number: u8) -> Vec<u8> {
    let mut state = format!("state {number} of {}", TASKS[task]).into_bytes();
    if number.is_multiple_of(3) {
        state.resize(LONG_BYTES, number);
    }
    state
}

pub(super) fn evidence(task: usize, number: u8) -> String {
    if task == 0 {
        return String::new();
    }
    // No piece, so that it holds everywhere; of another length for each.
    format!(r#"{{"version":1,"rule":"all","pieces":[]}}{}"#, " ".repeat(number.into()))
}

pub(super) fn output(number: u8) -> Vec<u8> {
    let mut output = format!("output {number}").into_bytes();
    if number == 2 {
        output.resize(LONG_BYTES, b'o');
    }
    output
}

/// Writes the image into a folder: both files.
#[cfg_attr(not(test), allow(dead_code, reason = "made once, by the test that is named beside it"))]
pub(super) async fn make(folder: &Path) -> std::io::Result<()> {
    let path = folder.join("made.db");
    for half in 0..2 {
        let store = known(SqliteStore::open(SqliteOptions::new(&path), env()).await);
        fill(&store, half).await;
        if half == 1 {
            // Copied while it is open: closing it folds the log and removes it.
            std::fs::copy(&path, folder.join("agent.db"))?;
            std::fs::copy(folder.join("made.db-wal"), folder.join("agent.db-wal"))?;
        }
        store.close().await;
    }
    Ok(())
}

async fn fill(store: &SqliteStore, half: u8) {
    for index in 0..TASKS.len() {
        if half == 0 {
            let (task, kind, input) = (task(index), label("research"), payload(input(index)));
            known(store.create_task(CreateTask { task, kind, input }).await);
        }
        for number in (1..=CHECKPOINTS).filter(|number| (*number > CHECKPOINTS / 2) == (half == 1)) {
            append(store, index, number).await;
        }
    }
    for number in (1..=OPERATIONS).filter(|number| number % 2 == half) {
        operate(store, number).await;
    }
    for number in (1..=ITEMS).filter(|number| number % 2 == half) {
        work(store, number).await;
    }
    let first = checkpoint(0, 1 + half);
    let verification =
        RecordVerification { checkpoint: first, verdict: Verdict::Verified, detail: "all of it".into() };
    known(store.record_verification(verification).await);
    if half == 0 {
        // Erasing folds the log, so that no copy of the bytes is left in it.
        known(store.erase_checkpoint(EraseCheckpoint { checkpoint: checkpoint(1, ERASED) }).await);
    } else {
        let finish = FinishTask { task: task(1), end: TaskEnd::Succeeded, result: payload(result(1)) };
        known(store.finish_task(finish).await);
    }
}

async fn append(store: &SqliteStore, index: usize, number: u8) {
    let append = AppendCheckpoint {
        checkpoint: checkpoint(index, number),
        task: task(index),
        kind: label("step"),
        work_item: (number == 4).then(|| item(1)),
        expected_head: None,
        copy_of: None,
        payload: known(SealedPayload::seal(state(index, number), store.env())),
        evidence: payload(evidence(index, number)),
    };
    known(store.append_checkpoint(append).await);
}

async fn operate(store: &SqliteStore, number: u8) {
    let (key, token) = (operation(number), OperationToken::from_bytes([number; 16]));
    let begin = BeginOperation {
        key: key.clone(),
        fingerprint: Digest::of(&[number]),
        token,
        task: Some(task(0)),
        lease: None,
        term: known(Term::new(Duration::from_secs(60))),
        abandonment: Abandonment::Doubt,
        fresh_for: None,
    };
    known(store.begin_operation(begin).await);
    if number < OPERATIONS {
        let end = OperationEnd::Succeeded(payload(output(number)));
        known(store.finish_operation(FinishOperation { key, token, end }).await);
    }
}

async fn work(store: &SqliteStore, number: u8) {
    let enqueue = Enqueue {
        item: item(number),
        task: task(0),
        kind: label("work"),
        priority: 0,
        delay: Delay::ZERO,
        max_attempts: 3,
    };
    known(store.enqueue(enqueue).await);
    let claim = Claim {
        claim: TransitionId::from_bytes([number; 16]),
        holder: known(HolderId::new("worker")),
        term: known(Term::new(Duration::from_secs(60))),
        limit: 1,
        kinds: Vec::new(),
        task: None,
    };
    if number > 2 {
        return;
    }
    let claimed = known(store.claim(claim).await);
    if number == 2 {
        let guard = claimed.items[0].guard();
        let detail = "no answer: é".to_owned();
        known(store.settle(SettleItem { guard, settle: Settle::Failed, detail }).await);
    }
}

fn label(text: &'static str) -> Label {
    Label::constant(text)
}

fn payload(bytes: impl Into<bytes::Bytes>) -> Payload {
    known(Payload::new(bytes))
}

/// What cannot fail with values that stand in this file.
#[track_caller]
pub(super) fn known<T, E: std::fmt::Display>(made: Result<T, E>) -> T {
    match made {
        Ok(made) => made,
        Err(error) => panic!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch;
    use super::*;

    /// Only when what is kept in the image is to change: then every corpus file of the two targets means another thing.
    #[test]
    #[ignore = "makes crates/chaos/fuzz/image anew"]
    fn the_image_is_made_anew() {
        let folder = scratch::folder();
        scratch::run(make(folder.path())).unwrap();
        let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/image");
        for name in ["agent.db", "agent.db-wal"] {
            std::fs::copy(folder.path().join(name), image.join(name)).unwrap();
        }
    }
}
