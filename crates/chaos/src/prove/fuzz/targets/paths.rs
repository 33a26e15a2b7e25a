//! Paths of evidence: whatever the bytes, nothing outside of the base folder is looked at, and what is below it is
//! found. Held against a walk of the path's parts by hand.

use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use steadfast_checkpoints::{
    ArtifactExists, ArtifactKind, CheckpointManager, CheckpointOptions, EvidencePack, FileDigest, Finding,
    Obstacle, Piece, Rule,
};
use steadfast_store::env::Env;
use steadfast_store::{Digest, MemoryStore};
use tempfile::TempDir;

use super::evidence::stays_below;
use super::{Met, scratch};

/// A base folder with everything in it that could lead out, and a secret beside it.
struct Stage {
    folder: TempDir,
    base: PathBuf,
    manager: CheckpointManager,
}

thread_local! {
    static STAGE: OnceCell<Stage> = const { OnceCell::new() };
}

/// Any bytes as the path of a piece. `%` stands for the folder around the base, so that absolute paths are tried.
pub fn paths(data: &[u8]) -> Met {
    STAGE.with(|stage| {
        let stage = stage.get_or_init(Stage::new);
        let around = stage.folder.path().to_string_lossy();
        let path = String::from_utf8_lossy(data).replace('%', &around);
        stage.look(&path)
    })
}

impl Stage {
    #[allow(clippy::expect_used, reason = "without its files there is nothing to try")]
    fn new() -> Self {
        let folder = scratch::folder();
        let base = folder.path().join("base");
        let lay = || -> std::io::Result<()> {
            fs::create_dir_all(base.join("in/deep"))?;
            fs::create_dir(folder.path().join("base2"))?;
            for (path, content) in [
                ("secret", "outside"),
                ("base2/secret", "outside"),
                ("base/a", "the content of a"),
                ("base/in/b c", "the content of b"),
                ("base/in/deep/..d", "the content of d"),
                ("base/ä", "the content of ä"),
            ] {
                fs::write(folder.path().join(path), content)?;
            }
            symlink("../secret", base.join("up"))?;
            symlink("/", base.join("in/root"))?;
            symlink("a", base.join("same"))?;
            symlink("in", base.join("folder"))?;
            symlink("/proc/self/root", base.join("magic"))
        };
        lay().expect("the files of the stage");
        let store = Arc::new(MemoryStore::new(Env::system()));
        let manager = CheckpointManager::new(store, CheckpointOptions::new(&base));
        Self { folder, base, manager }
    }

    fn look(&self, path: &str) -> Met {
        let artifact = ArtifactExists::new(path, ArtifactKind::Any);
        assert_eq!(artifact.is_ok(), stays_below(path), "the path {path:?}: {artifact:?}");
        let observed = scratch::run(self.manager.observe_file(path));
        let Ok(artifact) = artifact else {
            assert!(observed.is_err(), "a path that is none was observed: {path:?}");
            return Met::Refused;
        };
        let expected = self.walked(path);
        let Ok(pack) = EvidencePack::new(Rule::All, vec![Piece::ArtifactExists(artifact)]) else {
            panic!("one piece is a pack")
        };
        let report = scratch::run(self.manager.check(pack));
        let finding = report.pieces.first().map(|piece| &piece.finding);
        assert_ne!(finding, Some(&Finding::Pending(Obstacle::BrokenOff)), "the look panicked: {path:?}");
        let is_there = finding == Some(&Finding::Verified);
        assert_eq!(is_there, expected.is_some(), "{path:?} is found as {report}, by hand {expected:?}");
        let content = expected.filter(|path| path.is_file()).and_then(|path| fs::read(path).ok());
        let digest = match observed {
            Ok(Piece::FileHash(file)) => Some(file.digest()),
            Ok(other) => panic!("a file was observed as {other}"),
            Err(_) => None,
        };
        let wanted = content.map(|content| FileDigest::Blake3(Digest::of(&content)));
        assert_eq!(digest, wanted, "another content was observed at {path:?}");
        Met::taken(is_there)
    }

    /// Where a path leads that follows no link and goes nowhere up, part by part; nothing when it leads nowhere.
    fn walked(&self, path: &str) -> Option<PathBuf> {
        let mut at = self.base.clone();
        for part in path.split('/') {
            // An empty part and a dot ask for a folder.
            if !fs::symlink_metadata(&at).ok()?.is_dir() {
                return None;
            }
            if !matches!(part, "" | ".") {
                at.push(part);
            }
        }
        let there = fs::symlink_metadata(&at).ok()?;
        assert!(at.starts_with(&self.base) && Path::new(path).is_relative(), "the walk left its base");
        (!there.is_symlink()).then_some(at)
    }
}
