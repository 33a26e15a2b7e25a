//! Pieces of evidence about what lies below the base folder: that it is there, and that it has a certain
//! content.

use std::fmt;
use std::path::Path;

use rustix::fs::FileType;

use crate::evidence::{Failure, FileDigest, Finding, HashAlgorithm, InvalidEvidence, confined};

/// Longest path of a piece, in bytes.
pub const PATH_BYTES_MAX: usize = 4_000;

/// The digest of the content of a file below the base folder.
///
/// ```
/// use steadfast_checkpoints::{FileHash, Piece, Sha256Digest};
/// use steadfast_store::Digest;
///
/// let report = Piece::FileHash(FileHash::new("out/report.md", Digest::of(b"# Report"))?);
/// let model = Piece::FileHash(FileHash::new("in/model.bin", Sha256Digest::of(b"weights"))?);
/// assert!(FileHash::new("../elsewhere", Digest::of(b"")).is_err());
/// # Ok::<(), steadfast_checkpoints::InvalidEvidence>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHash {
    path: String,
    digest: FileDigest,
}

impl FileHash {
    /// The file at `path`, relative to the base folder, with the content of this digest: a BLAKE3
    /// [`Digest`](steadfast_store::Digest) or a [`Sha256Digest`](crate::Sha256Digest).
    ///
    /// # Errors
    /// [`InvalidEvidence::Path`] for a path that is empty, absolute, too long, or names a parent folder or a
    /// NUL.
    pub fn new(path: impl Into<String>, digest: impl Into<FileDigest>) -> Result<Self, InvalidEvidence> {
        Ok(Self { path: checked(path.into())?, digest: digest.into() })
    }

    /// The path, relative to the base folder.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The digest that the file must have.
    pub fn digest(&self) -> FileDigest {
        self.digest
    }

    /// Looks at it now. Blocks on the file system.
    pub(super) fn look(&self, base: &Path) -> Finding {
        match confined::digest_of(base, &self.path, self.digest.algorithm()) {
            Ok(found) if found == self.digest => Finding::Verified,
            Ok(found) => Finding::Failed(Failure::Mismatch { expected: self.digest, found }),
            Err(finding) => finding,
        }
    }
}

/// The digest of the file at `path` below `base`, or the finding that says why there is none. Blocks.
pub(crate) fn observe(base: &Path, path: &str, algorithm: HashAlgorithm) -> Result<FileDigest, Finding> {
    confined::digest_of(base, path, algorithm)
}

/// What has to be at a path.
///
/// ```
/// # use steadfast_checkpoints::ArtifactKind;
/// assert_eq!(ArtifactKind::Directory.to_string(), "directory");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArtifactKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Whatever it is, but a symbolic link or a store's own file.
    Any,
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Any => "artifact",
        })
    }
}

/// What was found at a path.
///
/// ```
/// # use steadfast_checkpoints::{Failure, FoundKind};
/// let failure = Failure::OtherKind { found: FoundKind::Pipe };
/// assert!(failure.to_string().starts_with("it is a named pipe"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FoundKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A device.
    Device,
    /// Something that this program has no name for.
    Unknown,
}

impl FoundKind {
    pub(super) fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Fifo => Self::Pipe,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice | FileType::BlockDevice => Self::Device,
            // A link is refused before, by the kernel.
            FileType::Symlink | FileType::Unknown => Self::Unknown,
        }
    }
}

impl fmt::Display for FoundKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "a file",
            Self::Directory => "a directory",
            Self::Pipe => "a named pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
            Self::Unknown => "of an unknown kind",
        })
    }
}

/// Something below the base folder that has to be there, whatever is in it. It is never opened.
///
/// ```
/// use steadfast_checkpoints::{ArtifactExists, ArtifactKind, Piece};
///
/// let folder = Piece::ArtifactExists(ArtifactExists::new("out/charts", ArtifactKind::Directory)?);
/// assert_eq!(folder.to_string(), "directory \"out/charts\"");
/// # Ok::<(), steadfast_checkpoints::InvalidEvidence>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactExists {
    path: String,
    kind: ArtifactKind,
}

impl ArtifactExists {
    /// Something of this kind at `path`, relative to the base folder.
    ///
    /// # Errors
    /// [`InvalidEvidence::Path`] for a path that is empty, absolute, too long, or names a parent folder or a
    /// NUL.
    pub fn new(path: impl Into<String>, kind: ArtifactKind) -> Result<Self, InvalidEvidence> {
        Ok(Self { path: checked(path.into())?, kind })
    }

    /// The path, relative to the base folder.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What has to be there.
    pub fn kind(&self) -> ArtifactKind {
        self.kind
    }

    /// Looks at it now. Blocks on the file system.
    pub(super) fn look(&self, base: &Path) -> Finding {
        match (self.kind, confined::kind_of(base, &self.path)) {
            (_, Err(finding)) => finding,
            (ArtifactKind::Any, Ok(_))
            | (ArtifactKind::File, Ok(FoundKind::File))
            | (ArtifactKind::Directory, Ok(FoundKind::Directory)) => Finding::Verified,
            (_, Ok(found)) => Finding::Failed(Failure::OtherKind { found }),
        }
    }
}

/// Rules out early what `openat2` would rule out later, so that the mistake shows where it is made.
fn checked(path: String) -> Result<String, InvalidEvidence> {
    let why = match path.as_str() {
        "" => "is empty",
        _ if path.len() > PATH_BYTES_MAX => "is too long",
        _ if path.contains('\0') => "contains a NUL",
        _ if path.starts_with('/') => "is absolute",
        _ if path.split('/').any(|part| part == "..") => "names a parent folder",
        _ => return Ok(path),
    };
    Err(InvalidEvidence::Path { path, why })
}

#[cfg(test)]
mod tests {
    use steadfast_store::Digest;

    use super::*;

    #[test]
    fn a_path_that_may_leave_the_base_is_no_evidence() {
        let pieces = |path: &str| {
            let artifact = ArtifactExists::new(path, ArtifactKind::Any).map(drop);
            [FileHash::new(path, Digest::ZERO).map(drop), artifact]
        };
        for path in
            ["", "/etc/passwd", "../up", "a/../../b", "a/..", "nul\0", &"x".repeat(PATH_BYTES_MAX + 1)]
        {
            for piece in pieces(path) {
                let error = piece.unwrap_err();
                assert!(matches!(error, InvalidEvidence::Path { .. }), "{path:?}: {error}");
            }
        }
        for path in ["a", "a/b", "..a", "a..", "./a", &"x".repeat(PATH_BYTES_MAX)] {
            assert!(pieces(path).iter().all(Result::is_ok), "{path:?}");
        }
    }
}
