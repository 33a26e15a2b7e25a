//! From an empty or older file to this program's schema, one numbered migration per transaction: a kill at any
//! statement leaves the schema before or the schema after.

use std::path::Path;

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch as Statements, Connection};

use crate::env::{Env, Failpoint};
use crate::error::OpenError;
use crate::sqlite::failure::Trouble;
use crate::sqlite::sql::{self, APPLICATION_ID, MIGRATIONS};

/// The newest schema version that this program knows.
pub(super) fn newest() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, sql: &str) -> Result<T, Trouble> {
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// The schema version of a file that is ours, or 0 for an empty one.
///
/// # Errors
/// A file that is no database, belongs to something else, or is newer than this program.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<u32, OpenError> {
    let told = |trouble: Trouble| trouble.not_opened(path);
    // All from one snapshot: between two looks another process may bring the file to its schema.
    let _snapshot = connection
        .is_autocommit()
        .then(|| connection.unchecked_transaction())
        .transpose()
        .map_err(|error| told(error.into()))?;
    let application_id: i32 = pragma(connection, sql::connection::APPLICATION_ID).map_err(told)?;
    let found: u32 = pragma(connection, sql::connection::USER_VERSION).map_err(told)?;
    let tables: u32 = pragma(connection, sql::connection::TABLE_COUNT).map_err(told)?;
    let path = path.to_owned();
    if application_id != APPLICATION_ID {
        return if application_id == 0 && found == 0 && tables == 0 {
            Ok(0)
        } else {
            Err(OpenError::ForeignDatabase { path, application_id, tables })
        };
    }
    if found > newest() {
        return Err(OpenError::SchemaTooNew { path, found, supported: newest() });
    }
    Ok(found)
}

/// Brings the file to the newest schema. Another process may be doing the same: the version is looked at again
/// under the write lock.
pub(super) fn migrate(connection: &mut Connection, env: &Env, path: &Path) -> Result<(), OpenError> {
    let told = |trouble: Trouble| trouble.not_opened(path);
    while version(connection, path)? < newest() {
        let transaction = connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(|error| told(error.into()))?;
        let from = version(&transaction, path)?;
        if let Some(migration) = MIGRATIONS.get(from as usize) {
            run(&transaction, migration, env).map_err(told)?;
            env.reach(Failpoint::MIGRATION_STATEMENT);
            transaction
                .pragma_update(None, "application_id", APPLICATION_ID)
                .map_err(|error| told(error.into()))?;
            env.reach(Failpoint::MIGRATION_STATEMENT);
            transaction.pragma_update(None, "user_version", from + 1).map_err(|error| told(error.into()))?;
        }
        env.reach(Failpoint::MIGRATION_COMMIT_BEFORE);
        transaction.commit().map_err(|error| told(error.into()))?;
        env.reach(Failpoint::MIGRATION_COMMIT_AFTER);
    }
    Ok(())
}

fn run(connection: &Connection, migration: &str, env: &Env) -> Result<(), Trouble> {
    let mut statements = Statements::new(connection, migration);
    while let Some(mut statement) = statements.next()? {
        env.reach(Failpoint::MIGRATION_STATEMENT);
        statement.execute([])?;
    }
    Ok(())
}
