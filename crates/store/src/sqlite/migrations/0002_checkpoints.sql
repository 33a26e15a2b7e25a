-- Checkpoints: append-only, the payload inline, the caller's id time-ordered so that its index grows at one edge.

CREATE TABLE checkpoints (
    checkpoint_row  INTEGER PRIMARY KEY,
    checkpoint_id   BLOB    NOT NULL UNIQUE,
    task_id         INTEGER NOT NULL REFERENCES tasks (task_id),
    sequence_number INTEGER NOT NULL,
    work_item_id    TEXT,
    checkpoint_type TEXT    NOT NULL,
    created_at_ms   INTEGER NOT NULL,
    salt            BLOB    NOT NULL,
    payload_digest  BLOB    NOT NULL,
    evidence_digest BLOB    NOT NULL,
    parent_link     BLOB    NOT NULL,
    link            BLOB    NOT NULL,
    evidence        BLOB    NOT NULL,
    payload         BLOB    NOT NULL,
    created_at      TEXT GENERATED ALWAYS AS (strftime('%Y-%m-%d %H:%M:%f', created_at_ms / 1000.0, 'unixepoch')) VIRTUAL
) STRICT;

CREATE UNIQUE INDEX idx_checkpoints_task_seq ON checkpoints (task_id, sequence_number);

-- Beside the checkpoint, so that a verdict rewrites no payload.
CREATE TABLE checkpoint_verifications (
    checkpoint_id  BLOB PRIMARY KEY REFERENCES checkpoints (checkpoint_id) ON DELETE CASCADE,
    verdict        TEXT    NOT NULL,
    detail         TEXT    NOT NULL,
    verified_at_ms INTEGER NOT NULL,
    verified_at    TEXT GENERATED ALWAYS AS (strftime('%Y-%m-%d %H:%M:%f', verified_at_ms / 1000.0, 'unixepoch')) VIRTUAL
) STRICT;
