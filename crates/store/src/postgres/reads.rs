//! The reads: each one statement, or several over one snapshot.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::env::Env;
use crate::error::StoreError;
use crate::id::{CheckpointId, OperationKey, TaskId, WorkItemId};
use crate::limits::PAGE_BYTES_MAX;
use crate::postgres::connection::Step;
use crate::postgres::failure::Trouble;
use crate::postgres::map;
use crate::postgres::pool::{Pool, Purpose};
use crate::postgres::sql;
use crate::postgres::wire::{Param, id, number, optional_text, param, text, texts};
use crate::record::{
    Checkpoint, CheckpointPage, Health, Operation, OperationPage, OperationRecord, OperationStatus, Status,
    Task, TaskPage, TaskRecord, WorkItem, WorkItemPage,
};

/// How long a read waits for a connection.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a read may take.
const READ_MAX: Duration = Duration::from_secs(60);
/// How often a read is asked of another connection when the first was found dead.
const TRIES_MAX: u32 = 4;

/// Asks, and asks another connection where one is found dead: a read changes nothing.
pub(super) async fn ask(
    pool: &Pool,
    env: &Env,
    steps: impl Fn() -> Vec<Step>,
) -> Result<Vec<Vec<Row>>, StoreError> {
    let mut left = TRIES_MAX;
    loop {
        left -= 1;
        let lease = pool.get(Purpose::Read, WAIT_MAX).await?;
        match lease.held().connection.run(env, READ_MAX, steps()).await {
            Ok(answers) => {
                lease.give_back();
                return Ok(answers);
            }
            // A server that says nothing has had its time.
            Err(trouble @ Trouble::Silent { .. }) => return Err(trouble.not_applied(READ_MAX)),
            // The connection goes with what it may have open.
            Err(trouble) if left > 0 && trouble.is_disconnected() => pool.forget_idle(),
            Err(trouble) => return Err(trouble.not_applied(READ_MAX)),
        }
    }
}

async fn rows(
    pool: &Pool,
    env: &Env,
    sql: &'static str,
    params: impl Fn() -> Vec<Param>,
) -> Result<Vec<Row>, StoreError> {
    let answers = ask(pool, env, || vec![Step::Query(sql, params())]).await?;
    Ok(answers.into_iter().next().unwrap_or_default())
}

fn one<T>(rows: &[Row], map: impl FnOnce(&Row) -> Result<T, Trouble>) -> Result<Option<T>, StoreError> {
    rows.first().map(map).transpose().map_err(damage)
}

fn many<T>(rows: &[Row], map: impl Fn(&Row) -> Result<T, Trouble>) -> Result<Vec<T>, StoreError> {
    rows.iter().map(map).collect::<Result<_, _>>().map_err(damage)
}

fn damage(trouble: Trouble) -> StoreError {
    trouble.not_applied(Duration::ZERO)
}

pub(super) async fn task(pool: &Pool, env: &Env, id: &TaskId) -> Result<Option<Task>, StoreError> {
    one(&rows(pool, env, sql::task::LOOK, || vec![texts([id.as_str()])]).await?, map::task)
}

pub(super) async fn task_record(
    pool: &Pool,
    env: &Env,
    id: &TaskId,
) -> Result<Option<TaskRecord>, StoreError> {
    one(&rows(pool, env, sql::task::RECORD, || vec![text(id.as_str())]).await?, map::task_record)
}

pub(super) async fn item(pool: &Pool, env: &Env, id: &WorkItemId) -> Result<Option<WorkItem>, StoreError> {
    one(&rows(pool, env, sql::item::LOOK, || vec![texts([id.as_str()])]).await?, map::item)
}

pub(super) async fn checkpoint(
    pool: &Pool,
    env: &Env,
    checkpoint: CheckpointId,
) -> Result<Option<Checkpoint>, StoreError> {
    let found = rows(pool, env, sql::checkpoint::FULL, || vec![id(checkpoint.as_bytes())]).await?;
    one(&found, map::checkpoint)
}

pub(super) async fn checkpoints(
    pool: &Pool,
    env: &Env,
    task: &TaskId,
    page: CheckpointPage,
) -> Result<Vec<Checkpoint>, StoreError> {
    let (sql, bound, limit) = match page {
        CheckpointPage::NewestFirst { before, limit } => {
            (sql::checkpoint::NEWEST_FIRST, before.map_or(u64::MAX, |before| before.0), limit)
        }
        CheckpointPage::OldestFirst { after, limit } => (sql::checkpoint::OLDEST_FIRST, after.0, limit),
    };
    let params = || vec![text(task.as_str()), number(bound), number(limit), number(PAGE_BYTES_MAX)];
    many(&rows(pool, env, sql, params).await?, map::checkpoint)
}

pub(super) async fn operation(
    pool: &Pool,
    env: &Env,
    key: &OperationKey,
) -> Result<Option<OperationRecord>, StoreError> {
    let found = rows(pool, env, sql::operation::RECORD, || vec![text(key.as_str())]).await?;
    one(&found, map::operation_record)
}

pub(super) async fn operations(
    pool: &Pool,
    env: &Env,
    task: &TaskId,
    page: &OperationPage,
) -> Result<Vec<Operation>, StoreError> {
    let after = page.after.as_ref().map_or("", OperationKey::as_str);
    let status = page.status.map(OperationStatus::as_str);
    let params = || vec![text(task.as_str()), text(after), optional_text(status), number(page.limit)];
    many(&rows(pool, env, sql::operation::PAGE, params).await?, map::operation)
}

pub(super) async fn items(pool: &Pool, env: &Env, page: &WorkItemPage) -> Result<Vec<WorkItem>, StoreError> {
    let WorkItemPage { task, status, after, limit } = page;
    let after = after.as_ref().map_or("", WorkItemId::as_str);
    let status_text = status.map(Status::as_str);
    let params = || {
        let mut params = vec![text(after), number(*limit)];
        if task.is_some() || status.is_some() {
            params.push(optional_text(status_text));
        }
        params.extend(task.as_ref().map(|task| text(task.as_str())));
        params
    };
    let sql = match (task, status) {
        (Some(_), _) => sql::item::PAGE_BY_TASK,
        (None, None) => sql::item::PAGE,
        (None, Some(Status::Failed | Status::NeedsAttention)) => sql::item::PAGE_OF_DEAD,
        (None, Some(_)) => sql::item::PAGE_BY_STATUS,
    };
    many(&rows(pool, env, sql, params).await?, map::item)
}

pub(super) async fn tasks(pool: &Pool, env: &Env, page: &TaskPage) -> Result<Vec<Task>, StoreError> {
    let after = page.after.as_ref().map_or("", TaskId::as_str);
    let status = page.status.map(Status::as_str);
    let params = || vec![text(after), optional_text(status), param(Type::INT8, i64::from(page.limit))];
    many(&rows(pool, env, sql::task::PAGE, params).await?, map::task)
}

/// The questions of a health report, in the order that [`health_from`] reads the answers.
pub(super) fn health_steps() -> Vec<Step> {
    [
        sql::clock::READ,
        sql::health::WORK_ITEMS,
        sql::health::EXPIRED,
        sql::health::TASKS,
        sql::health::OPERATIONS,
        sql::health::CHECKPOINTS,
    ]
    .into_iter()
    .map(|sql| Step::Query(sql, Vec::new()))
    .collect()
}

/// Wraps questions, so that all are answered from one snapshot.
pub(super) fn in_one_snapshot(steps: Vec<Step>) -> Vec<Step> {
    let begin = Step::plain(sql::transaction::BEGIN_READING);
    std::iter::once(begin).chain(steps).chain([Step::plain(sql::transaction::COMMIT)]).collect()
}

fn first(rows: Option<&Vec<Row>>) -> Result<&Row, Trouble> {
    rows.and_then(|rows| rows.first()).ok_or_else(|| Trouble::impossible("a count without a row"))
}

/// A health report from the answers to [`health_steps`].
pub(super) fn health_from(answers: &[Vec<Row>]) -> Result<Health, Trouble> {
    let now = map::now(first(answers.first())?)?;
    let counted = |number: usize| answers.get(number).into_iter().flatten();
    let pair = |row: &Row| Ok((map::status(row, 0)?, map::number(row, 1)?));
    let mut health = Health {
        store_time: now.store,
        wall_time: now.wall,
        work_items: counted(1).map(pair).collect::<Result<_, Trouble>>()?,
        expired_leases: map::number(first(answers.get(2))?, 0)?,
        tasks: counted(3).map(pair).collect::<Result<_, Trouble>>()?,
        operations: counted(4)
            .map(|row| Ok((map::operation_status(row, 0)?, map::number(row, 1)?)))
            .collect::<Result<_, Trouble>>()?,
        checkpoints: map::number(first(answers.get(5))?, 0)?,
    };
    health.work_items.sort_unstable();
    health.tasks.sort_unstable();
    health.operations.sort_unstable();
    Ok(health)
}

pub(super) async fn health(pool: &Pool, env: &Env) -> Result<Health, StoreError> {
    let answers = ask(pool, env, || in_one_snapshot(health_steps())).await?;
    health_from(answers.get(1..).unwrap_or_default()).map_err(damage)
}
