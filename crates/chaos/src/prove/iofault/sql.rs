//! The statements with which the campaign looks at every row of a file, on a connection of its own.

/// The tables of a store; what is in the store's own one has no meaning for callers.
pub(super) const TABLES: &str =
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'store_meta'
     ORDER BY name";

/// Every row of a table, in the order of its key.
pub(super) fn rows_of(table: &str) -> String {
    format!("SELECT * FROM {table} ORDER BY 1")
}
