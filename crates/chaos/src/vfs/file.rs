//! One open file: a header of ours, and right behind it the real VFS's own structure.
//!
//! Unsafe because SQLite allocates these files as raw memory and calls the methods below with
//! pointers into it. What each one may assume is SQLite's own contract for `sqlite3_io_methods`.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::ptr;

use rusqlite::ffi;

use super::shim::{Shim, Verdict};
use super::{FileRole, OpKind};

/// The header of an open file. SQLite sees its first field and takes it for its own `sqlite3_file`.
#[repr(C)]
pub(super) struct ShimFile {
    base: ffi::sqlite3_file,
    shim: &'static Shim,
    role: FileRole,
}

impl ShimFile {
    /// The bytes of the header; the real VFS's structure begins right behind it.
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // a few machine words
    pub(super) const SIZE: c_int = size_of::<Self>() as c_int;

    /// Opens the real file behind the header and, when that went well, fills in the header.
    ///
    /// # Safety
    /// `file` points to memory for [`ShimFile::SIZE`] bytes and the real VFS's `szOsFile`, aligned
    /// as SQLite aligns it; the other pointers are what SQLite gave to `xOpen`.
    pub(super) unsafe fn open(
        file: *mut ffi::sqlite3_file,
        shim: &'static Shim,
        role: FileRole,
        real: *mut ffi::sqlite3_vfs,
        name: ffi::sqlite3_filename,
        flags: c_int,
        flags_out: *mut c_int,
    ) -> c_int {
        // SAFETY: by the contract above there is room behind the header, and the real VFS
        // initialises it.
        unsafe {
            let inner = inner(file);
            (*inner).pMethods = ptr::null();
            let rc = (*real).xOpen.map_or(ffi::SQLITE_CANTOPEN, |f| f(real, name, inner, flags, flags_out));
            let methods = (*inner).pMethods;
            if methods.is_null() {
                return if rc == ffi::SQLITE_OK { ffi::SQLITE_CANTOPEN } else { rc };
            }
            if rc != ffi::SQLITE_OK {
                if let Some(close) = (*methods).xClose {
                    close(inner);
                }
                return rc;
            }
            let base = ffi::sqlite3_file { pMethods: methods_of_version((*methods).iVersion) };
            file.cast::<Self>().write(Self { base, shim, role });
            rc
        }
    }

    /// Closes a file that [`ShimFile::open`] has opened, and tells SQLite that there is none.
    ///
    /// # Safety
    /// `file` was opened and is not used again.
    pub(super) unsafe fn abandon(file: *mut ffi::sqlite3_file) {
        // SAFETY: by the contract above the file is open, so `close` may be called once.
        unsafe {
            close(file);
            (*file).pMethods = ptr::null();
        }
    }
}

/// The real VFS's structure behind a header.
///
/// # Safety
/// `file` points to memory as [`ShimFile::open`] demands it.
unsafe fn inner(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: the real structure's room begins one header further, within the same allocation.
    unsafe { file.cast::<ShimFile>().add(1).cast::<ffi::sqlite3_file>() }
}

/// Calls a method of the real file; the last argument is the answer should the real file lack it.
macro_rules! real {
    ($file:ident.$method:ident($($arg:expr),*) or $missing:expr) => {
        // SAFETY: SQLite calls the methods of a file that `open` has filled in, so the real file
        // behind it is open too; it gets its own structure and the arguments as they came.
        unsafe {
            let inner = inner($file);
            match (*(*inner).pMethods).$method {
                Some(method) => method(inner $(, $arg)*),
                None => $missing,
            }
        }
    };
}

/// A method of SQLite's that is handed on as it came.
macro_rules! hand_on {
    ($name:ident = $method:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?, $missing:expr) => {
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file, $($arg: $type),*) $(-> $result)? {
            real!(file.$method($($arg),*) or $missing)
        }
    };
}

/// The header of a file that SQLite calls a method of.
///
/// # Safety
/// [`ShimFile::open`] has filled `file` in and it is not closed.
unsafe fn header<'file>(file: *mut ffi::sqlite3_file) -> &'file ShimFile {
    // SAFETY: so says the contract above; nothing writes to the header before the file is closed.
    unsafe { &*file.cast::<ShimFile>() }
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    amount: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite calls methods of open files only.
    let ShimFile { shim, role, .. } = unsafe { header(file) };
    let op = shim.op(OpKind::Read, *role, offset, amount);
    match shim.before(&op) {
        Verdict::Go => {
            let rc = real!(file.xRead(buffer, amount, offset) or ffi::SQLITE_IOERR_READ);
            shim.after(&op, rc)
        }
        Verdict::Answer(rc) | Verdict::Short(_, rc) => rc,
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    buffer: *const c_void,
    amount: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite calls methods of open files only.
    let ShimFile { shim, role, .. } = unsafe { header(file) };
    let op = shim.op(OpKind::Write, *role, offset, amount);
    match shim.before(&op) {
        Verdict::Go => {
            let rc = real!(file.xWrite(buffer, amount, offset) or ffi::SQLITE_IOERR_WRITE);
            shim.after(&op, rc)
        }
        Verdict::Answer(rc) => rc,
        Verdict::Short(bytes, rc) => {
            let part = c_int::try_from(bytes).unwrap_or(amount).min(amount);
            if part > 0 {
                // Whether the part was written changes nothing: the answer is a failure either way.
                let _ = real!(file.xWrite(buffer, part, offset) or ffi::SQLITE_IOERR_WRITE);
            }
            rc
        }
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite calls methods of open files only.
    let ShimFile { shim, role, .. } = unsafe { header(file) };
    let op = shim.op(OpKind::Truncate, *role, size, 0);
    match shim.before(&op) {
        Verdict::Go => {
            let rc = real!(file.xTruncate(size) or ffi::SQLITE_IOERR_TRUNCATE);
            shim.after(&op, rc)
        }
        Verdict::Answer(rc) | Verdict::Short(_, rc) => rc,
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: SQLite calls methods of open files only.
    let ShimFile { shim, role, .. } = unsafe { header(file) };
    let op = shim.op(OpKind::Sync, *role, 0, 0);
    match shim.before(&op) {
        Verdict::Go => {
            let rc = real!(file.xSync(flags) or ffi::SQLITE_IOERR_FSYNC);
            shim.after(&op, rc)
        }
        Verdict::Answer(rc) | Verdict::Short(_, rc) => rc,
    }
}

hand_on!(close = xClose() -> c_int, ffi::SQLITE_IOERR_CLOSE);
hand_on!(file_size = xFileSize(out: *mut ffi::sqlite3_int64) -> c_int, ffi::SQLITE_IOERR_FSTAT);
hand_on!(lock = xLock(level: c_int) -> c_int, ffi::SQLITE_IOERR_LOCK);
hand_on!(unlock = xUnlock(level: c_int) -> c_int, ffi::SQLITE_IOERR_UNLOCK);
hand_on!(
    check_reserved_lock = xCheckReservedLock(out: *mut c_int) -> c_int,
    ffi::SQLITE_IOERR_CHECKRESERVEDLOCK
);
hand_on!(file_control = xFileControl(op: c_int, arg: *mut c_void) -> c_int, ffi::SQLITE_NOTFOUND);
hand_on!(sector_size = xSectorSize() -> c_int, 0);
hand_on!(device_characteristics = xDeviceCharacteristics() -> c_int, 0);
hand_on!(
    shm_map = xShmMap(region: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int,
    ffi::SQLITE_IOERR_SHMMAP
);
hand_on!(shm_lock = xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int, ffi::SQLITE_IOERR_SHMLOCK);
hand_on!(shm_barrier = xShmBarrier(), ());
hand_on!(shm_unmap = xShmUnmap(delete: c_int) -> c_int, ffi::SQLITE_OK);
hand_on!(
    fetch = xFetch(offset: ffi::sqlite3_int64, amount: c_int, out: *mut *mut c_void) -> c_int,
    ffi::SQLITE_IOERR_MMAP
);
hand_on!(unfetch = xUnfetch(offset: ffi::sqlite3_int64, page: *mut c_void) -> c_int, ffi::SQLITE_OK);

/// Methods that claim no more than the real file has: version 2 adds shared memory, version 3
/// memory maps.
fn methods_of_version(version: c_int) -> *const ffi::sqlite3_io_methods {
    static V1: ffi::sqlite3_io_methods = methods(1);
    static V2: ffi::sqlite3_io_methods = methods(2);
    static V3: ffi::sqlite3_io_methods = methods(3);
    match version {
        ..=1 => &raw const V1,
        2 => &raw const V2,
        3.. => &raw const V3,
    }
}

const fn methods(version: c_int) -> ffi::sqlite3_io_methods {
    ffi::sqlite3_io_methods {
        iVersion: version,
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
        xFetch: Some(fetch),
        xUnfetch: Some(unfetch),
    }
}
