//! Measures what the tests run through, with cargo-llvm-cov: HTML for people, and one figure for each component.

mod llvm;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use llvm::Tools;

/// Where the report goes, below the root of the workspace.
const FOLDER: &str = "target/steadfast/coverage";

const NO_TOOL: &str =
    "cargo-llvm-cov is not there: install it by `cargo install cargo-llvm-cov --locked`, and LLVM's tools by
`rustup component add llvm-tools` or `apt-get install llvm-19`";

/// Lines of one component: how many there are, and how many were run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Lines {
    found: u64,
    hit: u64,
}

/// Runs all tests of the crates instrumented, with `args` passed on to cargo-llvm-cov.
pub(crate) fn run(root: &Path, args: &[OsString]) -> ExitCode {
    let version = cargo(root, &Tools::Named)
        .args(["llvm-cov", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !version.is_ok_and(|status| status.success()) {
        eprintln!("xtask: {NO_TOOL}");
        return ExitCode::FAILURE;
    }
    let tools = match llvm::tools(root) {
        Ok(tools) => tools,
        Err(why) => {
            eprintln!("xtask: {why}");
            return ExitCode::FAILURE;
        }
    };
    let cargo = || cargo(root, &tools);
    let lcov = root.join(FOLDER).join("lcov.info");
    let measured = succeeds(
        cargo()
            .args(["llvm-cov", "--workspace", "--exclude", "xtask", "--html", "--output-dir", FOLDER])
            .args(args),
    ) && succeeds(cargo().args(["llvm-cov", "report", "--lcov", "--output-path"]).arg(&lcov));
    if !measured {
        return ExitCode::FAILURE;
    }
    let told = fs::read_to_string(&lcov).and_then(|lcov| {
        let components = components(&lcov, root);
        let json = root.join(FOLDER).with_extension("json");
        fs::write(&json, as_json(&components)).map(|()| components)
    });
    match told {
        Ok(components) => {
            crate::print(&as_text(&components));
            crate::print(&format!("HTML: {}\n", root.join(FOLDER).join("html/index.html").display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("xtask: the figures of {} cannot be read or kept: {error}", lcov.display());
            ExitCode::FAILURE
        }
    }
}

/// Cargo in the root of the workspace, with these tools.
fn cargo(root: &Path, tools: &Tools) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    if let Tools::In(folder) = tools {
        cargo.env("LLVM_COV", folder.join("llvm-cov")).env("LLVM_PROFDATA", folder.join("llvm-profdata"));
    }
    cargo
}

fn succeeds(command: &mut Command) -> bool {
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("xtask: cannot start {}: {error}", command.get_program().display());
            false
        }
    }
}

/// The lines of each crate, from LCOV records: `SF:` names a file, `LF:` and `LH:` count its lines.
fn components(lcov: &str, root: &Path) -> BTreeMap<String, Lines> {
    let mut components = BTreeMap::<String, Lines>::new();
    let mut current = None;
    for line in lcov.lines() {
        if let Some(file) = line.strip_prefix("SF:") {
            let inside = Path::new(file).strip_prefix(root.join("crates")).ok();
            current = inside.and_then(|file| Some(file.iter().next()?.to_str()?.to_owned()));
        }
        let Some(component) = &current else { continue };
        let lines = components.entry(component.clone()).or_default();
        if let Some(count) = line.strip_prefix("LF:").and_then(|count| count.parse::<u64>().ok()) {
            lines.found += count;
        } else if let Some(count) = line.strip_prefix("LH:").and_then(|count| count.parse::<u64>().ok()) {
            lines.hit += count;
        }
    }
    components
}

/// Hundredths of the lines, to a tenth.
fn share(lines: Lines) -> String {
    let tenths = (lines.hit * 1_000).checked_div(lines.found).unwrap_or(0);
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn as_text(components: &BTreeMap<String, Lines>) -> String {
    let mut text = String::new();
    for (component, lines) in components {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{component:<14}{:>6}% of {:>6} lines", share(*lines), lines.found);
    }
    text
}

fn as_json(components: &BTreeMap<String, Lines>) -> String {
    let each = components.iter().map(|(component, lines)| {
        let Lines { found, hit } = lines;
        format!(
            "  {{\"component\":\"{component}\",\"lines\":{found},\"run\":{hit},\"percent\":{}}}",
            share(*lines)
        )
    });
    format!("[\n{}\n]\n", each.collect::<Vec<_>>().join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LCOV: &str = "SF:/w/crates/store/src/a.rs\nDA:1,1\nLF:10\nLH:9\nend_of_record\n\
         SF:/w/crates/store/src/b.rs\nLF:10\nLH:4\nend_of_record\n\
         SF:/w/xtask/src/main.rs\nLF:5\nLH:0\nend_of_record\n\
         SF:/w/crates/leases/src/a.rs\nLF:3\nLH:3\nend_of_record\n";

    #[test]
    fn the_files_of_a_crate_count_together_and_others_do_not() {
        let components = components(LCOV, Path::new("/w"));
        assert_eq!(components.len(), 2);
        assert_eq!(components["store"], Lines { found: 20, hit: 13 });
        assert_eq!(as_text(&components).lines().next_back(), Some("store           65.0% of     20 lines"));
        assert!(as_json(&components).contains(r#"{"component":"leases","lines":3,"run":3,"percent":100.0}"#));
    }
}
