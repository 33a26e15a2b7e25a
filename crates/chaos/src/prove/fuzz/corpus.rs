//! The committed corpora: a folder of small files for each target, in which every input that ever failed stays.

use std::fs;
use std::path::{Path, PathBuf};

use super::targets::Target;
use crate::case::CaseError;

/// The package of cargo-fuzz, whose corpora these are.
pub(super) fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Where the corpus of a target is.
pub(super) fn folder(target: &Target) -> PathBuf {
    package().join("corpus").join(target.name)
}

/// One file of a corpus.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

/// The corpus of a target, in the order of its names.
///
/// # Errors
/// [`CaseError::Io`] when it is not there: a campaign without its corpus would hardly look.
pub(super) fn read(target: &Target) -> Result<Vec<Kept>, CaseError> {
    let folder = folder(target);
    let told = |path: &Path| CaseError::io(format!("reading {}", path.display()));
    let entries = fs::read_dir(&folder).map_err(told(&folder))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(told(&folder))?;
    paths.sort_unstable();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).map_err(told(&path))?;
        Ok(Kept { path, bytes })
    };
    paths.into_iter().map(read).collect()
}
