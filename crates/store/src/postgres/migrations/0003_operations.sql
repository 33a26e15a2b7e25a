-- Operations: the tool ledger and the model cache.

CREATE TABLE @.idempotency_keys (
    operation_row      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    idempotency_key    text        COLLATE "C" NOT NULL UNIQUE,
    task_id            bigint      REFERENCES @.tasks (task_id),
    fingerprint        bytea       NOT NULL,
    status             text        NOT NULL,
    abandonment        text        NOT NULL,
    token              uuid        NOT NULL,
    lease_work_item_id text        COLLATE "C",
    lease_fence        bigint,
    owner_expires_at   timestamptz NOT NULL,
    attempt            bigint      NOT NULL,
    created_at         timestamptz NOT NULL,
    finished_at        timestamptz,
    output_digest      bytea,
    output             bytea
) WITH (fillfactor = 90);

CREATE INDEX idx_idempotency_keys_task
    ON @.idempotency_keys (task_id, idempotency_key) WHERE task_id IS NOT NULL;
