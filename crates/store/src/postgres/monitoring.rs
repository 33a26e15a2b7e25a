//! The monitoring read: the questions of `docs/operations.md`, in SQL of the store's own.

use std::time::Duration;

use tokio_postgres::Row;

use crate::env::Env;
use crate::error::StoreError;
use crate::monitoring::{
    AgeCount, CROWDED_CHECKPOINTS, CROWDED_TASKS_MAX, DAYS_LOOKED_BACK, EntryCount, HolderLoad, KindCount,
    MODEL_KEYS, Monitoring, TOOL_KEYS,
};
use crate::postgres::connection::Step;
use crate::postgres::failure::Trouble;
use crate::postgres::pool::Pool;
use crate::postgres::wire::{number, text};
use crate::postgres::{map, reads, sql};

/// Everything, from one snapshot.
pub(super) async fn read(pool: &Pool, env: &Env) -> Result<Monitoring, StoreError> {
    let answers = reads::ask(pool, env, || reads::in_one_snapshot(steps())).await?;
    told(answers.get(1..).unwrap_or_default()).map_err(|trouble| trouble.not_applied(Duration::ZERO))
}

fn steps() -> Vec<Step> {
    let mut steps = reads::health_steps();
    steps.extend([
        Step::Query(sql::monitoring::BY_DAY, vec![number(DAYS_LOOKED_BACK)]),
        Step::Query(sql::monitoring::KINDS, Vec::new()),
        Step::Query(sql::monitoring::HOLDERS, Vec::new()),
        Step::Query(sql::monitoring::ENTRIES, vec![text(MODEL_KEYS)]),
        Step::Query(sql::monitoring::ENTRIES, vec![text(TOOL_KEYS)]),
        Step::Query(sql::monitoring::AGES, Vec::new()),
        Step::Query(sql::monitoring::CROWDED, vec![number(CROWDED_CHECKPOINTS), number(CROWDED_TASKS_MAX)]),
    ]);
    steps
}

fn told(answers: &[Vec<Row>]) -> Result<Monitoring, Trouble> {
    let (health, rest) = answers.split_at(reads::health_steps().len().min(answers.len()));
    let [days, kinds, holders, model_answers, tool_calls, ages, crowded, ..] = rest else {
        return Err(Trouble::impossible("the answers to a monitoring read"));
    };
    Ok(Monitoring {
        health: reads::health_from(health)?,
        checkpoints_by_day: each(days, |row| Ok((map::wall(row, 0)?, map::number(row, 1)?)))?,
        checkpoint_kinds: each(kinds, |row| {
            Ok(KindCount {
                kind: map::text(row, 0)?,
                checkpoints: map::number(row, 1)?,
                average_sequence: map::mean(row, 2)?,
            })
        })?,
        holders: each(holders, |row| {
            Ok(HolderLoad {
                holder: map::text(row, 0)?,
                leases: map::number(row, 1)?,
                average_span: Duration::from_millis(map::number(row, 2)?),
            })
        })?,
        model_answers: entries(model_answers)?,
        tool_calls: entries(tool_calls)?,
        operation_ages: each(ages, |row| {
            Ok(AgeCount {
                under_1_day: map::number(row, 0)?,
                under_7_days: map::number(row, 1)?,
                under_30_days: map::number(row, 2)?,
                older: map::number(row, 3)?,
            })
        })?
        .pop()
        .unwrap_or_default(),
        crowded_tasks: each(crowded, |row| Ok((map::text(row, 0)?, map::number(row, 1)?)))?,
    })
}

fn each<T>(rows: &[Row], map: impl Fn(&Row) -> Result<T, Trouble>) -> Result<Vec<T>, Trouble> {
    rows.iter().map(map).collect()
}

fn entries(rows: &[Row]) -> Result<EntryCount, Trouble> {
    let mut counts = each(rows, |row| {
        Ok(EntryCount {
            entries: map::number(row, 0)?,
            succeeded: map::number(row, 1)?,
            failed: map::number(row, 2)?,
            in_doubt: map::number(row, 3)?,
        })
    })?;
    Ok(counts.pop().unwrap_or_default())
}
