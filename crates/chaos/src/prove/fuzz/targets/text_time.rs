//! Times in the tables: a text is a time just when SQLite's own functions write it back alike and its year is not
//! before the year 0, and then the same one.

use std::cell::OnceCell;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};
use steadfast_store::env::Env;
use steadfast_store::{
    CreateTask, Label, Payload, SqliteOptions, SqliteStore, Store, StoreError, StoreExt, TaskId,
};
use tempfile::TempDir;

use super::{Met, scratch, sql};

/// A store with one task, and a connection beside it.
struct Stage {
    store: SqliteStore,
    raw: Connection,
    task: TaskId,
    _folder: TempDir,
}

thread_local! {
    static STAGE: OnceCell<Stage> = const { OnceCell::new() };
}

/// Bytes as SQL text, whatever they are.
struct Text<'a>(&'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// Any bytes as the time at which a task was created.
#[allow(clippy::expect_used, reason = "the connection beside the store is the measure")]
pub fn text_time(data: &[u8]) -> Met {
    STAGE.with(|stage| {
        let Stage { store, raw, task, .. } = stage.get_or_init(Stage::new);
        raw.execute(sql::SET_CREATED_AT, [Text(data)]).expect("the time is set");
        let theirs: Option<i64> =
            raw.query_row(sql::READ_TIME, [Text(data)], |row| row.get(0)).expect("the time is read");
        match scratch::run(store.task(task)) {
            Ok(Some(found)) => {
                let ours = found.created_at.as_millis();
                assert_eq!(Some(ours), theirs, "{:?} is another time", String::from_utf8_lossy(data));
                Met::Taken
            }
            Err(StoreError::Corrupt { .. }) => {
                assert_eq!(theirs, None, "{:?} is a time", String::from_utf8_lossy(data));
                Met::Refused
            }
            other => panic!("{:?} was answered {other:?}", String::from_utf8_lossy(data)),
        }
    })
}

impl Stage {
    #[allow(clippy::expect_used, reason = "without its store there is nothing to try")]
    fn new() -> Self {
        let folder = scratch::folder();
        let path = folder.path().join("a.db");
        let (task, kind) = (TaskId::new("t").expect("a name"), Label::new("research").expect("a name"));
        let create = CreateTask { task: task.clone(), kind, input: Payload::empty() };
        let store = scratch::run(async {
            let store = SqliteStore::open(SqliteOptions::new(&path), Env::system()).await.expect("a store");
            store.create_task(create).await.expect("a task");
            store
        });
        let raw = Connection::open(&path).expect("a connection");
        raw.execute_batch(sql::FAST).expect("its settings");
        Self { store, raw, task, _folder: folder }
    }
}
