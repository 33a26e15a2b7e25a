//! Starts the runner of `crates/chaos` through cargo, with every argument, the terminal and the
//! exit code passed through unchanged.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::SystemTime;

const RUNNER: &str = "steadfast-chaos";
/// What of the runner is left out for those who only test a store or an agent with it. The same for each verb, so that
/// it is built once.
const FEATURES: &str = "model";

/// The exit code when cargo itself cannot be started, as a shell gives it.
const EXIT_NOT_STARTED: u8 = 127;

/// Builds the runner in release mode when it must be, and runs `verb` with `args` in the root of
/// the workspace; the code to exit with. A runner that died by a signal gives 128 plus the signal's number.
pub(crate) fn run(root: &Path, verb: &str, args: &[OsString]) -> u8 {
    if must_build() {
        eprintln!("building the runner (release)…");
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(&cargo)
        .args([
            "run",
            "--release",
            "--quiet",
            "-p",
            RUNNER,
            "--bin",
            RUNNER,
            "--features",
            FEATURES,
            "--",
            verb,
        ])
        .args(args)
        .current_dir(root)
        .status();
    match status {
        Ok(status) => code_of(status),
        Err(error) => {
            eprintln!("xtask: cannot start {}: {error}", cargo.display());
            EXIT_NOT_STARTED
        }
    }
}

/// The code to exit with: the child's own, cut to what an exit code can carry but never to zero.
fn code_of(status: ExitStatus) -> u8 {
    match status.code() {
        Some(code) => u8::try_from(code).unwrap_or(1),
        None => u8::try_from(128 + signal_of(status)).unwrap_or(1),
    }
}

#[cfg(unix)]
fn signal_of(status: ExitStatus) -> i32 {
    std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(1)
}

#[cfg(not(unix))]
fn signal_of(_: ExitStatus) -> i32 {
    1
}

/// Whether cargo will have to build first. Only a line on the terminal hangs on the answer, so a
/// guess is enough: the release folder is taken to stand beside the one this program runs from.
fn must_build() -> bool {
    let Ok(own) = env::current_exe() else { return true };
    let Some(profiles) = own.parent().and_then(Path::parent) else { return true };
    let binary = profiles.join("release").join(RUNNER).with_extension(env::consts::EXE_EXTENSION);
    let Some(built) = modified(&binary) else { return true };
    // Cargo lists every file that went into the binary, as a rule for make.
    let Ok(rule) = fs::read_to_string(binary.with_extension("d")) else { return true };
    prerequisites(&rule).iter().any(|source| modified(source).is_none_or(|changed| changed > built))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// The files to the right of the colon in `target: file file …`; make escapes blanks in names.
fn prerequisites(rule: &str) -> Vec<PathBuf> {
    let Some((_, files)) = rule.split_once(": ") else { return Vec::new() };
    let hidden = files.replace("\\ ", "\0");
    hidden.split_whitespace().map(|file| PathBuf::from(file.replace('\0', " "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn an_exit_code_passes_through_and_a_signal_never_becomes_zero() {
        use std::os::unix::process::ExitStatusExt;
        for code in [0_u8, 1, 2, 101, 255] {
            assert_eq!(code_of(ExitStatus::from_raw(i32::from(code) << 8)), code);
        }
        for (signal, code) in [(9, 137), (15, 143), (6, 134)] {
            assert_eq!(code_of(ExitStatus::from_raw(signal)), code);
        }
    }

    #[test]
    fn a_make_rule_is_split_at_the_blanks_that_are_not_escaped() {
        let files = prerequisites("/t/release/bin: /a/one.rs /a/with\\ blank.rs\n");
        assert_eq!(files, [PathBuf::from("/a/one.rs"), PathBuf::from("/a/with blank.rs")]);
        assert!(prerequisites("").is_empty());
    }
}
