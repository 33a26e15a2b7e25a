//! What the writer knows of its write-ahead log, counted in pages: how long it is, how much of it is surely on the
//! device, when it is to be folded into the file.

use std::cell::Cell;
use std::path::Path;

use rusqlite::Connection;

use crate::sqlite::log::{self, Synced};
use crate::sqlite::options::SqliteOptions;

thread_local! {
    /// Pages in the log after the commit that this thread made last: SQLite tells it to a hook without a context, and
    /// only when the commit has written a page.
    static PAGES: Cell<u32> = const { Cell::new(0) };
    /// Commits of this thread that have written a page.
    static COMMITS: Cell<u64> = const { Cell::new(0) };
}

/// Counts the pages of the log with every commit of this connection.
pub(super) fn count(connection: &Connection) {
    connection.wal_hook(Some(|_, pages| {
        PAGES.set(u32::try_from(pages).unwrap_or(0));
        COMMITS.set(COMMITS.get() + 1);
        Ok(())
    }));
}

/// Pages in the log after the commit that this thread made last.
pub(super) fn after_commit() -> u32 {
    PAGES.get()
}

/// Commits of this thread that have written a page.
pub(super) fn commits() -> u64 {
    COMMITS.get()
}

/// Before another file is opened on this thread.
pub(super) fn forget() {
    PAGES.set(0);
}

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Log {
    pub(super) pages: u32,
    /// Those that are surely on the device: synced after they were written, and before any sync failed. None where
    /// powersafe overwrite is declared off: there SQLite goes on writing copies of the last frame behind the sync.
    pub(super) synced: Synced,
    tells_synced: bool,
    /// `PRAGMA data_version` when that was last so. Once somebody else has committed, nothing is known.
    version: i64,
    pub(super) folded_at: u32,
    pub(super) fold_every: u32,
    /// Erased bytes stand in it, or may: whoever left this log behind may have been killed before he could cut it.
    pub(super) holds_erased: bool,
}

impl Log {
    /// Of a file that was just opened, and whether somebody has left a log beside it.
    pub(super) fn new(options: &SqliteOptions, version: i64, inherited: bool) -> Self {
        Self {
            pages: 0,
            synced: Synced::default(),
            tells_synced: options.powersafe_overwrite,
            version,
            folded_at: 0,
            fold_every: options.wal_pages,
            holds_erased: inherited,
        }
    }

    /// The data version is this one now, under the write lock.
    pub(super) fn seen(&mut self, version: i64) {
        if version != self.version {
            (self.version, self.synced) = (version, Synced::default());
        }
    }

    /// Everything that stands in the log at `path` now is on the device: a commit that wrote a page has synced it.
    pub(super) fn note_synced(&mut self, path: &Path) {
        if !self.tells_synced {
            return;
        }
        let frames = PAGES.get();
        // The file is read only where the log may have been begun anew.
        let salts = if frames > self.synced.frames && self.synced.frames > 0 {
            self.synced.salts
        } else {
            log::salts(path).unwrap_or_default()
        };
        self.synced = Synced { frames, salts };
    }

    /// Whether the last commit left something in it that it did not sync.
    pub(super) fn has_unsynced(&self) -> bool {
        self.tells_synced && self.synced.frames < self.pages
    }

    /// Whether it has grown enough, or holds what must go.
    pub(super) fn is_to_be_folded(&mut self) -> bool {
        if self.pages < self.folded_at {
            self.folded_at = 0;
        }
        self.holds_erased || self.pages - self.folded_at >= self.fold_every
    }
}
