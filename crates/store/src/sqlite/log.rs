//! The write-ahead log as a file, and the one thing that is done to it past SQLite: after a failed sync its bytes are
//! written over themselves and synced.
//!
//! On Linux a page whose write-out failed counts as clean: later syncs skip it and succeed (Rebello et al., "Can
//! Applications Recover from fsync Failures?", USENIX ATC 2020). So frames that were never synced, those of relaxed
//! commits, may be missing from the device for good after a failed sync, and whatever is synced behind them goes with
//! them: recovery ends at the first frame that does not verify. Writing a page again makes it dirty again.
//!
//! Plain file I/O is harmless on this one of the database's files: SQLite's locks lie on the database and on `-shm`.
//! The format: <https://www.sqlite.org/fileformat2.html#walformat>.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const HEADER_BYTES: usize = 32;
/// Where the salts stand in the header.
const SALTS_AT: u64 = 16;
const FRAME_HEADER_BYTES: usize = 24;
/// Its lowest bit tells the byte order of the words that checksums are made of.
const MAGIC: u32 = 0x377f_0682;
const FORMAT: u32 = 3_007_000;
/// Bytes read, verified and written at once, as far as whole frames allow.
const CHUNK_BYTES: usize = 256 * 1024;

/// What became of a log that was to be written over itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rewrite {
    /// So many frames were verified, written and synced.
    Rewritten { frames: u32 },
    /// This frame, counted from 1, or the header (0), is not what was written there: the kernel has dropped a page
    /// that never reached the device. Nothing from there on was touched.
    Broken { at_frame: u32 },
}

/// Frames of a log that are surely on the device. They are never written over: where the power is cut while bytes are
/// written, a device may leave anything in their place, whatever was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Synced {
    /// How many, from the first on.
    pub(super) frames: u32,
    /// The salts of the log that they are of; zeros when those could not be read. A log that was begun anew has others.
    pub(super) salts: [u8; 8],
}

/// The salts of the log that is there now.
pub(super) fn salts(path: &Path) -> Option<[u8; 8]> {
    let mut salts = [0; 8];
    File::open(path).and_then(|log| log.read_exact_at(&mut salts, SALTS_AT)).ok()?;
    Some(salts)
}

/// Verifies the header and the first `frames` frames, writes those of them over themselves that are not `synced`, and syncs
/// them. The caller holds the write lock, so that nobody else writes the log meanwhile; dying in between changes nothing.
///
/// # Errors
/// What the file system answers; nothing is known of the log then.
pub(super) fn rewrite(path: &Path, frames: u32, synced: Synced) -> io::Result<Rewrite> {
    if frames == 0 {
        return Err(io::Error::other("the length of the write-ahead log is not known"));
    }
    rewrite_in(&File::options().read(true).write(true).open(path)?, frames, synced)
}

trait LogFile: FileExt {
    fn sync(&self) -> io::Result<()>;
}

impl LogFile for File {
    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(self)?)
    }
}

fn rewrite_in(log: &impl LogFile, frames: u32, synced: Synced) -> io::Result<Rewrite> {
    let mut header = [0; HEADER_BYTES];
    let read = read_at_most(log, &mut header, 0)?;
    let Some(mut chain) = Chain::begin(&header).filter(|_| read == HEADER_BYTES) else {
        return Ok(Rewrite::Broken { at_frame: 0 });
    };
    let synced = if synced.salts == chain.salts { synced.frames } else { 0 };
    if synced == 0 {
        log.write_all_at(&header, 0)?;
    }
    let frame_bytes = FRAME_HEADER_BYTES + chain.page_bytes;
    let chunk_frames = (CHUNK_BYTES / frame_bytes).max(1);
    let mut chunk = vec![0; chunk_frames * frame_bytes];
    let mut offset = HEADER_BYTES as u64;
    let mut verified = 0;
    while verified < frames {
        let wanted = chunk_frames.min((frames - verified) as usize);
        let left_alone = wanted.min(synced.saturating_sub(verified) as usize) * frame_bytes;
        let chunk = &mut chunk[..wanted * frame_bytes];
        let read = read_at_most(log, chunk, offset)?;
        for frame in chunk[..read].chunks_exact(frame_bytes) {
            if !chain.goes_on_with(frame) {
                return Ok(Rewrite::Broken { at_frame: verified + 1 });
            }
            verified += 1;
        }
        if read < chunk.len() {
            return Ok(Rewrite::Broken { at_frame: verified + 1 });
        }
        if left_alone < chunk.len() {
            log.write_all_at(&chunk[left_alone..], offset + left_alone as u64)?;
        }
        offset += chunk.len() as u64;
    }
    log.sync()?;
    Ok(Rewrite::Rewritten { frames })
}

/// Fills the buffer as far as the file goes.
fn read_at_most(log: &impl FileExt, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match log.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The checksums of a log up to some frame: each continues the one before it.
#[derive(Debug)]
struct Chain {
    big_endian: bool,
    page_bytes: usize,
    salts: [u8; 8],
    sums: [u32; 2],
}

impl Chain {
    /// The header's, if it is one.
    fn begin(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        let magic = word(header, 0);
        let page_bytes = word(header, 8);
        let known = magic & !1 == MAGIC && word(header, 4) == FORMAT;
        if !known || !page_bytes.is_power_of_two() || !(512..=65_536).contains(&page_bytes) {
            return None;
        }
        let mut salts = [0; 8];
        salts.copy_from_slice(&header[16..24]);
        let mut chain =
            Self { big_endian: magic & 1 == 1, page_bytes: page_bytes as usize, salts, sums: [0; 2] };
        chain.add(&header[..24]);
        (chain.sums == [word(header, 24), word(header, 28)]).then_some(chain)
    }

    /// Takes the next frame in, and says whether it belongs to this log and is whole.
    fn goes_on_with(&mut self, frame: &[u8]) -> bool {
        self.add(&frame[..8]);
        self.add(&frame[FRAME_HEADER_BYTES..]);
        let page_number = word(frame, 0);
        page_number != 0 && frame[8..16] == self.salts && self.sums == [word(frame, 16), word(frame, 20)]
    }

    fn add(&mut self, bytes: &[u8]) {
        for pair in bytes.chunks_exact(8) {
            for (one, other) in [(0, 1), (1, 0)] {
                let word = [pair[4 * one], pair[4 * one + 1], pair[4 * one + 2], pair[4 * one + 3]];
                let word = if self.big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) };
                self.sums[one] = self.sums[one].wrapping_add(word).wrapping_add(self.sums[other]);
            }
        }
    }
}

/// The big-endian word at this place: the header fields and the checksums themselves are always in this order.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Mutex;

    use rusqlite::Connection;

    use super::*;

    const NOTHING: Synced = Synced { frames: 0, salts: [0; 8] };

    /// A database in a folder of its own, whose log grows until the connection is closed.
    struct Place {
        folder: tempfile::TempDir,
        database: Connection,
        page_bytes: usize,
    }

    impl Place {
        fn new(page_bytes: usize) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let database = Connection::open(folder.path().join("a.db")).unwrap();
            let settings = format!(
                "PRAGMA page_size = {page_bytes}; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
                 CREATE TABLE work (payload BLOB);"
            );
            database.execute_batch(&settings).unwrap();
            Self { folder, database, page_bytes }
        }

        /// Commits so many pages and some, and answers with the frames in the log.
        fn grow(&self, pages: usize) -> u32 {
            let insert = "INSERT INTO work VALUES (randomblob(?1))";
            self.database.execute(insert, [pages * self.page_bytes]).unwrap();
            self.frames()
        }

        fn frames(&self) -> u32 {
            let count = |row: &rusqlite::Row<'_>| row.get(1);
            self.database.query_row("PRAGMA wal_checkpoint(NOOP)", [], count).unwrap()
        }

        fn log(&self) -> PathBuf {
            self.folder.path().join("a.db-wal")
        }

        /// The log as it would be with one byte of it changed.
        fn flipped(&self, at: usize) -> Kept {
            let kept = self.kept();
            kept.bytes.lock().unwrap()[at] ^= 0x10;
            kept
        }

        fn kept(&self) -> Kept {
            let bytes = std::fs::read(self.log()).unwrap();
            Kept {
                bytes: Mutex::new(bytes),
                written: Mutex::default(),
                synced: Mutex::default(),
                fails: None,
            }
        }

        /// Where a frame begins, counted from 1.
        fn frame(&self, number: u32) -> usize {
            HEADER_BYTES + (number as usize - 1) * (FRAME_HEADER_BYTES + self.page_bytes)
        }
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Fails {
        Read,
        Write,
        Sync,
    }

    /// A file in memory that notes where it was written, and how far it was then synced.
    struct Kept {
        bytes: Mutex<Vec<u8>>,
        written: Mutex<Vec<(u64, usize)>>,
        synced: Mutex<usize>,
        fails: Option<Fails>,
    }

    impl Kept {
        /// The end of what was written, from the beginning and without a gap.
        fn written(&self) -> usize {
            self.written.lock().unwrap().iter().fold(0, |end, &(offset, length)| {
                assert_eq!(offset, end as u64);
                end + length
            })
        }

        fn fails(&self, fails: Fails) -> io::Result<()> {
            if self.fails == Some(fails) { Err(io::Error::other("planted")) } else { Ok(()) }
        }
    }

    impl LogFile for Kept {
        fn sync(&self) -> io::Result<()> {
            self.fails(Fails::Sync)?;
            let ends = self
                .written
                .lock()
                .unwrap()
                .iter()
                .map(|(offset, length)| usize::try_from(*offset).unwrap() + length)
                .max();
            *self.synced.lock().unwrap() = ends.unwrap_or(0);
            Ok(())
        }
    }

    impl FileExt for Kept {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            self.fails(Fails::Read)?;
            let bytes = self.bytes.lock().unwrap();
            let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
            // As a file may: less than was asked for.
            let count = buffer.len().min(rest.len()).min(10_000);
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }

        fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
            self.fails(Fails::Write)?;
            let start = usize::try_from(offset).unwrap();
            let count = buffer.len().min(7_000);
            let changed = &mut self.bytes.lock().unwrap()[start..start + count];
            assert_eq!(changed, &buffer[..count], "a log is written over with what it holds");
            self.written.lock().unwrap().push((offset, count));
            Ok(count)
        }
    }

    #[test]
    fn a_log_is_written_over_itself_from_its_first_byte_to_its_last() {
        for page_bytes in [512, 4_096, 65_536] {
            let place = Place::new(page_bytes);
            place.grow(3);
            let frames = place.grow(200);
            let kept = place.kept();
            assert_eq!(rewrite_in(&kept, frames, NOTHING).unwrap(), Rewrite::Rewritten { frames });
            assert_eq!(kept.written(), place.frame(frames + 1));
            assert_eq!(kept.written(), kept.bytes.lock().unwrap().len());
            assert_eq!(kept.written(), *kept.synced.lock().unwrap());
        }
    }

    #[test]
    fn what_is_surely_on_the_device_is_verified_and_not_written_over() {
        let place = Place::new(4_096);
        let frames = place.grow(200);
        let salts = salts(&place.log()).unwrap();
        for synced in [1, 62, 63, 64, frames - 1, frames, frames + 9] {
            let kept = place.kept();
            let known = Synced { frames: synced, salts };
            assert_eq!(rewrite_in(&kept, frames, known).unwrap(), Rewrite::Rewritten { frames });
            let written = kept.written.lock().unwrap();
            let bytes: usize = written.iter().map(|(_, length)| length).sum();
            assert_eq!(bytes, place.frame(frames + 1) - place.frame(synced.min(frames) + 1));
            assert!(written.iter().all(|(offset, _)| *offset >= place.frame(synced + 1) as u64));
            let flipped = place.flipped(place.frame(1));
            assert_eq!(rewrite_in(&flipped, frames, known).unwrap(), Rewrite::Broken { at_frame: 1 });
            let of_another_log = Synced { salts: [7; 8], ..known };
            let kept = place.kept();
            assert_eq!(rewrite_in(&kept, frames, of_another_log).unwrap(), Rewrite::Rewritten { frames });
            assert_eq!(kept.written(), place.frame(frames + 1), "nothing is known of this one");
        }
    }

    #[test]
    fn a_file_that_fails_is_not_claimed_to_be_rewritten() {
        let place = Place::new(4_096);
        let frames = place.grow(1);
        for fails in [Fails::Read, Fails::Write, Fails::Sync] {
            let kept = Kept { fails: Some(fails), ..place.kept() };
            assert!(rewrite_in(&kept, frames, NOTHING).is_err(), "{fails:?}");
        }
    }

    #[test]
    fn the_log_of_an_open_database_stays_as_it_is_and_goes_on() {
        let place = Place::new(4_096);
        let frames = place.grow(30);
        let before = std::fs::read(place.log()).unwrap();
        place.database.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert_eq!(rewrite(&place.log(), frames, NOTHING).unwrap(), Rewrite::Rewritten { frames });
        place.database.execute_batch("ROLLBACK").unwrap();
        assert!(std::fs::read(place.log()).unwrap() == before);
        let more = place.grow(5);
        assert!(more > frames);
        // Fewer than there are: those that others have added since are theirs to sync.
        assert_eq!(rewrite(&place.log(), frames, NOTHING).unwrap(), Rewrite::Rewritten { frames });
        assert_eq!(rewrite(&place.log(), more, NOTHING).unwrap(), Rewrite::Rewritten { frames: more });
        let whole: String = place.database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(whole, "ok");
    }

    #[test]
    fn a_changed_byte_is_noticed_in_the_frame_where_it_stands() {
        let place = Place::new(4_096);
        let frames = place.grow(150);
        // Page number, commit mark, salts, checksums, and the page from its first byte to its last.
        for place_in_frame in [0, 3, 4, 7, 8, 12, 15, 16, 20, 23, 24, 2_000, 24 + 4_095] {
            for at_frame in [1, 2, 63, 64, frames] {
                let kept = place.flipped(place.frame(at_frame) + place_in_frame);
                let broken = Rewrite::Broken { at_frame };
                assert_eq!(rewrite_in(&kept, frames, NOTHING).unwrap(), broken, "byte {place_in_frame}");
                assert!(kept.written() <= place.frame(at_frame));
                let whole = Rewrite::Rewritten { frames: at_frame - 1 };
                assert_eq!(rewrite_in(&place.kept(), at_frame - 1, NOTHING).unwrap(), whole);
            }
        }
    }

    #[test]
    fn a_changed_byte_of_the_header_is_noticed_before_anything_is_written() {
        let place = Place::new(4_096);
        let frames = place.grow(1);
        for at in 0..HEADER_BYTES {
            let kept = place.flipped(at);
            assert_eq!(
                rewrite_in(&kept, frames, NOTHING).unwrap(),
                Rewrite::Broken { at_frame: 0 },
                "byte {at}"
            );
            assert_eq!(kept.written(), 0);
        }
    }

    #[test]
    fn a_log_that_ends_too_early_is_broken_where_it_ends() {
        let place = Place::new(4_096);
        let frames = place.grow(100);
        for (length, at_frame) in [
            (0, 0),
            (HEADER_BYTES - 1, 0),
            (HEADER_BYTES, 1),
            (place.frame(2) - 1, 1),
            (place.frame(2), 2),
            (place.frame(frames + 1) - 1, frames),
        ] {
            let kept = place.kept();
            kept.bytes.lock().unwrap().truncate(length);
            assert_eq!(
                rewrite_in(&kept, frames, NOTHING).unwrap(),
                Rewrite::Broken { at_frame },
                "{length} bytes"
            );
        }
        assert_eq!(
            rewrite_in(&place.kept(), frames + 1, NOTHING).unwrap(),
            Rewrite::Broken { at_frame: frames + 1 }
        );
    }

    #[test]
    fn frames_that_an_earlier_log_left_behind_do_not_count() {
        let place = Place::new(4_096);
        place.grow(20);
        place.database.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
        let frames = place.grow(1);
        assert!(std::fs::metadata(place.log()).unwrap().len() > 20 * 4_096);
        assert_eq!(rewrite(&place.log(), frames, NOTHING).unwrap(), Rewrite::Rewritten { frames });
        assert_eq!(
            rewrite(&place.log(), frames + 1, NOTHING).unwrap(),
            Rewrite::Broken { at_frame: frames + 1 }
        );
    }

    #[test]
    fn a_log_of_the_other_byte_order_is_verified_as_sqlite_verifies_it() {
        let place = Place::new(4_096);
        let frames = place.grow(3);
        let kept = place.kept();
        let mut bytes = kept.bytes.lock().unwrap();
        bytes[3] ^= 1;
        let mut chain = Chain {
            big_endian: bytes[3] & 1 == 1,
            page_bytes: place.page_bytes,
            salts: [0; 8],
            sums: [0; 2],
        };
        let put = |bytes: &mut [u8], at: usize, sums: [u32; 2]| {
            bytes[at..at + 4].copy_from_slice(&sums[0].to_be_bytes());
            bytes[at + 4..at + 8].copy_from_slice(&sums[1].to_be_bytes());
        };
        chain.add(&bytes[..24]);
        put(&mut bytes, 24, chain.sums);
        for start in (1..=frames).map(|number| place.frame(number)) {
            chain.add(&bytes[start..start + 8]);
            chain.add(&bytes[start + FRAME_HEADER_BYTES..start + FRAME_HEADER_BYTES + place.page_bytes]);
            put(&mut bytes, start + 16, chain.sums);
        }
        let copy = tempfile::tempdir().unwrap();
        std::fs::write(copy.path().join("a.db-wal"), &*bytes).unwrap();
        std::fs::copy(place.folder.path().join("a.db"), copy.path().join("a.db")).unwrap();
        drop(bytes);
        assert_eq!(rewrite_in(&kept, frames, NOTHING).unwrap(), Rewrite::Rewritten { frames });
        let recovered = Connection::open(copy.path().join("a.db")).unwrap();
        let rows: i64 = recovered.query_row("SELECT count(*) FROM work", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1, "SQLite takes the same log");
    }

    #[test]
    fn without_a_log_or_its_length_nothing_is_claimed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none-wal");
        assert_eq!(rewrite(&path, 1, NOTHING).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!path.exists());
        let place = Place::new(4_096);
        place.grow(1);
        assert!(rewrite(&place.log(), 0, NOTHING).is_err());
    }
}
