//! Evidence: what outside of the store must hold for a checkpoint to be taken for true, and how that is looked at.

mod confined;
mod finding;
mod wire;

use std::path::Path;

use steadfast_store::{Digest, PayloadTooLarge};

pub use confined::FILE_BYTES_MAX;
pub use finding::{EvidenceReport, Failure, Finding, Judgement, Obstacle, PieceReport};
pub use wire::UnreadableEvidence;

/// Most pieces in one pack.
pub const PIECES_MAX: usize = 256;
/// Longest path of a piece, in bytes.
pub const PATH_BYTES_MAX: usize = 4_000;

/// Why something cannot be evidence. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEvidence {
    /// A rule that holds without a single piece, or cannot hold with all of them.
    #[error(
        "a rule of at least {at_least} of {pieces} pieces can never decide anything: ask for 1 to {pieces}"
    )]
    Rule {
        /// What the rule asks for.
        at_least: u32,
        /// How many pieces there are.
        pieces: usize,
    },
    /// Too many pieces.
    #[error(
        "{actual} pieces of evidence are over the limit of {limit}: put their digests into a file and name that"
    )]
    TooMany {
        /// How many there are.
        actual: usize,
        /// How many may be.
        limit: usize,
    },
    /// A path that no piece may have.
    #[error("the path {path:?} {why}: name a file below the base folder, relative to it")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The pack is too large to be stored.
    #[error(transparent)]
    TooLarge(#[from] PayloadTooLarge),
    /// The pack could not be written as JSON.
    #[error("the evidence could not be written down: {0}")]
    Unwritable(#[from] serde_json::Error),
}

/// How many pieces must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rule {
    /// Every one.
    #[default]
    All,
    /// At least this many.
    AtLeast(u32),
}

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Piece {
    /// A file has this content.
    FileHash(FileHash),
}

impl Piece {
    /// Looks at it now. Blocks on the file system.
    fn look(&self, base: &Path) -> Finding {
        match self {
            Self::FileHash(file) => file.look(base),
        }
    }
}

/// The BLAKE3 digest of a file below the base folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHash {
    path: String,
    digest: Digest,
}

impl FileHash {
    /// The file at `path`, relative to the base folder, with the content of this digest.
    ///
    /// # Errors
    /// [`InvalidEvidence::Path`] for a path that is empty, absolute, too long, or names a parent folder or a NUL.
    pub fn new(path: impl Into<String>, digest: Digest) -> Result<Self, InvalidEvidence> {
        let path = path.into();
        match check_path(&path) {
            Ok(()) => Ok(Self { path, digest }),
            Err(why) => Err(InvalidEvidence::Path { path, why }),
        }
    }

    /// The path, relative to the base folder.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The digest that the file must have.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    fn look(&self, base: &Path) -> Finding {
        match confined::digest_of(base, &self.path) {
            Ok(found) if found == self.digest => Finding::Verified,
            Ok(found) => Finding::Failed(Failure::Mismatch { expected: self.digest, found }),
            Err(finding) => finding,
        }
    }
}

/// The digest of the file at `path` below `base`, or the finding that says why there is none. Blocks.
pub(crate) fn observe(base: &Path, path: &str) -> Result<Digest, Finding> {
    confined::digest_of(base, path)
}

/// Rules out early what `openat2` would rule out later, so that the mistake shows where it is made.
fn check_path(path: &str) -> Result<(), &'static str> {
    match path {
        "" => Err("is empty"),
        _ if path.len() > PATH_BYTES_MAX => Err("is too long"),
        _ if path.contains('\0') => Err("contains a NUL"),
        _ if path.starts_with('/') => Err("is absolute"),
        _ if path.split('/').any(|part| part == "..") => Err("names a parent folder"),
        _ => Ok(()),
    }
}

/// The pieces of evidence of one checkpoint, and how many of them must hold. Written as versioned JSON beside the
/// checkpoint and covered by its link.
///
/// ```
/// use steadfast_checkpoints::{EvidencePack, FileHash, Piece, Rule};
/// use steadfast_store::Digest;
///
/// let report = Piece::FileHash(FileHash::new("out/report.md", Digest::of(b"# Report"))?);
/// let chart = Piece::FileHash(FileHash::new("out/chart.svg", Digest::of(b"<svg/>"))?);
/// let pack = EvidencePack::new(Rule::AtLeast(1), vec![report, chart])?;
/// assert_eq!(pack.pieces().len(), 2);
/// # Ok::<(), steadfast_checkpoints::InvalidEvidence>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EvidencePack {
    rule: Rule,
    pieces: Vec<Piece>,
}

impl EvidencePack {
    /// No evidence: such a checkpoint verifies by its bytes and its link alone.
    pub fn none() -> Self {
        Self::default()
    }

    /// These pieces under this rule.
    ///
    /// # Errors
    /// [`InvalidEvidence`] for too many pieces, or a rule that holds always or never.
    pub fn new(rule: Rule, pieces: Vec<Piece>) -> Result<Self, InvalidEvidence> {
        if pieces.len() > PIECES_MAX {
            return Err(InvalidEvidence::TooMany { actual: pieces.len(), limit: PIECES_MAX });
        }
        match rule {
            Rule::AtLeast(at_least) if at_least == 0 || at_least as usize > pieces.len() => {
                Err(InvalidEvidence::Rule { at_least, pieces: pieces.len() })
            }
            _ => Ok(Self { rule, pieces }),
        }
    }

    /// How many pieces must hold.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// The pieces.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Looks at every piece now. Blocks on the file system.
    pub(crate) fn look(self, base: &Path) -> EvidenceReport {
        let look = |piece: Piece| PieceReport { finding: piece.look(base), piece };
        EvidenceReport::new(self.rule, self.pieces.into_iter().map(look).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_may_leave_the_base_is_no_evidence() {
        for path in
            ["", "/etc/passwd", "../up", "a/../../b", "a/..", "nul\0", &"x".repeat(PATH_BYTES_MAX + 1)]
        {
            let error = FileHash::new(path, Digest::ZERO).unwrap_err();
            assert!(matches!(error, InvalidEvidence::Path { .. }), "{path:?}: {error}");
        }
        for path in ["a", "a/b", "..a", "a..", "./a", &"x".repeat(PATH_BYTES_MAX)] {
            assert!(FileHash::new(path, Digest::ZERO).is_ok(), "{path:?}");
        }
    }

    #[test]
    fn a_rule_that_decides_nothing_is_refused() {
        let piece = || Piece::FileHash(FileHash::new("a", Digest::ZERO).unwrap());
        for (rule, pieces) in [(Rule::AtLeast(0), 1), (Rule::AtLeast(2), 1), (Rule::AtLeast(1), 0)] {
            let pieces = (0..pieces).map(|_| piece()).collect();
            assert!(matches!(EvidencePack::new(rule, pieces), Err(InvalidEvidence::Rule { .. })), "{rule:?}");
        }
        assert!(EvidencePack::new(Rule::AtLeast(1), vec![piece()]).is_ok());
        let crowd = |count| EvidencePack::new(Rule::All, (0..count).map(|_| piece()).collect());
        assert!(crowd(PIECES_MAX).is_ok());
        assert!(matches!(crowd(PIECES_MAX + 1), Err(InvalidEvidence::TooMany { .. })));
    }
}
