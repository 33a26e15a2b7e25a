//! Evidence as it is stored: JSON with a version, read strictly, so that what an older program does not know it does
//! not take for verified.
//!
//! Version 1 knows files by their BLAKE3 digest, and nothing else; version 2 knows every kind. A pack is
//! written in the oldest version that can say it: what an older program can judge it goes on judging, of
//! anything else it says that a newer program has written it.

use serde::{Deserialize, Serialize};
use steadfast_store::{OperationKey, Payload};

use crate::evidence::digests::blake3_of_hex;
use crate::evidence::{
    ArtifactExists, ArtifactKind, CommandExit, Custom, DatabaseRow, EvidencePack, ExpectedRow, FileDigest,
    FileHash, InvalidEvidence, Piece, Rule, Sha256Digest,
};

/// The newest version written here.
const VERSION: u32 = 2;

/// Stored evidence that cannot be read. The checkpoint counts as not verified.
///
/// ```
/// use steadfast_checkpoints::{EvidencePack, UnreadableEvidence};
/// use steadfast_store::Payload;
///
/// let newer = Payload::new(r#"{"version":99}"#)?;
/// assert_eq!(EvidencePack::from_payload(&newer), Err(UnreadableEvidence::TooNew { found: 99 }));
/// # Ok::<(), steadfast_store::PayloadTooLarge>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnreadableEvidence {
    /// A newer program has written it.
    #[error("the evidence has version {found}, this program knows {VERSION}: upgrade it")]
    TooNew {
        /// Its version.
        found: u32,
    },
    /// It is not what this program writes.
    #[error("the evidence is not what this program writes ({why}): go on from another checkpoint")]
    Malformed {
        /// What is wrong.
        why: String,
    },
}

/// Read first and loosely: a newer version may look different in everything else.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// A pack of either version, by its kind of pieces.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WirePack<P> {
    version: u32,
    rule: WireRule,
    pieces: Vec<P>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireRule {
    All,
    AtLeast(u32),
}

/// What version 1 knows. Released: it never changes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Piece1 {
    FileHash { path: String, blake3: String },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Piece2 {
    FileHash {
        path: String,
        // One of them: a field of its own for each algorithm, as in version 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blake3: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    ArtifactExists {
        path: String,
        kind: WireKind,
    },
    CommandExit {
        operation: String,
        exit_code: i32,
        output: String,
    },
    DatabaseRow {
        query: String,
        parameters: Vec<String>,
        expected: WireRow,
    },
    Custom {
        verifier: String,
        subject: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireKind {
    File,
    Directory,
    Any,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireRow {
    Exists,
    Content(String),
}

impl Piece1 {
    /// None when version 1 cannot say it.
    fn of(piece: &Piece) -> Option<Self> {
        let Piece::FileHash(file) = piece else { return None };
        let FileDigest::Blake3(digest) = file.digest() else { return None };
        Some(Self::FileHash { path: file.path().to_owned(), blake3: digest.to_string() })
    }
}

impl TryFrom<Piece1> for Piece {
    type Error = UnreadableEvidence;

    fn try_from(piece: Piece1) -> Result<Self, UnreadableEvidence> {
        let Piece1::FileHash { path, blake3 } = piece;
        Piece2::FileHash { path, blake3: Some(blake3), sha256: None }.try_into()
    }
}

impl From<&Piece> for Piece2 {
    fn from(piece: &Piece) -> Self {
        match piece {
            Piece::FileHash(file) => {
                let (blake3, sha256) = match file.digest() {
                    FileDigest::Blake3(digest) => (Some(digest.to_string()), None),
                    FileDigest::Sha256(digest) => (None, Some(digest.to_string())),
                };
                Self::FileHash { path: file.path().to_owned(), blake3, sha256 }
            }
            Piece::ArtifactExists(artifact) => {
                let kind = match artifact.kind() {
                    ArtifactKind::File => WireKind::File,
                    ArtifactKind::Directory => WireKind::Directory,
                    ArtifactKind::Any => WireKind::Any,
                };
                Self::ArtifactExists { path: artifact.path().to_owned(), kind }
            }
            Piece::CommandExit(exit) => Self::CommandExit {
                operation: exit.operation().as_str().to_owned(),
                exit_code: exit.exit_code(),
                output: exit.output().to_string(),
            },
            Piece::DatabaseRow(row) => Self::DatabaseRow {
                query: row.query().as_str().to_owned(),
                parameters: row.parameters().to_vec(),
                expected: match row.expected() {
                    ExpectedRow::Exists => WireRow::Exists,
                    ExpectedRow::Content(digest) => WireRow::Content(digest.to_string()),
                },
            },
            Piece::Custom(custom) => Self::Custom {
                verifier: custom.verifier().as_str().to_owned(),
                subject: custom.subject().to_owned(),
            },
        }
    }
}

impl TryFrom<Piece2> for Piece {
    type Error = UnreadableEvidence;

    fn try_from(piece: Piece2) -> Result<Self, UnreadableEvidence> {
        let blake3 = |hex: &str| blake3_of_hex(hex).ok_or_else(no_digest);
        Ok(match piece {
            Piece2::FileHash { path, blake3: by_blake3, sha256 } => {
                let digest: FileDigest = match (by_blake3, sha256) {
                    (Some(hex), None) => blake3(&hex)?.into(),
                    (None, Some(hex)) => Sha256Digest::from_hex(&hex).ok_or_else(no_digest)?.into(),
                    _ => return Err(malformed(&"a file that has not one digest")),
                };
                Self::FileHash(FileHash::new(path, digest).map_err(|error| malformed(&error))?)
            }
            Piece2::ArtifactExists { path, kind } => {
                let kind = match kind {
                    WireKind::File => ArtifactKind::File,
                    WireKind::Directory => ArtifactKind::Directory,
                    WireKind::Any => ArtifactKind::Any,
                };
                Self::ArtifactExists(ArtifactExists::new(path, kind).map_err(|error| malformed(&error))?)
            }
            Piece2::CommandExit { operation, exit_code, output } => {
                let operation = OperationKey::new(operation).map_err(|error| malformed(&error))?;
                Self::CommandExit(CommandExit::new(operation, exit_code, blake3(&output)?))
            }
            Piece2::DatabaseRow { query, parameters, expected } => {
                let expected = match expected {
                    WireRow::Exists => ExpectedRow::Exists,
                    WireRow::Content(hex) => ExpectedRow::Content(blake3(&hex)?),
                };
                let row = DatabaseRow::new(query, parameters, expected);
                Self::DatabaseRow(row.map_err(|error| malformed(&error))?)
            }
            Piece2::Custom { verifier, subject } => {
                Self::Custom(Custom::new(verifier, subject).map_err(|error| malformed(&error))?)
            }
        })
    }
}

impl EvidencePack {
    /// As it is stored: nothing for no evidence, JSON otherwise.
    ///
    /// # Errors
    /// [`InvalidEvidence::TooLarge`] over the limit of one payload.
    pub fn to_payload(&self) -> Result<Payload, InvalidEvidence> {
        if *self == Self::none() {
            return Ok(Payload::empty());
        }
        let rule = match self.rule {
            Rule::All => WireRule::All,
            Rule::AtLeast(count) => WireRule::AtLeast(count),
        };
        let json = if let Some(pieces) = self.pieces.iter().map(Piece1::of).collect() {
            serde_json::to_vec(&WirePack::<Piece1> { version: 1, rule, pieces })
        } else {
            let pieces = self.pieces.iter().map(Piece2::from).collect();
            serde_json::to_vec(&WirePack::<Piece2> { version: VERSION, rule, pieces })
        };
        Ok(Payload::new(json?)?)
    }

    /// Reads what [`to_payload`](Self::to_payload) has written.
    ///
    /// # Errors
    /// [`UnreadableEvidence`] for anything else.
    pub fn from_payload(payload: &Payload) -> Result<Self, UnreadableEvidence> {
        let json = payload.bytes();
        if json.is_empty() {
            return Ok(Self::none());
        }
        let Version { version } = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
        match version {
            1 => Self::of_json::<Piece1>(json),
            2 => Self::of_json::<Piece2>(json),
            0 => Err(malformed(&"version 0")),
            found => Err(UnreadableEvidence::TooNew { found }),
        }
    }

    /// Reads a pack whose pieces are those of its version.
    fn of_json<'a, P>(json: &'a [u8]) -> Result<Self, UnreadableEvidence>
    where
        P: Deserialize<'a> + TryInto<Piece, Error = UnreadableEvidence>,
    {
        let pack: WirePack<P> = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
        let rule = match pack.rule {
            WireRule::All => Rule::All,
            WireRule::AtLeast(count) => Rule::AtLeast(count),
        };
        let pieces = pack.pieces.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Self::new(rule, pieces).map_err(|error| malformed(&error))
    }
}

fn malformed(why: &dyn ToString) -> UnreadableEvidence {
    UnreadableEvidence::Malformed { why: why.to_string() }
}

fn no_digest() -> UnreadableEvidence {
    malformed(&"a digest that is none")
}

#[cfg(test)]
mod tests;
