//! A layout of the checkpoint tables, filled as the store fills its own: a checkpoint a row, and
//! the head of each touched task once a group.

use rusqlite::{Connection, ToSql, params};

use super::data::Data;
use super::file::{self, FileOptions};
use super::table::{Table, row_of};
use super::{PAYLOAD_BYTES, PerfError, TASKS, sql};

/// Rows within one millisecond of the time in the ids.
const ROWS_A_MS: usize = 32;
const DIGEST_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
/// What a step typically cites: a digest and a count.
const EVIDENCE_BYTES: usize = 40;
/// Every row has it: what a time costs to write is its length.
const CREATED_AT: &str = "2025-06-15 15:06:40.000";

/// One way to lay the tables out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) name: &'static str,
    /// What sets it apart.
    pub(super) about: &'static str,
    pub(super) page_size: u32,
    create: &'static str,
    text_key: bool,
    random_id: bool,
}

/// The store's layout first.
pub(super) const LAYOUTS: &[Layout] = &[
    Layout {
        name: "store",
        about: "as the store has it: integer task, time-ordered unique id, 4 KiB pages",
        page_size: 4096,
        create: sql::layout::STORE,
        text_key: false,
        random_id: false,
    },
    Layout {
        name: "text_key",
        about: "tasks by their text in the row, the index and the foreign key",
        page_size: 4096,
        create: sql::layout::TEXT_KEY,
        text_key: true,
        random_id: false,
    },
    Layout {
        name: "no_id_index",
        about: "no unique index over the ids",
        page_size: 4096,
        create: sql::layout::NO_ID_INDEX,
        text_key: false,
        random_id: false,
    },
    Layout {
        name: "random_id",
        about: "ids that are random throughout",
        page_size: 4096,
        create: sql::layout::STORE,
        text_key: false,
        random_id: true,
    },
    Layout {
        name: "pages_8k",
        about: "8 KiB pages",
        page_size: 8192,
        create: sql::layout::STORE,
        text_key: false,
        random_id: false,
    },
];

/// A task as the writer keeps it in memory.
#[derive(Debug)]
struct Head {
    key: String,
    last_sequence: i64,
    is_dirty: bool,
}

/// A file with one layout.
#[derive(Debug)]
pub(super) struct LayoutFile {
    connection: Connection,
    layout: Layout,
    data: Data,
    heads: Vec<Head>,
    rows: usize,
}

impl LayoutFile {
    /// Makes the file, with its tasks. Nothing is synced until the connection is made durable.
    pub(super) fn create(layout: Layout, options: &FileOptions, seed: u64) -> Result<Self, PerfError> {
        let connection = file::create(options)?;
        connection.execute_batch(layout.create)?;
        let mut data = Data::new(seed);
        let mut heads = Vec::with_capacity(TASKS);
        for task in 0..TASKS {
            let key = data.name();
            let digest = data.bytes(DIGEST_BYTES);
            connection.prepare_cached(sql::layout::INSERT_TASK)?.execute(params![
                row_of(task),
                key,
                digest,
                CREATED_AT
            ])?;
            heads.push(Head { key, last_sequence: 0, is_dirty: false });
        }
        Ok(Self { connection, layout, data, heads, rows: 0 })
    }
}

impl Table for LayoutFile {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn insert(&mut self, rows: usize) -> Result<(), PerfError> {
        let mut insert = self.connection.prepare_cached(sql::layout::INSERT)?;
        for row in self.rows..self.rows + rows {
            if row % ROWS_A_MS == 0 {
                self.data.tick();
            }
            let id = if self.layout.random_id { self.data.random_id() } else { self.data.ordered_id() };
            let task = row % TASKS;
            let head = &mut self.heads[task];
            head.last_sequence += 1;
            head.is_dirty = true;
            let task_row = row_of(task);
            let named: &dyn ToSql = if self.layout.text_key { &head.key } else { &task_row };
            // Overlapping pieces: SQLite does not compare them with one another.
            let bytes = self.data.bytes(PAYLOAD_BYTES);
            let digest = |piece: usize| &bytes[piece * DIGEST_BYTES..(piece + 1) * DIGEST_BYTES];
            let (salt, evidence) = (&bytes[..SALT_BYTES], &bytes[..EVIDENCE_BYTES]);
            insert.execute(params![
                &id[..],
                named,
                head.last_sequence,
                head.key,
                CREATED_AT,
                salt,
                digest(0),
                digest(1),
                digest(2),
                digest(3),
                evidence,
                bytes
            ])?;
        }
        self.rows += rows;
        let mut move_head = self.connection.prepare_cached(sql::layout::MOVE_HEAD)?;
        for (task, head) in self.heads.iter_mut().enumerate().filter(|(_, head)| head.is_dirty) {
            move_head.execute(params![row_of(task), head.last_sequence, self.data.bytes(DIGEST_BYTES)])?;
            head.is_dirty = false;
        }
        Ok(())
    }
}
