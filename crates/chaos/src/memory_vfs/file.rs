//! One open file: which one it is, and the methods by which SQLite uses it.
//!
//! Unsafe because SQLite allocates these files as raw memory and calls the methods below with pointers into it. What
//! each one may assume is SQLite's own contract for `sqlite3_io_methods`.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::{ptr, slice};

use rusqlite::ffi;

use super::device::Device;
use super::files::{Name, write_at};
use super::object::SharedMemory;

/// The URI parameter that declares powersafe overwrite.
pub(super) const PSOW: &CStr = c"psow";

/// An open file. SQLite sees its first field and takes it for its own `sqlite3_file`.
#[repr(C)]
pub(super) struct MemoryFile {
    base: ffi::sqlite3_file,
    device: &'static Device,
    kind: Kind,
}

enum Kind {
    Named {
        name: Name,
        number: u64,
        /// Whether the next sync takes the folder with it.
        syncs_folder: bool,
        psow: bool,
    },
    /// Its own, and gone with it.
    Temporary(Vec<u8>),
}

impl MemoryFile {
    /// The bytes of one.
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // a few machine words
    pub(super) const SIZE: c_int = size_of::<Self>() as c_int;

    /// Makes an open file of `file`.
    ///
    /// # Safety
    /// `file` points to memory for [`MemoryFile::SIZE`] bytes, aligned as SQLite aligns it.
    pub(super) unsafe fn write_named(
        file: *mut ffi::sqlite3_file,
        device: &'static Device,
        name: Name,
        number: u64,
        syncs_folder: bool,
        psow: bool,
    ) {
        let kind = Kind::Named { name, number, syncs_folder, psow };
        // SAFETY: by the contract above there is room.
        unsafe { Self::put(file, device, kind) };
    }

    /// Makes an open file without a name of `file`.
    ///
    /// # Safety
    /// As for [`write_named`](Self::write_named).
    pub(super) unsafe fn write_temporary(file: *mut ffi::sqlite3_file, device: &'static Device) {
        // SAFETY: by the contract above there is room.
        unsafe { Self::put(file, device, Kind::Temporary(Vec::new())) };
    }

    unsafe fn put(file: *mut ffi::sqlite3_file, device: &'static Device, kind: Kind) {
        let base = ffi::sqlite3_file { pMethods: &raw const METHODS };
        // SAFETY: both callers promise the room.
        unsafe { file.cast::<Self>().write(Self { base, device, kind }) };
    }
}

/// The file that SQLite calls a method of.
///
/// # Safety
/// [`MemoryFile`] has made it, and it is not closed; SQLite uses a file on one thread at a time.
unsafe fn own<'file>(file: *mut ffi::sqlite3_file) -> &'file mut MemoryFile {
    // SAFETY: so says the contract above.
    unsafe { &mut *file.cast::<MemoryFile>() }
}

fn place(offset: ffi::sqlite3_int64) -> usize {
    usize::try_from(offset).unwrap_or(0)
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes open files, once.
    unsafe {
        if let MemoryFile { device, kind: Kind::Named { name: Name::Database, number, .. }, .. } = own(file) {
            device.state().locks.remove(*number);
        }
        ptr::drop_in_place(file.cast::<MemoryFile>());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    amount: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite calls methods of open files only, and gives room for so many bytes.
    let (file, buffer) =
        unsafe { (own(file), slice::from_raw_parts_mut(buffer.cast::<u8>(), place(amount.into()))) };
    let copy_from = |content: &[u8], buffer: &mut [u8]| {
        let rest = content.get(place(offset)..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        // A short read must fill up with zeros.
        buffer[count..].fill(0);
        count == buffer.len()
    };
    let is_whole = match &file.kind {
        Kind::Named { name, .. } => {
            copy_from(file.device.state().files.get(*name).unwrap_or_default(), buffer)
        }
        Kind::Temporary(content) => copy_from(content, buffer),
    };
    if is_whole { ffi::SQLITE_OK } else { ffi::SQLITE_IOERR_SHORT_READ }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    buffer: *const c_void,
    amount: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite calls methods of open files only, and gives so many bytes.
    let (file, bytes) =
        unsafe { (own(file), slice::from_raw_parts(buffer.cast::<u8>(), place(amount.into()))) };
    match &mut file.kind {
        Kind::Named { name, .. } => file.device.state().write(*name, place(offset), bytes),
        Kind::Temporary(content) => write_at(content, place(offset), bytes),
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite calls methods of open files only.
    let file = unsafe { own(file) };
    match &mut file.kind {
        Kind::Named { name, .. } => file.device.state().truncate(*name, place(size)),
        Kind::Temporary(content) => content.resize(place(size), 0),
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: SQLite calls methods of open files only.
    let file = unsafe { own(file) };
    if let Kind::Named { name, syncs_folder, .. } = &mut file.kind {
        if !file.device.state().sync(*name, *syncs_folder) {
            return ffi::SQLITE_IOERR_FSYNC;
        }
        *syncs_folder = false;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite calls methods of open files only.
    let file = unsafe { own(file) };
    let length = match &file.kind {
        Kind::Named { name, .. } => file.device.state().files.length(*name),
        Kind::Temporary(content) => content.len(),
    };
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *out = i64::try_from(length).unwrap_or(i64::MAX) };
    ffi::SQLITE_OK
}

/// Calls a method of the locks for a database file; the last argument is what another file answers.
macro_rules! locks {
    ($file:ident, |$locks:ident, $number:ident| $call:expr, $other:expr) => {{
        // SAFETY: SQLite calls methods of open files only.
        let file = unsafe { own($file) };
        match &file.kind {
            Kind::Named { name: Name::Database, number, .. } => {
                let ($locks, $number) = (&mut file.device.state().locks, *number);
                $call
            }
            _ => $other,
        }
    }};
}

fn or_busy(is_free: bool) -> c_int {
    if is_free { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    or_busy(locks!(file, |locks, number| locks.raise(number, level), true))
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    locks!(file, |locks, number| locks.lower(number, level), ());
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    let is_reserved = locks!(file, |locks, _number| locks.is_reserved(), false);
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *out = c_int::from(is_reserved) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_file: *mut ffi::sqlite3_file, _op: c_int, _arg: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite calls methods of open files only.
    unsafe { own(file) }.device.state().sector_bytes
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite calls methods of open files only.
    match unsafe { own(file) }.kind {
        Kind::Named { psow: false, .. } => 0,
        _ => ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE,
    }
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    if !SharedMemory::fits(size) {
        return ffi::SQLITE_IOERR_SHMMAP;
    }
    // SAFETY: SQLite calls methods of open files only, and gives a place for the answer.
    unsafe { *out = own(file).device.state().shared.region(place(region.into()), extend != 0) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    let mask = ((1_u32 << count) - 1) << offset;
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        locks!(file, |locks, number| locks.unshare(number, mask), ());
        return ffi::SQLITE_OK;
    }
    let is_exclusive = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
    or_busy(locks!(file, |locks, number| locks.share(number, mask, is_exclusive), true))
}

unsafe extern "C" fn shm_barrier(_file: *mut ffi::sqlite3_file) {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: SQLite calls methods of open files only.
    let file = unsafe { own(file) };
    let mut state = file.device.state();
    if let Kind::Named { number, .. } = &file.kind {
        state.locks.unshare(*number, u32::MAX);
    }
    // The last one takes it away; so does the last one to close on a disk, where the next one begins it anew.
    if delete != 0 || state.locks.open() == 1 {
        state.shared.clear();
    }
    ffi::SQLITE_OK
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
