//! Every statement with which the campaign looks at what a power cut left, on a connection of its own.

/// Name and text of everything in the schema.
pub(super) const SCHEMA: &str = "SELECT type, name, sql FROM sqlite_schema ORDER BY name";
/// A number that every migration raises.
pub(super) const VERSION: &str = "PRAGMA user_version";

/// Bytes of a database, those that stand in its log included.
pub(super) const SIZE: &str = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";

/// Whether the store has noted a boot.
pub(super) const HAS_CLOCK: &str = "SELECT count(*) > 0 FROM store_meta";

/// All rows of a table whose name comes from the schema, in the order in which they are stored.
pub(super) fn all_rows(table: &str) -> String {
    format!("SELECT * FROM \"{table}\"")
}

pub(super) const HAS_TASK: &str =
    "SELECT count(*) FROM tasks WHERE task_key = ?1 AND (?2 IS NULL OR status = ?2)";
pub(super) const HAS_ITEM: &str = "SELECT count(*) FROM work_items WHERE work_item_id = ?1";
pub(super) const HAS_MOVED: &str = "SELECT count(*) FROM work_items WHERE transition_id = ?1";
pub(super) const HAS_SETTLED: &str =
    "SELECT count(*) FROM work_items WHERE work_item_id = ?1 AND settled_fence = ?2";
pub(super) const HAS_CHECKPOINT: &str =
    "SELECT count(*) FROM checkpoints WHERE checkpoint_id = ?1 AND payload = ?2 AND evidence = ?3
       AND (?4 IS NULL OR sequence_number = ?4)";
pub(super) const HAS_OPERATION: &str =
    "SELECT count(*) FROM idempotency_keys WHERE idempotency_key = ?1 AND token = ?2
       AND (?3 IS NULL OR status = ?3)";
