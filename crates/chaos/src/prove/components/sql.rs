//! What is done to a file past the store.

/// The first byte of each payload becomes another, and nothing else: a statement for each place where they are kept.
pub(super) const DAMAGE: &str = "
    UPDATE task_payloads SET input = CAST('!' || substr(input, 2) AS BLOB);
    UPDATE checkpoints SET payload = CAST('!' || substr(payload, 2) AS BLOB),
                           evidence = CAST('!' || substr(evidence, 2) AS BLOB);
    UPDATE idempotency_keys SET output = CAST('!' || substr(output, 2) AS BLOB) WHERE output IS NOT NULL;";
/// Reads something.
pub(super) const VISIT: &str = "SELECT count(*) FROM tasks";
