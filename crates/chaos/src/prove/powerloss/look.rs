//! What an image holds once SQLite has recovered it: read by SQL on a connection of its own, past the code under test.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::sql;
use crate::audit::{Audit, pruned_chain_faults};
use crate::memory_vfs::{Files, MemoryVfs, Name};

/// Names one content of all tables: rows, and the schema itself.
pub(super) type Contents = [u8; 16];

/// Names the pages of one database, whatever its log looks like.
pub(super) type Pages = [u8; 32];

/// The path of every database here: a [`MemoryVfs`] looks at the suffix only.
const PATH: &str = "/powerloss/image.db";

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) contents: Contents,
    /// What the checks of SQLite complain of, and items that are leased by half.
    pub(super) complaints: Vec<String>,
}

/// Opens these files for looking. What SQLite recovers stays on the device of `viewer`.
pub(super) fn open(viewer: &MemoryVfs, mut files: Files) -> rusqlite::Result<Audit> {
    if files.get(Name::Database).is_none() {
        // As SQLite makes it. There is nothing yet, or what was begun is lost.
        files.set(Name::Database, Some(Vec::new()));
    }
    viewer.device().load(files);
    Audit::open_through(viewer.name(), Path::new(PATH))
}

/// A digest over all pages as every reader sees them, those that stand in the log included.
pub(super) fn pages(audit: &Audit) -> rusqlite::Result<Pages> {
    Ok(*blake3::hash(&audit.connection().serialize("main")?).as_bytes())
}

/// How many bytes it has, those that stand in the log included.
pub(super) fn size(audit: &Audit) -> rusqlite::Result<usize> {
    audit.connection().query_row(sql::SIZE, [], |row| row.get(0))
}

/// Looks at it.
pub(super) fn look(audit: &Audit) -> rusqlite::Result<Look> {
    // First what it holds: a check walks the same pages again from the cache.
    let contents = contents(audit.connection())?;
    Ok(Look { contents, complaints: audit.faults()? })
}

/// A digest over the schema and all rows.
fn contents(connection: &Connection) -> rusqlite::Result<Contents> {
    let mut hasher = blake3::Hasher::new();
    let version: u32 = connection.query_row(sql::VERSION, [], |row| row.get(0))?;
    hasher.update(&version.to_le_bytes());
    let mut tables = Vec::new();
    let mut schema = connection.prepare(sql::SCHEMA)?;
    let mut rows = schema.query([])?;
    while let Some(row) = rows.next()? {
        for column in 0..3 {
            add(&mut hasher, row.get_ref(column)?);
        }
        if row.get_ref(0)?.as_str()? == "table" {
            tables.push(row.get::<_, String>(1)?);
        }
    }
    for table in tables {
        let mut statement = connection.prepare(&sql::all_rows(&table))?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                add(&mut hasher, row.get_ref(column)?);
            }
        }
        add(&mut hasher, ValueRef::Null);
    }
    let mut contents = [0; 16];
    contents.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    Ok(contents)
}

fn add(hasher: &mut blake3::Hasher, value: ValueRef<'_>) {
    let mut field = |kind: u8, bytes: &[u8]| {
        hasher.update(&[kind]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    match value {
        ValueRef::Null => field(0, &[]),
        ValueRef::Integer(number) => field(1, &number.to_le_bytes()),
        ValueRef::Real(number) => field(2, &number.to_le_bytes()),
        ValueRef::Text(text) => field(3, text),
        ValueRef::Blob(bytes) => field(4, bytes),
    }
}

/// What is wrong with the chains of all tasks: their numbers, links and digests are computed again.
pub(super) fn broken_chains(audit: &Audit) -> rusqlite::Result<Vec<String>> {
    let mut broken = Vec::new();
    if !has_checkpoints(audit.connection())? {
        return Ok(broken);
    }
    for key in audit.task_keys()? {
        let Some(task) = audit.task(&key)? else { continue };
        let faults = pruned_chain_faults(&task, &audit.checkpoints(&task)?);
        broken
            .extend(faults.gaps.into_iter().chain(faults.breaks).map(|fault| format!("task {key}: {fault}")));
    }
    Ok(broken)
}

/// Whether the schema has come as far as the columns that the chains are read from: between two migrations there is
/// nothing to be read yet.
fn has_checkpoints(connection: &Connection) -> rusqlite::Result<bool> {
    let version: u32 = connection.query_row(sql::VERSION, [], |row| row.get(0))?;
    Ok(version >= 4)
}
