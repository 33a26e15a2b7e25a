//! Examining and hashing a file that data names, without leaving the base folder, following a link, or
//! touching what must not be opened: every check is made on one descriptor, and that very file is read.
//!
//! The kernel confines the path (openat2(2): `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS`). The first descriptor is an
//! `O_PATH` one, which opens nothing: no device acts on it, and its close drops no locks of a database. Only a
//! regular file that is nobody's database is opened again for reading, through `/proc/self/fd`, which names the
//! descriptor and not the path.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use steadfast_store::own_files;

use crate::evidence::digests::Hashing;
use crate::evidence::{Failure, FileDigest, Finding, FoundKind, HashAlgorithm, Obstacle};

/// Largest file that is hashed, in bytes: about a second of work by BLAKE3, some more by SHA-256.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// How often a path is resolved anew when somebody renames folders at the same time: openat2(2), `EAGAIN`.
const RENAME_RACES_MAX: u32 = 16;
/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// What is at `path` below `base`, or why nothing can be said of it. Nothing is opened.
pub(super) fn kind_of(base: &Path, path: &str) -> Result<FoundKind, Finding> {
    let stat = stat(&place(base, path)?)?;
    if own_files::is_own(stat.st_dev, stat.st_ino) {
        return Err(Finding::Failed(Failure::OwnFile));
    }
    Ok(FoundKind::of(FileType::from_raw_mode(stat.st_mode)))
}

/// The digest of the regular file at `path` below `base`, or why there is none.
pub(super) fn digest_of(base: &Path, path: &str, algorithm: HashAlgorithm) -> Result<FileDigest, Finding> {
    digest_watched(base, path, algorithm, || {})
}

/// The same; `read` is called when all was read.
fn digest_watched(
    base: &Path,
    path: &str,
    algorithm: HashAlgorithm,
    read: impl FnOnce(),
) -> Result<FileDigest, Finding> {
    let place = place(base, path)?;
    let before = stat(&place)?;
    if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
        return Err(Finding::Failed(Failure::NotAFile));
    }
    if own_files::is_own(before.st_dev, before.st_ino) {
        return Err(Finding::Failed(Failure::OwnFile));
    }
    let actual = u64::try_from(before.st_size).unwrap_or(0);
    if actual > FILE_BYTES_MAX {
        return Err(Finding::Failed(Failure::TooLarge { actual, limit: FILE_BYTES_MAX }));
    }
    let file = reopen(&place)?;
    let digest = digest_unchanged(&file, algorithm, read);
    if own_files::is_own(before.st_dev, before.st_ino) {
        // A store was opened on it meanwhile: a close would drop that store's locks, one descriptor less harms nobody.
        std::mem::forget(file);
        return Err(Finding::Failed(Failure::OwnFile));
    }
    digest
}

/// A descriptor that stands for the file without opening it.
fn place(base: &Path, path: &str) -> Result<OwnedFd, Finding> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let base_fd = rustix::fs::open(base, flags | OFlags::DIRECTORY, Mode::empty()).map_err(|errno| {
        Finding::Pending(Obstacle::Base { base: base.to_owned(), why: errno.to_string() })
    })?;
    let confined = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mut races = 0;
    loop {
        let failure = match rustix::fs::openat2(&base_fd, path, flags, Mode::empty(), confined) {
            Ok(place) => return Ok(place),
            Err(Errno::AGAIN | Errno::INTR) if races < RENAME_RACES_MAX => {
                races += 1;
                continue;
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => Failure::Missing,
            Err(Errno::LOOP) => Failure::Symlink,
            Err(Errno::XDEV) => Failure::LeavesBase,
            Err(Errno::NOSYS) => {
                return Err(pending("confined opening needs Linux 5.6 or newer", &Errno::NOSYS));
            }
            Err(errno) => return Err(pending("the path could not be resolved", &errno)),
        };
        return Err(Finding::Failed(failure));
    }
}

/// Opens for reading what the descriptor stands for.
fn reopen(place: &OwnedFd) -> Result<File, Finding> {
    let path = format!("/proc/self/fd/{}", place.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    opened.map(File::from).map_err(|errno| pending("the file could not be opened for reading", &errno))
}

/// The digest of the file from its beginning, if nobody changed it meanwhile. `read` is called when all was read.
fn digest_unchanged(
    mut file: &File,
    algorithm: HashAlgorithm,
    read: impl FnOnce(),
) -> Result<FileDigest, Finding> {
    let before = stat(file)?;
    let length = u64::try_from(before.st_size).unwrap_or(0);
    let mut hashing = Hashing::new(algorithm);
    let mut chunk = vec![0; CHUNK_BYTES];
    // A file that grows is not followed: one byte over its length is enough to see it.
    let mut left = length + 1;
    while left > 0 {
        let limit = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        match file.read(&mut chunk[..limit]) {
            Ok(0) => break,
            Ok(count) => {
                hashing.update(&chunk[..count]);
                left -= count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(pending("the file could not be read", &error)),
        }
    }
    read();
    if left != 1 || version(&stat(file)?) != version(&before) {
        return Err(Finding::Failed(Failure::Changed));
    }
    Ok(hashing.finish())
}

/// What changes when a file is written: its size, and when its content and its record last changed.
fn version(stat: &Stat) -> [i128; 5] {
    [
        stat.st_size.into(),
        stat.st_mtime.into(),
        stat.st_mtime_nsec.into(),
        stat.st_ctime.into(),
        stat.st_ctime_nsec.into(),
    ]
}

fn stat(file: &impl AsFd) -> Result<Stat, Finding> {
    rustix::fs::fstat(file).map_err(|errno| pending("the file could not be examined", &errno))
}

fn pending(what: &'static str, why: &impl ToString) -> Finding {
    Finding::Pending(Obstacle::System { what, why: why.to_string() })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use steadfast_store::Digest;

    use super::*;
    use crate::evidence::Sha256Digest;

    const BLAKE3: HashAlgorithm = HashAlgorithm::Blake3;

    fn blake3(content: &[u8]) -> FileDigest {
        Digest::of(content).into()
    }

    #[test]
    fn the_kernel_confines_a_path_that_passed_all_other_checks() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        let base = outside.path().join("base");
        fs::create_dir(&base).unwrap();
        for path in ["../secret", "./../secret", &outside.path().join("secret").display().to_string()] {
            assert_eq!(digest_of(&base, path, BLAKE3), Err(Finding::Failed(Failure::LeavesBase)), "{path}");
            assert_eq!(kind_of(&base, path), Err(Finding::Failed(Failure::LeavesBase)), "{path}");
        }
    }

    #[test]
    fn a_file_that_is_written_while_it_is_hashed_is_not_verified() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let digest_while = |algorithm, change: fn(&Path)| {
            fs::write(&path, "before").unwrap();
            digest_unchanged(&File::open(&path).unwrap(), algorithm, || change(&path))
        };
        let algorithms = [BLAKE3, HashAlgorithm::Sha256];
        let digests = [Ok(blake3(b"before")), Ok(Sha256Digest::of(b"before").into())];
        assert_eq!(algorithms.map(|algorithm| digest_while(algorithm, |_| {})), digests);
        let changes: [fn(&Path); 3] = [
            |path| OpenOptions::new().append(true).open(path).unwrap().write_all(b"!").unwrap(),
            |path| File::create(path).unwrap().write_all(b"").unwrap(),
            |path| {
                // As a tool does that keeps the old times: the record of the file shows it all the same.
                let times = fs::metadata(path).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(20));
                fs::write(path, "behind").unwrap();
                let times = fs::FileTimes::new().set_modified(times.modified().unwrap());
                File::options().write(true).open(path).unwrap().set_times(times).unwrap();
            },
        ];
        for change in changes {
            for algorithm in algorithms {
                assert_eq!(digest_while(algorithm, change), Err(Finding::Failed(Failure::Changed)));
            }
        }
    }

    #[test]
    fn a_file_with_more_or_less_in_it_than_its_size_says_is_not_verified() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, vec![1; CHUNK_BYTES + 1]).unwrap();
        let file = File::open(&path).unwrap();
        assert_eq!(digest_unchanged(&file, BLAKE3, || {}), Ok(blake3(&vec![1; CHUNK_BYTES + 1])));
        // At its end now: there is less to read than the size says.
        assert_eq!(digest_unchanged(&file, BLAKE3, || {}), Err(Finding::Failed(Failure::Changed)));
        // The kernel says that this one is empty, and there is something to read.
        let file = File::open("/proc/self/status").unwrap();
        assert_eq!(digest_unchanged(&file, BLAKE3, || {}), Err(Finding::Failed(Failure::Changed)));
    }

    /// How many descriptors of this process lead to `path`.
    fn descriptors(path: &Path) -> usize {
        let all = fs::read_dir("/proc/self/fd").unwrap();
        all.filter(|entry| fs::read_link(entry.as_ref().unwrap().path()).is_ok_and(|to| to == path)).count()
    }

    #[test]
    fn a_file_that_becomes_a_database_while_it_is_hashed_is_not_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("a");
        fs::write(&path, "a").unwrap();
        assert_eq!(digest_of(folder.path(), "a", BLAKE3), Ok(blake3(b"a")));
        assert_eq!(descriptors(&path), 0);
        let mut own = None;
        let register = || own = Some(own_files::OwnFile::register(&path).unwrap());
        assert_eq!(
            digest_watched(folder.path(), "a", BLAKE3, register),
            Err(Finding::Failed(Failure::OwnFile))
        );
        drop(own);
        // The registration has let go of its own: this one was opened for reading, and stays.
        assert_eq!(descriptors(&path), 1);
        assert_eq!(digest_of(folder.path(), "a", BLAKE3), Ok(blake3(b"a")));
    }

    #[test]
    fn a_stores_own_file_is_not_opened_for_reading() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "a").unwrap();
        let own = own_files::OwnFile::register(&path).unwrap();
        let read = || panic!("it was read");
        assert_eq!(digest_watched(folder.path(), "a", BLAKE3, read), Err(Finding::Failed(Failure::OwnFile)));
        drop(own);
    }
}
