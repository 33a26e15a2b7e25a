-- Operations: the tool ledger and the model cache.

CREATE TABLE idempotency_keys (
    operation_row        INTEGER PRIMARY KEY,
    idempotency_key      TEXT    NOT NULL UNIQUE,
    task_id              INTEGER REFERENCES tasks (task_id),
    fingerprint          BLOB    NOT NULL,
    status               TEXT    NOT NULL,
    abandonment          TEXT    NOT NULL,
    token                BLOB    NOT NULL,
    lease_work_item_id   TEXT,
    lease_fence          INTEGER,
    owner_expires_at     TEXT    NOT NULL,
    attempt              INTEGER NOT NULL,
    created_at           TEXT    NOT NULL,
    finished_at          TEXT,
    output_digest        BLOB,
    output               BLOB
) STRICT;

CREATE INDEX idx_idempotency_keys_task ON idempotency_keys (task_id, idempotency_key) WHERE task_id IS NOT NULL;
