//! The schemas of every version, from the migrations' own text, and what a file holds of them.

use std::path::Path;

use rusqlite::Connection;

pub(crate) const MIGRATIONS: [&str; 5] = [
    include_str!("../../src/sqlite/migrations/0001_tasks_and_work.sql"),
    include_str!("../../src/sqlite/migrations/0002_checkpoints.sql"),
    include_str!("../../src/sqlite/migrations/0003_operations.sql"),
    include_str!("../../src/sqlite/migrations/0004_components.sql"),
    include_str!("../../src/sqlite/migrations/0005_lease_order.sql"),
];

/// Marks a file as this project's: "Stdf".
pub(crate) const APPLICATION_ID: i32 = 0x5374_6466;

pub(crate) fn newest() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap()
}

/// Type, name and statement of everything in a schema, in order of the names.
type Schema = Vec<(String, String, Option<String>)>;

pub(crate) fn schema(connection: &Connection) -> Schema {
    let mut statement =
        connection.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY name").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

pub(crate) fn version(connection: &Connection) -> u32 {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

/// Brings a file to an older version, as the program of that version would have.
pub(crate) fn migrate_to(connection: &Connection, version: u32) {
    for (migration, number) in MIGRATIONS.iter().zip(1..=version) {
        connection
            .execute_batch(&format!("BEGIN; {migration}; PRAGMA user_version = {number}; COMMIT"))
            .unwrap();
    }
    if version > 0 {
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    }
}

/// Asserts that the file holds exactly the schema of the version that it claims, and is whole. Answers with that
/// version.
pub(crate) fn is_whole(path: &Path) -> u32 {
    let connection = Connection::open(path).unwrap();
    let found = version(&connection);
    let expected = Connection::open_in_memory().unwrap();
    migrate_to(&expected, found);
    assert_eq!(schema(&connection), schema(&expected), "the schema is not that of version {found}");
    let application_id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0)).unwrap();
    assert_eq!(application_id, if found == 0 { 0 } else { APPLICATION_ID });
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    found
}
