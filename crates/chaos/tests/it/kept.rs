//! What a failed measurement leaves: its databases, as they were, and a diagnosis beside them.

use std::fs;
use std::path::PathBuf;

use rusqlite::{Connection, OpenFlags};

use crate::runner::{Ran, run_matrix};

/// The one folder of measurements in what a failed case kept, and what its diagnosis says.
fn kept(ran: &Ran) -> (PathBuf, String) {
    assert_eq!(ran.code, 1, "{}", ran.printed);
    let folder = ran.printed.lines().find_map(|line| line.trim().strip_prefix("kept: "));
    let folder = PathBuf::from(folder.unwrap_or_else(|| panic!("nothing kept:\n{}", ran.printed)));
    let folder = folder.join("measurement-1");
    let diagnosis = fs::read_to_string(folder.join("diagnosis.txt")).unwrap();
    (folder, diagnosis)
}

#[test]
fn a_measurement_beyond_its_limit_keeps_its_database_and_a_diagnosis() {
    let slow = ["full_workflow", "--runs", "2", "--quick", "--sync-delay", "200ms"];
    let ran = run_matrix("perf", &slow);
    assert_eq!(ran.check("workflow_average_ms"), "over", "{}", ran.printed);
    let (folder, diagnosis) = kept(&ran);
    for part in ["case: full_workflow", "--sync-delay 200ms", "  tasks | 2", "  checkpoints | 2", "agent.db"]
    {
        assert!(diagnosis.contains(part), "{part}:\n{diagnosis}");
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(folder.join("agent.db"), flags).unwrap();
    let tasks = database.query_row("SELECT count(*) FROM tasks", [], |row| row.get::<_, i64>(0));
    assert_eq!(tasks.unwrap(), 2);
}

#[test]
fn a_measurement_whose_time_is_over_keeps_both_sides_and_a_diagnosis_of_each() {
    let ran = run_matrix("perf", &["group_commit", "--runs", "1", "--quick", "--timeout", "0"]);
    let (folder, diagnosis) = kept(&ran);
    for name in ["floor.db", "subject.db"] {
        assert!(folder.join(name).exists(), "{name} was not kept");
        assert!(diagnosis.contains(&format!("{}/{name} ", folder.display())), "{name}:\n{diagnosis}");
    }
    assert!(diagnosis.contains("error: the time of the case was over"), "{diagnosis}");
}
