//! The device under the database: a script of faults, and a model of what a failed sync does to the
//! page cache.
//!
//! The model is that of ext4 and XFS on Linux: a page whose write-out failed keeps its new content
//! in memory but counts as clean, so no later sync writes it unless it is written to again (Rebello
//! et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). It says what the
//! device surely has; a device may have more.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

use steadfast_chaos::vfs::{Fault, FileFaults, FileOp, FileRole, OpKind, Script};

/// The unit of the page cache, in bytes.
const PAGE: u64 = 4096;

/// A script of faults whose failed syncs of the WAL drop what was to be written.
#[derive(Debug, Default)]
pub(super) struct Device {
    pub(super) script: Script,
    wal: Mutex<Pages>,
}

/// For each page of the WAL file, the bytes of it that are newer in memory than on the device.
#[derive(Debug, Default)]
struct Pages {
    /// The next sync writes them.
    dirty: BTreeMap<u64, Range<u64>>,
    /// No sync writes them, unless their page becomes dirty again.
    dropped: BTreeMap<u64, Range<u64>>,
}

impl Device {
    /// The bytes of the WAL that a power loss would take now, as JSON: a list of `{start, end}`.
    pub(super) fn unwritten(&self) -> String {
        let pages = self.wal.lock().unwrap();
        let ranges: Vec<_> = pages.dirty.values().chain(pages.dropped.values()).collect();
        serde_json::to_string(&ranges).unwrap()
    }

    /// So many bytes from the start of the WAL were written again and synced, past this VFS.
    pub(super) fn rewrote_and_synced(&self, bytes: usize) {
        let mut pages = self.wal.lock().unwrap();
        pages.write(&(0..u64::try_from(bytes).unwrap()));
        pages.dirty.clear();
    }
}

impl FileFaults for Device {
    fn before(&self, op: &FileOp) -> Fault {
        let fault = self.script.before(op);
        if op.file == FileRole::Wal {
            let mut pages = self.wal.lock().unwrap();
            match (op.kind, fault) {
                (OpKind::Write, Fault::Pass) => pages.write(&(op.offset..op.offset + op.length)),
                (OpKind::Sync, Fault::Pass) => pages.dirty.clear(),
                (OpKind::Sync, _) => pages.drop_dirty(),
                (OpKind::Truncate | OpKind::Delete, Fault::Pass) => *pages = Pages::default(),
                _ => {}
            }
        }
        fault
    }
}

impl Pages {
    fn write(&mut self, bytes: &Range<u64>) {
        for page in bytes.start / PAGE..bytes.end.div_ceil(PAGE) {
            let here = bytes.start.max(page * PAGE)..bytes.end.min((page + 1) * PAGE);
            let before = self.dirty.remove(&page).or_else(|| self.dropped.remove(&page));
            let all = before.map_or(here.clone(), |old| old.start.min(here.start)..old.end.max(here.end));
            self.dirty.insert(page, all);
        }
    }

    fn drop_dirty(&mut self) {
        self.dropped.append(&mut self.dirty);
    }
}
