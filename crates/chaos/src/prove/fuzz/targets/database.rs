//! Damaged files: the input is a list of changes to the database file or to its log, and whatever they leave is opened
//! and read whole.

use std::fs;

use super::image::{DATABASE, LOG};
use super::input::Input;
use super::{Met, scratch, witness};

/// Bytes of a page, and of what a device may garble at once.
const PAGE: usize = 4_096;
const SECTOR: usize = 512;
/// Most changes of one input.
const CHANGES_MAX: usize = 64;
/// The parts of a log: <https://www.sqlite.org/fileformat2.html#walformat>
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// Changes to the database file; with an odd first byte its log is there as well.
pub fn database(data: &[u8]) -> Met {
    let mut input = Input::new(data);
    let has_log = input.byte() & 1 != 0;
    let mut file = DATABASE.to_vec();
    damage(&mut file, input);
    tried(&file, has_log.then_some(LOG))
}

/// Changes to the log; with an odd first byte its checksums are made to fit, so that SQLite takes the frames as whole.
pub fn log(data: &[u8]) -> Met {
    let mut input = Input::new(data);
    let is_resealed = input.byte() & 1 != 0;
    let mut file = LOG.to_vec();
    damage(&mut file, input);
    if is_resealed {
        reseal(&mut file);
    }
    tried(DATABASE, Some(&file))
}

/// Applies the changes that the input lists.
fn damage(file: &mut Vec<u8>, mut input: Input<'_>) {
    for _ in 0..CHANGES_MAX {
        if input.is_empty() || file.is_empty() {
            return;
        }
        let kind = input.byte();
        let at = input.place() % file.len();
        match kind % 6 {
            0 => file[at] ^= 1 << (input.byte() % 8),
            1 => {
                let length = usize::from(input.byte() % 32);
                let bytes = input.bytes(length);
                put(file, at, bytes);
            }
            2 => {
                let (start, filler) = (at / SECTOR * SECTOR, input.byte());
                put(file, start, &[filler; SECTOR]);
            }
            3 => file.truncate(at),
            4 => {
                // A page that landed in another one's place.
                let from = input.place() % file.len() / PAGE * PAGE;
                let page = file[from..file.len().min(from + PAGE)].to_vec();
                put(file, at / PAGE * PAGE, &page);
            }
            _ => {
                let (length, from) = (usize::from(input.byte()), input.place() % file.len());
                let bytes = file[from..file.len().min(from + length)].to_vec();
                put(file, at, &bytes);
            }
        }
    }
}

/// Writes over what is there, as far as it reaches.
fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    let end = file.len().min(at + bytes.len());
    file[at..end].copy_from_slice(&bytes[..end - at]);
}

/// Gives header and frames of a log the salts and checksums under which SQLite believes them.
fn reseal(log: &mut [u8]) {
    if log.len() < LOG_HEADER {
        return;
    }
    // Magic numbers, version and page size as they must be, or there is nothing to seal.
    put(log, 0, &LOG[..12]);
    let (header, frames) = log.split_at_mut(LOG_HEADER);
    let is_big_endian = header[3] & 1 != 0;
    let mut sum = checksum([0, 0], &header[..24], is_big_endian);
    put(header, 24, &bytes_of(sum));
    let salts: [u8; 8] = std::array::from_fn(|index| header[16 + index]);
    for frame in frames.chunks_exact_mut(FRAME_HEADER + PAGE) {
        put(frame, 8, &salts);
        sum = checksum(sum, &frame[..8], is_big_endian);
        sum = checksum(sum, &frame[FRAME_HEADER..], is_big_endian);
        put(frame, 16, &bytes_of(sum));
    }
}

fn checksum([mut one, mut two]: [u32; 2], bytes: &[u8], is_big_endian: bool) -> [u32; 2] {
    let (words, _) = bytes.as_chunks::<4>();
    let word =
        |bytes: [u8; 4]| if is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
    let (pairs, _) = words.as_chunks::<2>();
    for [first, second] in pairs {
        one = one.wrapping_add(word(*first)).wrapping_add(two);
        two = two.wrapping_add(word(*second)).wrapping_add(one);
    }
    [one, two]
}

fn bytes_of([one, two]: [u32; 2]) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&one.to_be_bytes());
    bytes[4..].copy_from_slice(&two.to_be_bytes());
    bytes
}

/// Lays the files into a folder and has the witness read them.
#[allow(clippy::expect_used, reason = "without its files there is nothing to try")]
fn tried(database: &[u8], log: Option<&[u8]>) -> Met {
    let folder = scratch::folder();
    let path = folder.path().join("agent.db");
    fs::write(&path, database).expect("the database file");
    if let Some(log) = log {
        fs::write(folder.path().join("agent.db-wal"), log).expect("the log");
    }
    witness::look(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_sealed_again_is_what_sqlite_wrote() {
        let mut log = LOG.to_vec();
        reseal(&mut log);
        assert!(log == LOG, "the checksums are others than those of SQLite");
    }

    #[test]
    fn the_whole_image_is_read_to_its_last_byte() {
        let folder = scratch::folder();
        let path = folder.path().join("agent.db");
        fs::write(&path, DATABASE).unwrap();
        fs::write(folder.path().join("agent.db-wal"), LOG).unwrap();
        let seen = witness::read(&path).unwrap();
        assert_eq!(seen, witness::Seen::ALL);
        // Without its log the first half is there.
        assert_eq!(database(&[0]), Met::Taken);
    }

    #[test]
    fn a_change_under_a_whole_checksum_is_met_by_the_store_and_not_by_sqlite() {
        // A bit of the last frame's page, which holds bytes of a row that nobody but the store checks.
        let needle = b"state 5 of report";
        let at = LOG.windows(needle.len()).rposition(|bytes| bytes == needle).unwrap();
        let [low, middle, high, _] = u32::try_from(at).unwrap().to_le_bytes();
        assert_eq!(log(&[1, 0, low, middle, high, 3]), Met::Refused);
        // Unsealed it ends the log, and what came before is whole.
        assert_eq!(log(&[0, 0, low, middle, high, 3]), Met::Taken);
    }
}
