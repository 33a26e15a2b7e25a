//! Groups of rows, a transaction each: the loop that the floor and the layouts have in common.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::stats::Samples;
use super::{PerfError, file, sql};

/// Rows a transaction when a file is filled or warmed, not measured.
const FILLING_GROUP: usize = 1_000;
const WARMING_GROUP: usize = 100;
/// How often the log must have started over before anything is measured: then it has the length
/// that it keeps, and no commit waits for the file system to make it longer.
const FOLDS_TO_WARM: usize = 2;
/// Groups that warming may take: a bound for a log that never starts over.
const WARMING_GROUPS_MAX: usize = 100_000;

/// Something that rows go into.
pub(super) trait Table {
    /// The connection that owns the file.
    fn connection(&self) -> &Connection;

    /// Inserts the next rows, inside whatever transaction is open.
    fn insert(&mut self, rows: usize) -> Result<(), PerfError>;
}

/// What a loop of group commits gave.
#[derive(Debug, Clone)]
pub struct GroupRun {
    /// Rows inserted, each of them durable.
    pub rows: usize,
    /// From the first transaction's begin to the last one's end.
    pub elapsed: Duration,
    /// Each transaction, with the fold that some end in, in milliseconds.
    pub transactions_ms: Samples,
}

impl GroupRun {
    /// Rows a second.
    #[allow(clippy::cast_precision_loss, reason = "nobody inserts 2^53 rows")]
    pub fn rows_per_second(&self) -> f64 {
        self.rows as f64 / self.elapsed.as_secs_f64()
    }
}

/// The row of something counted from 0: SQLite counts from 1.
pub(super) fn row_of(index: usize) -> i64 {
    i64::try_from(index).map_or(i64::MAX, |row| row.saturating_add(1))
}

/// One transaction of `rows` rows.
pub(super) fn transact(table: &mut impl Table, rows: usize) -> Result<(), PerfError> {
    table.connection().prepare_cached(sql::file::BEGIN)?.execute([])?;
    table.insert(rows)?;
    table.connection().prepare_cached(sql::file::COMMIT)?.execute([])?;
    Ok(())
}

/// Transactions of `group` rows until `rows` are in, at least one transaction; the last one is as
/// full as the others.
pub(super) fn group_loop(table: &mut impl Table, group: usize, rows: usize) -> Result<GroupRun, PerfError> {
    let group = group.max(1);
    let transactions = rows.div_ceil(group).max(1);
    let mut took = Vec::with_capacity(transactions);
    let started = Instant::now();
    for _ in 0..transactions {
        let began = Instant::now();
        transact(table, group)?;
        took.push(began.elapsed());
    }
    let elapsed = started.elapsed();
    Ok(GroupRun { rows: transactions * group, elapsed, transactions_ms: Samples::of_durations_ms(&took) })
}

/// Puts `rows` rows in without a sync, then makes the file durable: all of it is on the device, and
/// no later fold pays for it.
pub(super) fn fill(table: &mut impl Table, rows: usize) -> Result<(), PerfError> {
    file::make_hasty(table.connection())?;
    let mut left = rows;
    while left > 0 {
        let group = left.min(FILLING_GROUP);
        transact(table, group)?;
        left -= group;
    }
    file::make_durable(table.connection())?;
    transact(table, 1)?;
    file::fold(table.connection())
}

/// Durable rows until the log has the length that it keeps. For 4,000 pages these are some ten
/// thousand rows.
pub(super) fn warm(table: &mut impl Table) -> Result<(), PerfError> {
    let (mut folds, mut last) = (0, file::logged_pages(table.connection())?);
    for _ in 0..WARMING_GROUPS_MAX {
        transact(table, WARMING_GROUP)?;
        let pages = file::logged_pages(table.connection())?;
        if pages < last {
            folds += 1;
        }
        last = pages;
        if folds == FOLDS_TO_WARM {
            break;
        }
    }
    Ok(())
}
