//! Every statement with which the runner looks at a database: on a connection of its own, past all code under test.

pub(super) const TASK: &str =
    "SELECT task_id, status, last_sequence, head_link, result, pruned_through FROM tasks LEFT JOIN task_payloads USING (task_id)
     WHERE task_key = ?1";
pub(super) const TASK_KEYS: &str = "SELECT task_key FROM tasks ORDER BY task_id";
pub(super) const CHECKPOINTS: &str =
    "SELECT sequence_number, checkpoint_id, checkpoint_type, work_item_id, salt, payload_digest, evidence_digest,
            parent_link, link, payload, evidence, erased_at IS NOT NULL
     FROM checkpoints WHERE task_id = ?1 ORDER BY sequence_number, checkpoint_row";
pub(super) const CHECKPOINT_EXISTS: &str = "SELECT count(*) FROM checkpoints WHERE checkpoint_id = ?1";
pub(super) const OPERATIONS: &str = "SELECT idempotency_key, status, abandonment FROM idempotency_keys WHERE task_id = ?1 ORDER BY idempotency_key";
/// Times as they read in the file, in milliseconds.
pub(super) const ITEM: &str = "SELECT status, fence, attempt, settled_fence, settlement, lease_holder,
            CAST(round(unixepoch(lease_acquired_at, 'subsec') * 1000) AS INTEGER),
            CAST(round(unixepoch(lease_expires_at, 'subsec') * 1000) AS INTEGER),
            CAST(round(unixepoch(available_at, 'subsec') * 1000) AS INTEGER)
     FROM work_items WHERE work_item_id = ?1";
pub(super) const ITEMS: &str =
    "SELECT work_item_id, status, lease_holder, attempt, settlement FROM work_items ORDER BY item_row";
pub(super) const ITEMS_BY_STATUS: &str =
    "SELECT status, count(*) FROM work_items GROUP BY status ORDER BY status";
pub(super) const HELD_BY: &str =
    "SELECT work_item_id FROM work_items WHERE lease_holder = ?1 AND status = 'in_progress'";
pub(super) const CHECKPOINTS_OF_KIND: &str = "SELECT count(*) FROM checkpoints WHERE checkpoint_type = ?1";
pub(super) const OPERATIONS_BY_STATUS: &str =
    "SELECT count(*) FROM idempotency_keys WHERE status = ?1 AND substr(idempotency_key, 1, length(?2)) = ?2";
pub(super) const INTEGRITY: &str = "PRAGMA integrity_check";
pub(super) const FOREIGN_KEYS: &str = "PRAGMA foreign_key_check";
/// A file that is only just being made has none.
pub(super) const HAS_ITEMS: &str =
    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'work_items'";
/// A lease is three columns and a status, which all say the same.
pub(super) const HALF_LEASED: &str = "SELECT work_item_id FROM work_items
     WHERE (status = 'in_progress') + (lease_holder IS NOT NULL) + (lease_acquired_at IS NOT NULL)
           + (lease_expires_at IS NOT NULL) NOT IN (0, 4) ORDER BY item_row";
pub(super) const QUERY_ONLY: &str = "PRAGMA query_only = ON";

/// For the diagnosis: what to call it, and the statement.
pub(crate) const DIAGNOSIS: &[(&str, &str)] = &[
    ("user version", "PRAGMA user_version"),
    ("journal mode", "PRAGMA journal_mode"),
    ("integrity", "PRAGMA integrity_check(20)"),
    (
        "rows",
        "SELECT 'tasks', count(*) FROM tasks UNION ALL SELECT 'work_items', count(*) FROM work_items
         UNION ALL SELECT 'checkpoints', count(*) FROM checkpoints
         UNION ALL SELECT 'checkpoint_verifications', count(*) FROM checkpoint_verifications
         UNION ALL SELECT 'idempotency_keys', count(*) FROM idempotency_keys",
    ),
    ("tasks by status", "SELECT status, count(*) FROM tasks GROUP BY status"),
    ("work items by status", "SELECT status, count(*) FROM work_items GROUP BY status"),
    ("operations by status", "SELECT status, abandonment, count(*) FROM idempotency_keys GROUP BY status, abandonment"),
    (
        "active leases",
        "SELECT work_item_id, lease_holder, fence, attempt, lease_acquired_at, lease_expires_at FROM work_items
         WHERE status = 'in_progress' ORDER BY lease_expires_at LIMIT 50",
    ),
    (
        "settled items",
        "SELECT work_item_id, status, fence, attempt, settled_fence, settlement FROM work_items
         WHERE settled_fence IS NOT NULL ORDER BY item_row DESC LIMIT 50",
    ),
    (
        "operations without a result",
        "SELECT idempotency_key, status, abandonment, attempt, lease_work_item_id, lease_fence FROM idempotency_keys
         WHERE finished_at IS NULL ORDER BY operation_row DESC LIMIT 50",
    ),
    (
        "last 50 checkpoints",
        "SELECT t.task_key, c.sequence_number, c.checkpoint_type, lower(hex(c.checkpoint_id)), c.created_at,
                length(c.payload), v.verdict
         FROM checkpoints c JOIN tasks t USING (task_id) LEFT JOIN checkpoint_verifications v USING (checkpoint_id)
         ORDER BY c.checkpoint_row DESC LIMIT 50",
    ),
];
