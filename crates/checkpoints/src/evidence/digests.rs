//! The digests that a file's content may be named by: BLAKE3, as everywhere in the store, and SHA-256, which
//! the world outside publishes beside its files (FIPS 180-4).

use std::fmt;

use sha2::Digest as _;
use steadfast_store::Digest;

/// How a file's content is hashed.
///
/// ```
/// # use steadfast_checkpoints::{FileDigest, HashAlgorithm};
/// # use steadfast_store::Digest;
/// assert_eq!(FileDigest::from(Digest::of(b"content")).algorithm(), HashAlgorithm::Blake3);
/// assert_eq!(HashAlgorithm::Sha256.to_string(), "SHA-256");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// BLAKE3: the faster one.
    #[default]
    Blake3,
    /// SHA-256: for digests that come from elsewhere, or have to be shown elsewhere.
    Sha256,
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blake3 => "BLAKE3",
            Self::Sha256 => "SHA-256",
        })
    }
}

/// A SHA-256 digest.
///
/// ```
/// # use steadfast_checkpoints::Sha256Digest;
/// // As `sha256sum` prints it.
/// let published = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// assert_eq!(Sha256Digest::from_hex(published), Some(Sha256Digest::of(b"abc")));
/// assert_eq!(Sha256Digest::of(b"abc").to_string(), published);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Takes a digest made elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Takes a digest of 64 hexadecimal digits; none for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        bytes_of_hex(text).map(Self)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256Digest({self})")
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The digest of a file's content, with how it was made: two of different algorithms are never equal.
///
/// ```
/// # use steadfast_checkpoints::{FileDigest, FileHash, Sha256Digest};
/// # use steadfast_store::Digest;
/// // Either kind of digest is taken where a file's digest is asked for.
/// let report = FileHash::new("out/report.md", Digest::of(b"# Report"))?;
/// let model = FileHash::new("in/model.bin", Sha256Digest::of(b"weights"))?;
/// assert!(matches!(report.digest(), FileDigest::Blake3(_)));
/// assert!(matches!(model.digest(), FileDigest::Sha256(_)));
/// # Ok::<(), steadfast_checkpoints::InvalidEvidence>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileDigest {
    /// By BLAKE3.
    Blake3(Digest),
    /// By SHA-256.
    Sha256(Sha256Digest),
}

impl FileDigest {
    /// How it was made.
    pub fn algorithm(&self) -> HashAlgorithm {
        match self {
            Self::Blake3(_) => HashAlgorithm::Blake3,
            Self::Sha256(_) => HashAlgorithm::Sha256,
        }
    }
}

impl From<Digest> for FileDigest {
    fn from(digest: Digest) -> Self {
        Self::Blake3(digest)
    }
}

impl From<Sha256Digest> for FileDigest {
    fn from(digest: Sha256Digest) -> Self {
        Self::Sha256(digest)
    }
}

impl fmt::Display for FileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blake3(digest) => write!(f, "{digest} ({})", self.algorithm()),
            Self::Sha256(digest) => write!(f, "{digest} ({})", self.algorithm()),
        }
    }
}

/// A digest under way.
#[derive(Debug)]
pub(super) enum Hashing {
    Blake3(Box<blake3::Hasher>),
    Sha256(sha2::Sha256),
}

impl Hashing {
    pub(super) fn new(algorithm: HashAlgorithm) -> Self {
        match algorithm {
            HashAlgorithm::Blake3 => Self::Blake3(Box::default()),
            HashAlgorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blake3(hasher) => drop(hasher.update(bytes)),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    pub(super) fn finish(self) -> FileDigest {
        match self {
            Self::Blake3(hasher) => Digest::from_bytes(*hasher.finalize().as_bytes()).into(),
            Self::Sha256(hasher) => Sha256Digest(hasher.finalize().into()).into(),
        }
    }
}

/// The BLAKE3 digest of 64 hexadecimal digits.
pub(super) fn blake3_of_hex(text: &str) -> Option<Digest> {
    bytes_of_hex(text).map(Digest::from_bytes)
}

/// Any 32 bytes of 64 hexadecimal digits.
fn bytes_of_hex(text: &str) -> Option<[u8; 32]> {
    blake3::Hash::from_hex(text).ok().map(|hash| *hash.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_in_pieces_is_the_digest_of_the_whole() {
        for algorithm in [HashAlgorithm::Blake3, HashAlgorithm::Sha256] {
            let mut hashing = Hashing::new(algorithm);
            for part in [&b"con"[..], b"", b"tent"] {
                hashing.update(part);
            }
            let digest = hashing.finish();
            assert_eq!(digest.algorithm(), algorithm);
            assert!([Digest::of(b"content").into(), Sha256Digest::of(b"content").into()].contains(&digest));
        }
    }

    #[test]
    fn digests_of_different_algorithms_are_never_equal() {
        let bytes = *Digest::of(b"content").as_bytes();
        assert_ne!(
            FileDigest::from(Digest::from_bytes(bytes)),
            FileDigest::from(Sha256Digest::from_bytes(bytes))
        );
    }
}
