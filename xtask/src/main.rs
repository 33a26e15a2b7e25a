//! The workspace's own verbs, `cargo xtask VERB`: they start cargo and the runner of
//! `crates/chaos`, and check what no compiler checks. Links nothing but the standard library, so
//! that the first `cargo xtask` of a clone answers within seconds.

#![allow(clippy::print_stderr, reason = "a command-line program: what it prints is what it is for")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

#[path = "../../crates/store/tests/postgres/cluster.rs"]
mod cluster;
mod coverage;
mod postgres;
mod runner;
mod tidy;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
Development tasks of the workspace.

Usage: cargo xtask VERB [ARGS…]

Verbs:
  chaos [ARGS…]   kill real processes and check what was recovered (`cargo xtask chaos --help`)
  perf [ARGS…]    measure against a floor in the same process (`cargo xtask perf --help`)
  stress [ARGS…]  load one file with many processes and workers (`cargo xtask stress --help`)
  all [ARGS…]     chaos, perf and stress, one after the other, with the same ARGS; `--json all.json`
                  becomes all.chaos.json, all.perf.json and all.stress.json
  prove [ARGS…]   try to break each promise, in campaigns (`cargo xtask prove --help`)
  smoke URL       probe a store in production (`cargo xtask smoke --help`)
  postgres [NAME=VALUE…]
                  start a throw-away PostgreSQL server with these settings, and print its URL
  coverage        run all tests instrumented: HTML, and a figure for each component
  tidy            check what no compiler checks: layers, headers, where SQL and clocks live
  tidy --list     print the rules: what each forbids, and where it is allowed after all
  help            print this

The first six build the runner in release mode first; it runs in the root of the workspace, so a
relative path among ARGS starts there. Each writes target/steadfast/VERB.json as well.";

/// What `all` runs.
const MATRICES: [&str; 3] = ["chaos", "perf", "stress"];

/// The exit code of a command line that cannot be understood, as is customary on Unix.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let verb = args.next().map(|verb| verb.to_string_lossy().into_owned());
    let args: Vec<OsString> = args.collect();
    match verb.as_deref() {
        None | Some("help" | "--help" | "-h") => {
            print(&format!("{HELP}\n"));
            ExitCode::SUCCESS
        }
        Some(verb @ ("chaos" | "perf" | "stress" | "prove" | "smoke")) => {
            ExitCode::from(runner::run(&workspace_root(), verb, &args))
        }
        Some("all") => all(&args),
        Some("coverage") => coverage::run(&workspace_root(), &args),
        Some("postgres") => ExitCode::from(postgres::run(&args)),
        Some("tidy") => tidy_verb(&args),
        Some(unknown) => usage_error(&format!("unknown verb `{unknown}`")),
    }
}

/// Every matrix, whatever became of the one before; the code is the worst of theirs.
fn all(args: &[OsString]) -> ExitCode {
    let mut worst = 0;
    let mut told = Vec::new();
    for matrix in MATRICES {
        print(&format!("=== {matrix} ===\n"));
        let code = runner::run(&workspace_root(), matrix, &with_own_json(args, matrix));
        told.push(format!("{matrix} {}", if code == 0 { "passed" } else { "FAILED" }));
        worst = worst.max(code);
    }
    print(&format!("=== {} ===\n", told.join(", ")));
    ExitCode::from(worst)
}

/// The same arguments with a JSON report of this matrix's own: `--json all.json` becomes `--json all.chaos.json`.
fn with_own_json(args: &[OsString], matrix: &str) -> Vec<OsString> {
    const FLAG: &str = "--json";
    let mut own = Vec::with_capacity(args.len());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            // What follows are names of cases, whatever they look like.
            own.push(arg.clone());
            own.extend(args.by_ref().cloned());
        } else if arg == FLAG {
            own.push(arg.clone());
            own.extend(args.next().map(|file| own_file(file, matrix)));
        } else if let Some(file) = arg.to_str().and_then(|arg| arg.strip_prefix("--json=")) {
            let mut joined = OsString::from("--json=");
            joined.push(own_file(file.as_ref(), matrix));
            own.push(joined);
        } else {
            own.push(arg.clone());
        }
    }
    own
}

/// The file with the name of the matrix before its extension; at the end, when it has none.
fn own_file(file: &OsStr, matrix: &str) -> OsString {
    let path = Path::new(file);
    let Some(stem) = path.file_stem() else { return file.to_owned() };
    let mut name = stem.to_owned();
    name.push(".");
    name.push(matrix);
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name).into_os_string()
}

fn tidy_verb(args: &[OsString]) -> ExitCode {
    match args {
        [] => tidy::run(&workspace_root()),
        [flag] if flag == "--list" => {
            print(&tidy::rules_table());
            ExitCode::SUCCESS
        }
        _ => usage_error("`tidy` takes no argument but `--list`"),
    }
}

/// Prints to the standard output. Nobody reading on (`| head`) is no failure.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn usage_error(what: &str) -> ExitCode {
    eprintln!("xtask: {what}\n\n{HELP}");
    ExitCode::from(EXIT_USAGE)
}

/// The folder above this package. Cargo names the package at run time too, and that name is
/// preferred: a binary that was built in one clone and is run by another looks at the other.
fn workspace_root() -> PathBuf {
    let package =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.parent().map_or_else(|| package.clone(), Path::to_path_buf)
}
