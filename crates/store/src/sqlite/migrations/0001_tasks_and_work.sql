-- Tasks and work items. Times are text, YYYY-MM-DD HH:MM:SS.mmm in UTC, which compares with CURRENT_TIMESTAMP; only
-- the store's own clock counts in milliseconds. task_id is the integer that rows refer to; task_key is the caller's name.

CREATE TABLE store_meta (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    boot_id     BLOB    NOT NULL,
    anchor_ms   INTEGER NOT NULL,
    ceiling_ms  INTEGER NOT NULL,
    marker      INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE tasks (
    task_id        INTEGER PRIMARY KEY,
    task_key       TEXT    NOT NULL UNIQUE,
    task_type      TEXT    NOT NULL,
    status         TEXT    NOT NULL,
    input_digest   BLOB    NOT NULL,
    result_digest  BLOB,
    last_sequence  INTEGER NOT NULL DEFAULT 0,
    head_link      BLOB    NOT NULL,
    pruned_through INTEGER NOT NULL DEFAULT 0,
    created_at     TEXT    NOT NULL,
    finished_at    TEXT
) STRICT;

-- Beside the task, so that nothing else of it rewrites large rows.
CREATE TABLE task_payloads (
    task_id INTEGER PRIMARY KEY REFERENCES tasks (task_id),
    input   BLOB NOT NULL,
    result  BLOB
) STRICT;

CREATE TABLE work_items (
    item_row             INTEGER PRIMARY KEY,
    work_item_id         TEXT    NOT NULL UNIQUE,
    task_id              INTEGER NOT NULL REFERENCES tasks (task_id),
    work_type            TEXT    NOT NULL,
    status               TEXT    NOT NULL,
    priority             INTEGER NOT NULL,
    available_at         TEXT    NOT NULL,
    fence                INTEGER NOT NULL DEFAULT 0,
    attempt              INTEGER NOT NULL DEFAULT 0,
    max_attempts         INTEGER NOT NULL,
    lease_holder         TEXT,
    lease_acquired_at    TEXT,
    lease_expires_at     TEXT,
    transition_id        BLOB,
    settled_fence        INTEGER,
    settlement           TEXT,
    created_at           TEXT    NOT NULL
) STRICT;

CREATE INDEX idx_work_items_lease
    ON work_items (lease_expires_at) WHERE status = 'in_progress';
CREATE INDEX idx_work_items_status_priority
    ON work_items (priority DESC, available_at, work_item_id) WHERE status = 'pending';
CREATE INDEX idx_work_items_transition
    ON work_items (transition_id) WHERE transition_id IS NOT NULL;
CREATE INDEX idx_work_items_task
    ON work_items (task_id);
