//! What is read of the file when a history is over: on a connection of the runner's own, past all code under test.

pub(super) const QUERY_ONLY: &str = "PRAGMA query_only = ON";
pub(super) const ANCHOR: &str = "SELECT anchor_ms FROM store_meta WHERE id = 1";
/// Times as they read in the file, in milliseconds.
pub(super) const ITEM: &str = "SELECT status, fence, attempt,
            CAST(round(unixepoch(available_at, 'subsec') * 1000) AS INTEGER), lease_holder,
            CAST(round(unixepoch(lease_acquired_at, 'subsec') * 1000) AS INTEGER),
            CAST(round(unixepoch(lease_expires_at, 'subsec') * 1000) AS INTEGER),
            transition_id, settled_fence, settlement
     FROM work_items WHERE work_item_id = ?1";
pub(super) const CHAIN: &str = "SELECT sequence_number, checkpoint_id, checkpoint_type, work_item_id, payload
     FROM checkpoints WHERE task_id = (SELECT task_id FROM tasks WHERE task_key = ?1) ORDER BY sequence_number";
pub(super) const OPERATION: &str =
    "SELECT fingerprint, status, abandonment, token, lease_work_item_id, lease_fence,
            CAST(round(unixepoch(owner_expires_at, 'subsec') * 1000) AS INTEGER), output, attempt
     FROM idempotency_keys WHERE idempotency_key = ?1";
/// The answers that are kept of a model, by the beginning of its keys.
pub(super) const ANSWERS: &str = "SELECT output FROM idempotency_keys
     WHERE substr(idempotency_key, 1, length(?1)) = ?1 AND status = 'succeeded'";
