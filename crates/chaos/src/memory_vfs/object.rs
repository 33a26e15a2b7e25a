//! The VFS object: opening, removing, looking whether a file is there; and the memory that connections share.
//!
//! Unsafe because it *is* the C interface: SQLite calls these functions with raw pointers. What each one may assume is
//! SQLite's own contract for `sqlite3_vfs`. Shared memory is handed to SQLite as raw pointers too.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use rusqlite::ffi;

use super::device::Device;
use super::file::{MemoryFile, PSOW};
use super::files::Name;
use crate::vfs::RegisterError;

/// The longest path, in bytes.
const PATH_MAX: c_int = 1024;
/// What SQLite asks for at once, in bytes.
const REGION_BYTES: usize = 32 * 1024;
/// 1970-01-01 as a Julian day number, in milliseconds, and some 56 years: nothing here hangs on it.
const NOW_JULIAN_MS: i64 = 210_866_760_000_000 + 1_795_500_000_000;

/// The memory that the connections of one device share: what the `-shm` file holds on a disk. It is lost with the
/// power, so nothing of it is recorded.
#[derive(Debug, Default)]
pub(super) struct SharedMemory {
    /// Kept for the next database, so that a pointer that SQLite holds never dangles.
    regions: Vec<*mut u64>,
    used: usize,
}

// SAFETY: the pointers are this structure's own allocations; what SQLite does through them it orders by its own locks,
// as it does for memory that processes share.
unsafe impl Send for SharedMemory {}

impl SharedMemory {
    /// The region of this number, made of zeros if it is not there and `extend` says so; null if not.
    pub(super) fn region(&mut self, number: usize, extend: bool) -> *mut c_void {
        if number >= self.used {
            if !extend {
                return ptr::null_mut();
            }
            while self.regions.len() <= number {
                let region: Box<[u64]> = vec![0; REGION_BYTES / size_of::<u64>()].into();
                self.regions.push(Box::into_raw(region).cast());
            }
            self.used = number + 1;
        }
        self.regions[number].cast()
    }

    /// Makes it empty.
    pub(super) fn clear(&mut self) {
        for region in &self.regions[..self.used] {
            // SAFETY: each region was allocated with so many bytes, and no connection is open that could use it.
            unsafe { region.cast::<u8>().write_bytes(0, REGION_BYTES) };
        }
        self.used = 0;
    }

    /// Whether SQLite asks for regions of the size that they have.
    pub(super) fn fits(bytes: c_int) -> bool {
        usize::try_from(bytes).is_ok_and(|bytes| bytes <= REGION_BYTES)
    }
}

/// Builds the VFS object and registers it. The caller holds the lock on names.
pub(super) fn register(name: CString) -> Result<&'static Device, RegisterError> {
    // SAFETY: the name is a C string; SQLite initialises itself and only looks the name up.
    if !unsafe { ffi::sqlite3_vfs_find(name.as_ptr()) }.is_null() {
        return Err(RegisterError::NameTaken(name.to_string_lossy().into_owned()));
    }
    let device: &'static Device = Box::leak(Box::new(Device::new()));
    let vfs = Box::into_raw(Box::new(ffi::sqlite3_vfs {
        iVersion: 2,
        szOsFile: MemoryFile::SIZE,
        mxPathname: PATH_MAX,
        pNext: ptr::null_mut(),
        zName: name.into_raw(),
        pAppData: ptr::from_ref(device).cast::<c_void>().cast_mut(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: Some(get_last_error),
        xCurrentTimeInt64: Some(current_time_int64),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }));
    // SAFETY: the object and all it points to were leaked above, so they outlive every connection; 0 keeps the
    // default VFS.
    match unsafe { ffi::sqlite3_vfs_register(vfs, 0) } {
        ffi::SQLITE_OK => Ok(device),
        refused => Err(RegisterError::Refused(refused)),
    }
}

/// The device behind a VFS object.
///
/// # Safety
/// `vfs` is an object that [`register`] made.
unsafe fn device_of(vfs: *mut ffi::sqlite3_vfs) -> &'static Device {
    // SAFETY: so says the contract above; the device was leaked and only shared references to it are handed out.
    unsafe { &*(*vfs).pAppData.cast::<Device>() }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls this with the object that was registered, room for a file, and a C string or null.
    unsafe {
        (*file).pMethods = ptr::null();
        if !flags_out.is_null() {
            *flags_out = flags;
        }
        let device = device_of(vfs);
        let is_named = !name.is_null()
            && flags & (ffi::SQLITE_OPEN_MAIN_DB | ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL) != 0;
        if !is_named {
            MemoryFile::write_temporary(file, device);
            return ffi::SQLITE_OK;
        }
        let role = Name::of_path(CStr::from_ptr(name).to_bytes());
        let creates = flags & ffi::SQLITE_OPEN_CREATE != 0;
        let mut state = device.state();
        if state.files.get(role).is_none() {
            if !creates {
                return ffi::SQLITE_CANTOPEN;
            }
            state.create(role);
        }
        let number = state.number();
        if role == Name::Database {
            state.locks.add(number);
        }
        drop(state);
        let is_main = flags & ffi::SQLITE_OPEN_MAIN_DB != 0;
        let psow = !is_main || ffi::sqlite3_uri_boolean(name, PSOW.as_ptr(), 1) != 0;
        MemoryFile::write_named(file, device, role, number, creates && !is_main, psow);
        ffi::SQLITE_OK
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_dir: c_int) -> c_int {
    // SAFETY: SQLite calls this with the object that was registered, and a C string.
    let (device, path) = unsafe { (device_of(vfs), CStr::from_ptr(name)) };
    if device.state().delete(Name::of_path(path.to_bytes()), sync_dir != 0) {
        ffi::SQLITE_OK
    } else {
        ffi::SQLITE_IOERR_DELETE_NOENT
    }
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls this with the object that was registered, a C string, and a place for the answer.
    unsafe {
        let name = Name::of_path(CStr::from_ptr(name).to_bytes());
        let state = device_of(vfs).state();
        let is_there = match flags {
            // An empty file counts as absent.
            ffi::SQLITE_ACCESS_EXISTS => state.files.length(name) > 0,
            _ => state.files.get(name).is_some(),
        };
        *out = c_int::from(is_there);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    size: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite calls this with a C string and room for `size` bytes.
    unsafe {
        let bytes = CStr::from_ptr(name).to_bytes_with_nul();
        if usize::try_from(size).is_ok_and(|size| bytes.len() <= size) {
            ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len());
            return ffi::SQLITE_OK;
        }
    }
    ffi::SQLITE_CANTOPEN
}

unsafe extern "C" fn randomness(_vfs: *mut ffi::sqlite3_vfs, size: c_int, out: *mut c_char) -> c_int {
    // SQLite draws from its default VFS; should that ever be this one, its numbers are the same in every run.
    // SAFETY: SQLite calls this with room for `size` bytes.
    unsafe { out.write_bytes(0x5a, usize::try_from(size).unwrap_or(0)) };
    size
}

unsafe extern "C" fn sleep(_vfs: *mut ffi::sqlite3_vfs, _microseconds: c_int) -> c_int {
    0
}

unsafe extern "C" fn current_time(_vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    #[allow(clippy::cast_precision_loss, reason = "a Julian day fits")]
    // SAFETY: SQLite calls this with a place for the answer.
    unsafe {
        *out = NOW_JULIAN_MS as f64 / 86_400_000.0;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time_int64(_vfs: *mut ffi::sqlite3_vfs, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite calls this with a place for the answer.
    unsafe { *out = NOW_JULIAN_MS };
    ffi::SQLITE_OK
}

unsafe extern "C" fn get_last_error(_vfs: *mut ffi::sqlite3_vfs, _size: c_int, _out: *mut c_char) -> c_int {
    0
}
