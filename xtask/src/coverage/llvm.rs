//! Which LLVM tools read what this rustc writes: those that it brings along, or Debian's of about the same version.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian puts its LLVMs, one folder each.
const LLVMS: &str = "/usr/lib";
/// What reads the profiles, and what reads what was read.
const NAMES: [&str; 2] = ["llvm-cov", "llvm-profdata"];
/// Raw profiles have looked as they do since this version (version 10 of LLVM's `INSTR_PROF_RAW_VERSION`): 19 was seen to
/// read those of 22, and 14 was not.
const SAME_FORMAT_SINCE: u32 = 19;

/// The tools to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tools {
    /// Those that the environment names.
    Named,
    /// Those in this folder.
    In(PathBuf),
}

/// What rustc says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rustc {
    host: String,
    llvm: u32,
}

/// The tools for the rustc of this workspace, or a sentence that says what to install.
pub(crate) fn tools(root: &Path) -> Result<Tools, String> {
    if ["LLVM_COV", "LLVM_PROFDATA"].iter().any(|name| env::var_os(name).is_some()) {
        return Ok(Tools::Named);
    }
    let said = rustc(root, &["-vV"])?;
    let rustc_says =
        parsed(&said).ok_or_else(|| format!("`rustc -vV` tells no host or no LLVM version:\n{said}"))?;
    let sysroot = rustc(root, &["--print", "sysroot"])?;
    let own = Path::new(sysroot.trim()).join("lib/rustlib").join(&rustc_says.host).join("bin");
    if has_both(&own) {
        return Ok(Tools::In(own));
    }
    let version = nearest(rustc_says.llvm, &installed(Path::new(LLVMS)))?;
    Ok(Tools::In(bin(Path::new(LLVMS), version)))
}

fn rustc(root: &Path, args: &[&str]) -> Result<String, String> {
    let program = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&program).args(args).current_dir(root).output();
    let output = output.map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads `rustc -vV`.
fn parsed(said: &str) -> Option<Rustc> {
    let after = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let major = after("LLVM version:")?.split('.').next()?;
    Some(Rustc { host: after("host:")?.to_owned(), llvm: major.parse().ok()? })
}

fn bin(llvms: &Path, version: u32) -> PathBuf {
    llvms.join(format!("llvm-{version}")).join("bin")
}

fn has_both(folder: &Path) -> bool {
    NAMES.iter().all(|name| folder.join(name).exists())
}

/// The versions `N` of the folders `llvm-N` that have both tools.
fn installed(llvms: &Path) -> Vec<u32> {
    let names = fs::read_dir(llvms)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut versions: Vec<u32> = names.filter_map(|name| name.strip_prefix("llvm-")?.parse().ok()).collect();
    versions.retain(|version| has_both(&bin(llvms, *version)));
    versions.sort_unstable();
    versions
}

/// The version that is as near as possible to rustc's, of those that can read its profiles.
fn nearest(rustc: u32, installed: &[u32]) -> Result<u32, String> {
    let oldest = rustc.min(SAME_FORMAT_SINCE);
    let readers = installed.iter().copied().filter(|version| *version >= oldest);
    // Of two that are equally near, the newer one.
    readers.min_by_key(|version| (version.abs_diff(rustc), u32::MAX - version)).ok_or_else(|| {
        let there = match installed {
            [] => "none of Debian's is there".to_owned(),
            old => {
                let names: Vec<String> = old.iter().map(|version| format!("llvm-{version}")).collect();
                format!("{} cannot read what it writes", names.join(", "))
            }
        };
        format!(
            "rustc has LLVM {rustc} and does not bring its tools along, and {there}: \
             `rustup component add llvm-tools`, or `apt-get install llvm-N` with N from {oldest} on, as near to {rustc} as there is"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rustc_tells_its_host_and_its_llvm() {
        let said = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n\
                    release: 1.95.0\nLLVM version: 22.1.2\n";
        assert_eq!(parsed(said), Some(Rustc { host: "x86_64-unknown-linux-gnu".into(), llvm: 22 }));
        assert_eq!(parsed("rustc 1.95.0\nhost: x86_64-unknown-linux-gnu\n"), None);
    }

    #[test]
    fn the_nearest_llvm_that_can_read_the_profiles_is_taken() {
        assert_eq!(nearest(22, &[14, 19]), Ok(19));
        assert_eq!(nearest(22, &[19, 21, 22, 23]), Ok(22));
        assert_eq!(nearest(22, &[21, 23]), Ok(23));
        assert_eq!(nearest(22, &[20, 40]), Ok(20));
        assert_eq!(nearest(15, &[14, 16]), Ok(16));
    }

    #[test]
    fn one_that_is_too_old_is_refused_with_what_to_install() {
        let why = nearest(22, &[14, 18]).unwrap_err();
        for part in
            ["LLVM 22", "llvm-14, llvm-18 cannot read", "rustup component add llvm-tools", "N from 19 on"]
        {
            assert!(why.contains(part), "{part}: {why}");
        }
        assert!(nearest(15, &[14]).unwrap_err().contains("N from 15 on"));
        assert!(nearest(22, &[]).unwrap_err().contains("none of Debian's is there"));
    }

    #[test]
    fn an_llvm_without_both_tools_does_not_count() {
        let folder = env::temp_dir().join(format!("steadfast-llvms-{}", std::process::id()));
        for (version, tools) in [("9", &NAMES[..]), ("14", &NAMES), ("20", &NAMES[..1])] {
            let bin = folder.join(format!("llvm-{version}/bin"));
            fs::create_dir_all(&bin).unwrap();
            for tool in tools {
                fs::write(bin.join(tool), "").unwrap();
            }
        }
        assert_eq!(installed(&folder), [9, 14]);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(installed(&folder), [0; 0]);
    }
}
