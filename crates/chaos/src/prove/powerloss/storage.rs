//! What a device holds while a recording is played to it, and the images that a power cut leaves of it.
//!
//! What was written lies in memory until the file is synced. A page whose sync failed keeps its new content in memory
//! but counts as clean, as on ext4 and XFS: no later sync writes it, unless it is written to again (Rebello et al., "Can
//! Applications Recover from fsync Failures?", USENIX ATC 2020). Only what was not synced is ever damaged.
//!
//! One thing is left out. After a failed sync the store writes the part of its log over itself, the same bytes, of which
//! it does not know that it is on the device. That is all of it where another process of the same boot has left the log,
//! or whoever did so before there was a clock to tell the boots apart, and where powersafe overwrite is declared off. A
//! device that leaves garbage where the power was cut *while it wrote what it held already* could destroy acknowledged
//! commits in that moment; no garbage is put there. Writes that are torn, dropped or reordered are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fault::Fault;
use crate::memory_vfs::{Files, Name, Op, Took};

/// The unit of the page cache, in bytes.
const PAGE: usize = 4096;

/// What a log begins with, but for the last bit.
const LOG_MAGIC: [u8; 3] = [0x37, 0x7f, 0x06];

/// See the module.
#[derive(Debug)]
pub(super) struct Storage {
    /// Every file there ever was; a removed one may be there again after the cut.
    bodies: Vec<Body>,
    /// Which of them each name stands for, as can be seen now and as it is on the device.
    seen: [Option<usize>; 3],
    held: [Option<usize>; 3],
}

/// One file.
#[derive(Debug, Default)]
struct Body {
    /// As it surely is on the device.
    durable: Vec<u8>,
    /// As it can be read.
    readable: Vec<u8>,
    /// Since it was synced.
    pending: Vec<Change>,
    /// Pages that count as clean and may not be on the device.
    stale: BTreeMap<usize, Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Arc<[u8]> },
    Truncate { length: usize },
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => write(content, *offset, bytes),
            Self::Truncate { length } => content.resize(*length, 0),
        }
    }
}

/// Whether a log is written over itself from its header on: SQLite writes the header alone.
fn is_rewrite(change: &Change) -> bool {
    matches!(change, Change::Write { offset: 0, bytes } if bytes.len() > 32 && bytes.starts_with(&LOG_MAGIC))
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    crate::memory_vfs::write_at(content, offset, bytes);
}

/// The pages that a range touches.
fn pages(offset: usize, length: usize) -> std::ops::Range<usize> {
    offset / PAGE..(offset + length).div_ceil(PAGE)
}

impl Body {
    fn of(content: Vec<u8>) -> Self {
        Self { durable: content.clone(), readable: content, ..Self::default() }
    }

    /// The page as it can be read, shorter at the end of the file.
    fn page(&self, page: usize) -> &[u8] {
        let end = self.readable.len().min((page + 1) * PAGE);
        &self.readable[end.min(page * PAGE)..end]
    }

    /// From the first to the last byte of a page that is not so on the device: powersafe overwrite keeps the others.
    fn differing(&self, page: usize) -> std::ops::Range<usize> {
        let start = page * PAGE;
        let readable = self.page(page);
        let differs = |at: &usize| self.durable.get(start + at) != Some(&readable[*at]);
        let first = (0..readable.len()).find(differs).unwrap_or(0);
        let last = (0..readable.len()).rev().find(differs).map_or(first, |last| last + 1);
        start + first..start + last
    }

    fn wrote(&mut self, offset: usize, bytes: &Arc<[u8]>) {
        write(&mut self.readable, offset, bytes);
        self.pending.push(Change::Write { offset, bytes: Arc::clone(bytes) });
        for page in pages(offset, bytes.len()) {
            // All of it is dirty again.
            if self.stale.remove(&page).is_some() {
                let differing = self.differing(page);
                let bytes = self.readable[differing.clone()].into();
                self.pending.push(Change::Write { offset: differing.start, bytes });
            }
        }
    }

    fn cut(&mut self, length: usize) {
        self.readable.resize(length, 0);
        self.pending.push(Change::Truncate { length });
        self.stale.retain(|page, content| {
            content.truncate(length.saturating_sub(page * PAGE));
            !content.is_empty()
        });
    }

    fn synced(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.durable);
        }
    }

    fn sync_failed(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Write { offset, bytes } => {
                    for page in pages(offset, bytes.len()) {
                        let content = self.page(page).to_vec();
                        self.stale.insert(page, content);
                    }
                }
                // That the file is shorter is not in its pages.
                Change::Truncate { .. } => self.pending.push(change),
            }
        }
    }
}

impl Storage {
    /// A device on which all of these files are.
    pub(super) fn holding(files: &Files) -> Self {
        let mut bodies = Vec::new();
        let mut seen = [None; 3];
        for name in Name::ALL {
            if let Some(content) = files.get(name) {
                seen[name as usize] = Some(bodies.len());
                bodies.push(Body::of(content.to_vec()));
            }
        }
        Self { bodies, seen, held: seen }
    }

    fn body(&mut self, name: Name) -> Option<&mut Body> {
        self.seen[name as usize].map(|at| &mut self.bodies[at])
    }

    /// The next operation happens.
    pub(super) fn play(&mut self, op: &Op) {
        match op {
            Op::Create(name) => {
                self.seen[*name as usize] = Some(self.bodies.len());
                self.bodies.push(Body::default());
            }
            Op::Delete { name, folder } => {
                self.seen[*name as usize] = None;
                if *folder {
                    self.held = self.seen;
                }
            }
            Op::Write { name, offset, bytes } => {
                if let Some(body) = self.body(*name) {
                    body.wrote(*offset, bytes);
                }
            }
            Op::Truncate { name, length } => {
                if let Some(body) = self.body(*name) {
                    body.cut(*length);
                }
            }
            Op::Sync { took: Took::LeftOut, .. } => {}
            Op::Sync { name, took, folder } => {
                let took = *took;
                if let Some(body) = self.body(*name) {
                    match took {
                        Took::Failed => body.sync_failed(),
                        Took::Done | Took::LeftOut => body.synced(),
                    }
                }
                if *folder && took == Took::Done {
                    self.held = self.seen;
                }
            }
        }
    }

    /// The files that can be seen or come back.
    fn reachable(&self) -> impl Iterator<Item = &Body> {
        let mut at: Vec<usize> = self.seen.iter().chain(&self.held).copied().flatten().collect();
        at.sort_unstable();
        at.dedup();
        at.into_iter().map(|at| &self.bodies[at])
    }

    /// Which classes can do something now, on a device that garbles so many bytes at once if it does at all. Whether a
    /// log that is written over itself as a whole is spared garbage: see the module.
    pub(super) fn faults(&self, garbles: Option<usize>, spares_rewrite: bool) -> Vec<Fault> {
        let has = |wanted: fn(&Change) -> bool| self.reachable().any(|body| body.pending.iter().any(wanted));
        let writes = has(|change| matches!(change, Change::Write { .. }));
        let cuts = has(|change| matches!(change, Change::Truncate { .. }));
        let stale = self.reachable().any(|body| !body.stale.is_empty());
        let entries = self.seen != self.held;
        let rewrites = spares_rewrite && has(is_rewrite);
        let can = |fault: &Fault| match fault {
            Fault::Kept => true,
            Fault::Dropped | Fault::Reordered => writes || cuts || stale || entries,
            Fault::Torn512 | Fault::Torn4096 => writes,
            Fault::Garbage => writes && !rewrites,
            Fault::Garbled512 | Fault::Garbled4096 => writes && !rewrites && garbles == fault.unit(),
            Fault::LostTruncate => cuts,
            Fault::LostEntry => entries,
            Fault::LostAfterFailedSync => stale,
        };
        Fault::ALL.into_iter().filter(can).collect()
    }

    /// What a power cut leaves now.
    pub(super) fn image(&self, fault: Fault, rng: &mut fastrand::Rng) -> Files {
        let mut image = Files::default();
        for name in Name::ALL {
            let (seen, held) = (self.seen[name as usize], self.held[name as usize]);
            let at = match fault {
                Fault::Kept | Fault::LostTruncate | Fault::LostAfterFailedSync => seen,
                Fault::Dropped | Fault::LostEntry => held,
                _ if seen == held || rng.bool() => seen,
                _ => held,
            };
            image.set(name, at.map(|at| self.bodies[at].left(fault, rng)));
        }
        image
    }
}

impl Body {
    /// What is left of it.
    fn left(&self, fault: Fault, rng: &mut fastrand::Rng) -> Vec<u8> {
        let mut content = self.durable.clone();
        for (page, bytes) in &self.stale {
            let is_left = match fault {
                Fault::Kept | Fault::LostTruncate | Fault::LostEntry => true,
                Fault::Dropped | Fault::LostAfterFailedSync => false,
                _ => rng.bool(),
            };
            if is_left {
                write(&mut content, page * PAGE, bytes);
            }
        }
        for change in &self.pending {
            let is_cut = matches!(change, Change::Truncate { .. });
            match (fault, change) {
                (Fault::Dropped, _) => {}
                (Fault::LostTruncate, _) if is_cut => {}
                (Fault::Kept | Fault::LostTruncate | Fault::LostEntry | Fault::LostAfterFailedSync, _) => {
                    change.apply(&mut content);
                }
                (_, Change::Write { offset, bytes }) if fault.unit().is_some() => {
                    damage(&mut content, *offset, bytes, fault, rng);
                }
                _ => {
                    if rng.bool() {
                        change.apply(&mut content);
                    }
                }
            }
        }
        content
    }
}

/// Takes one write apart: of each unit the old bytes, the new ones or garbage are there.
fn damage(content: &mut Vec<u8>, offset: usize, bytes: &[u8], fault: Fault, rng: &mut fastrand::Rng) {
    let unit = fault.unit().unwrap_or(PAGE);
    let mut at = offset;
    while at < offset + bytes.len() {
        let end = (at / unit * unit + unit).min(offset + bytes.len());
        let part = &bytes[at - offset..end - offset];
        let may_be_garbage = matches!(fault, Fault::Garbage | Fault::Garbled512 | Fault::Garbled4096);
        match rng.u8(0..if may_be_garbage { 3 } else { 2 }) {
            0 => {}
            1 => write(content, at, part),
            _ if fault == Fault::Garbage => {
                let garbage: Vec<u8> = part.iter().map(|_| rng.u8(..)).collect();
                write(content, at, &garbage);
            }
            _ => {
                // The whole sector, its neighbours' bytes too; the file is no longer than the write made it.
                write(content, at, part);
                let start = at / unit * unit;
                let sector_end = (start + unit).min(content.len());
                content[start..sector_end].fill_with(|| rng.u8(..));
            }
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrote(name: Name, offset: usize, bytes: &[u8]) -> Op {
        Op::Write { name, offset, bytes: bytes.into() }
    }

    fn sync(name: Name, folder: bool, took: Took) -> Op {
        Op::Sync { name, folder, took }
    }

    /// A device with a synced log of one page of ones.
    fn played(ops: &[Op]) -> Storage {
        let mut files = Files::default();
        files.set(Name::Log, Some(vec![1; PAGE]));
        let mut storage = Storage::holding(&files);
        for op in ops {
            storage.play(op);
        }
        storage
    }

    fn log(storage: &Storage, fault: Fault) -> Option<Vec<u8>> {
        storage.image(fault, &mut fastrand::Rng::with_seed(1)).get(Name::Log).map(<[u8]>::to_vec)
    }

    #[test]
    fn what_was_not_synced_is_dropped_or_kept_and_what_was_is_there() {
        let storage = played(&[
            wrote(Name::Log, 0, &[2; 10]),
            sync(Name::Log, false, Took::Done),
            wrote(Name::Log, 10, &[3]),
        ]);
        let (dropped, kept) = (log(&storage, Fault::Dropped).unwrap(), log(&storage, Fault::Kept).unwrap());
        assert_eq!((dropped[9], dropped[10], kept[9], kept[10]), (2, 1, 2, 3));
        let left_out = played(&[wrote(Name::Log, 0, &[2; 10]), sync(Name::Log, false, Took::LeftOut)]);
        assert_eq!(log(&left_out, Fault::Dropped).unwrap()[0], 1);
    }

    #[test]
    fn a_torn_write_is_new_in_whole_units_and_nowhere_else() {
        let storage = played(&[wrote(Name::Log, 100, &[2; 3_000])]);
        let mut seen = [false; 2];
        for seed in 0..50 {
            let image = storage.image(Fault::Torn512, &mut fastrand::Rng::with_seed(seed));
            let content = image.get(Name::Log).unwrap();
            assert!(content[..100].iter().chain(&content[3_100..]).all(|byte| *byte == 1));
            for unit in content.chunks(512).skip(1).take(5) {
                assert!(unit.iter().all(|byte| *byte == unit[0]));
                seen[usize::from(unit[0] == 2)] = true;
            }
        }
        assert_eq!(seen, [true, true]);
    }

    #[test]
    fn only_a_device_that_garbles_sectors_harms_the_neighbours_of_a_write() {
        let storage = played(&[wrote(Name::Log, 100, &[2; 10])]);
        let harmed = |fault| {
            (0..50).any(|seed| {
                let image = storage.image(fault, &mut fastrand::Rng::with_seed(seed));
                let content = image.get(Name::Log).unwrap();
                assert!(content[512..].iter().all(|byte| *byte == 1));
                content[..100].iter().any(|byte| *byte != 1)
            })
        };
        assert!(harmed(Fault::Garbled512) && !harmed(Fault::Garbage) && !harmed(Fault::Torn512));
    }

    #[test]
    fn a_cut_and_a_directory_entry_are_lost_until_they_are_synced() {
        let cut = Op::Truncate { name: Name::Log, length: 0 };
        let storage = played(&[cut.clone(), wrote(Name::Log, 0, &[4])]);
        let lost = log(&storage, Fault::LostTruncate).unwrap();
        assert_eq!((lost.len(), lost[0], lost[1]), (PAGE, 4, 1));
        assert_eq!(log(&storage, Fault::Kept).unwrap(), [4]);
        let delete = Op::Delete { name: Name::Log, folder: false };
        let made = [delete.clone(), Op::Create(Name::Log), wrote(Name::Log, 0, &[5])];
        assert_eq!(log(&played(&made[..1]), Fault::LostEntry).unwrap(), vec![1; PAGE]);
        assert_eq!(log(&played(&made[..1]), Fault::Kept), None);
        assert_eq!(log(&played(&made), Fault::Dropped).unwrap(), vec![1; PAGE], "the old one is back");
        let mut synced = made.to_vec();
        synced.push(sync(Name::Log, true, Took::Done));
        assert_eq!(log(&played(&synced), Fault::Dropped).unwrap(), [5]);
        let at_once = Op::Delete { name: Name::Log, folder: true };
        assert_eq!(log(&played(&[at_once]), Fault::Dropped), None);
    }

    #[test]
    fn after_a_failed_sync_pages_are_clean_and_lost_until_they_are_written_again() {
        let failed = [wrote(Name::Log, 0, &[2]), sync(Name::Log, false, Took::Failed)];
        let mut ops = failed.to_vec();
        ops.push(sync(Name::Log, false, Took::Done));
        let storage = played(&ops);
        assert!(storage.faults(None, false).contains(&Fault::LostAfterFailedSync));
        assert_eq!(
            log(&storage, Fault::LostAfterFailedSync).unwrap()[0],
            1,
            "the later sync did not write it"
        );
        assert_eq!(log(&storage, Fault::Kept).unwrap()[0], 2);
        let again = [wrote(Name::Log, 9, &[3]), sync(Name::Log, false, Took::Done)];
        let storage = played(&[&failed[..], &again[..]].concat());
        let content = log(&storage, Fault::Dropped).unwrap();
        assert_eq!((content[0], content[9]), (2, 3), "the page was dirty again as a whole");
        assert!(!storage.faults(None, false).contains(&Fault::LostAfterFailedSync));
    }

    #[test]
    fn a_class_is_offered_only_where_it_can_do_something() {
        assert_eq!(played(&[]).faults(Some(512), false), [Fault::Kept]);
        let storage = played(&[wrote(Name::Log, 0, &[2])]);
        assert!(storage.faults(Some(512), false).contains(&Fault::Garbled512));
        assert!(!storage.faults(Some(4_096), false).contains(&Fault::Garbled512));
        assert!(!storage.faults(None, false).iter().any(|fault| fault.is_rare()));
    }
}
