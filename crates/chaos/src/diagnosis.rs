//! What a failed case leaves for whoever looks into it: beside each database of the case, a file that says how it was
//! made and what is in it.

use std::fmt::{self, Write as _};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::audit::sql::DIAGNOSIS;
use crate::case::Settings;
use crate::report::CaseReport;

/// The file beside a database. Several in one folder share it, one after the other.
const FILE: &str = "diagnosis.txt";
/// How deep below the case's folder databases lie.
const DEPTH_MAX: usize = 3;

/// Writes a diagnosis beside every database below `folder`. What cannot be found out is said in it.
pub fn beside_databases(folder: &Path, settings: &Settings, case: &CaseReport) {
    below(folder, settings, case, 0);
}

fn below(folder: &Path, settings: &Settings, case: &CaseReport, depth: usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && depth < DEPTH_MAX {
            below(&path, settings, case, depth + 1);
        } else if path.extension().is_some_and(|extension| extension == "db") {
            // A diagnosis that cannot be written leaves the database itself.
            drop(append(&folder.join(FILE), &of(&path, settings, case)));
        }
    }
}

fn append(file: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(file)?;
    writeln!(file, "{text}")
}

fn of(database: &Path, settings: &Settings, case: &CaseReport) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = header(&mut text, database, settings, case);
    match Connection::open_with_flags(
        database,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    ) {
        Ok(connection) => {
            for (title, sql) in DIAGNOSIS {
                let _ = writeln!(text, "\n{title}:");
                if let Err(error) = rows(&mut text, &connection, sql) {
                    let _ = writeln!(text, "  {error}");
                }
            }
        }
        Err(error) => {
            let _ = writeln!(text, "\nthe database cannot be opened: {error}");
        }
    }
    text
}

fn header(text: &mut String, database: &Path, settings: &Settings, case: &CaseReport) -> fmt::Result {
    writeln!(text, "case: {} ({})", case.id, case.title)?;
    writeln!(text, "again: {}", case.reproduce)?;
    writeln!(text, "settings: {settings:?}")?;
    for note in &case.notes {
        writeln!(text, "note: {note}")?;
    }
    for check in &case.checks {
        writeln!(text, "check: {check}")?;
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut path = database.as_os_str().to_owned();
        path.push(suffix);
        match fs::metadata(&path) {
            Ok(found) => writeln!(text, "file: {} {} bytes", Path::new(&path).display(), found.len())?,
            Err(error) => writeln!(text, "file: {} {error}", Path::new(&path).display())?,
        }
    }
    Ok(())
}

fn rows(text: &mut String, connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let values =
            (0..columns).map(|column| row.get_ref(column).map(shown)).collect::<Result<Vec<_>, _>>()?;
        let _ = writeln!(text, "  {}", values.join(" | "));
    }
    Ok(())
}

fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "-".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}
