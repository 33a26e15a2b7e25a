//! Where the databases of the schedules live, each for one schedule.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static PARENT: OnceLock<PathBuf> = OnceLock::new();
static MADE: AtomicU64 = AtomicU64::new(0);

/// They live in here.
pub(crate) fn choose(parent: &Path) {
    PARENT.get_or_init(|| parent.to_owned());
}

/// A folder of one schedule's own, removed when it is dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn make() -> Self {
        let parent = PARENT.get().cloned().unwrap_or_default();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let own = parent.join(format!("schedule-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&own).unwrap_or_else(|error| panic!("{}: {error}", own.display()));
        Self(own)
    }

    pub(super) fn database(&self) -> PathBuf {
        self.0.join("explored.db")
    }

    /// Whether the database has a write-ahead log beside it.
    pub(super) fn has_log(&self) -> bool {
        self.0.join("explored.db-wal").exists()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind goes with the campaign's folder.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
