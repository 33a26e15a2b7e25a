//! The floor of a sweep: the very rows that the store writes, in the store's own tables, by bare SQL. One UPDATE and one
//! INSERT for each lease, in transactions of the same size; no decisions, no digests, no ids to look for.

use std::path::Path;

use rusqlite::{Connection, params};

use super::data::Data;
use super::{PerfError, file, sql};

const DIGEST_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
/// Beyond every number that the store itself has given.
const SEQUENCE_FIRST: i64 = 1_000_000_000;
/// What the store notes on an item that it reclaims.
const DETAIL: &str = "the lease of holder ended without a word from its holder";

/// A second, bare connection to a store's file, and what it reclaims there.
pub(super) struct SameRows {
    connection: Connection,
    data: Data,
    /// Every item with its task, in the order of a sweep.
    items: Vec<(String, i64)>,
    available_at: String,
    sequence: i64,
}

impl SameRows {
    /// Opens the file of a store whose items are all leased.
    pub(super) fn open(path: &Path, seed: u64) -> Result<Self, PerfError> {
        let connection = Connection::open(path)?;
        connection.execute_batch(sql::file::JOURNAL_AND_CACHE)?;
        file::make_durable(&connection)?;
        let items = connection
            .prepare(sql::same_rows::LEASED)?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        let available_at = connection.query_row(sql::same_rows::AVAILABLE_AT, [], |row| row.get(0))?;
        Ok(Self { connection, data: Data::new(seed), items, available_at, sequence: SEQUENCE_FIRST })
    }

    /// Reclaims every item, so many in a transaction, with a checkpoint of this payload each.
    pub(super) fn reclaim_all(&mut self, page: usize, payload: &[u8]) -> Result<(), PerfError> {
        let Self { connection, data, items, available_at, sequence } = self;
        for items in items.chunks(page.max(1)) {
            data.tick();
            let sweep = data.ordered_id();
            connection.prepare_cached(sql::file::BEGIN)?.execute([])?;
            let mut reclaim = connection.prepare_cached(sql::same_rows::RECLAIM)?;
            let mut insert = connection.prepare_cached(sql::layout::INSERT)?;
            for (item, task) in items {
                reclaim.execute(params![item, *available_at, sweep, DETAIL])?;
                *sequence += 1;
                let id = data.ordered_id();
                // One piece of random bytes stands for all digests: what they cost to write is their length.
                let bytes = data.bytes(DIGEST_BYTES);
                let (digest, salt) = (bytes, &bytes[..SALT_BYTES]);
                insert.execute(params![
                    id,
                    task,
                    *sequence,
                    item,
                    *available_at,
                    salt,
                    digest,
                    digest,
                    digest,
                    digest,
                    b"",
                    payload
                ])?;
            }
            drop((reclaim, insert));
            connection.prepare_cached(sql::file::COMMIT)?.execute([])?;
        }
        Ok(())
    }
}
