//! What a look at evidence finds: of each piece, and of the pack by its rule.

use std::fmt;
use std::path::PathBuf;

use steadfast_store::Digest;

use crate::evidence::{Piece, Rule};

/// Why a piece does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// There is nothing at the path.
    #[error("it is not there: make it again or go on from an earlier checkpoint")]
    Missing,
    /// A part of the path is a symbolic link.
    #[error("its path passes a symbolic link: name the file itself")]
    Symlink,
    /// The path leads out of the base folder.
    #[error("its path leaves the base folder: keep evidence below it")]
    LeavesBase,
    /// It is a folder, a device, a pipe or a socket.
    #[error("it is not a regular file: name one")]
    NotAFile,
    /// It belongs to a store that is open in this process; reading it here could lose acknowledged commits.
    #[error("it is a store's own file: name something that the work itself has made")]
    OwnFile,
    /// It is too large to be hashed.
    #[error(
        "its {actual} bytes are over the limit of {limit}: split it, or name a file of its parts' digests"
    )]
    TooLarge {
        /// Its size in bytes.
        actual: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Somebody wrote to it while it was hashed.
    #[error("it changed while it was read: finish writing before you name it")]
    Changed,
    /// Its content is another one.
    #[error("its content has digest {found}, not {expected}: it was changed since")]
    Mismatch {
        /// The digest in the evidence.
        expected: Digest,
        /// The digest of the file.
        found: Digest,
    },
}

/// Why a piece could not be looked at. It may hold all the same; the next look may tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// The base folder cannot be opened.
    #[error("the base folder {base:?} cannot be opened ({why}): create it or correct the option")]
    Base {
        /// The folder.
        base: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The system refused.
    #[error("{what} ({why}): look again when that is mended")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        why: String,
    },
    /// The look itself broke off.
    #[error("the look was broken off: look again")]
    BrokenOff,
}

/// What a look at one piece found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It holds, now.
    Verified,
    /// It does not.
    Failed(Failure),
    /// It could not be looked at.
    Pending(Obstacle),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified => f.write_str("verified"),
            Self::Failed(failure) => write!(f, "failed: {failure}"),
            Self::Pending(obstacle) => write!(f, "pending: {obstacle}"),
        }
    }
}

/// One piece and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceReport {
    /// The piece.
    pub piece: Piece,
    /// What a look at it found.
    pub finding: Finding,
}

impl fmt::Display for PieceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.piece {
            Piece::FileHash(file) => write!(f, "file {:?} {}", file.path(), self.finding),
        }
    }
}

/// What all findings together say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The rule holds, now.
    Verified,
    /// The rule cannot hold.
    Failed,
    /// It depends on pieces that could not be looked at.
    Pending,
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Verified => "verified",
            Self::Failed => "failed",
            Self::Pending => "pending",
        })
    }
}

/// What a look at a whole pack found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceReport {
    /// What the rule makes of it.
    pub judgement: Judgement,
    /// Each piece, in the order of the pack.
    pub pieces: Vec<PieceReport>,
}

impl EvidenceReport {
    pub(crate) fn new(rule: Rule, pieces: Vec<PieceReport>) -> Self {
        let count = |is: fn(&Finding) -> bool| pieces.iter().filter(|piece| is(&piece.finding)).count();
        let verified = count(|finding| matches!(finding, Finding::Verified));
        let pending = count(|finding| matches!(finding, Finding::Pending(_)));
        let needed = match rule {
            Rule::All => pieces.len(),
            Rule::AtLeast(count) => count as usize,
        };
        let judgement = if verified >= needed {
            Judgement::Verified
        } else if verified + pending >= needed {
            Judgement::Pending
        } else {
            Judgement::Failed
        };
        Self { judgement, pieces }
    }

    /// The report of a look that broke off before it found anything.
    pub(crate) fn broken_off(rule: Rule, pieces: Vec<Piece>) -> Self {
        let finding = Finding::Pending(Obstacle::BrokenOff);
        let report = |piece| PieceReport { piece, finding: finding.clone() };
        Self::new(rule, pieces.into_iter().map(report).collect())
    }

    /// The pieces that do not hold or could not be looked at.
    pub fn open_pieces(&self) -> impl Iterator<Item = &PieceReport> {
        self.pieces.iter().filter(|piece| piece.finding != Finding::Verified)
    }
}

impl fmt::Display for EvidenceReport {
    /// The judgement, then every piece that does not hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.judgement)?;
        self.open_pieces().try_for_each(|piece| write!(f, "; {piece}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::FileHash;

    fn judge(rule: Rule, findings: &str) -> Judgement {
        let pieces = findings.chars().map(|letter| PieceReport {
            piece: Piece::FileHash(FileHash::new("a", Digest::ZERO).unwrap()),
            finding: match letter {
                'v' => Finding::Verified,
                'f' => Finding::Failed(Failure::Missing),
                _ => Finding::Pending(Obstacle::BrokenOff),
            },
        });
        EvidenceReport::new(rule, pieces.collect()).judgement
    }

    #[test]
    fn the_rule_decides_what_the_findings_together_say() {
        for (findings, all, two) in [
            ("vvv", Judgement::Verified, Judgement::Verified),
            ("vvf", Judgement::Failed, Judgement::Verified),
            ("vvp", Judgement::Pending, Judgement::Verified),
            ("vfp", Judgement::Failed, Judgement::Pending),
            ("vff", Judgement::Failed, Judgement::Failed),
            ("ffp", Judgement::Failed, Judgement::Failed),
            ("fpp", Judgement::Failed, Judgement::Pending),
            ("ppp", Judgement::Pending, Judgement::Pending),
        ] {
            assert_eq!(judge(Rule::All, findings), all, "all of {findings}");
            assert_eq!(judge(Rule::AtLeast(2), findings), two, "two of {findings}");
        }
        assert_eq!(judge(Rule::All, ""), Judgement::Verified);
    }
}
