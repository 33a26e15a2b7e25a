//! Whatever becomes of the runner, nothing that it started lives on.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::runner::{command, run};

/// How many processes name `folder` on their command line.
fn processes_in(folder: &Path) -> usize {
    let folder = folder.to_str().unwrap().as_bytes();
    let names_it = |entry: std::io::Result<std::fs::DirEntry>| {
        // A process that ends meanwhile names nothing.
        let line = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        line.windows(folder.len()).any(|part| part == folder).then_some(())
    };
    std::fs::read_dir("/proc").unwrap().filter_map(names_it).count()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_case_that_hangs_ends_with_a_diagnosis_and_leaves_no_process() {
    let ran = run(&["kill9_recovery", "--quick", "--planted", "hang", "--timeout", "2"]);
    assert_eq!(ran.code, 1, "{}", ran.printed);
    assert!(
        ran.printed.contains("the time of the case was over while waiting for a line of worker-1"),
        "{}",
        ran.printed
    );
    assert_eq!(processes_in(ran.folder.path()), 0);
    let kept = ran.printed.lines().find_map(|line| line.trim().strip_prefix("kept: ")).unwrap();
    let diagnosis = std::fs::read_to_string(Path::new(kept).join("calm/diagnosis.txt")).unwrap();
    for part in
        ["settings: ", "agent.db-wal ", "work_items | 1", "active leases:\n  report/collect | worker-1"]
    {
        assert!(diagnosis.contains(part), "{part}: {diagnosis}");
    }
}

#[test]
fn a_runner_that_is_killed_takes_everything_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut runner = command(folder.path(), "chaos", &["kill9_recovery", "--planted", "hang"]);
    let mut runner = runner.stdout(std::process::Stdio::null()).spawn().unwrap();
    // Itself, the recorder, a worker.
    wait_until("nothing was started", || processes_in(folder.path()) == 3);
    runner.kill().unwrap();
    runner.wait().unwrap();
    wait_until("something lives on", || processes_in(folder.path()) == 0);
}
