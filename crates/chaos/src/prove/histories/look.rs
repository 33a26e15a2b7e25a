//! The last look at the file, by SQL: what it holds when a history is over must be what some order of the calls leaves.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, config::DbConfig};
use steadfast_store::MODEL_KEYS;

use super::call::{ItemRow, Lease, LeaseRow, Link, OperationRow, Setting, Sight};
use super::names::{self, Names};
use super::sql;

/// How long to wait for a lock.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);

/// Why nothing was seen.
#[derive(Debug, thiserror::Error)]
pub(super) enum Blind {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error("the file holds {0} of which no call can tell")]
    Strange(String),
}

fn strange(what: &str) -> impl Fn() -> Blind {
    move || Blind::Strange(what.to_owned())
}

/// A connection that only looks.
#[derive(Debug)]
pub(super) struct Look(Connection);

impl Look {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.execute_batch(sql::QUERY_ONLY)?;
        Ok(Self(connection))
    }

    /// Store time less boot time, in milliseconds.
    pub(super) fn anchor(&self) -> rusqlite::Result<i64> {
        self.0.query_row(sql::ANCHOR, [], |row| row.get(0))
    }

    /// Everything of one history.
    pub(super) fn at(&self, setting: &Setting) -> Result<Sight, Blind> {
        let names = Names { history: setting.history };
        Ok(Sight {
            items: (0..setting.items.len()).map(|item| self.item(names, item)).collect::<Result<_, _>>()?,
            chains: (0..setting.tasks).map(|task| self.chain(names, task)).collect::<Result<_, _>>()?,
            operations: (0..setting.operations)
                .map(|operation| self.operation(names, operation))
                .collect::<Result<_, _>>()?,
            caches: (0..setting.caches).map(|cache| self.cache(names, cache)).collect::<Result<_, _>>()?,
        })
    }

    fn item(&self, names: Names, item: usize) -> Result<ItemRow, Blind> {
        let name = format!("h{}-i{item}", names.history);
        let read = |row: &Row<'_>| Ok(item_row(item, row));
        let row = self.0.prepare_cached(sql::ITEM)?.query_row([name], read)??;
        row.ok_or_else(strange("an item"))
    }

    fn chain(&self, names: Names, task: usize) -> Result<Vec<Link>, Blind> {
        let mut statement = self.0.prepare_cached(sql::CHAIN)?;
        let mut rows = statement.query([format!("h{}-t{task}", names.history)])?;
        let mut links = Vec::new();
        while let Some(row) = rows.next()? {
            let (sequence, id, kind): (usize, Vec<u8>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let (item, payload): (Option<String>, Vec<u8>) = (row.get(3)?, row.get(4)?);
            let link = names.link_of(&id, &kind, item.as_deref(), &payload);
            links.push(link.ok_or_else(strange("a checkpoint"))?);
            if sequence != links.len() {
                return Err(Blind::Strange(format!("a gap before checkpoint {sequence}")));
            }
        }
        Ok(links)
    }

    fn operation(&self, names: Names, operation: usize) -> Result<Option<OperationRow>, Blind> {
        let key = format!("tool-ledger:h{}-o{operation}", names.history);
        let read = |row: &Row<'_>| Ok(operation_row(names, row));
        let row = self.0.prepare_cached(sql::OPERATION)?.query_row([key], read).optional()?;
        row.map(|row| row?.ok_or_else(strange("an operation"))).transpose()
    }

    fn cache(&self, names: Names, cache: usize) -> Result<Option<u64>, Blind> {
        let mut statement = self.0.prepare_cached(sql::ANSWERS)?;
        let beginning = format!("{MODEL_KEYS}{}:", names.model(cache));
        let answers = statement.query_map([beginning], |row| row.get::<_, Vec<u8>>(0))?;
        let answers: Vec<_> = answers.collect::<Result<_, _>>()?;
        match &answers[..] {
            [] => Ok(None),
            // A header, and then the bytes of the model.
            [answer] => match answer.split_last_chunk::<8>() {
                Some((_, value)) => Ok(Some(u64::from_le_bytes(*value))),
                None => Err(Blind::Strange("an answer".to_owned())),
            },
            _ => Err(Blind::Strange("two answers to one request".to_owned())),
        }
    }
}

fn item_row(item: usize, row: &Row<'_>) -> rusqlite::Result<Option<ItemRow>> {
    let status = names::item_status_of(&row.get::<_, String>(0)?);
    let holder: Option<String> = row.get(4)?;
    let lease = match holder {
        None => Some(None),
        Some(holder) => {
            let (acquired, expires) = (row.get(5)?, row.get(6)?);
            holder.parse().ok().map(|holder| Some(LeaseRow { holder, acquired, expires }))
        }
    };
    let transition: Option<Vec<u8>> = row.get(7)?;
    let transition = transition.map_or(Some(None), |id| names::number_of(&id).map(Some));
    let (fence, how): (Option<u64>, Option<String>) = (row.get(8)?, row.get(9)?);
    let settled = fence.zip(how);
    let settled = settled.map_or(Some(None), |(fence, how)| Some(Some((fence, names::settlement(&how)?))));
    let (fence, attempt, available) = (row.get(1)?, row.get(2)?, row.get(3)?);
    let known = status.zip(lease).zip(transition).zip(settled);
    Ok(known.map(|(((status, lease), transition), settled)| ItemRow {
        item,
        status,
        fence,
        attempt,
        available,
        lease,
        transition,
        settled,
    }))
}

fn operation_row(names: Names, row: &Row<'_>) -> rusqlite::Result<Option<OperationRow>> {
    let fingerprint = names::fingerprint_of(&row.get::<_, Vec<u8>>(0)?);
    let status = names::operation_status(&row.get::<_, String>(1)?);
    let is_retaken = row.get::<_, String>(2)? == "retake";
    let token = names::number_of(&row.get::<_, Vec<u8>>(3)?);
    let (item, fence): (Option<String>, Option<u64>) = (row.get(4)?, row.get(5)?);
    let lease = item
        .zip(fence)
        .map_or(Some(None), |(item, fence)| names.number(&item, 'i').map(|item| Some(Lease { item, fence })));
    let output: Option<Vec<u8>> = row.get(7)?;
    let output = output.map_or(Some(None), |output| names::value_of(&output).map(Some));
    let (expires, attempt) = (row.get(6)?, row.get(8)?);
    let known = fingerprint.zip(status).zip(token).zip(lease).zip(output);
    Ok(known.map(|((((fingerprint, status), token), lease), output)| OperationRow {
        fingerprint,
        status,
        is_retaken,
        token,
        lease,
        expires,
        output,
        attempt,
    }))
}
