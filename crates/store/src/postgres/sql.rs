//! Every statement of the PostgreSQL backend, by concern. The character `@` stands for the schema, which is quoted and
//! put in when a store is opened: no statement rests on a session's `search_path`, which a pooler in front of the server
//! would not keep.
//!
//! Changes are made for whole lists of rows, handed over as arrays, so that a group of batches takes as many statements
//! as it touches tables. Each asserts how many rows it changed, by a division by zero, because COMMIT is already on its
//! way behind it: an error there turns the COMMIT into a ROLLBACK.

/// The migrations in order; the position is the schema version less one. Immutable once released.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_tasks_and_work.sql"),
    include_str!("migrations/0002_checkpoints.sql"),
    include_str!("migrations/0003_operations.sql"),
    include_str!("migrations/0004_components.sql"),
    include_str!("migrations/0005_lease_order.sql"),
];

/// The name of a schema in quotes, as it stands in the statements.
pub(super) fn quoted(schema: &str) -> String {
    format!("\"{}\"", schema.replace('"', "\"\""))
}

/// A statement of this file for a schema, whose name comes in quotes.
pub(super) fn of_schema(statement: &str, quoted: &str) -> String {
    statement.replace('@', quoted)
}

pub(super) mod server {
    /// What must be known of a server before it is used.
    pub(in super::super) const LOOK: &str = "SELECT current_setting('server_version_num')::integer,
        current_setting('server_version'), current_setting('fsync') = 'on', current_setting('synchronous_commit'),
        current_setting('server_encoding'), pg_is_in_recovery()";
    /// Changes whenever any transaction that writes begins or ends, on the whole server.
    pub(in super::super) const SNAPSHOT: &str = "SELECT pg_current_snapshot()::text";
    pub(in super::super) const NOTIFY: &str = "SELECT pg_notify($1, '')";

    /// Hears what is notified to this channel.
    pub(in super::super) fn listen(channel: &str) -> String {
        format!("LISTEN {}", super::quoted(channel))
    }
}

pub(super) mod schema {
    /// How many tables and views a schema holds, and whether one of them is the mark that it is ours.
    pub(in super::super) const LOOK: &str =
        "SELECT count(*), count(*) FILTER (WHERE c.relname = 'store_meta'), count(*) FILTER (WHERE c.relname = 'tasks')
         FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";
    pub(in super::super) const VERSION: &str =
        "SELECT schema_version FROM @.store_meta WHERE id = 1 AND application = 'steadfast'";
    pub(in super::super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
    /// One at a time, whichever process: for as long as the transaction lasts.
    pub(in super::super) const LOCK: &str = "SELECT pg_advisory_xact_lock(7161917, hashtext($1))";
    pub(in super::super) const CREATE: &str = "CREATE SCHEMA IF NOT EXISTS @";

    /// For a number of this program's own.
    pub(in super::super) fn set_version(version: u32) -> String {
        format!("UPDATE @.store_meta SET schema_version = {version} WHERE id = 1")
    }
}

pub(super) mod transaction {
    use std::time::Duration;

    /// What holds for one transaction and no longer.
    #[derive(Debug, Clone, Copy)]
    pub(in super::super) struct Settings<'a> {
        pub(in super::super) statement: Duration,
        pub(in super::super) lock: Duration,
        pub(in super::super) idle: Duration,
        pub(in super::super) synchronous_commit: &'a str,
    }

    pub(in super::super) const COMMIT: &str = "COMMIT";
    pub(in super::super) const ROLLBACK: &str = "ROLLBACK";
    /// For several reads that look at one snapshot.
    pub(in super::super) const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

    /// Begins a transaction with settings of its own.
    pub(in super::super) fn begin(settings: Settings<'_>) -> String {
        // Zero would mean none at all.
        let millis = |span: Duration| span.as_millis().clamp(1, i32::MAX as u128);
        format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = {}; \
             SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}; \
             SET LOCAL synchronous_commit = {}",
            millis(settings.statement),
            millis(settings.lock),
            millis(settings.idle),
            settings.synchronous_commit
        )
    }

    /// For as long as the transaction lasts.
    pub(in super::super) const IDENTITIES: &str =
        "SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS k";
    pub(in super::super) const MARK: &str = "UPDATE @.durability_marks SET count = count + 1 WHERE mark = $1";
}

pub(super) mod clock {
    pub(in super::super) const READ: &str = "SELECT c.store_time, c.wall_time FROM @.store_clock() AS c";
}

/// A change that must reach as many rows as its first list is long.
macro_rules! asserting {
    ($($change:expr),+ $(,)?) => {
        concat!(
            "WITH changed AS (", $($change),+, " RETURNING 1)
             SELECT 1 / (CASE WHEN count(*) = cardinality($1) THEN 1 ELSE 0 END) FROM changed"
        )
    };
}

macro_rules! task_columns {
    () => {
        "t.task_key, t.task_type, t.status, t.input_digest, t.result_digest, t.last_sequence, t.head_link,
         t.pruned_through, t.created_at, t.finished_at"
    };
}

pub(super) mod task {
    macro_rules! by_keys {
        ($lock:literal) => {
            concat!(
                "SELECT ",
                task_columns!(),
                " FROM @.tasks AS t WHERE t.task_key = ANY($1) ORDER BY t.task_key ",
                $lock
            )
        };
    }
    pub(in super::super) const LOOK: &str = by_keys!("");
    /// It will not end before the transaction does.
    pub(in super::super) const KEEP: &str = by_keys!("FOR KEY SHARE OF t");
    pub(in super::super) const WRITE: &str = by_keys!("FOR NO KEY UPDATE OF t");
    pub(in super::super) const END: &str = by_keys!("FOR UPDATE OF t");
    pub(in super::super) const PAGE: &str = concat!(
        "SELECT ",
        task_columns!(),
        " FROM @.tasks AS t WHERE t.task_key > $1 AND ($2::text IS NULL OR t.status = $2) ORDER BY t.task_key LIMIT $3"
    );
    pub(in super::super) const RECORD: &str = concat!(
        "SELECT ",
        task_columns!(),
        ", p.input, p.result FROM @.tasks AS t JOIN @.task_payloads AS p ON p.task_id = t.task_id WHERE t.task_key = $1"
    );
    pub(in super::super) const INSERT: &str =
        "INSERT INTO @.tasks (task_key, task_type, status, input_digest, result_digest, last_sequence, head_link,
                              created_at, finished_at)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bigint[], $7::bytea[],
                              $8::timestamptz[], $9::timestamptz[])";
    pub(in super::super) const INSERT_PAYLOADS: &str = asserting!(
        "INSERT INTO @.task_payloads (task_id, input, result)
         SELECT t.task_id, u.input, u.result FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS u(task_key, input, result)
         JOIN @.tasks AS t ON t.task_key = u.task_key"
    );
    /// Asserts beside its work that a head only moves on.
    pub(in super::super) const UPDATE: &str = asserting!(
        "UPDATE @.tasks AS t
         SET status = u.status, result_digest = u.result_digest, last_sequence = u.last_sequence, head_link = u.head_link,
             pruned_through = u.pruned_through, finished_at = u.finished_at
         FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bigint[], $7::timestamptz[])
              AS u(task_key, status, result_digest, last_sequence, head_link, pruned_through, finished_at)
         WHERE t.task_key = u.task_key AND t.last_sequence <= u.last_sequence"
    );
    pub(in super::super) const SET_RESULTS: &str = asserting!(
        "UPDATE @.task_payloads AS p SET result = u.result
         FROM unnest($1::text[], $2::bytea[]) AS u(task_key, result) JOIN @.tasks AS t ON t.task_key = u.task_key
         WHERE p.task_id = t.task_id"
    );
}

/// The columns of a work item, in the order that `map::item` reads; behind them the status of its task.
macro_rules! item_columns {
    () => {
        "w.work_item_id, t.task_key, w.work_type, w.status, w.priority, w.available_at, w.fence, w.attempt,
         w.max_attempts, w.lease_holder, w.lease_acquired_at, w.lease_expires_at, w.transition_id,
         w.settled_fence, w.settlement, w.created_at, w.detail, t.status AS task_status"
    };
}

macro_rules! items {
    ($($rest:expr),+ $(,)?) => {
        concat!(
            "SELECT ",
            item_columns!(),
            " FROM @.work_items AS w JOIN @.tasks AS t ON t.task_id = w.task_id ",
            $($rest),+
        )
    };
}

pub(super) mod item {
    pub(in super::super) const LOOK: &str = items!("WHERE w.work_item_id = ANY($1) ORDER BY w.work_item_id");
    /// Its fence will not grow before the transaction ends.
    pub(in super::super) const KEEP: &str =
        items!("WHERE w.work_item_id = ANY($1) ORDER BY w.work_item_id FOR SHARE OF w");
    pub(in super::super) const WRITE: &str =
        items!("WHERE w.work_item_id = ANY($1) ORDER BY w.work_item_id FOR NO KEY UPDATE OF w");
    pub(in super::super) const MOVED_BY: &str = items!("WHERE w.transition_id = ANY($1)");

    /// Rows are picked and locked by themselves first, in the order of an index: a join could make the planner read
    /// them all and sort them. Those that somebody else has locked are passed by.
    macro_rules! picked {
        ($condition:literal, $order:literal) => {
            concat!(
                "WITH w AS (SELECT * FROM @.work_items AS w WHERE ",
                $condition,
                " ORDER BY ",
                $order,
                " LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED) SELECT ",
                item_columns!(),
                " FROM w JOIN @.tasks AS t ON t.task_id = w.task_id ORDER BY ",
                $order
            )
        };
    }
    pub(in super::super) const CLAIMABLE: &str = picked!(
        "w.status = 'pending' AND w.available_at <= (SELECT store_time FROM @.store_clock())",
        "w.priority DESC, w.available_at, w.work_item_id"
    );
    pub(in super::super) const CLAIMABLE_OF_KIND: &str = picked!(
        "w.status = 'pending' AND w.available_at <= (SELECT store_time FROM @.store_clock()) AND w.work_type = $2",
        "w.priority DESC, w.available_at, w.work_item_id"
    );
    pub(in super::super) const CLAIMABLE_OF_KINDS: &str = picked!(
        "w.status = 'pending' AND w.available_at <= (SELECT store_time FROM @.store_clock()) AND w.work_type = ANY($2)",
        "w.priority DESC, w.available_at, w.work_item_id"
    );
    /// Of one task; of all kinds where none is named.
    pub(in super::super) const CLAIMABLE_OF_TASK: &str = picked!(
        "w.status = 'pending' AND w.available_at <= (SELECT store_time FROM @.store_clock())
           AND w.task_id = (SELECT task_id FROM @.tasks WHERE task_key = $3)
           AND (cardinality($2::text[]) = 0 OR w.work_type = ANY($2))",
        "w.priority DESC, w.available_at, w.work_item_id"
    );
    pub(in super::super) const EXPIRED: &str = picked!(
        "w.status = 'in_progress' AND w.lease_expires_at <= (SELECT store_time FROM @.store_clock())",
        "w.lease_expires_at, w.work_item_id"
    );
    pub(in super::super) const PAGE: &str =
        items!("WHERE w.work_item_id > $1 ORDER BY w.work_item_id LIMIT $2");
    pub(in super::super) const PAGE_BY_STATUS: &str =
        items!("WHERE w.work_item_id > $1 AND w.status = $3 ORDER BY w.work_item_id LIMIT $2");
    /// Dead letters have an index of their own.
    pub(in super::super) const PAGE_OF_DEAD: &str = items!(
        "WHERE w.status = $3 AND w.status IN ('failed', 'needs_attention') AND w.work_item_id > $1
         ORDER BY w.work_item_id LIMIT $2"
    );
    pub(in super::super) const PAGE_BY_TASK: &str = items!(
        "WHERE t.task_key = $4 AND w.work_item_id > $1 AND ($3::text IS NULL OR w.status = $3)
         ORDER BY w.work_item_id LIMIT $2"
    );
    pub(in super::super) const INSERT: &str = asserting!(
        "INSERT INTO @.work_items (work_item_id, task_id, work_type, status, priority, available_at, fence, attempt,
                                   max_attempts, lease_holder, lease_acquired_at, lease_expires_at, transition_id,
                                   settled_fence, settlement, created_at, detail)
         SELECT u.work_item_id, t.task_id, u.work_type, u.status, u.priority, u.available_at, u.fence, u.attempt,
                u.max_attempts, u.lease_holder, u.lease_acquired_at, u.lease_expires_at, u.transition_id,
                u.settled_fence, u.settlement, u.created_at, u.detail
         FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::text[], $7::timestamptz[],
                     $8::timestamptz[], $9::uuid[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::text[],
                     $15::integer[], $16::bigint[], $17::timestamptz[])
              AS u(work_item_id, status, available_at, fence, attempt, lease_holder, lease_acquired_at,
                   lease_expires_at, transition_id, settled_fence, settlement, detail, task_key, work_type, priority,
                   max_attempts, created_at)
         JOIN @.tasks AS t ON t.task_key = u.task_key"
    );
    /// Asserts beside its work that a fence only grows.
    pub(in super::super) const UPDATE: &str = asserting!(
        "UPDATE @.work_items AS w
         SET status = u.status, available_at = u.available_at, fence = u.fence, attempt = u.attempt,
             lease_holder = u.lease_holder, lease_acquired_at = u.lease_acquired_at, lease_expires_at = u.lease_expires_at,
             transition_id = u.transition_id, settled_fence = u.settled_fence, settlement = u.settlement, detail = u.detail
         FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::text[], $7::timestamptz[],
                     $8::timestamptz[], $9::uuid[], $10::bigint[], $11::text[], $12::text[])
              AS u(work_item_id, status, available_at, fence, attempt, lease_holder, lease_acquired_at,
                   lease_expires_at, transition_id, settled_fence, settlement, detail)
         WHERE w.work_item_id = u.work_item_id AND w.fence <= u.fence"
    );
}

macro_rules! header_columns {
    () => {
        "c.checkpoint_id, t.task_key, c.sequence_number, c.checkpoint_type, c.work_item_id, c.parent_link, c.link,
         c.payload_digest, c.evidence_digest, c.created_at, c.copy_of, c.erased_at"
    };
}

macro_rules! headers {
    ($lock:literal) => {
        concat!(
            "SELECT ",
            header_columns!(),
            " FROM @.checkpoints AS c JOIN @.tasks AS t ON t.task_id = c.task_id WHERE c.checkpoint_id = ANY($1)
              ORDER BY c.checkpoint_id ",
            $lock
        )
    };
}

macro_rules! full {
    ($from:expr) => {
        concat!(
            "SELECT ",
            header_columns!(),
            ", c.salt, c.payload, c.evidence, v.verdict, v.detail, v.verified_at FROM ",
            $from,
            " JOIN @.tasks AS t ON t.task_id = c.task_id
              LEFT JOIN @.checkpoint_verifications AS v ON v.checkpoint_id = c.checkpoint_id "
        )
    };
}

pub(super) mod checkpoint {
    /// A page ends with the row that reaches the bytes of `$4`: the sum before a row is told without reading payloads.
    macro_rules! page {
        ($condition:literal, $order:literal) => {
            concat!(
                full!(concat!(
                    "(SELECT p.*, sum(octet_length(p.payload)::bigint + octet_length(p.evidence)) OVER (ORDER BY ",
                    $order,
                    ") - octet_length(p.payload) - octet_length(p.evidence) AS before
                      FROM (SELECT k.* FROM @.checkpoints AS k
                            WHERE k.task_id = (SELECT task_id FROM @.tasks WHERE task_key = $1) AND ",
                    $condition,
                    " ORDER BY ",
                    $order,
                    " LIMIT $3) AS p) AS c"
                )),
                "WHERE c.before < $4 ORDER BY c.",
                $order
            )
        };
    }
    pub(in super::super) const LOOK: &str = headers!("");
    /// Nobody will erase it before the transaction ends.
    pub(in super::super) const KEEP: &str = headers!("FOR SHARE OF c");
    /// Nobody will prune its task before the transaction ends.
    pub(in super::super) const TELL: &str = headers!("FOR KEY SHARE OF t");
    pub(in super::super) const FULL: &str =
        concat!(full!("@.checkpoints AS c"), "WHERE c.checkpoint_id = $1");
    pub(in super::super) const NEWEST_FIRST: &str = page!("k.sequence_number < $2", "sequence_number DESC");
    pub(in super::super) const OLDEST_FIRST: &str = page!("k.sequence_number > $2", "sequence_number");
    pub(in super::super) const INSERT: &str = asserting!(
        "INSERT INTO @.checkpoints (checkpoint_id, task_id, sequence_number, work_item_id, checkpoint_type, created_at,
                                    salt, payload_digest, evidence_digest, parent_link, link, evidence, payload, copy_of)
         SELECT u.checkpoint_id, t.task_id, u.sequence_number, u.work_item_id, u.checkpoint_type, u.created_at, u.salt,
                u.payload_digest, u.evidence_digest, u.parent_link, u.link, u.evidence, u.payload, u.copy_of
         FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::timestamptz[], $7::bytea[],
                     $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[], $12::bytea[], $13::bytea[], $14::uuid[])
              AS u(checkpoint_id, task_key, sequence_number, work_item_id, checkpoint_type, created_at, salt,
                   payload_digest, evidence_digest, parent_link, link, evidence, payload, copy_of)
         JOIN @.tasks AS t ON t.task_key = u.task_key"
    );
    pub(in super::super) const RECORD_VERIFICATIONS: &str =
        "INSERT INTO @.checkpoint_verifications (checkpoint_id, verdict, detail, verified_at)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[])
         ON CONFLICT (checkpoint_id) DO UPDATE
             SET verdict = excluded.verdict, detail = excluded.detail, verified_at = excluded.verified_at";
    pub(in super::super) const PRUNE: &str = "DELETE FROM @.checkpoints
         WHERE task_id = (SELECT task_id FROM @.tasks WHERE task_key = $1) AND sequence_number <= $2";
    pub(in super::super) const NEWEST_VERIFIED: &str = "SELECT c.sequence_number FROM @.checkpoints AS c
         WHERE c.task_id = (SELECT task_id FROM @.tasks WHERE task_key = $1)
           AND c.erased_at IS NULL AND c.checkpoint_type <> 'error_boundary'
           AND EXISTS (SELECT 1 FROM @.checkpoint_verifications AS v
                       WHERE v.checkpoint_id = c.checkpoint_id AND v.verdict = 'verified')
         ORDER BY c.sequence_number DESC LIMIT 1";
    /// Locks them, so that nobody makes another copy of one of them.
    pub(in super::super) const WITH_COPIES: &str = "SELECT c.checkpoint_id FROM @.checkpoints AS c
         WHERE (c.checkpoint_id = coalesce((SELECT coalesce(o.copy_of, o.checkpoint_id) FROM @.checkpoints AS o
                                            WHERE o.checkpoint_id = $1), $1)
                OR c.copy_of = coalesce((SELECT coalesce(o.copy_of, o.checkpoint_id) FROM @.checkpoints AS o
                                         WHERE o.checkpoint_id = $1), $1))
           AND c.erased_at IS NULL
         ORDER BY c.checkpoint_id FOR UPDATE OF c";
    pub(in super::super) const ERASE: &str = asserting!(
        "UPDATE @.checkpoints
         SET salt = '\\x00000000000000000000000000000000'::bytea, payload = ''::bytea, erased_at = $2
         WHERE checkpoint_id = ANY($1) AND erased_at IS NULL"
    );
}

macro_rules! operations {
    ($more:literal, $rest:expr) => {
        concat!(
            "SELECT o.idempotency_key, t.task_key, o.fingerprint, o.status, o.abandonment, o.token, o.lease_work_item_id,
                    o.lease_fence, o.owner_expires_at, o.attempt, o.created_at, o.finished_at, o.output_digest",
            $more,
            " FROM @.idempotency_keys AS o LEFT JOIN @.tasks AS t ON t.task_id = o.task_id ",
            $rest
        )
    };
}

pub(super) mod operation {
    pub(in super::super) const WRITE: &str = operations!(
        "",
        "WHERE o.idempotency_key = ANY($1) ORDER BY o.idempotency_key FOR NO KEY UPDATE OF o"
    );
    pub(in super::super) const RECORD: &str = operations!(", o.output", "WHERE o.idempotency_key = $1");
    pub(in super::super) const PAGE: &str = operations!(
        "",
        "WHERE o.task_id = (SELECT task_id FROM @.tasks WHERE task_key = $1) AND o.idempotency_key > $2
           AND ($3::text IS NULL OR o.status = $3) ORDER BY o.idempotency_key LIMIT $4"
    );
    pub(in super::super) const INSERT: &str = asserting!(
        "INSERT INTO @.idempotency_keys (idempotency_key, task_id, fingerprint, status, abandonment, token,
                                         lease_work_item_id, lease_fence, owner_expires_at, attempt, created_at,
                                         finished_at, output_digest, output)
         SELECT u.idempotency_key, t.task_id, u.fingerprint, u.status, u.abandonment, u.token, u.lease_work_item_id,
                u.lease_fence, u.owner_expires_at, u.attempt, u.created_at, u.finished_at, u.output_digest, u.output
         FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::bigint[], $7::timestamptz[],
                     $8::bigint[], $9::timestamptz[], $10::timestamptz[], $11::bytea[], $12::bytea[], $13::text[],
                     $14::bytea[])
              AS u(idempotency_key, status, abandonment, token, lease_work_item_id, lease_fence, owner_expires_at,
                   attempt, created_at, finished_at, output_digest, output, task_key, fingerprint)
         LEFT JOIN @.tasks AS t ON t.task_key = u.task_key"
    );
    /// Asserts beside its work that a finished outcome changes only where it is begun anew on purpose.
    pub(in super::super) const UPDATE: &str = asserting!(
        "UPDATE @.idempotency_keys AS o
         SET status = u.status, abandonment = u.abandonment, token = u.token, lease_work_item_id = u.lease_work_item_id,
             lease_fence = u.lease_fence, owner_expires_at = u.owner_expires_at, attempt = u.attempt,
             created_at = u.created_at, finished_at = u.finished_at, output_digest = u.output_digest, output = u.output
         FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::bigint[], $7::timestamptz[],
                     $8::bigint[], $9::timestamptz[], $10::timestamptz[], $11::bytea[], $12::bytea[], $13::boolean[])
              AS u(idempotency_key, status, abandonment, token, lease_work_item_id, lease_fence, owner_expires_at,
                   attempt, created_at, finished_at, output_digest, output, was_finished)
         WHERE o.idempotency_key = u.idempotency_key AND (o.status IN ('succeeded', 'failed')) = u.was_finished"
    );
    pub(in super::super) const DELETE: &str = asserting!(
        "DELETE FROM @.idempotency_keys WHERE idempotency_key = ANY($1) AND status IN ('succeeded', 'failed')"
    );
    /// Those that somebody else has locked are passed by.
    pub(in super::super) const STALE: &str =
        "SELECT o.idempotency_key FROM @.idempotency_keys AS o LEFT JOIN @.tasks AS t ON t.task_id = o.task_id
         WHERE o.finished_at <= (SELECT wall_time FROM @.store_clock()) - $1::bigint * interval '1 millisecond'
           AND left(o.idempotency_key, char_length($2)) = $2
           AND (o.task_id IS NULL OR t.status IN ('succeeded', 'failed', 'cancelled'))
         ORDER BY o.finished_at, o.idempotency_key LIMIT $3 FOR UPDATE OF o SKIP LOCKED";
}

pub(super) mod health {
    pub(in super::super) const WORK_ITEMS: &str = "SELECT status, count(*) FROM @.work_items GROUP BY status";
    pub(in super::super) const TASKS: &str = "SELECT status, count(*) FROM @.tasks GROUP BY status";
    pub(in super::super) const OPERATIONS: &str =
        "SELECT status, count(*) FROM @.idempotency_keys GROUP BY status";
    pub(in super::super) const CHECKPOINTS: &str = "SELECT count(*) FROM @.checkpoints";
    pub(in super::super) const EXPIRED: &str = "SELECT count(*) FROM @.work_items
         WHERE status = 'in_progress' AND lease_expires_at <= (SELECT store_time FROM @.store_clock())";
}

pub(super) mod monitoring {
    /// The days looked back are `$1`.
    pub(in super::super) const BY_DAY: &str =
        "SELECT date_trunc('day', created_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS day, count(*)
         FROM @.checkpoints
         WHERE created_at > (SELECT wall_time FROM @.store_clock()) - $1::bigint * interval '24 hours'
         GROUP BY day ORDER BY day DESC";
    pub(in super::super) const KINDS: &str =
        "SELECT checkpoint_type, count(*), sum(sequence_number)::float8 / count(*)::float8 FROM @.checkpoints
         GROUP BY checkpoint_type ORDER BY checkpoint_type";
    pub(in super::super) const HOLDERS: &str = "SELECT lease_holder, count(*),
                div(sum(round(extract(epoch FROM lease_expires_at - lease_acquired_at) * 1000)::bigint), count(*))::bigint
         FROM @.work_items WHERE status = 'in_progress' AND lease_holder IS NOT NULL
         GROUP BY lease_holder ORDER BY lease_holder";
    pub(in super::super) const ENTRIES: &str =
        "SELECT count(*), count(*) FILTER (WHERE status = 'succeeded'),
                count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'in_doubt')
         FROM @.idempotency_keys WHERE left(idempotency_key, char_length($1)) = $1";
    pub(in super::super) const AGES: &str =
        "SELECT count(*) FILTER (WHERE k.created_at > n.day), count(*) FILTER (WHERE k.created_at <= n.day AND k.created_at > n.week),
                count(*) FILTER (WHERE k.created_at <= n.week AND k.created_at > n.month),
                count(*) FILTER (WHERE k.created_at <= n.month)
         FROM @.idempotency_keys AS k,
              (SELECT wall_time - interval '24 hours' AS day, wall_time - interval '168 hours' AS week,
                      wall_time - interval '720 hours' AS month FROM @.store_clock()) AS n";
    pub(in super::super) const CROWDED: &str =
        "SELECT t.task_key, count(*) FROM @.checkpoints AS c JOIN @.tasks AS t ON t.task_id = c.task_id
         GROUP BY t.task_key HAVING count(*) > $1 ORDER BY count(*) DESC, t.task_key LIMIT $2";
}
