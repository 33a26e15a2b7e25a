//! Evidence as it is stored: JSON with a version, read strictly, so that what an older program does not know it does
//! not take for verified.

use serde::{Deserialize, Serialize};
use steadfast_store::{Digest, Payload};

use crate::evidence::{EvidencePack, FileHash, InvalidEvidence, Piece, Rule};

/// The version written here.
const VERSION: u32 = 1;

/// Stored evidence that cannot be read. The checkpoint counts as not verified.
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WirePack {
    version: u32,
    rule: WireRule,
    pieces: Vec<WirePiece>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireRule {
    All,
    AtLeast(u32),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WirePiece {
    FileHash { path: String, blake3: String },
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
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::FileHash(file) => {
                WirePiece::FileHash { path: file.path.clone(), blake3: file.digest.to_string() }
            }
        });
        let pack = WirePack { version: VERSION, rule, pieces: pieces.collect() };
        Ok(Payload::new(serde_json::to_vec(&pack)?)?)
    }

    /// Reads what [`to_payload`](Self::to_payload) has written.
    ///
    /// # Errors
    /// [`UnreadableEvidence`] for anything else.
    pub fn from_payload(payload: &Payload) -> Result<Self, UnreadableEvidence> {
        if payload.bytes().is_empty() {
            return Ok(Self::none());
        }
        let malformed = |why: &dyn ToString| UnreadableEvidence::Malformed { why: why.to_string() };
        let Version { version: found } =
            serde_json::from_slice(payload.bytes()).map_err(|error| malformed(&error))?;
        if found > VERSION {
            return Err(UnreadableEvidence::TooNew { found });
        }
        if found == 0 {
            return Err(malformed(&"version 0"));
        }
        let pack: WirePack = serde_json::from_slice(payload.bytes()).map_err(|error| malformed(&error))?;
        let rule = match pack.rule {
            WireRule::All => Rule::All,
            WireRule::AtLeast(count) => Rule::AtLeast(count),
        };
        let pieces = pack.pieces.into_iter().map(|piece| match piece {
            WirePiece::FileHash { path, blake3 } => {
                let digest = from_hex(&blake3).ok_or_else(|| malformed(&"a digest that is none"))?;
                FileHash::new(path, digest).map(Piece::FileHash).map_err(|error| malformed(&error))
            }
        });
        Self::new(rule, pieces.collect::<Result<_, _>>()?).map_err(|error| malformed(&error))
    }
}

/// The digest of 64 hexadecimal digits.
fn from_hex(text: &str) -> Option<Digest> {
    blake3::Hash::from_hex(text).ok().map(|hash| Digest::from_bytes(*hash.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack() -> EvidencePack {
        let piece = |path| Piece::FileHash(FileHash::new(path, Digest::of(b"content")).unwrap());
        EvidencePack::new(Rule::AtLeast(1), vec![piece("a/b"), piece("täglich \"c\"")]).unwrap()
    }

    fn read(json: &str) -> Result<EvidencePack, UnreadableEvidence> {
        EvidencePack::from_payload(&Payload::new(json.to_owned()).unwrap())
    }

    #[test]
    fn a_pack_reads_back_as_it_was_written() {
        for pack in [pack(), EvidencePack::none(), EvidencePack::new(Rule::All, pack().pieces).unwrap()] {
            assert_eq!(EvidencePack::from_payload(&pack.to_payload().unwrap()), Ok(pack));
        }
    }

    #[test]
    fn the_stored_form_is_the_one_that_was_released() {
        let digest = Digest::of(b"x");
        let piece = Piece::FileHash(FileHash::new("a", digest).unwrap());
        let stored = EvidencePack::new(Rule::AtLeast(1), vec![piece]).unwrap().to_payload().unwrap();
        let expected = format!(
            r#"{{"version":1,"rule":{{"at_least":1}},"pieces":[{{"file_hash":{{"path":"a","blake3":"{digest}"}}}}]}}"#
        );
        assert_eq!(String::from_utf8_lossy(stored.bytes()), expected);
    }

    #[test]
    fn what_this_program_does_not_know_it_does_not_read() {
        let newer = r#"{"version":2,"rule":"most","pieces":{}}"#;
        assert_eq!(read(newer), Err(UnreadableEvidence::TooNew { found: 2 }));
        for json in [
            "no json",
            "[]",
            r#"{"version":0,"rule":"all","pieces":[]}"#,
            r#"{"version":1,"rule":"all","pieces":[],"unless":"x"}"#,
            r#"{"version":1,"rule":"all","pieces":[{"file_hash":{"path":"a","blake3":"00"}}]}"#,
            r#"{"version":1,"rule":"all","pieces":[{"moon_phase":{}}]}"#,
            r#"{"version":1,"rule":{"at_least":1},"pieces":[]}"#,
            &pack_with_path("../up"),
        ] {
            let error = read(json).unwrap_err();
            assert!(matches!(error, UnreadableEvidence::Malformed { .. }), "{json}: {error}");
        }
        assert!(read(&pack_with_path("down")).is_ok());
    }

    fn pack_with_path(path: &str) -> String {
        let blake3 = Digest::ZERO;
        format!(
            r#"{{"version":1,"rule":"all","pieces":[{{"file_hash":{{"path":"{path}","blake3":"{blake3}"}}}}]}}"#
        )
    }
}
