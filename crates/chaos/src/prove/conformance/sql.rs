//! The damage that is done to a file, past the store: the first byte of each payload becomes another, and nothing else.

/// One statement for each place where payloads are kept.
pub(super) const DAMAGE: &str = "
    UPDATE task_payloads SET input = x'21' || substr(input, 2);
    UPDATE checkpoints SET payload = x'21' || substr(payload, 2), evidence = x'21' || substr(evidence, 2);
    UPDATE idempotency_keys SET output = x'21' || substr(output, 2) WHERE output IS NOT NULL;";
