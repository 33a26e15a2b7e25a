//! Every statement of the SQLite backend, by concern.

/// Marks a file as ours: "Stdf" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x5374_6466;

/// The migrations in order; the position is the schema version less one. Immutable once released.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_tasks_and_work.sql"),
    include_str!("migrations/0002_checkpoints.sql"),
    include_str!("migrations/0003_operations.sql"),
    include_str!("migrations/0004_components.sql"),
    include_str!("migrations/0005_lease_order.sql"),
];

pub(super) mod connection {
    pub(in super::super) const BUSY_TIMEOUT_OPENING_MS: u64 = 5_000;
    pub(in super::super) const APPLICATION_ID: &str = "PRAGMA application_id";
    pub(in super::super) const USER_VERSION: &str = "PRAGMA user_version";
    pub(in super::super) const TABLE_COUNT: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
    pub(in super::super) const PAGE_SIZE: &str = "PRAGMA page_size = 4096";
    pub(in super::super) const JOURNAL_MODE: &str = "PRAGMA journal_mode = WAL";
    /// For every connection. No memory map: an I/O error under one is a signal, not an error code.
    pub(in super::super) const EVERY: &str = "PRAGMA trusted_schema = OFF; PRAGMA mmap_size = 0; \
         PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;";
    /// For the writer: it chooses itself when the log is folded into the file.
    pub(in super::super) const WRITER: &str = "PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -8000;";
    pub(in super::super) const READER: &str = "PRAGMA query_only = ON; PRAGMA cache_size = -4000;";
    pub(in super::super) const DATA_VERSION: &str = "PRAGMA data_version";
    /// What `ANALYZE` leaves behind. The statements here are written for the plans they get without it: taken of a small
    /// file, it makes them read whole tables for as long as the file grows.
    pub(in super::super) const STATISTICS: &str =
        "SELECT name FROM sqlite_schema WHERE name IN ('sqlite_stat1', 'sqlite_stat4')";

    /// For a table of SQLite's own, whose name needs no quotes.
    pub(in super::super) fn drop_table(table: &str) -> String {
        format!("DROP TABLE {table}")
    }
}

pub(super) mod transaction {
    pub(in super::super) const FULL: &str = "PRAGMA synchronous = FULL";
    pub(in super::super) const NORMAL: &str = "PRAGMA synchronous = NORMAL";
    pub(in super::super) const BEGIN: &str = "BEGIN IMMEDIATE";
    /// For a reader that looks at one snapshot several times.
    pub(in super::super) const BEGIN_READING: &str = "BEGIN";
    pub(in super::super) const COMMIT: &str = "COMMIT";
    pub(in super::super) const ROLLBACK: &str = "ROLLBACK";
    pub(in super::super) const MARKER: &str = "UPDATE store_meta SET marker = marker + 1 WHERE id = 1";
    pub(in super::super) const WAL_CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";
    /// After an erasure: what was erased stands in the log still. Answers with 1 in its first column when a reader
    /// was in the way.
    pub(in super::super) const WAL_TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
    pub(in super::super) const SECURE_DELETE: &str = "PRAGMA secure_delete = ON";
    pub(in super::super) const PLAIN_DELETE: &str = "PRAGMA secure_delete = OFF";
}

pub(super) mod clock {
    pub(in super::super) const READ: &str =
        "SELECT boot_id, anchor_ms, ceiling_ms FROM store_meta WHERE id = 1";
    pub(in super::super) const WRITE: &str =
        "INSERT INTO store_meta (id, boot_id, anchor_ms, ceiling_ms) VALUES (1, ?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET boot_id = ?1, anchor_ms = ?2, ceiling_ms = max(ceiling_ms, ?3)";
    pub(in super::super) const RAISE: &str =
        "UPDATE store_meta SET ceiling_ms = max(ceiling_ms, ?1) WHERE id = 1";
    /// Nobody who held a lease has survived the boot that ended.
    pub(in super::super) const END_LEASES: &str = "UPDATE work_items SET lease_expires_at = ?1
         WHERE status = 'in_progress' AND lease_expires_at > ?1";
}

/// The columns of a task, in the order that `map::task` reads. Its head is its newest checkpoint; where all are
/// pruned, what the last of them left on the task.
macro_rules! task_columns {
    () => {
        "t.task_key, t.task_type, t.status, t.input_digest, t.result_digest, max(t.last_sequence, ifnull(h.sequence_number, 0)),
         CASE WHEN h.sequence_number > t.last_sequence THEN h.link ELSE t.head_link END, t.pruned_through, t.created_at,
         t.finished_at, t.task_id"
    };
}

macro_rules! task_and_head {
    () => {
        "tasks t LEFT JOIN checkpoints h ON h.task_id = t.task_id
           AND h.sequence_number = (SELECT max(sequence_number) FROM checkpoints n WHERE n.task_id = t.task_id) "
    };
}

pub(super) mod task {
    pub(in super::super) const PAGE: &str = concat!(
        "SELECT ",
        task_columns!(),
        " FROM ",
        task_and_head!(),
        "WHERE t.task_key > ?1 AND (?2 IS NULL OR t.status = ?2) ORDER BY t.task_key LIMIT ?3"
    );
    pub(in super::super) const BY_KEY: &str =
        concat!("SELECT ", task_columns!(), " FROM ", task_and_head!(), "WHERE t.task_key = ?1");
    pub(in super::super) const RECORD: &str = concat!(
        "SELECT ",
        task_columns!(),
        ", length(p.input) + ifnull(length(p.result), 0),
           CASE WHEN length(p.input) + ifnull(length(p.result), 0) <= ?2 THEN p.input END,
           CASE WHEN length(p.input) + ifnull(length(p.result), 0) <= ?2 THEN p.result END FROM ",
        task_and_head!(),
        "JOIN task_payloads p ON p.task_id = t.task_id WHERE t.task_key = ?1"
    );
    pub(in super::super) const INSERT: &str =
        "INSERT INTO tasks (task_key, task_type, status, input_digest, head_link, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    pub(in super::super) const INSERT_INPUT: &str =
        "INSERT INTO task_payloads (task_id, input) VALUES (?1, ?2)";
    pub(in super::super) const FINISH: &str =
        "UPDATE tasks SET status = ?2, result_digest = ?3, finished_at = ?4 WHERE task_id = ?1";
    pub(in super::super) const SET_RESULT: &str = "UPDATE task_payloads SET result = ?2 WHERE task_id = ?1";
}

macro_rules! full_columns {
    () => {
        "SELECT c.checkpoint_id, t.task_key, c.sequence_number, c.checkpoint_type, c.work_item_id, c.parent_link, c.link,
                c.payload_digest, c.evidence_digest, c.created_at, c.copy_of, c.erased_at, c.salt, length(c.payload) + length(c.evidence),
                CASE WHEN length(c.payload) + length(c.evidence) <= ?2 THEN c.payload END,
                CASE WHEN length(c.payload) + length(c.evidence) <= ?2 THEN c.evidence END,
                v.verdict, v.detail, v.verified_at
         FROM tasks t JOIN checkpoints c ON c.task_id = t.task_id
         LEFT JOIN checkpoint_verifications v ON v.checkpoint_id = c.checkpoint_id "
    };
}

macro_rules! operation_columns {
    () => {
        operation_columns!("")
    };
    ($more:literal) => {
        concat!(
            "SELECT o.idempotency_key, t.task_key, o.fingerprint, o.status, o.abandonment, o.token, o.lease_work_item_id,
                    o.lease_fence, o.owner_expires_at, o.attempt, o.created_at, o.finished_at, o.output_digest",
            $more,
            " FROM idempotency_keys o LEFT JOIN tasks t ON t.task_id = o.task_id "
        )
    };
}

/// The columns of a work item, in the order that `map::item` reads.
macro_rules! item_columns {
    () => {
        "SELECT w.work_item_id, t.task_key, w.work_type, w.status, w.priority, w.available_at, w.fence, w.attempt,
                w.max_attempts, w.lease_holder, w.lease_acquired_at, w.lease_expires_at, w.transition_id,
                w.settled_fence, w.settlement, w.created_at, w.detail
         FROM work_items w CROSS JOIN tasks t ON t.task_id = w.task_id "
    };
}

pub(super) mod item {
    pub(in super::super) const BY_ID: &str = concat!(item_columns!(), "WHERE w.work_item_id = ?1");
    pub(in super::super) const MOVED_BY: &str = concat!(item_columns!(), "WHERE w.transition_id = ?1");
    pub(in super::super) const LARGEST_TRANSITION: &str =
        "SELECT max(transition_id) FROM work_items WHERE transition_id IS NOT NULL";
    /// How available items are found: the next lower priority at which anything is pending, the items there, and those
    /// at all lower ones at once. Levels are walked so that items which wait for their time at one priority are not
    /// read through on the way to the next.
    #[derive(Debug, Clone, Copy)]
    pub(in super::super) struct Walk {
        pub(in super::super) next_priority: &'static str,
        pub(in super::super) at_next: &'static str,
        pub(in super::super) below: &'static str,
    }
    macro_rules! walk {
        ($condition:literal) => {
            Walk {
                next_priority: concat!(
                    "SELECT max(w.priority) FROM work_items w WHERE w.status = 'pending' AND w.priority < ?1",
                    $condition
                ),
                at_next: concat!(
                    item_columns!(),
                    "WHERE w.status = 'pending' AND w.available_at <= ?2 AND w.priority =
                       (SELECT max(w.priority) FROM work_items w WHERE w.status = 'pending' AND w.priority < ?1",
                    $condition,
                    ")",
                    $condition,
                    " ORDER BY w.available_at, w.work_item_id LIMIT ?3"
                ),
                below: concat!(
                    item_columns!(),
                    "WHERE w.status = 'pending' AND w.priority < ?1 AND w.available_at <= ?2",
                    $condition,
                    " ORDER BY w.priority DESC, w.available_at, w.work_item_id LIMIT ?3"
                ),
            }
        };
    }
    /// Of every kind.
    pub(in super::super) const ANY: Walk = walk!("");
    /// Of the kind that is the last parameter.
    pub(in super::super) const OF_KIND: Walk = walk!(" AND w.work_type = ?4");
    pub(in super::super) const OF_TASK: &str = concat!(
        item_columns!(),
        "WHERE w.task_id = (SELECT task_id FROM tasks WHERE task_key = ?1) AND +w.status = 'pending'
           AND w.available_at <= ?2
         ORDER BY w.priority DESC, w.available_at, w.work_item_id"
    );
    pub(in super::super) const PAGE: &str =
        concat!(item_columns!(), "WHERE w.work_item_id > ?1 ORDER BY w.work_item_id LIMIT ?2");
    pub(in super::super) const PAGE_BY_STATUS: &str = concat!(
        item_columns!(),
        "WHERE w.work_item_id > ?1 AND w.status = ?3 ORDER BY w.work_item_id LIMIT ?2"
    );
    /// Dead letters have an index of their own.
    pub(in super::super) const PAGE_OF_DEAD: &str = concat!(
        item_columns!(),
        "WHERE w.status = ?3 AND w.status IN ('failed', 'needs_attention') AND w.work_item_id > ?1
         ORDER BY w.work_item_id LIMIT ?2"
    );
    pub(in super::super) const PAGE_BY_TASK: &str = concat!(
        item_columns!(),
        "WHERE w.task_id = (SELECT task_id FROM tasks WHERE task_key = ?4) AND w.work_item_id > ?1
           AND (?3 IS NULL OR w.status = ?3)
         ORDER BY w.work_item_id LIMIT ?2"
    );
    pub(in super::super) const EXPIRED: &str = concat!(
        item_columns!(),
        "WHERE w.status = 'in_progress'
           AND w.lease_expires_at <= ?1
         ORDER BY w.lease_expires_at, w.work_item_id LIMIT ?2"
    );
    pub(in super::super) const INSERT: &str =
        "INSERT INTO work_items (work_item_id, task_id, work_type, status, priority, available_at, max_attempts,
                                 created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    /// Asserts beside its work that a fence only grows.
    pub(in super::super) const UPDATE: &str =
        "UPDATE work_items
         SET status = ?2, available_at = ?3, fence = ?4, attempt = ?5, lease_holder = ?6, lease_acquired_at = ?7,
             lease_expires_at = ?8, transition_id = ?9, settled_fence = ?10, settlement = ?11, detail = ?12
         WHERE work_item_id = ?1 AND fence <= ?4";
    /// Names no column that it leaves as it is: an index over a column that is named is written anew.
    pub(in super::super) const RENEW: &str = "UPDATE work_items SET lease_expires_at = ?3
         WHERE work_item_id = ?1 AND fence = ?2 AND status = 'in_progress'";
    /// As [`RENEW`]. Asserts beside its work that the item was leased under the fence that is noted as settled.
    pub(in super::super) const END: &str =
        "UPDATE work_items
         SET status = ?3, lease_holder = NULL, lease_acquired_at = NULL, lease_expires_at = NULL, settled_fence = ?2,
             settlement = ?4, detail = ?5
         WHERE work_item_id = ?1 AND fence = ?2 AND status = 'in_progress'";
}

pub(super) mod checkpoint {
    pub(in super::super) const HEADER: &str =
        "SELECT c.checkpoint_id, t.task_key, c.sequence_number, c.checkpoint_type, c.work_item_id, c.parent_link, c.link,
                c.payload_digest, c.evidence_digest, c.created_at, c.copy_of, c.erased_at
         FROM checkpoints c CROSS JOIN tasks t ON t.task_id = c.task_id WHERE c.checkpoint_id = ?1";
    pub(in super::super) const LARGEST_ID: &str = "SELECT max(checkpoint_id) FROM checkpoints";
    pub(in super::super) const INSERT: &str =
        "INSERT INTO checkpoints (checkpoint_id, task_id, sequence_number, work_item_id, checkpoint_type, created_at,
                                  salt, payload_digest, evidence_digest, parent_link, link, evidence, payload,
                                  copy_of)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    /// The trigger keeps what the task must know of it.
    pub(in super::super) const PRUNE: &str =
        "DELETE FROM checkpoints WHERE task_id = ?1 AND sequence_number <= ?2";
    pub(in super::super) const NEWEST_VERIFIED: &str = "SELECT c.sequence_number FROM checkpoints c
         WHERE c.task_id = (SELECT task_id FROM tasks WHERE task_key = ?1)
           AND c.erased_at IS NULL AND c.checkpoint_type <> 'error_boundary'
           AND EXISTS (SELECT 1 FROM checkpoint_verifications v
                       WHERE v.checkpoint_id = c.checkpoint_id AND v.verdict = 'verified')
         ORDER BY c.sequence_number DESC LIMIT 1";
    pub(in super::super) const WITH_COPIES: &str =
        "SELECT checkpoint_id FROM checkpoints WHERE checkpoint_id = ?1 AND erased_at IS NULL
         UNION ALL SELECT checkpoint_id FROM checkpoints WHERE copy_of = ?1 AND erased_at IS NULL ORDER BY 1";
    pub(in super::super) const ERASE: &str =
        "UPDATE checkpoints SET salt = zeroblob(16), payload = x'', erased_at = ?2
         WHERE checkpoint_id = ?1 AND erased_at IS NULL";
    pub(in super::super) const RECORD_VERIFICATION: &str =
        "INSERT INTO checkpoint_verifications (checkpoint_id, verdict, detail, verified_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (checkpoint_id) DO UPDATE SET verdict = ?2, detail = ?3, verified_at = ?4";
    /// The parameter after the last named one bounds the bytes that are read at once.
    pub(in super::super) const FULL: &str = concat!(full_columns!(), "WHERE c.checkpoint_id = ?1");
    pub(in super::super) const NEWEST_FIRST: &str = concat!(
        full_columns!(),
        "WHERE t.task_key = ?1 AND c.sequence_number < ?3 ORDER BY c.sequence_number DESC LIMIT ?4"
    );
    pub(in super::super) const OLDEST_FIRST: &str = concat!(
        full_columns!(),
        "WHERE t.task_key = ?1 AND c.sequence_number > ?3 ORDER BY c.sequence_number LIMIT ?4"
    );
}

pub(super) mod operation {
    pub(in super::super) const BY_KEY: &str = concat!(operation_columns!(), "WHERE o.idempotency_key = ?1");
    pub(in super::super) const RECORD: &str = concat!(
        operation_columns!(
            ", ifnull(length(o.output), 0), CASE WHEN length(o.output) <= ?2 THEN o.output END"
        ),
        "WHERE o.idempotency_key = ?1"
    );
    pub(in super::super) const PAGE: &str = concat!(
        operation_columns!(),
        "WHERE o.task_id = (SELECT task_id FROM tasks WHERE task_key = ?1) AND o.idempotency_key > ?2
           AND (?3 IS NULL OR o.status = ?3) ORDER BY o.idempotency_key LIMIT ?4"
    );
    pub(in super::super) const INSERT: &str =
        "INSERT INTO idempotency_keys (idempotency_key, task_id, fingerprint, status, abandonment, token,
                                       lease_work_item_id, lease_fence, owner_expires_at, attempt, created_at)
         VALUES (?1, (SELECT task_id FROM tasks WHERE task_key = ?2), ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    /// Asserts beside its work that a finished outcome never changes.
    pub(in super::super) const UPDATE: &str = "UPDATE idempotency_keys
         SET status = ?2, abandonment = ?3, token = ?4, lease_work_item_id = ?5, lease_fence = ?6,
             owner_expires_at = ?7, attempt = ?8, finished_at = ?9, output_digest = ?10, output = ?11
         WHERE idempotency_key = ?1 AND status IN ('pending', 'in_doubt')";
    /// A finished one whose outcome counts as purged.
    pub(in super::super) const RENEW: &str = "UPDATE idempotency_keys
         SET status = ?2, abandonment = ?3, token = ?4, lease_work_item_id = ?5, lease_fence = ?6,
             owner_expires_at = ?7, attempt = ?8, created_at = ?9, finished_at = NULL, output_digest = NULL,
             output = NULL
         WHERE idempotency_key = ?1 AND status IN ('succeeded', 'failed')";
    pub(in super::super) const DELETE: &str =
        "DELETE FROM idempotency_keys WHERE idempotency_key = ?1 AND status IN ('succeeded', 'failed')";
    pub(in super::super) const STALE: &str =
        "SELECT o.idempotency_key FROM idempotency_keys o LEFT JOIN tasks t ON t.task_id = o.task_id
         WHERE o.finished_at <= ?1 AND substr(o.idempotency_key, 1, length(?2)) = ?2
           AND (o.task_id IS NULL OR t.status IN ('succeeded', 'failed', 'cancelled'))
         ORDER BY o.finished_at, o.idempotency_key LIMIT ?3";
}

pub(super) mod health {
    pub(in super::super) const WORK_ITEMS: &str = "SELECT status, count(*) FROM work_items GROUP BY status";
    pub(in super::super) const TASKS: &str = "SELECT status, count(*) FROM tasks GROUP BY status";
    pub(in super::super) const OPERATIONS: &str =
        "SELECT status, count(*) FROM idempotency_keys GROUP BY status";
    pub(in super::super) const CHECKPOINTS: &str = "SELECT count(*) FROM checkpoints";
    pub(in super::super) const EXPIRED: &str = "SELECT count(*) FROM work_items
         WHERE status = 'in_progress'
           AND lease_expires_at <= ?1";
}

pub(super) mod monitoring {
    pub(in super::super) const BY_DAY: &str =
        "SELECT substr(created_at, 1, 10) AS day, count(*) FROM checkpoints
         WHERE created_at > ?1 GROUP BY day ORDER BY day DESC";
    pub(in super::super) const KINDS: &str =
        "SELECT checkpoint_type, count(*), avg(sequence_number) FROM checkpoints
         GROUP BY checkpoint_type ORDER BY checkpoint_type";
    pub(in super::super) const HOLDERS: &str =
        "SELECT lease_holder, count(*),
                sum(CAST(round((julianday(lease_expires_at) - julianday(lease_acquired_at)) * 86400000.0) AS INTEGER))
                  / count(*)
         FROM work_items WHERE status = 'in_progress' AND lease_holder IS NOT NULL
         GROUP BY lease_holder ORDER BY lease_holder";
    pub(in super::super) const ENTRIES: &str =
        "SELECT count(*), count(*) FILTER (WHERE status = 'succeeded'), count(*) FILTER (WHERE status = 'failed'),
                count(*) FILTER (WHERE status = 'in_doubt')
         FROM idempotency_keys WHERE substr(idempotency_key, 1, length(?1)) = ?1";
    pub(in super::super) const AGES: &str =
        "SELECT count(*) FILTER (WHERE created_at > ?1), count(*) FILTER (WHERE created_at <= ?1 AND created_at > ?2),
                count(*) FILTER (WHERE created_at <= ?2 AND created_at > ?3), count(*) FILTER (WHERE created_at <= ?3)
         FROM idempotency_keys";
    pub(in super::super) const CROWDED: &str =
        "SELECT t.task_key, count(*) AS kept FROM checkpoints c JOIN tasks t ON t.task_id = c.task_id
         GROUP BY c.task_id HAVING kept > ?1 ORDER BY kept DESC, t.task_key LIMIT ?2";
}
