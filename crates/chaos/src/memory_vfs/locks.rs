//! The locks of the connections to one device: those on the database file and those on the shared memory.
//! <https://www.sqlite.org/lockingv3.html>, <https://www.sqlite.org/walformat.html#locks>.

use rusqlite::ffi;

/// What each open database file holds. All of them are of one process.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: Vec<Held>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    file: u64,
    /// `SQLITE_LOCK_NONE` to `SQLITE_LOCK_EXCLUSIVE`.
    level: i32,
    /// Locks on the shared memory, a bit each.
    shared: u32,
    exclusive: u32,
}

impl Locks {
    /// Files that are open.
    pub(super) fn open(&self) -> usize {
        self.held.len()
    }

    pub(super) fn add(&mut self, file: u64) {
        self.held.push(Held { file, level: ffi::SQLITE_LOCK_NONE, shared: 0, exclusive: 0 });
    }

    pub(super) fn remove(&mut self, file: u64) {
        self.held.retain(|held| held.file != file);
    }

    fn others(&self, file: u64) -> impl Iterator<Item = &Held> {
        self.held.iter().filter(move |held| held.file != file)
    }

    fn own(&mut self, file: u64) -> Option<&mut Held> {
        self.held.iter_mut().find(|held| held.file == file)
    }

    /// Raises a lock; whether that could be done.
    pub(super) fn raise(&mut self, file: u64, to: i32) -> bool {
        let highest = self.others(file).map(|held| held.level).max().unwrap_or(ffi::SQLITE_LOCK_NONE);
        let Some(own) = self.own(file) else { return false };
        if own.level >= to {
            return true;
        }
        let is_free = match to {
            ffi::SQLITE_LOCK_SHARED => highest < ffi::SQLITE_LOCK_PENDING,
            ffi::SQLITE_LOCK_RESERVED => highest < ffi::SQLITE_LOCK_RESERVED,
            _ => highest == ffi::SQLITE_LOCK_NONE,
        };
        if is_free {
            own.level = to;
        } else if to == ffi::SQLITE_LOCK_EXCLUSIVE && highest < ffi::SQLITE_LOCK_RESERVED {
            // Readers may finish; no new one comes.
            own.level = ffi::SQLITE_LOCK_PENDING;
        }
        is_free
    }

    pub(super) fn lower(&mut self, file: u64, to: i32) {
        if let Some(own) = self.own(file) {
            own.level = own.level.min(to);
        }
    }

    /// Whether anybody means to write.
    pub(super) fn is_reserved(&self) -> bool {
        self.held.iter().any(|held| held.level >= ffi::SQLITE_LOCK_RESERVED)
    }

    /// Locks `mask` of the shared memory; whether that could be done.
    pub(super) fn share(&mut self, file: u64, mask: u32, is_exclusive: bool) -> bool {
        let taken = self
            .others(file)
            .fold(0, |taken, held| taken | held.exclusive | if is_exclusive { held.shared } else { 0 });
        if taken & mask != 0 {
            return false;
        }
        let Some(own) = self.own(file) else { return false };
        if is_exclusive {
            own.exclusive |= mask;
        } else {
            own.shared |= mask;
        }
        true
    }

    pub(super) fn unshare(&mut self, file: u64, mask: u32) {
        if let Some(own) = self.own(file) {
            own.shared &= !mask;
            own.exclusive &= !mask;
        }
    }
}
