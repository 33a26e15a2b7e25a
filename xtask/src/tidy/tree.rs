//! The files that tidy looks at: what git tracks or would track, or, where git does not answer,
//! everything below the root but build products.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use super::place;
use super::source::Source;

/// One text file of the tree.
pub(crate) struct File {
    /// Relative to the root of the workspace, parts divided by `/`.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
    /// The same taken apart, when it is Rust.
    pub(crate) rust: Option<Source>,
}

impl File {
    /// Takes a file apart that has been read already.
    pub(crate) fn new(path: String, text: String) -> Self {
        let rust = (place::extension(&path) == "rs").then(|| Source::new(&text));
        Self { path, text, rust }
    }
}

/// Reads every text file of the tree, sorted by path. Links and binary files are left out.
pub(crate) fn read(root: &Path) -> io::Result<Vec<File>> {
    let mut paths = match listed_by_git(root) {
        Some(paths) => paths,
        None => walked(root)?,
    };
    paths.sort_unstable();
    paths.dedup();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let full = root.join(&path);
        // Git also lists what is deleted but not yet committed.
        if !fs::symlink_metadata(&full).is_ok_and(|entry| entry.is_file()) {
            continue;
        }
        let bytes = match fs::read(&full) {
            Ok(bytes) => bytes,
            // Removed since it was listed: an editor at work.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => files.push(File::new(path, text)),
            _ => {}
        }
    }
    Ok(files)
}

/// Tracked files and new ones that no ignore file names; nothing when this is no working copy.
fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    if !root.join(".git").exists() {
        return None;
    }
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()?;
    let listed = String::from_utf8(output.stdout).ok()?;
    let paths: Vec<String> = listed.split_terminator('\0').map(str::to_owned).collect();
    (output.status.success() && !paths.is_empty()).then_some(paths)
}

fn walked(root: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_file() {
                found.push(path);
            } else if kind.is_dir() && name != ".git" && name != "target" {
                folders.push(path);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_git_the_walk_finds_the_same_sources_and_no_build_product() {
        let paths = walked(&crate::workspace_root()).unwrap();
        assert!(paths.contains(&"xtask/src/tidy/tree.rs".to_owned()));
        assert!(paths.contains(&"Cargo.toml".to_owned()));
        assert!(paths.iter().all(|path| !path.starts_with("target/") && !path.starts_with(".git/")));
    }
}
