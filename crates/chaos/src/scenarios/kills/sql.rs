//! The only statement with which the runner changes a database: what a lost cache would leave.

/// Every answer that the cache knows, and every question under way.
pub(super) const LOSE_ANSWERS: &str =
    "DELETE FROM idempotency_keys WHERE substr(idempotency_key, 1, length(?1)) = ?1";
