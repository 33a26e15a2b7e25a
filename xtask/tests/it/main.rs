//! The program as a shell sees it: what it prints, and with which code it exits.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod consumers;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn xtask(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(args);
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn without_a_verb_the_help_is_printed() {
    for args in [&[][..], &["help"], &["--help"]] {
        let output = xtask(args).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("cargo xtask VERB"));
    }
}

#[test]
fn an_unknown_verb_or_argument_exits_with_2_and_says_which() {
    for (args, named) in [(&["tidi"][..], "`tidi`"), (&["tidy", "--lost"], "`--list`")] {
        let output = xtask(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        assert!(String::from_utf8_lossy(&output.stderr).contains(named));
    }
}

#[test]
fn the_rules_can_be_listed() {
    let output = xtask(&["tidy", "--list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    for rule in ["layers", "headers", "sql", "clocks", "unsafe", "words"] {
        assert!(stdout(&output).lines().any(|line| line.starts_with(rule)), "{rule}");
    }
}

#[cfg(unix)]
#[test]
fn the_runner_gets_every_argument_unchanged() {
    for verb in ["chaos", "perf", "stress", "smoke"] {
        let output =
            xtask(&[verb, "a b", "--json", "", "--", "--quick"]).env("CARGO", "echo").output().unwrap();
        let expected = format!(
            "run --release --quiet -p steadfast-chaos --bin steadfast-chaos --features model -- {verb} a b --json  -- --quick\n"
        );
        assert_eq!(stdout(&output), expected);
        assert_eq!(output.status.code(), Some(0));
    }
}

#[cfg(unix)]
#[test]
fn the_code_of_the_runner_becomes_the_code_of_the_program() {
    let code = |cargo: &str| xtask(&["chaos"]).env("CARGO", cargo).output().unwrap().status.code();
    assert_eq!(code("true"), Some(0));
    assert_eq!(code("false"), Some(1));
    assert_eq!(code("there-is-no-such-program"), Some(127));
}

#[cfg(unix)]
#[test]
fn all_runs_every_matrix_and_tells_the_worst() {
    let run = |cargo: &str| xtask(&["all", "--quick"]).env("CARGO", cargo).output().unwrap();
    let output = run("echo");
    assert_eq!(output.status.code(), Some(0));
    for matrix in ["chaos", "perf", "stress"] {
        assert!(stdout(&output).contains(&format!("-- {matrix} --quick\n")), "{matrix}");
    }
    let output = run("false");
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).ends_with("=== chaos FAILED, perf FAILED, stress FAILED ===\n"));
}

#[cfg(unix)]
#[test]
fn all_gives_every_matrix_a_json_report_of_its_own() {
    let printed = |args: &[&str]| stdout(&xtask(args).env("CARGO", "echo").output().unwrap());
    let (apart, joined) =
        (printed(&["all", "--json", "out.d/all.json", "--quick"]), printed(&["all", "--json=all"]));
    let after_names = printed(&["all", "--", "--json", "all.json"]);
    for matrix in ["chaos", "perf", "stress"] {
        assert!(apart.contains(&format!("-- {matrix} --json out.d/all.{matrix}.json --quick\n")), "{apart}");
        assert!(joined.contains(&format!("-- {matrix} --json=all.{matrix}\n")), "{joined}");
        assert!(after_names.contains(&format!("-- {matrix} -- --json all.json\n")), "{after_names}");
    }
}

#[cfg(unix)]
#[test]
fn coverage_without_its_tool_says_what_to_install() {
    let output = xtask(&["coverage"]).env("CARGO", "false").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cargo install cargo-llvm-cov"));
}

/// Writes a tree of two files without git, so that nothing around it plays a part.
fn tree(name: &str, source: &str) -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("crates/a/src")).unwrap();
    fs::write(root.join("crates/a/src/lib.rs"), source).unwrap();
    fs::write(root.join("binary"), b"\xff\0FIX").unwrap();
    root
}

#[test]
fn tidy_prints_each_violation_and_exits_with_1_or_counts_the_files() {
    let untidy = tree("untidy", "//! A library that reads a clock.\nfn a() { std::time::Instant::now(); }\n");
    let output = xtask(&["tidy"]).env("CARGO_MANIFEST_DIR", untidy.join("xtask")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let printed = stdout(&output);
    assert!(
        printed.starts_with("crates/a/src/lib.rs:2: clocks: `std::time::Instant::now` reads a clock; "),
        "{printed}"
    );
    assert!(printed.ends_with("tidy: 1 files, 1 violations\n"), "{printed}");

    let tidy = tree("tidy", "//! A library without anything in it.\n");
    let output = xtask(&["tidy"]).env("CARGO_MANIFEST_DIR", tidy.join("xtask")).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), "tidy: 1 files, 0 violations\n");
}
