//! The VFS object: opening, removing, and handing everything else on.
//!
//! Unsafe because it *is* the C interface: SQLite calls these functions with raw pointers, and they
//! call the real VFS the same way. What each one may assume is SQLite's own contract for
//! `sqlite3_vfs`.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{ptr, thread};

use rusqlite::ffi;

use super::file::ShimFile;
use super::{ErrorCode, Fault, FileFaults, FileOp, FileRole, OpKind, RegisterError};

/// What one registration holds; leaked, and reached through `pAppData` and from each open file.
pub(super) struct Shim {
    real: *mut ffi::sqlite3_vfs,
    name: CString,
    faults: Arc<dyn FileFaults>,
    next_index: AtomicU64,
}

/// How an operation may go on after its fault was asked.
pub(super) enum Verdict {
    /// Do it.
    Go,
    /// Do not do it; answer this.
    Answer(c_int),
    /// Write so many bytes, then answer this.
    Short(u64, c_int),
}

impl Shim {
    /// Names an operation that is about to happen.
    pub(super) fn op(&self, kind: OpKind, file: FileRole, offset: i64, length: c_int) -> FileOp {
        FileOp {
            kind,
            file,
            offset: u64::try_from(offset).unwrap_or(0),
            length: u64::try_from(length).unwrap_or(0),
            index: self.next_index.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Asks the fault about it, and sleeps if it says so.
    pub(super) fn before(&self, op: &FileOp) -> Verdict {
        match catch_unwind(AssertUnwindSafe(|| self.faults.before(op))) {
            Ok(Fault::Pass) => Verdict::Go,
            Ok(Fault::Delay(pause)) => {
                thread::sleep(pause);
                Verdict::Go
            }
            Ok(Fault::Fail(code)) => Verdict::Answer(answer(op.kind, code)),
            Ok(Fault::ShortWrite { bytes, code }) => Verdict::Short(bytes, answer(op.kind, code)),
            Err(_panic) => Verdict::Answer(ffi::SQLITE_IOERR),
        }
    }

    /// Tells the fault of an operation that went well; hands the answer on.
    pub(super) fn after(&self, op: &FileOp, rc: c_int) -> c_int {
        if rc != ffi::SQLITE_OK {
            return rc;
        }
        match catch_unwind(AssertUnwindSafe(|| self.faults.after(op))) {
            Ok(()) => rc,
            Err(_panic) => ffi::SQLITE_IOERR,
        }
    }
}

/// The result code with which SQLite's own VFS reports such a failure.
fn answer(kind: OpKind, code: ErrorCode) -> c_int {
    match (code, kind) {
        (ErrorCode::Full, _) => ffi::SQLITE_FULL,
        (ErrorCode::Io, OpKind::Open) => ffi::SQLITE_CANTOPEN,
        (ErrorCode::Io, OpKind::Read) => ffi::SQLITE_IOERR_READ,
        (ErrorCode::Io, OpKind::Write) => ffi::SQLITE_IOERR_WRITE,
        (ErrorCode::Io, OpKind::Truncate) => ffi::SQLITE_IOERR_TRUNCATE,
        (ErrorCode::Io, OpKind::Sync) => ffi::SQLITE_IOERR_FSYNC,
        (ErrorCode::Io, OpKind::Delete) => ffi::SQLITE_IOERR_DELETE,
    }
}

/// Builds the VFS object over the process's default one and registers it. The caller holds the lock
/// on names.
pub(super) fn register(name: CString, faults: Arc<dyn FileFaults>) -> Result<(), RegisterError> {
    // SAFETY: the name is a C string; SQLite initialises itself and only looks the name up.
    if !unsafe { ffi::sqlite3_vfs_find(name.as_ptr()) }.is_null() {
        return Err(RegisterError::NameTaken(name.to_string_lossy().into_owned()));
    }
    // SAFETY: a null name asks for the default VFS, which stays registered for the life of the
    // process.
    let real = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    if real.is_null() {
        return Err(RegisterError::Refused(ffi::SQLITE_ERROR));
    }
    // SAFETY: `real` was just found, so it points to a registered VFS; these fields do not change
    // after registration.
    let (version, real_size, path_max) = unsafe { ((*real).iVersion, (*real).szOsFile, (*real).mxPathname) };
    let shim = Box::leak(Box::new(Shim { real, name, faults, next_index: AtomicU64::new(0) }));
    let vfs = Box::into_raw(Box::new(ffi::sqlite3_vfs {
        iVersion: version.min(3),
        szOsFile: ShimFile::SIZE.saturating_add(real_size),
        mxPathname: path_max,
        pNext: ptr::null_mut(),
        zName: shim.name.as_ptr(),
        pAppData: ptr::from_ref::<Shim>(shim).cast::<c_void>().cast_mut(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xDlOpen: Some(dl_open),
        xDlError: Some(dl_error),
        xDlSym: Some(dl_sym),
        xDlClose: Some(dl_close),
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: Some(get_last_error),
        xCurrentTimeInt64: Some(current_time_int64),
        xSetSystemCall: Some(set_system_call),
        xGetSystemCall: Some(get_system_call),
        xNextSystemCall: Some(next_system_call),
    }));
    // SAFETY: the object and all it points to were leaked above, so they outlive every connection;
    // 0 keeps the default.
    match unsafe { ffi::sqlite3_vfs_register(vfs, 0) } {
        ffi::SQLITE_OK => Ok(()),
        refused => Err(RegisterError::Refused(refused)),
    }
}

/// The registration behind a VFS object.
///
/// # Safety
/// `vfs` is an object that [`register`] made.
unsafe fn shim_of(vfs: *mut ffi::sqlite3_vfs) -> &'static Shim {
    // SAFETY: `pAppData` of such an object is its leaked `Shim`, which is only ever shared.
    unsafe { &*(*vfs).pAppData.cast::<Shim>() }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls this with the object that was registered.
    let shim = unsafe { shim_of(vfs) };
    // SAFETY: SQLite gives `szOsFile` bytes for the file; null methods tell it that there is
    // nothing to close.
    unsafe { (*file).pMethods = ptr::null() };
    let role = role_of_flags(flags);
    let op = shim.op(OpKind::Open, role, 0, 0);
    match shim.before(&op) {
        Verdict::Go => {}
        Verdict::Answer(rc) | Verdict::Short(_, rc) => return rc,
    }
    // SAFETY: `file` has room for our part and, behind it, for the real VFS's; the other pointers
    // are SQLite's own.
    let rc = unsafe { ShimFile::open(file, shim, role, shim.real, name, flags, flags_out) };
    let answer = shim.after(&op, rc);
    if rc == ffi::SQLITE_OK && answer != rc {
        // SAFETY: the file was opened just now; SQLite will not close one whose opening failed.
        unsafe { ShimFile::abandon(file) };
    }
    answer
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_dir: c_int) -> c_int {
    // SAFETY: SQLite calls this with the object that was registered, and a C string.
    let (shim, path) = unsafe { (shim_of(vfs), CStr::from_ptr(name)) };
    let op = shim.op(OpKind::Delete, role_of_path(path.to_bytes()), 0, 0);
    match shim.before(&op) {
        Verdict::Go => {}
        Verdict::Answer(rc) | Verdict::Short(_, rc) => return rc,
    }
    // SAFETY: the real VFS gets its own object and the arguments as SQLite gave them.
    let rc =
        unsafe { (*shim.real).xDelete.map_or(ffi::SQLITE_IOERR_DELETE, |f| f(shim.real, name, sync_dir)) };
    shim.after(&op, rc)
}

fn role_of_flags(flags: c_int) -> FileRole {
    if flags & ffi::SQLITE_OPEN_MAIN_DB != 0 {
        FileRole::Database
    } else if flags & ffi::SQLITE_OPEN_WAL != 0 {
        FileRole::Wal
    } else if flags & ffi::SQLITE_OPEN_MAIN_JOURNAL != 0 {
        FileRole::Journal
    } else {
        FileRole::Other
    }
}

fn role_of_path(path: &[u8]) -> FileRole {
    if path.ends_with(b"-wal") {
        FileRole::Wal
    } else if path.ends_with(b"-journal") {
        FileRole::Journal
    } else {
        FileRole::Other
    }
}

/// A method that is the real VFS's own, called with the real object; the last expression is its
/// answer should the real VFS lack it.
macro_rules! hand_on {
    ($name:ident = $method:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?, $missing:expr) => {
        unsafe extern "C" fn $name(vfs: *mut ffi::sqlite3_vfs, $($arg: $type),*) $(-> $result)? {
            // SAFETY: SQLite calls this with the object that was registered; the real VFS gets its
            // own object and the arguments as they came.
            unsafe {
                let real = shim_of(vfs).real;
                match (*real).$method {
                    Some(method) => method(real, $($arg),*),
                    None => $missing,
                }
            }
        }
    };
}

type Symbol = Option<unsafe extern "C" fn(*mut ffi::sqlite3_vfs, *mut c_void, *const c_char)>;
type SystemCall = ffi::sqlite3_syscall_ptr;

hand_on!(
    access = xAccess(name: *const c_char, flags: c_int, out: *mut c_int) -> c_int,
    ffi::SQLITE_IOERR_ACCESS
);
hand_on!(
    full_pathname = xFullPathname(name: *const c_char, size: c_int, out: *mut c_char) -> c_int,
    ffi::SQLITE_CANTOPEN
);
hand_on!(dl_open = xDlOpen(name: *const c_char) -> *mut c_void, ptr::null_mut());
hand_on!(dl_error = xDlError(size: c_int, out: *mut c_char), ());
hand_on!(dl_sym = xDlSym(library: *mut c_void, symbol: *const c_char) -> Symbol, None);
hand_on!(dl_close = xDlClose(library: *mut c_void), ());
hand_on!(randomness = xRandomness(size: c_int, out: *mut c_char) -> c_int, 0);
hand_on!(sleep = xSleep(microseconds: c_int) -> c_int, 0);
hand_on!(current_time = xCurrentTime(out: *mut f64) -> c_int, ffi::SQLITE_ERROR);
hand_on!(get_last_error = xGetLastError(size: c_int, out: *mut c_char) -> c_int, 0);
hand_on!(current_time_int64 = xCurrentTimeInt64(out: *mut ffi::sqlite3_int64) -> c_int, ffi::SQLITE_ERROR);
hand_on!(
    set_system_call = xSetSystemCall(name: *const c_char, call: SystemCall) -> c_int,
    ffi::SQLITE_NOTFOUND
);
hand_on!(get_system_call = xGetSystemCall(name: *const c_char) -> SystemCall, None);
hand_on!(next_system_call = xNextSystemCall(name: *const c_char) -> *const c_char, ptr::null());
