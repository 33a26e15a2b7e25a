//! What operators type into an SQL shell: every statement of the reference, unchanged, and every SQL block of
//! `docs/operations.md` run on a file that a store keeps open, and answer what the store itself says.
//!
//! Long because the statements stand beside what they must answer, word for word.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::Value;
use steadfast_store::env::{BootReading, Clock, Env, SystemClock};
use steadfast_store::{
    AppendCheckpoint, Batch, BeginOperation, CheckpointPage, Claim, Durability, FinishOperation, HolderId,
    OperationEnd, OperationKey, RecordVerification, SequenceNumber, SqliteOptions, SqliteStore, Store,
    StoreExt, SweepExpired, TransitionId, Verdict, WallTime,
};

use crate::furnished::{begin, furnish};
use crate::kit::{
    Kept, Place, append, apply, chain, claim, create, durable, enqueue, label, payload, skipped, soon, task,
};
use crate::schema;

const DAY: Duration = Duration::from_secs(86_400);
/// SQL rounds to milliseconds where the store cuts them off: it may be ahead by one.
const ROUNDING: Duration = Duration::from_millis(5);
const MANUAL: &str = include_str!("../../../../docs/operations.md");
/// Beside the repository, where this project is developed.
const REFERENCE_PATH: &str = "../../../shared/reference/chaos-testing-quick-reference.md";

/// Every statement in the SQL blocks of the reference, in its order.
const REFERENCE: [&str; 20] = [
    ADD_LEASE_INDEX,
    EXPLAIN_EXPIRED,
    CREATION_RATE,
    TYPES,
    EXPIRED,
    LEASE_DURATIONS,
    CACHE_ENTRIES,
    CACHE_AGES,
    "PRAGMA journal_mode = WAL;",
    "PRAGMA cache_size = -64000;",
    "PRAGMA temp_store = MEMORY;",
    "PRAGMA synchronous = NORMAL;",
    "PRAGMA mmap_size = 268435456;",
    "ANALYZE;",
    INDEXES,
    ADD_CHECKPOINT_INDEX,
    ADD_PRIORITY_INDEX,
    "REINDEX;",
    EXCESSIVE,
    CLEAN_UP,
];

/// Those that stand in its Python.
const IN_PYTHON: [&str; 2] = ["PRAGMA journal_mode = WAL", COUNT_CACHED];

const COUNT_CACHED: &str = "SELECT COUNT(*) FROM idempotency_keys WHERE idempotency_key LIKE 'llm-cache:%'";

const ADD_LEASE_INDEX: &str = "\
CREATE INDEX IF NOT EXISTS idx_work_items_lease
ON work_items(lease_expires_at)
WHERE status = 'in_progress';";

const EXPLAIN_EXPIRED: &str = "\
EXPLAIN QUERY PLAN
SELECT work_item_id FROM work_items
WHERE status = 'in_progress' AND lease_expires_at < CURRENT_TIMESTAMP;";

const CREATION_RATE: &str = "\
SELECT
    DATE(created_at) as date,
    COUNT(*) as checkpoints_created
FROM checkpoints
WHERE created_at > datetime('now', '-7 days')
GROUP BY DATE(created_at)
ORDER BY date DESC;";

const TYPES: &str = "\
SELECT
    checkpoint_type,
    COUNT(*) as count,
    AVG(sequence_number) as avg_sequence
FROM checkpoints
GROUP BY checkpoint_type;";

const EXPIRED: &str = "\
SELECT COUNT(*) as expired_leases
FROM work_items
WHERE status = 'in_progress'
  AND lease_expires_at < CURRENT_TIMESTAMP;";

const LEASE_DURATIONS: &str = "\
SELECT
    lease_holder,
    COUNT(*) as leases_held,
    AVG((julianday(lease_expires_at) - julianday(lease_acquired_at)) * 24 * 60) as avg_duration_minutes
FROM work_items
WHERE status = 'in_progress'
GROUP BY lease_holder;";

const CACHE_ENTRIES: &str = "\
SELECT
    COUNT(*) as total_entries,
    SUM(CASE WHEN status = 'succeeded' THEN 1 ELSE 0 END) as succeeded,
    SUM(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) as failed
FROM idempotency_keys
WHERE idempotency_key LIKE 'llm-cache:%';";

const CACHE_AGES: &str = "\
SELECT
    CASE
        WHEN julianday('now') - julianday(created_at) < 1 THEN '< 1 day'
        WHEN julianday('now') - julianday(created_at) < 7 THEN '1-7 days'
        WHEN julianday('now') - julianday(created_at) < 30 THEN '7-30 days'
        ELSE '> 30 days'
    END as age_bucket,
    COUNT(*) as count
FROM idempotency_keys
GROUP BY age_bucket;";

const INDEXES: &str = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'index';";

const ADD_CHECKPOINT_INDEX: &str = "\
CREATE INDEX IF NOT EXISTS idx_checkpoints_task_seq
ON checkpoints(task_id, sequence_number DESC);";

const ADD_PRIORITY_INDEX: &str = "\
CREATE INDEX IF NOT EXISTS idx_work_items_status_priority
ON work_items(status, priority DESC);";

const EXCESSIVE: &str = "\
SELECT
    task_id,
    COUNT(*) as checkpoint_count
FROM checkpoints
GROUP BY task_id
HAVING COUNT(*) > 100
ORDER BY checkpoint_count DESC;";

const CLEAN_UP: &str = "\
DELETE FROM checkpoints
WHERE checkpoint_id IN (
    SELECT checkpoint_id
    FROM checkpoints c1
    WHERE (
        SELECT COUNT(*)
        FROM checkpoints c2
        WHERE c2.task_id = c1.task_id
          AND c2.sequence_number > c1.sequence_number
    ) >= 100
);";

/// Of the manual: the expired leases by the store's own time.
const EXPIRED_BY_STORE_TIME: &str = "\
SELECT COUNT(*) AS expired_leases
FROM work_items
WHERE status = 'in_progress'
  AND lease_expires_at <= (
    SELECT strftime('%Y-%m-%d %H:%M:%f', anchor_ms / 1000.0 + :uptime_seconds, 'unixepoch')
    FROM store_meta);";

/// Of the manual: what a clean-up without foreign keys leaves behind.
const REMOVE_ORPHANS: &str = "\
DELETE FROM checkpoint_verifications
WHERE checkpoint_id NOT IN (SELECT checkpoint_id FROM checkpoints);";

/// The text of every SQL block of a Markdown file.
fn sql_blocks(markdown: &str) -> Vec<&str> {
    let blocks = markdown.split("```sql\n").skip(1);
    blocks.map(|block| block.split_once("```").expect("a block that ends").0).collect()
}

/// The statements of a block, without its comments. No string in them holds a `;` or `--`.
fn statements(block: &str) -> Vec<String> {
    let bare: Vec<&str> =
        block.lines().map(|line| line.split("--").next().unwrap_or_default().trim_end()).collect();
    let bare = bare.join("\n");
    let parts = bare.split(';').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| format!("{part};")).collect()
}

/// All rows that a statement answers with, as they are.
#[track_caller]
fn answer(connection: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let run = || -> rusqlite::Result<Vec<Vec<Value>>> {
        let mut statement = connection.prepare(sql)?;
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect())?;
        rows.collect()
    };
    run().unwrap_or_else(|error: rusqlite::Error| panic!("{error}: {sql}"))
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn count(value: usize) -> Value {
    Value::Integer(i64::try_from(value).unwrap())
}

fn counted(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap())
}

/// The machine's clocks, but a wall clock that is late.
#[derive(Debug)]
struct Late {
    machine: SystemClock,
    by: Duration,
}

impl Clock for Late {
    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }

    fn boot(&self) -> BootReading {
        self.machine.boot()
    }

    fn wall(&self) -> WallTime {
        self.machine.wall().minus(self.by)
    }
}

async fn open_late(place: &Place, by: Duration) -> SqliteStore {
    let clock = Late { machine: SystemClock::new(), by };
    place.open_in(Env::system().with_clock(Arc::new(clock))).await
}

/// Claims the next item for that long.
async fn take(store: &SqliteStore, holder: &str, term: Duration) {
    let holder = HolderId::new(holder).unwrap();
    let claimed = store.claim(Claim { holder, limit: 1, ..claim(store.env(), term) }).await.unwrap();
    assert_eq!(claimed.items.len(), 1);
}

/// So many checkpoints more on a task.
async fn append_many(store: &SqliteStore, name: &str, more: usize) {
    let mut batch = Batch::new(Durability::Relaxed);
    for _ in 0..more {
        batch.add(append(name, "state"));
    }
    apply(store, batch).await;
}

async fn operation(store: &SqliteStore, key: &str, end: Option<OperationEnd>) {
    let key = OperationKey::new(key).unwrap();
    let begun = BeginOperation { task: None, ..begin(&key) };
    let token = begun.token;
    store.begin_operation(begun).await.unwrap();
    if let Some(end) = end {
        store.finish_operation(FinishOperation { key, token, end }).await.unwrap();
    }
}

#[test]
fn the_statements_are_literally_those_of_the_reference() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(REFERENCE_PATH);
    let Ok(reference) = std::fs::read_to_string(&path) else {
        return skipped(&format!(
            "holding the statements against the reference: {} is not there",
            path.display()
        ));
    };
    let found: Vec<String> = sql_blocks(&reference).into_iter().flat_map(statements).collect();
    assert_eq!(found, REFERENCE);
    for sql in IN_PYTHON {
        assert!(reference.contains(&format!("execute(\"{sql}\")")), "{sql}");
    }
}

#[tokio::test]
async fn every_statement_runs_beside_an_open_store_which_goes_on() {
    let place = Place::new();
    furnish(&place).await;
    let store = place.open().await;
    let mut kept = Kept::begin(&store).await;
    let operator = place.raw();
    let mut before = schema::schema(&operator);
    for sql in IN_PYTHON.iter().chain(&REFERENCE) {
        answer(&operator, sql);
        kept.goes_on(&store).await;
    }
    let mut after = schema::schema(&operator);
    after.retain(|(_, name, _)| !name.starts_with("sqlite_stat"));
    before.sort();
    after.sort();
    assert_eq!(after, before, "beside its statistics, nothing of the schema was changed");
    store.close().await;
    drop(operator);
    // The statistics of ANALYZE stay, and hinder nobody.
    let store = place.open().await;
    kept.goes_on(&store).await;
    assert_eq!(answer(&place.raw(), "PRAGMA journal_mode"), [[text("wal")]]);
    assert_eq!(answer(&place.raw(), "PRAGMA integrity_check"), [[text("ok")]]);
}

#[tokio::test]
async fn an_empty_store_answers_every_query_too() {
    let place = Place::new();
    let store = place.open().await;
    let operator = place.raw();
    for empty in [CREATION_RATE, TYPES, LEASE_DURATIONS, CACHE_AGES, EXCESSIVE] {
        assert_eq!(answer(&operator, empty), [] as [Vec<Value>; 0], "{empty}");
    }
    assert_eq!(answer(&operator, EXPIRED), [[count(0)]]);
    assert_eq!(answer(&operator, COUNT_CACHED), [[count(0)]]);
    assert_eq!(answer(&operator, CACHE_ENTRIES), [[count(0), Value::Null, Value::Null]]);
    assert_eq!(store.monitoring().await.unwrap().health.checkpoints, 0);
}

#[tokio::test]
async fn the_checkpoint_queries_answer_as_the_store_does() {
    let place = Place::new();
    apply(&place.open().await, durable(create("t"))).await;
    for (days, kinds) in
        [(8, &["step"; 4][..]), (3, &["step"; 3]), (1, &["error_boundary"]), (0, &["fork"; 2])]
    {
        let store = open_late(&place, DAY * days).await;
        // In one commit: all of them at one moment, whenever midnight is.
        let mut batch = Batch::durable();
        for kind in kinds {
            batch.add(AppendCheckpoint { kind: label(kind), ..append("t", "state") });
        }
        apply(&store, batch).await;
        store.close().await;
    }
    let store = place.open().await;
    let said = store.monitoring().await.unwrap();
    let operator = place.raw();
    let rate = answer(&operator, CREATION_RATE);
    let rates: Vec<&Value> = rate.iter().map(|row| &row[1]).collect();
    assert_eq!(rates, [&count(2), &count(1), &count(3)], "the newest day first, none older than a week");
    let date = |day: WallTime| {
        let sql = format!("SELECT date({} / 1000, 'unixepoch')", day.as_millis());
        answer(&operator, &sql)[0][0].clone()
    };
    let by_day: Vec<Vec<Value>> =
        said.checkpoints_by_day.iter().map(|(day, made)| vec![date(*day), counted(*made)]).collect();
    assert_eq!(rate, by_day);

    let types = answer(&operator, TYPES);
    let expected = [("error_boundary", 1, 8.0), ("fork", 2, 9.5), ("step", 7, 4.0)];
    assert_eq!(types, expected.map(|(kind, made, mean)| vec![text(kind), count(made), Value::Real(mean)]));
    let kinds: Vec<Vec<Value>> = said
        .checkpoint_kinds
        .iter()
        .map(|of| vec![text(of.kind.as_str()), counted(of.checkpoints), Value::Real(of.average_sequence)])
        .collect();
    assert_eq!(types, kinds);
    assert_eq!(said.health.checkpoints, 10);
}

#[tokio::test]
async fn the_lease_queries_answer_as_the_store_does() {
    let place = Place::new();
    let store = place.open().await;
    apply(&store, durable(create("t"))).await;
    for name in ["1", "2", "3", "4"] {
        apply(&store, durable(enqueue(name, "t"))).await;
    }
    let operator = place.raw();
    take(&store, "a", Duration::from_secs(30 * 60)).await;
    take(&store, "a", Duration::from_secs(60 * 60)).await;
    assert_eq!(answer(&operator, EXPIRED), [[count(0)]]);
    let short = Duration::from_millis(10);
    take(&store, "b", short).await;
    // CURRENT_TIMESTAMP counts in seconds: an expired lease is counted at the next full one.
    soon("the query counts the expired lease", || answer(&operator, EXPIRED) == [[count(1)]]).await;
    tokio::time::sleep(ROUNDING).await;

    let said = store.monitoring().await.unwrap();
    assert_eq!((said.health.expired_leases, store.health().await.unwrap().expired_leases), (1, 1));
    let durations = answer(&operator, LEASE_DURATIONS);
    assert_eq!(durations.len(), said.holders.len());
    for ((row, holder), minutes) in
        durations.iter().zip(&said.holders).zip([45.0, short.as_secs_f64() / 60.0])
    {
        assert_eq!(row[..2], [text(holder.holder.as_str()), counted(holder.leases)]);
        let Value::Real(found) = row[2] else { panic!("{row:?}") };
        // Half a millisecond.
        assert!((found - minutes).abs() < 1e-5, "{row:?} instead of {minutes}");
        assert!((holder.average_span.as_secs_f64() / 60.0 - minutes).abs() < 1e-5, "{holder:?}");
    }
    assert_eq!((durations[0][1].clone(), durations[1][1].clone()), (count(2), count(1)));

    let sweep = SweepExpired { sweep: TransitionId::generate(store.env()), limit: 100 };
    assert_eq!(store.sweep_expired(sweep).await.unwrap().reclaimed.len(), 1);
    assert_eq!(answer(&operator, EXPIRED), [[count(0)]]);
    assert_eq!(answer(&operator, LEASE_DURATIONS).len(), 1, "a reclaimed lease is nobody's");
    assert_eq!(store.health().await.unwrap().expired_leases, 0);
}

#[tokio::test]
async fn after_a_step_of_the_wall_clock_the_manual_counts_expired_leases_by_store_time() {
    let place = Place::new();
    let hour = Duration::from_secs(3_600);
    // The store's time begins an hour before what is later the wall's.
    open_late(&place, hour).await.close().await;
    let store = place.open().await;
    let distance = store.health().await.unwrap().clock_distance_ms();
    assert!((3_599_000..=3_601_000).contains(&distance), "{distance} ms");
    apply(&store, durable(create("t"))).await;
    apply(&store, durable(enqueue("1", "t"))).await;
    apply(&store, durable(enqueue("2", "t"))).await;
    take(&store, "a", hour / 2).await;
    let by_store_time = |operator: &Connection| -> u64 {
        let uptime = store.env().clock().boot().elapsed.as_secs_f64();
        let named = [(":uptime_seconds", &uptime)];
        operator.query_row(EXPIRED_BY_STORE_TIME, &named, |row| row.get(0)).unwrap()
    };
    let operator = place.raw();
    assert_eq!(answer(&operator, EXPIRED), [[count(1)]], "by the wall clock it is over");
    assert_eq!((by_store_time(&operator), store.health().await.unwrap().expired_leases), (0, 0));
    take(&store, "b", Duration::from_millis(10)).await;
    soon("the short lease is over", || by_store_time(&operator) == 1).await;
    tokio::time::sleep(ROUNDING).await;
    assert_eq!(store.health().await.unwrap().expired_leases, 1);
    assert!(MANUAL.contains(EXPIRED_BY_STORE_TIME));
}

#[tokio::test]
async fn the_cache_queries_answer_as_the_store_does() {
    let place = Place::new();
    place.open().await.close().await;
    let done = || Some(OperationEnd::Succeeded(payload("answer")));
    let failed = || Some(OperationEnd::Failed(payload("error")));
    for (days, keys) in [
        (40, vec![("llm-cache:m:1", done()), ("tool-ledger:1", failed())]),
        (8, vec![("llm-cache:m:2", done())]),
        (2, vec![("llm-cache:m:3", failed()), ("llm-cache:m:4", None), ("other", done())]),
        (
            0,
            vec![("llm-cache:m:5", done()), ("llm-cache2:m", done()), ("tool-ledger:2", None), ("llm", None)],
        ),
    ] {
        let store = open_late(&place, DAY * days).await;
        for (key, end) in keys {
            operation(&store, key, end).await;
        }
        store.close().await;
    }
    let store = place.open().await;
    let said = store.monitoring().await.unwrap();
    let operator = place.raw();
    let model = said.model_answers;
    assert_eq!((model.entries, model.succeeded, model.failed, model.in_doubt), (5, 3, 1, 0));
    assert_eq!(answer(&operator, CACHE_ENTRIES), [[count(5), count(3), count(1)]]);
    assert_eq!(answer(&operator, COUNT_CACHED), [[count(5)]]);

    let ages = said.operation_ages;
    assert_eq!((ages.under_1_day, ages.under_7_days, ages.under_30_days, ages.older), (4, 3, 1, 2));
    let mut buckets = answer(&operator, CACHE_AGES);
    buckets.sort_by_key(|row| format!("{row:?}"));
    let expected = [("1-7 days", 3), ("7-30 days", 1), ("< 1 day", 4), ("> 30 days", 2)];
    assert_eq!(buckets, expected.map(|(bucket, entries)| vec![text(bucket), count(entries)]));
}

#[tokio::test]
async fn the_indexes_of_the_reference_are_there_and_adding_them_changes_nothing() {
    let place = Place::new();
    let _store = place.open().await;
    let operator = place.raw();
    let listed = answer(&operator, INDEXES);
    for (index, table) in [
        ("idx_work_items_lease", "work_items"),
        ("idx_work_items_status_priority", "work_items"),
        ("idx_checkpoints_task_seq", "checkpoints"),
    ] {
        assert!(listed.contains(&vec![text(index), text(table)]), "{index}");
    }
    let before = schema::schema(&operator);
    for add in [ADD_LEASE_INDEX, ADD_CHECKPOINT_INDEX, ADD_PRIORITY_INDEX] {
        answer(&operator, add);
    }
    assert_eq!(schema::schema(&operator), before);
    assert_eq!(answer(&operator, INDEXES), listed);
}

#[tokio::test]
async fn the_lease_query_goes_by_its_index_with_and_without_statistics() {
    for leased in [0, 5, 200] {
        let place = Place::new();
        let store = place.open().await;
        let operator = place.raw();
        let goes_by_index = |when: &str| {
            let plan = format!("{:?}", answer(&operator, EXPLAIN_EXPIRED));
            assert!(plan.contains("INDEX idx_work_items_lease (lease_expires_at<?)"), "{when}: {plan}");
        };
        goes_by_index("empty");
        apply(&store, durable(create("t"))).await;
        let mut batch = Batch::new(Durability::Relaxed);
        for number in 0..200 {
            batch.add(enqueue(&format!("item {number}"), "t"));
        }
        apply(&store, batch).await;
        if leased > 0 {
            let limited = Claim { limit: leased, ..claim(store.env(), Duration::from_millis(10)) };
            store.claim(limited).await.unwrap();
        }
        goes_by_index("without statistics");
        answer(&operator, "ANALYZE;");
        goes_by_index("with statistics");
    }
}

/// Tasks with more checkpoints than the reference would keep, just as many, and fewer; each with its checkpoints.
const CROWD: [(&str, usize); 4] = [("crowded", 130), ("one over", 101), ("full", 100), ("few", 3)];
const KEPT: usize = 100;

/// The crowd, its tasks taking turns, with verdicts on the first and the last checkpoint of the first task.
async fn crowd(store: &SqliteStore) {
    for (name, _) in CROWD {
        apply(store, durable(create(name))).await;
    }
    let first = append(CROWD[0].0, "first");
    let last = append(CROWD[0].0, "last");
    let verdicts = [first.checkpoint, last.checkpoint];
    apply(store, durable(first)).await;
    for turn in 0..CROWD[0].1 {
        for (name, checkpoints) in CROWD {
            let own = if name == CROWD[0].0 { 1..checkpoints - 1 } else { 0..checkpoints };
            if own.contains(&turn) {
                append_many(store, name, 1).await;
            }
        }
    }
    apply(store, durable(last)).await;
    for checkpoint in verdicts {
        let detail = String::new();
        let verdict = RecordVerification { checkpoint, verdict: Verdict::Verified, detail };
        store.record_verification(verdict).await.unwrap();
    }
}

#[tokio::test]
async fn tasks_with_excessive_checkpoints_are_told_and_cleaned_up_and_the_store_goes_on() {
    let place = Place::new();
    let store = place.open().await;
    crowd(&store).await;
    let operator = place.raw();
    let id = |name: &str| {
        answer(&operator, &format!("SELECT task_id FROM tasks WHERE task_key = '{name}'"))[0][0].clone()
    };
    let crowded = [vec![id("crowded"), count(130)], vec![id("one over"), count(101)]];
    assert_eq!(answer(&operator, EXCESSIVE), crowded);
    let told = store.monitoring().await.unwrap().crowded_tasks;
    assert_eq!(told, [(task("crowded"), 130), (task("one over"), 101)]);

    answer(&operator, CLEAN_UP);
    assert_eq!(answer(&operator, EXCESSIVE), [] as [Vec<Value>; 0]);
    assert_eq!(store.monitoring().await.unwrap().crowded_tasks, []);
    let verdicts = answer(&operator, "SELECT COUNT(*) FROM checkpoint_verifications");
    assert_eq!(verdicts, [[count(1)]], "a verdict goes with its checkpoint");
    goes_on_after_the_clean_up(&store, 0).await;
    store.close().await;
    goes_on_after_the_clean_up(&place.open().await, 1).await;
    assert_eq!(answer(&operator, "PRAGMA foreign_key_check"), [] as [Vec<Value>; 0]);
}

/// Every task of the crowd knows what was pruned, hands out the rest linked, and takes another checkpoint. `appended`
/// were appended since the clean-up.
async fn goes_on_after_the_clean_up(store: &SqliteStore, appended: usize) {
    for (name, made) in CROWD {
        let pruned = made.saturating_sub(KEPT);
        let number = |value: usize| SequenceNumber(value as u64);
        let found = store.task(&task(name)).await.unwrap().unwrap();
        let head = made + appended;
        assert_eq!((found.head, found.pruned_through), (number(head), number(pruned)), "{name}");
        let page = CheckpointPage::OldestFirst { after: SequenceNumber(0), limit: 1_000 };
        let left = store.checkpoints(&task(name), page).await.unwrap();
        let numbers: Vec<SequenceNumber> = left.iter().map(|checkpoint| checkpoint.header.sequence).collect();
        assert_eq!(numbers, (pruned + 1..=head).map(number).collect::<Vec<_>>(), "{name}");
        for pair in left.windows(2) {
            assert_eq!(pair[1].header.parent_link, pair[0].header.computed_link(), "{name}");
        }
        let parent = left.last().unwrap().header.link;
        assert_eq!(found.head_link, parent, "{name}");
        let new = append(name, "after the clean-up");
        let id = new.checkpoint;
        assert_eq!(store.append_checkpoint(new).await.unwrap().sequence, number(head + 1), "{name}");
        let newest = store.checkpoint(id).await.unwrap().unwrap();
        assert_eq!((newest.header.parent_link, newest.header.computed_link()), (parent, newest.header.link));
    }
}

#[tokio::test]
async fn a_clean_up_by_a_shell_without_foreign_keys_leaves_verdicts_that_the_manual_removes() {
    let place = Place::new();
    let store = place.open().await;
    crowd(&store).await;
    let operator = place.raw();
    // As the sqlite3 program has it from the start.
    answer(&operator, "PRAGMA foreign_keys = OFF");
    answer(&operator, CLEAN_UP);
    assert_eq!(answer(&operator, "SELECT COUNT(*) FROM checkpoint_verifications"), [[count(2)]]);
    goes_on_after_the_clean_up(&store, 0).await;
    answer(&operator, REMOVE_ORPHANS);
    assert_eq!(answer(&operator, "SELECT COUNT(*) FROM checkpoint_verifications"), [[count(1)]]);
    assert_eq!(answer(&operator, "PRAGMA foreign_key_check"), [] as [Vec<Value>; 0]);
    goes_on_after_the_clean_up(&store, 1).await;
    assert!(MANUAL.contains(REMOVE_ORPHANS));
}

#[tokio::test]
async fn every_block_of_the_manual_runs_beside_an_open_store_which_goes_on() {
    let place = Place::new();
    furnish(&place).await;
    let store = place.open().await;
    let mut kept = Kept::begin(&store).await;
    let blocks = sql_blocks(MANUAL);
    assert!(blocks.len() > 10, "{} blocks of SQL were found", blocks.len());
    for block in blocks {
        // Each in a shell of its own.
        let operator = place.raw();
        let mut statements = rusqlite::Batch::new(&operator, block);
        let run = |statement: &mut rusqlite::Statement<'_>| {
            let mut rows = statement.raw_query();
            while rows.next()?.is_some() {}
            Ok(())
        };
        loop {
            let next = statements.next().and_then(|next| match next {
                Some(mut statement) => run(&mut statement).map(|()| true),
                None => Ok(false),
            });
            if !next.unwrap_or_else(|error: rusqlite::Error| panic!("{error}: {block}")) {
                break;
            }
        }
        kept.goes_on(&store).await;
    }
    chain(&store, "t").await;
}

#[test]
fn the_manual_holds_every_statement_of_the_reference() {
    let found: Vec<String> = sql_blocks(MANUAL).into_iter().flat_map(statements).collect();
    let missing: Vec<&str> =
        REFERENCE.into_iter().filter(|sql| found.iter().all(|found| found != sql)).collect();
    assert_eq!(missing, [] as [&str; 0]);
}

#[test]
fn the_manual_names_the_sqlite_and_the_options_of_this_version() {
    assert!(MANUAL.contains(&format!("The store brings {} with it.", rusqlite::version())));
    let rows = MANUAL.split_once("| option | default | meaning |\n|---|---|---|\n").unwrap().1;
    let cells =
        rows.lines().map_while(|row| row.strip_prefix("| `")).map(|row| row.split_once("` |").unwrap());
    let named: Vec<(&str, &str)> =
        cells.map(|(option, rest)| (option, rest.split('|').next().unwrap().trim())).collect();
    let refused = SqliteOptions::from_url("sqlite:a.db?none=1").unwrap_err().to_string();
    let options: Vec<&str> = named.iter().map(|(option, _)| *option).collect();
    assert!(refused.ends_with(&options.join(", ")), "{refused}: the manual has {options:?}");
    let defaults = named.iter().filter(|(_, default)| !default.is_empty());
    let pairs: Vec<String> = defaults.map(|(option, default)| format!("{option}={default}")).collect();
    let as_told = SqliteOptions::from_url(&format!("sqlite:a.db?{}", pairs.join("&"))).unwrap();
    assert_eq!(as_told, SqliteOptions::new("a.db"));
}
