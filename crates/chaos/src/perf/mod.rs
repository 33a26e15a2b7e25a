//! What speed is measured against, and how: a bare SQLite table as the floor, samples and paired
//! runs, and the trial of table layouts that chose the store's own.
//!
//! A figure in rows a second says as much about the disk as about the program. So everything is
//! measured as a share of the [`Floor`] beside it: the same process, the same folder, the two
//! taking turns ([`paired`]), the median of the ratios.
//!
//! **The page cache.** A SQLite that was built with `SQLITE_ENABLE_MEMORY_MANAGEMENT` keeps the
//! pages of all connections of a process in one list. Two files that take turns then push out each
//! other's pages, and the one that was opened first was seen to be slower by a third and more, for
//! no merit of the other. [`Floor::shares_page_cache`] tells whether that is so. [`layouts()`] opens
//! its files in alternating order, so that neither side has the better place more often.

mod args;
mod bare;
mod cases;
mod closed;
mod data;
mod file;
pub mod floor;
pub mod layouts;
mod queue;
mod same_rows;
mod sql;
pub mod stats;
mod subject;
mod table;
mod variant;

#[cfg(test)]
mod tests;

use std::io;

pub use args::PerfArgs;
pub use cases::{CommitterArgs, CommitterError, commit_at_random};
pub use floor::{Floor, FloorOptions, Lookup};
pub use layouts::{LayoutFigure, LayoutOptions, LayoutReport, layouts};
pub use stats::{Paired, Samples, Summary, paired};
pub use table::GroupRun;

/// Bytes of payload in a row, of the floor as of the layouts.
pub const PAYLOAD_BYTES: usize = 1024;
/// Tasks whose rows arrive in turn.
pub const TASKS: usize = 100;
/// Bytes of a value that [`Floor::point_select`] reads.
pub const VALUE_BYTES: usize = 2048;

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PerfError {
    /// What SQLite answered.
    #[error("the database of a measurement: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// What the file system answered.
    #[error("the folder of a measurement: {0}")]
    Io(#[from] io::Error),
    /// A pragma did not take: the file would not be what the figures say it is.
    #[error("{setting} is {actual}, not {wanted}")]
    Setting {
        /// The pragma.
        setting: &'static str,
        /// What was asked for.
        wanted: String,
        /// What it is.
        actual: String,
    },
    /// A value that was read does not match the digest stored beside it.
    #[error("the value under key {0} does not match its digest")]
    Damaged(usize),
}
