//! The chain of a task computed again from the format's own description, not by the code that wrote it: the contents
//! of a checkpoint are its fields, each with its length before it, hashed with BLAKE3; its link is the keyed hash of
//! the parent's link, the digest of the contents, and the sequence number.

use std::path::Path;

use serde_json::Value;

use super::{BOUNDARY, CheckpointRow, TaskRow};

/// What separates contents from every other use of the digest.
const CONTEXT: &[u8] = b"steadfast checkpoint contents 2";
/// The key of links: text, filled up with zeros.
const LINK: &[u8] = b"steadfast checkpoint link 2";
/// What the first checkpoint names as its parent.
const NO_PARENT: [u8; 32] = [0; 32];

/// The link that a row's fields give.
fn link_of(task: &str, row: &CheckpointRow) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut field = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    let [payload, evidence, parent, _] = &row.digests;
    field(CONTEXT);
    field(task.as_bytes());
    field(&row.id);
    field(row.kind.as_bytes());
    match &row.work_item {
        Some(item) => {
            field(b"item");
            field(item.as_bytes());
        }
        None => field(b"none"),
    }
    field(payload);
    field(evidence);
    let contents = hasher.finalize();
    let mut key = [0; 32];
    key[..LINK.len()].copy_from_slice(LINK);
    let mut link = blake3::Hasher::new_keyed(&key);
    link.update(parent).update(contents.as_bytes()).update(&row.sequence.to_le_bytes());
    *link.finalize().as_bytes()
}

/// What is wrong with the bytes and the link of one checkpoint.
fn row_fault(task: &str, row: &CheckpointRow) -> Option<&'static str> {
    let [payload, evidence, _, link] = &row.digests;
    let salted = blake3::Hasher::new().update(&row.salt).update(&row.payload).finalize();
    // Of an erased one nothing may be left that its digest could be guessed from.
    let is_gone = row.payload.is_empty() && row.salt.iter().all(|byte| *byte == 0);
    if row.is_erased && !is_gone {
        Some("it was erased, and its payload or salt is there")
    } else if !row.is_erased && salted.as_bytes() != payload.as_slice() {
        Some("its payload does not give its digest")
    } else if blake3::hash(&row.evidence).as_bytes() != evidence.as_slice() {
        Some("its evidence does not give its digest")
    } else if link_of(task, row) != link.as_slice() {
        Some("its fields do not give its link")
    } else {
        None
    }
}

/// What is wrong with the chain of a task that was never pruned: gaps, links, bytes, the head on the task. The rows
/// in order of their sequence numbers.
pub fn chain_faults(task: &TaskRow, rows: &[CheckpointRow]) -> ChainFaults {
    faults_after(0, NO_PARENT.to_vec(), task, rows)
}

/// The same of one that may have been: of a beginning that is gone the task says so, and the first one left names a
/// parent that cannot be looked at any more.
pub fn pruned_chain_faults(task: &TaskRow, rows: &[CheckpointRow]) -> ChainFaults {
    if task.pruned_through == 0 {
        return chain_faults(task, rows);
    }
    let parent = rows.first().map_or_else(|| task.head_link.clone(), |first| first.digests[2].clone());
    faults_after(task.pruned_through, parent, task, rows)
}

fn faults_after(
    pruned_through: u64,
    mut parent: Vec<u8>,
    task: &TaskRow,
    rows: &[CheckpointRow],
) -> ChainFaults {
    let mut faults = ChainFaults::default();
    let mut expected = pruned_through + 1;
    for row in rows {
        if row.sequence != expected {
            faults.gaps.push(format!("checkpoint {} stands where {expected} belongs", row.sequence));
        }
        if row.digests[2] != parent {
            faults.breaks.push(format!("checkpoint {} names another parent", row.sequence));
        }
        if let Some(fault) = row_fault(&task.key, row) {
            faults.breaks.push(format!("checkpoint {}: {fault}", row.sequence));
        }
        (expected, parent) = (row.sequence + 1, row.digests[3].clone());
    }
    // The task names a head of its own only when that checkpoint is gone.
    let newest = expected - 1;
    if task.last_sequence > newest || (task.last_sequence == newest && task.head_link != parent) {
        let head = task.last_sequence;
        faults
            .breaks
            .push(format!("the task knows of checkpoint {head}, the newest in the file is {newest}"));
    }
    faults
}

/// What is wrong with a chain, a line each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChainFaults {
    /// Sequence numbers that are missing or there twice.
    pub gaps: Vec<String>,
    /// Links, bytes and heads that do not fit.
    pub breaks: Vec<String>,
}

/// The sequence number from which the task must go on: the newest state whose bytes, link and evidence are right at
/// this moment; 0 when there is none. The rows in order of their sequence numbers.
pub fn newest_verified(task: &TaskRow, rows: &[CheckpointRow], artifacts: &Path) -> u64 {
    let is_verified = |row: &&CheckpointRow| {
        row.kind != BOUNDARY
            && !row.is_erased
            && row_fault(&task.key, row).is_none()
            && evidence_holds(&row.evidence, artifacts)
    };
    rows.iter().rev().find(is_verified).map_or(0, |row| row.sequence)
}

/// Whether every file that the evidence names has the content it names. Evidence of another form does not hold.
fn evidence_holds(evidence: &[u8], artifacts: &Path) -> bool {
    let Ok(pack) = serde_json::from_slice::<Value>(evidence) else { return false };
    let Some(pieces) = pack["pieces"].as_array() else { return false };
    pack["version"] == 1
        && pack["rule"] == "all"
        && !pieces.is_empty()
        && pieces.iter().all(|piece| {
            let file = &piece["file_hash"];
            let (Some(path), Some(digest)) = (file["path"].as_str(), file["blake3"].as_str()) else {
                return false;
            };
            let found = std::fs::read(artifacts.join(path)).map(|bytes| blake3::hash(&bytes));
            found.is_ok_and(|found| found.to_hex().as_str() == digest)
        })
}
