//! All that is in a file, read by plain SQL on a connection of the campaign's own: what is compared.

use std::fmt::Write as _;
use std::path::Path;

use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::sql;
use crate::audit::Audit;

/// Bytes that a line shows; of more it shows a digest.
const BLOB_SHOWN: usize = 16;

/// Every row of every table, a line each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Content {
    rows: Vec<String>,
}

impl Content {
    /// Reads a file, and what SQLite's own checks complain of. Whoever comes first after a crash recovers it.
    pub(super) fn read(database: &Path) -> rusqlite::Result<(Self, Vec<String>)> {
        if !database.exists() {
            return Ok((Self::default(), Vec::new()));
        }
        let audit = Audit::open(database)?;
        let faults = audit.faults()?;
        let mut content = Self::default();
        for table in audit.rows(sql::TABLES, [], |row| row.get::<_, String>(0))? {
            content.rows.extend(audit.rows(&sql::rows_of(&table), [], |row| line(&table, row))?);
        }
        Ok((content, faults))
    }

    /// The rows that only one of the two has, at most so many, for messages.
    pub(super) fn differences(&self, expected: &Self, limit: usize) -> String {
        let only = |a: &Self, b: &Self, sign: char| {
            let lines = a.rows.iter().filter(|row| !b.rows.contains(row));
            lines.take(limit).map(|row| format!("{sign} {row}")).collect::<Vec<_>>()
        };
        [only(self, expected, '+'), only(expected, self, '-')].concat().join("; ")
    }
}

fn line(table: &str, row: &Row<'_>) -> rusqlite::Result<String> {
    let mut line = table.to_owned();
    for column in 0..row.as_ref().column_count() {
        // Writing to a string cannot fail.
        let _ = match row.get_ref(column)? {
            ValueRef::Null => write!(line, "|"),
            ValueRef::Integer(number) => write!(line, "|{number}"),
            ValueRef::Real(number) => write!(line, "|{number}"),
            ValueRef::Text(text) => write!(line, "|{}", String::from_utf8_lossy(text)),
            ValueRef::Blob(bytes) if bytes.len() <= BLOB_SHOWN => {
                write!(line, "|{}", crate::worker::hex(bytes))
            }
            ValueRef::Blob(bytes) => {
                let digest = blake3::hash(bytes).to_hex();
                write!(line, "|{} bytes {}", bytes.len(), &digest.as_str()[..16])
            }
        };
    }
    Ok(line)
}
