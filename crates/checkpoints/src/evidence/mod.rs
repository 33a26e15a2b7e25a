//! Evidence: what outside of the store must hold for a checkpoint to be taken for true, and how that is looked at.

pub(crate) mod beside;
pub(crate) mod command;
mod confined;
mod custom;
mod digests;
pub(crate) mod file;
mod finding;
pub(crate) mod look;
mod row;
mod verifiers;
mod wire;

use std::path::Path;

use steadfast_store::{InvalidId, Label, PayloadTooLarge};

pub use command::{Captured, CommandExit, CommandOutcome, UnreadableOutcome};
pub use confined::FILE_BYTES_MAX;
pub use custom::{Custom, SUBJECT_BYTES_MAX, Verifier};
pub use digests::{FileDigest, HashAlgorithm, Sha256Digest};
pub use file::{ArtifactExists, ArtifactKind, FileHash, FoundKind, PATH_BYTES_MAX};
pub use finding::{EvidenceReport, Failure, Finding, Judgement, Obstacle, PieceReport};
pub use row::{DatabaseRow, ExpectedRow, PARAMETER_BYTES_MAX, PARAMETERS_MAX, RowQuery};
pub use verifiers::{PATIENCE_DEFAULT, Verifiers};
pub use wire::UnreadableEvidence;

/// Most pieces in one pack.
pub const PIECES_MAX: usize = 256;

/// Why something cannot be evidence. Nothing was written.
///
/// ```
/// use steadfast_checkpoints::{ArtifactExists, ArtifactKind, InvalidEvidence};
///
/// let error = ArtifactExists::new("../secret", ArtifactKind::File).unwrap_err();
/// assert!(matches!(error, InvalidEvidence::Path { .. }));
/// ```
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
    /// A name that nothing can be registered under.
    #[error("the name of a {what} cannot be one ({source})")]
    Name {
        /// Of what.
        what: &'static str,
        /// What is wrong with it, and what to do.
        source: InvalidId,
    },
    /// Too many parameters of a query.
    #[error(
        "{actual} parameters of a query are over the limit of {limit}: give it one key that stands for them"
    )]
    TooManyParameters {
        /// How many there are.
        actual: usize,
        /// How many may be.
        limit: usize,
    },
    /// A text of a piece is too long.
    #[error("{what} of {actual} bytes is over the limit of {limit}: put it into a file and name its digest")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// Its length in bytes.
        actual: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A subject that is no JSON.
    #[error("the subject of a verifier is no JSON ({why}): quote a plain text")]
    Subject {
        /// What is wrong with it.
        why: String,
    },
    /// The pack, or an outcome, is too large to be stored.
    #[error(transparent)]
    TooLarge(#[from] PayloadTooLarge),
    /// It could not be written as JSON.
    #[error("the evidence could not be written down: {0}")]
    Unwritable(#[from] serde_json::Error),
}

/// How many pieces must hold.
///
/// ```
/// use steadfast_checkpoints::{ArtifactExists, ArtifactKind, EvidencePack, Piece, Rule};
///
/// let page = |name| Ok::<_, steadfast_checkpoints::InvalidEvidence>(
///     Piece::ArtifactExists(ArtifactExists::new(name, ArtifactKind::File)?));
/// // The report may be there in either form.
/// let pack = EvidencePack::new(Rule::AtLeast(1), vec![page("report.html")?, page("report.pdf")?])?;
/// assert_eq!(pack.rule(), Rule::AtLeast(1));
/// # Ok::<(), steadfast_checkpoints::InvalidEvidence>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rule {
    /// Every one.
    #[default]
    All,
    /// At least this many.
    AtLeast(u32),
}

/// One thing that must hold.
///
/// ```
/// use steadfast_checkpoints::{ArtifactExists, ArtifactKind, Custom, EvidencePack, Piece, Rule};
///
/// let charts = Piece::ArtifactExists(ArtifactExists::new("out/charts", ArtifactKind::Directory)?);
/// let closed = Piece::Custom(Custom::new("ticket-closed", "7")?);
/// let pack = EvidencePack::new(Rule::All, vec![charts, closed])?;
/// # Ok::<(), steadfast_checkpoints::InvalidEvidence>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Piece {
    /// A file has this content.
    FileHash(FileHash),
    /// Something is at a path.
    ArtifactExists(ArtifactExists),
    /// A command, run as an operation of the ledger, has ended with this exit code.
    CommandExit(CommandExit),
    /// A registered query finds a row.
    DatabaseRow(DatabaseRow),
    /// A registered verifier agrees.
    Custom(Custom),
}

impl Piece {
    /// Whether a look at it blocks on the file system.
    fn is_about_a_file(&self) -> bool {
        matches!(self, Self::FileHash(_) | Self::ArtifactExists(_))
    }

    /// Looks at it now, if it is about a file. Blocks on the file system.
    fn look_at_file(&self, base: &Path) -> Option<Finding> {
        match self {
            Self::FileHash(file) => Some(file.look(base)),
            Self::ArtifactExists(artifact) => Some(artifact.look(base)),
            Self::CommandExit(_) | Self::DatabaseRow(_) | Self::Custom(_) => None,
        }
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
}

/// The name that a query or verifier is asked for by.
fn name(what: &'static str, text: &str) -> Result<Label, InvalidEvidence> {
    Label::new(text).map_err(|source| InvalidEvidence::Name { what, source })
}

#[cfg(test)]
mod tests {
    use steadfast_store::Digest;

    use super::*;

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
