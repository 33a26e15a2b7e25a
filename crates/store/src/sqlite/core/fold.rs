//! Folding the write-ahead log into the file, between the groups: never while what stands in it may not be on the device.

use std::time::Duration;

use crate::batch::Durability;
use crate::env::Failpoint;
use crate::error::StoreError;
use crate::sqlite::log::Synced;
use crate::sqlite::{pages, sql};

use super::{SqliteCore, State, is_io};

impl SqliteCore {
    /// Folds the write-ahead log into the file when it has grown enough. Never waits for readers.
    pub fn fold_log_if_due(&mut self) {
        // Folding a log of which a part never reached the device could leave neither log nor file whole.
        if self.state != State::Sound {
            return;
        }
        if !self.log.is_to_be_folded() {
            return;
        }
        // Should the fold fail half-way, the log must not be written over where the file rests on it.
        if self.log.has_unsynced() && self.sync_log().is_err() {
            return;
        }
        self.env.reach(Failpoint::WAL_CHECKPOINT_BEFORE);
        // A failure leaves the log as it is, to be folded another time; its pages are read from there till then. But
        // its sync may have been what failed.
        let how = if self.log.holds_erased {
            sql::transaction::WAL_TRUNCATE
        } else {
            sql::transaction::WAL_CHECKPOINT
        };
        match self.connection.query_row(how, [], |row| row.get::<_, bool>(0)) {
            // A reader in the way: the log is cut short another time.
            Ok(is_busy) => {
                self.log.holds_erased &= is_busy;
                // The next commit may begin the log anew.
                self.log.synced = Synced::default();
            }
            Err(error) => {
                if is_io(&error.into()) {
                    self.state = State::Unsynced;
                }
            }
        }
        self.log.folded_at = self.log.pages;
        self.env.reach(Failpoint::WAL_CHECKPOINT_AFTER);
    }

    /// Syncs what relaxed commits have left in the log, by a commit that writes a page.
    fn sync_log(&mut self) -> Result<(), StoreError> {
        self.begin(Durability::Durable, Duration::ZERO)?;
        let committed =
            self.execute(sql::transaction::MARKER).and_then(|()| self.execute(sql::transaction::COMMIT));
        match committed {
            Ok(()) => {
                self.log.pages = pages::after_commit();
                self.env.reach(Failpoint::MARKER_AFTER);
                self.log.note_synced(&self.files.1);
                Ok(())
            }
            Err(trouble) => {
                self.roll_back();
                if is_io(&trouble) {
                    self.state = State::Unsynced;
                }
                Err(trouble.not_applied())
            }
        }
    }
}
