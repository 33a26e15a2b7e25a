//! Every bound of the store, in one place, with its unit. Each is checked before anything is written.

use std::time::Duration;

/// Longest text id (task, work item, holder, label), in bytes of UTF-8.
pub const ID_BYTES_MAX: usize = 200;
/// Longest operation key, in bytes of UTF-8.
pub const KEY_BYTES_MAX: usize = 512;
/// Largest single payload (task input or result, checkpoint, evidence, operation output), in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most commands in one batch.
pub const BATCH_COMMANDS_MAX: usize = 1_024;
/// Largest sum of payload bytes in one batch.
pub const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most rows a page read returns, and most items one claim or one sweep page takes.
pub const PAGE_ROWS_MAX: u32 = 1_000;
/// Payload bytes after which a page read stops early; it always returns at least one row.
pub const PAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Shortest lease or operation term.
pub const TERM_MIN: Duration = Duration::from_millis(10);
/// Longest lease or operation term: a week. A longer one would only hide a dead worker.
pub const TERM_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Longest delay of an enqueued or retried item: a year.
pub const DELAY_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
/// Most work types that one claim may name.
pub const KINDS_MAX: usize = 32;
/// Longest detail kept with a verification or a settlement, in bytes of UTF-8; the rest is cut at a character's
/// boundary.
pub const DETAIL_BYTES_MAX: usize = 4_096;
/// Most attempts an item may be given.
pub const ATTEMPTS_MAX: u32 = 1_000_000;
/// How long a commit waits for room in the queue and for the write lock when its batch names no deadline.
pub const COMMIT_WAIT_DEFAULT: Duration = Duration::from_secs(30);
