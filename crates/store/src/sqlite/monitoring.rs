//! The monitoring read: the questions of `docs/operations.md`, in SQL of the store's own.

use std::time::Duration;

use rusqlite::{Connection, params};

use crate::monitoring::{
    AgeCount, CROWDED_CHECKPOINTS, CROWDED_TASKS_MAX, DAY, DAYS_LOOKED_BACK, EntryCount, HolderLoad,
    KindCount, MODEL_KEYS, Monitoring, TOOL_KEYS,
};
use crate::sqlite::failure::Trouble;
use crate::sqlite::reads::{health_in, many};
use crate::sqlite::text_time::TextTime;
use crate::sqlite::{map, sql};
use crate::time::Now;

type Found<T> = Result<T, Trouble>;

/// Everything, from one snapshot.
pub(super) fn read(now: Now) -> impl FnOnce(&Connection) -> Found<Monitoring> {
    move |connection| {
        // It ends with the transaction, which is never written to.
        let snapshot = connection.unchecked_transaction()?;
        let ago = |days| TextTime::from(now.wall.minus(DAY * days));
        let crowded = params![
            i64::try_from(CROWDED_CHECKPOINTS).unwrap_or(i64::MAX),
            i64::try_from(CROWDED_TASKS_MAX).unwrap_or(i64::MAX)
        ];
        Ok(Monitoring {
            health: health_in(&snapshot, now)?,
            checkpoints_by_day: many(&snapshot, sql::monitoring::BY_DAY, [ago(DAYS_LOOKED_BACK)], map::day)?,
            checkpoint_kinds: many(&snapshot, sql::monitoring::KINDS, [], |row| {
                Ok(KindCount {
                    kind: map::label(row, 0)?,
                    checkpoints: row.get(1)?,
                    average_sequence: row.get(2)?,
                })
            })?,
            holders: many(&snapshot, sql::monitoring::HOLDERS, [], |row| {
                Ok(HolderLoad {
                    holder: map::holder(row, 0)?,
                    leases: row.get(1)?,
                    average_span: Duration::from_millis(map::number(row, 2)?),
                })
            })?,
            model_answers: entries(&snapshot, MODEL_KEYS)?,
            tool_calls: entries(&snapshot, TOOL_KEYS)?,
            operation_ages: snapshot.query_row(sql::monitoring::AGES, [ago(1), ago(7), ago(30)], |row| {
                Ok(AgeCount {
                    under_1_day: row.get(0)?,
                    under_7_days: row.get(1)?,
                    under_30_days: row.get(2)?,
                    older: row.get(3)?,
                })
            })?,
            crowded_tasks: many(&snapshot, sql::monitoring::CROWDED, crowded, |row| {
                Ok((map::task_id(row, 0)?, row.get(1)?))
            })?,
        })
    }
}

fn entries(connection: &Connection, prefix: &str) -> Found<EntryCount> {
    Ok(connection.query_row(sql::monitoring::ENTRIES, [prefix], |row| {
        Ok(EntryCount {
            entries: row.get(0)?,
            succeeded: row.get(1)?,
            failed: row.get(2)?,
            in_doubt: row.get(3)?,
        })
    })?)
}
