//! Every statement of the measurements, by concern.

/// Settings and transactions, alike for every side.
pub(super) mod file {
    /// The cache is the one of the store's writer. A larger one gained nothing.
    pub(in super::super) const JOURNAL_AND_CACHE: &str = "PRAGMA journal_mode = WAL; PRAGMA cache_size = -8000; PRAGMA mmap_size = 0; PRAGMA foreign_keys = ON;";
    pub(in super::super) const FULL: &str = "PRAGMA synchronous = FULL";
    pub(in super::super) const OFF: &str = "PRAGMA synchronous = OFF";
    pub(in super::super) const BEGIN: &str = "BEGIN IMMEDIATE";
    pub(in super::super) const COMMIT: &str = "COMMIT";
    pub(in super::super) const COUNT_LOG: &str = "PRAGMA wal_checkpoint(NOOP)";
    pub(in super::super) const FOLD: &str = "PRAGMA wal_checkpoint(PASSIVE)";
    pub(in super::super) const SHARES_PAGE_CACHE: &str =
        "SELECT sqlite_compileoption_used('ENABLE_MEMORY_MANAGEMENT')";
}

/// The floor: a fixed yardstick, not to be improved.
pub(super) mod floor {
    pub(in super::super) const CREATE: &str = "
        CREATE TABLE t (
            id      INTEGER PRIMARY KEY,
            task    INTEGER NOT NULL,
            seq     INTEGER NOT NULL,
            payload BLOB    NOT NULL,
            UNIQUE (task, seq)
        );
        CREATE TABLE v (
            id     INTEGER PRIMARY KEY,
            salt   BLOB NOT NULL,
            digest BLOB NOT NULL,
            value  BLOB NOT NULL
        );";
    pub(in super::super) const INSERT: &str = "INSERT INTO t (task, seq, payload) VALUES (?1, ?2, ?3)";
    pub(in super::super) const PUT_VALUE: &str =
        "INSERT INTO v (id, salt, digest, value) VALUES (?1, ?2, ?3, ?4)";
    pub(in super::super) const READ_VALUE: &str = "SELECT salt, digest, value FROM v WHERE id = ?1";
}

/// A bare queue beside the floor's table: what a claim, a settlement and a reclaim take at least.
pub(super) mod queue {
    pub(in super::super) const CREATE: &str = "
        CREATE TABLE items (
            id           INTEGER PRIMARY KEY,
            name         TEXT    NOT NULL UNIQUE,
            status       TEXT    NOT NULL,
            priority     INTEGER NOT NULL,
            available_at TEXT    NOT NULL,
            fence        INTEGER NOT NULL DEFAULT 0,
            holder       TEXT,
            expires_at   TEXT
        );
        CREATE INDEX items_pending ON items (priority DESC, available_at, name) WHERE status = 'pending';
        CREATE INDEX items_leased ON items (expires_at) WHERE status = 'in_progress';";
    pub(in super::super) const ENQUEUE: &str = "INSERT INTO items (name, status, priority, available_at) VALUES (?1, 'pending', 0, '2026-01-01 00:00:00.000')";
    pub(in super::super) const CLAIM: &str =
        "UPDATE items SET status = 'in_progress', fence = fence + 1, holder = ?1, expires_at = '2026-01-01 00:05:00.000'
         WHERE id = (SELECT id FROM items WHERE status = 'pending' ORDER BY priority DESC, available_at, name LIMIT 1)
         RETURNING id, fence";
    pub(in super::super) const SETTLE: &str =
        "UPDATE items SET status = 'succeeded', holder = NULL, expires_at = NULL
         WHERE id = ?1 AND fence = ?2 AND status = 'in_progress'";
}

/// Bare statements on the store's own tables.
pub(super) mod same_rows {
    pub(in super::super) const LEASED: &str =
        "SELECT work_item_id, task_id FROM work_items WHERE status = 'in_progress'
         ORDER BY lease_expires_at, work_item_id";
    pub(in super::super) const AVAILABLE_AT: &str = "SELECT available_at FROM work_items LIMIT 1";
    pub(in super::super) const RECLAIM: &str =
        "UPDATE work_items SET status = 'pending', available_at = ?2, fence = fence + 1, lease_holder = NULL,
                lease_acquired_at = NULL, lease_expires_at = NULL, transition_id = ?3, detail = ?4
         WHERE work_item_id = ?1";
}

/// The layouts: the store's tables `tasks` and `checkpoints`, and what else they could have been.
pub(super) mod layout {
    /// The columns that every layout has; `$task` is the one by which a checkpoint names its task.
    macro_rules! checkpoints {
        ($id:literal, $task:literal) => {
            concat!(
                "
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
                CREATE TABLE checkpoints (
                    checkpoint_row  INTEGER PRIMARY KEY,",
                $id,
                $task,
                "   sequence_number INTEGER NOT NULL,
                    work_item_id    TEXT,
                    checkpoint_type TEXT    NOT NULL,
                    created_at      TEXT    NOT NULL,
                    salt            BLOB    NOT NULL,
                    payload_digest  BLOB    NOT NULL,
                    evidence_digest BLOB    NOT NULL,
                    parent_link     BLOB    NOT NULL,
                    link            BLOB    NOT NULL,
                    evidence        BLOB    NOT NULL,
                    payload         BLOB    NOT NULL,
                    copy_of         BLOB,
                    erased_at       TEXT
                ) STRICT;
                CREATE INDEX idx_checkpoints_copies ON checkpoints (copy_of) WHERE copy_of IS NOT NULL;
                CREATE UNIQUE INDEX idx_checkpoints_task_seq ON checkpoints (task_id, sequence_number);"
            )
        };
    }

    /// As the store has it.
    pub(in super::super) const STORE: &str = checkpoints!(
        "checkpoint_id BLOB NOT NULL UNIQUE,",
        "task_id INTEGER NOT NULL REFERENCES tasks (task_id),"
    );
    /// A task is named by its text in every checkpoint, in the index and in the foreign key.
    pub(in super::super) const TEXT_KEY: &str = checkpoints!(
        "checkpoint_id BLOB NOT NULL UNIQUE,",
        "task_id TEXT NOT NULL REFERENCES tasks (task_key),"
    );
    /// No index finds a checkpoint by its id.
    pub(in super::super) const NO_ID_INDEX: &str =
        checkpoints!("checkpoint_id BLOB NOT NULL,", "task_id INTEGER NOT NULL REFERENCES tasks (task_id),");

    pub(in super::super) const INSERT_TASK: &str =
        "INSERT INTO tasks (task_id, task_key, task_type, status, input_digest, head_link, created_at)
         VALUES (?1, ?2, 'agent', 'in_progress', ?3, ?3, ?4)";
    pub(in super::super) const INSERT: &str =
        "INSERT INTO checkpoints (checkpoint_id, task_id, sequence_number, work_item_id, checkpoint_type, created_at,
                                  salt, payload_digest, evidence_digest, parent_link, link, evidence, payload)
         VALUES (?1, ?2, ?3, ?4, 'step', ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    pub(in super::super) const MOVE_HEAD: &str =
        "UPDATE tasks SET last_sequence = ?2, head_link = ?3 WHERE task_id = ?1 AND last_sequence < ?2";
}

/// What the tests ask.
#[cfg(test)]
pub(super) mod tests {
    pub(in super::super) const COLUMNS: &str =
        "SELECT group_concat(name || ' ' || type || ' ' || \"notnull\" || ' ' || pk)
         FROM pragma_table_info(?1) ORDER BY cid";
    pub(in super::super) const INDEXES: &str = "SELECT group_concat(name || ' ' || \"unique\") FROM (SELECT * FROM pragma_index_list(?1) ORDER BY name)";
    pub(in super::super) const COUNT_ROWS: &str = "SELECT count(*) FROM t";
    pub(in super::super) const COUNT_CHECKPOINTS: &str = "SELECT count(*) FROM checkpoints";
    pub(in super::super) const DAMAGE: &str = "UPDATE v SET value = zeroblob(2048) WHERE id = 1";
    pub(in super::super) const HEADS_THAT_LAG: &str = "SELECT count(*) FROM tasks t WHERE last_sequence <>
             (SELECT ifnull(max(sequence_number), 0) FROM checkpoints c WHERE c.task_id = t.task_id)";
}
