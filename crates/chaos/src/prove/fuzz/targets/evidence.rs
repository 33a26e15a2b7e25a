//! Evidence as it is stored: read strictly, written back alike, looked at without a panic.

use std::path::Path;
use std::sync::Arc;

use steadfast_checkpoints::{
    CheckpointManager, CheckpointOptions, EvidencePack, Finding, Obstacle, PATH_BYTES_MAX, Piece,
};
use steadfast_store::env::Env;
use steadfast_store::{MemoryStore, Payload};

use super::{Met, scratch};

/// Any bytes as the evidence of a checkpoint.
pub fn evidence(data: &[u8]) -> Met {
    let Ok(payload) = Payload::new(data.to_vec()) else { return Met::Refused };
    let Ok(pack) = EvidencePack::from_payload(&payload) else { return Met::Refused };
    for piece in pack.pieces() {
        assert!(
            !piece.to_string().contains(char::is_control),
            "the name of a piece leaves its line: {piece}"
        );
        if let Some(path) = path_of(piece) {
            assert!(stays_below(path), "stored evidence names a path outside of its base: {path:?}");
        }
    }
    // What was read is written again in the oldest version that can say it, and read alike, for ever.
    let written = match pack.to_payload() {
        Ok(written) => written,
        Err(error) => panic!("evidence that was read cannot be written: {error}"),
    };
    assert_eq!(EvidencePack::from_payload(&written), Ok(pack.clone()), "evidence changed on its way");
    assert_eq!(pack.to_payload().map(|again| again.digest()).ok(), Some(written.digest()));
    look(pack);
    Met::Taken
}

/// Looks at the pack with nothing below its base and nothing in its store.
fn look(pack: EvidencePack) {
    let store = Arc::new(MemoryStore::new(Env::system()));
    let nowhere = Path::new("/proc/self/fdinfo/none");
    let manager = CheckpointManager::new(store, CheckpointOptions::new(nowhere));
    let report = scratch::run(manager.check(pack));
    for piece in &report.pieces {
        assert_ne!(piece.finding, Finding::Verified, "there is nothing that could verify: {piece}");
        assert_ne!(piece.finding, Finding::Pending(Obstacle::BrokenOff), "the look panicked: {piece}");
    }
}

fn path_of(piece: &Piece) -> Option<&str> {
    match piece {
        Piece::FileHash(file) => Some(file.path()),
        Piece::ArtifactExists(artifact) => Some(artifact.path()),
        _ => None,
    }
}

/// The rule for paths, said once more and otherwise.
pub(super) fn stays_below(path: &str) -> bool {
    let has_bounds = !path.is_empty() && path.len() <= PATH_BYTES_MAX && !path.contains('\0');
    let leads_up = Path::new(path)
        .components()
        .any(|part| !matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir));
    has_bounds && !leads_up
}
