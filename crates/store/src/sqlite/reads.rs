//! The reads, each of one snapshot.

use std::collections::BTreeMap;

use rusqlite::{Connection, Params, Row, params};

use crate::id::{CheckpointId, OperationKey, TaskId, WorkItemId};
use crate::limits::PAGE_BYTES_MAX;
use crate::record::{
    Checkpoint, CheckpointPage, Health, Operation, OperationPage, OperationRecord, OperationStatus, Status,
    Task, TaskPage, TaskRecord, WorkItem, WorkItemPage,
};
use crate::sqlite::failure::Trouble;
use crate::sqlite::map::{self, OverBudget};
use crate::sqlite::sql;
use crate::sqlite::text_time::TextTime;
use crate::time::Now;

type Found<T> = Result<T, Trouble>;
type Budgeted<T> = Found<Result<T, OverBudget>>;

fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    map: impl FnOnce(&Row<'_>) -> Found<T>,
) -> Found<Option<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(map).transpose()
}

/// All rows that a bounded statement finds.
pub(super) fn many<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    map: impl Fn(&Row<'_>) -> Found<T>,
) -> Found<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(map(row)?);
    }
    Ok(found)
}

fn budget_parameter(budget: usize) -> i64 {
    i64::try_from(budget).unwrap_or(i64::MAX)
}

pub(super) fn task(id: TaskId) -> impl Fn(&Connection, usize) -> Budgeted<Option<Task>> {
    move |connection, _| {
        Ok(Ok(one(connection, sql::task::BY_KEY, [id.as_str()], map::task)?.map(|(task, _)| task)))
    }
}

pub(super) fn task_record(id: TaskId) -> impl Fn(&Connection, usize) -> Budgeted<Option<TaskRecord>> {
    move |connection, budget| {
        let params = params![id.as_str(), budget_parameter(budget)];
        let found = one(connection, sql::task::RECORD, params, |row| map::task_record(row, budget))?;
        Ok(found.transpose())
    }
}

pub(super) fn item(id: WorkItemId) -> impl Fn(&Connection, usize) -> Budgeted<Option<WorkItem>> {
    move |connection, _| Ok(Ok(one(connection, sql::item::BY_ID, [id.as_str()], map::item)?))
}

pub(super) fn checkpoint(id: CheckpointId) -> impl Fn(&Connection, usize) -> Budgeted<Option<Checkpoint>> {
    move |connection, budget| {
        let params = params![id.as_bytes(), budget_parameter(budget)];
        let found = one(connection, sql::checkpoint::FULL, params, |row| map::checkpoint(row, budget))?;
        Ok(found.transpose())
    }
}

pub(super) fn operation(
    key: OperationKey,
) -> impl Fn(&Connection, usize) -> Budgeted<Option<OperationRecord>> {
    move |connection, budget| {
        let params = params![key.as_str(), budget_parameter(budget)];
        let found =
            one(connection, sql::operation::RECORD, params, |row| map::operation_record(row, budget))?;
        Ok(found.transpose())
    }
}

pub(super) fn checkpoints(
    task: TaskId,
    page: CheckpointPage,
) -> impl Fn(&Connection, usize) -> Budgeted<Vec<Checkpoint>> {
    move |connection, budget| {
        let (sql, bound, limit) = match page {
            CheckpointPage::NewestFirst { before, limit } => {
                let before = before.map_or(i64::MAX, |before| i64::try_from(before.0).unwrap_or(i64::MAX));
                (sql::checkpoint::NEWEST_FIRST, before, limit)
            }
            CheckpointPage::OldestFirst { after, limit } => {
                (sql::checkpoint::OLDEST_FIRST, i64::try_from(after.0).unwrap_or(i64::MAX), limit)
            }
        };
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![task.as_str(), budget_parameter(budget), bound, limit])?;
        let mut page = Vec::new();
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let Ok(checkpoint) = map::checkpoint(row, budget)? else { return Ok(Err(OverBudget)) };
            bytes += row.get::<_, usize>(map::CHECKPOINT_BYTES)?;
            page.push(checkpoint);
            if bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
        Ok(Ok(page))
    }
}

pub(super) fn operations(
    task: TaskId,
    page: OperationPage,
) -> impl FnOnce(&Connection) -> Found<Vec<Operation>> {
    move |connection| {
        let after = page.after.as_ref().map_or("", OperationKey::as_str);
        let status = page.status.map(OperationStatus::as_str);
        let params = params![task.as_str(), after, status, page.limit];
        many(connection, sql::operation::PAGE, params, map::operation)
    }
}

pub(super) fn items(page: WorkItemPage) -> impl FnOnce(&Connection) -> Found<Vec<WorkItem>> {
    move |connection| {
        let WorkItemPage { task, status, after, limit } = &page;
        let after = after.as_ref().map_or("", WorkItemId::as_str);
        let text = status.map(Status::as_str);
        match (task, status) {
            (Some(task), _) => {
                let params = params![after, limit, text, task.as_str()];
                many(connection, sql::item::PAGE_BY_TASK, params, map::item)
            }
            (None, None) => many(connection, sql::item::PAGE, params![after, limit], map::item),
            (None, Some(Status::Failed | Status::NeedsAttention)) => {
                many(connection, sql::item::PAGE_OF_DEAD, params![after, limit, text], map::item)
            }
            (None, Some(_)) => {
                many(connection, sql::item::PAGE_BY_STATUS, params![after, limit, text], map::item)
            }
        }
    }
}

pub(super) fn tasks(page: TaskPage) -> impl FnOnce(&Connection) -> Found<Vec<Task>> {
    move |connection| {
        let after = page.after.as_ref().map_or("", TaskId::as_str);
        let params = params![after, page.status.map(Status::as_str), page.limit];
        many(connection, sql::task::PAGE, params, |row| Ok(map::task(row)?.0))
    }
}

fn counted<S: Ord>(
    connection: &Connection,
    sql: &str,
    parse: impl Fn(&str) -> Option<S>,
) -> Found<Vec<(S, u64)>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut counts = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let status: String = row.get(0)?;
        let status =
            parse(&status).ok_or_else(|| Trouble::impossible(format!("the status {status:?} of a row")))?;
        counts.insert(status, row.get(1)?);
    }
    Ok(counts.into_iter().collect())
}

pub(super) fn health(now: Now) -> impl FnOnce(&Connection) -> Found<Health> {
    // One snapshot for all counts; it ends with the transaction, which is never written to.
    move |connection| {
        let snapshot = connection.unchecked_transaction()?;
        health_in(&snapshot, now)
    }
}

/// The counts, inside a transaction that makes them one snapshot.
pub(super) fn health_in(snapshot: &Connection, now: Now) -> Found<Health> {
    let count = |sql: &str, params: &[TextTime]| -> Found<u64> {
        Ok(snapshot.query_row(sql, rusqlite::params_from_iter(params), |row| row.get(0))?)
    };
    Ok(Health {
        store_time: now.store,
        wall_time: now.wall,
        work_items: counted(snapshot, sql::health::WORK_ITEMS, Status::from_text)?,
        expired_leases: count(sql::health::EXPIRED, &[TextTime::from(now.store)])?,
        tasks: counted(snapshot, sql::health::TASKS, Status::from_text)?,
        operations: counted(snapshot, sql::health::OPERATIONS, OperationStatus::from_text)?,
        checkpoints: count(sql::health::CHECKPOINTS, &[])?,
    })
}
