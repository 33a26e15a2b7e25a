//! What a device surely holds of the files of a database, page by page, and what a power loss makes of the rest.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::Loss;

/// The unit of the page cache, in bytes.
pub(super) const PAGE: u64 = 4096;

/// What the device surely holds, by file. It can outlive the process.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Model {
    pub(super) database: Image,
    pub(super) log: Image,
    /// What it held of a log that was removed.
    #[serde(skip)]
    pub(super) ghost: Option<Vec<u8>>,
}

/// One file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Image {
    #[serde(skip)]
    durable: Vec<u8>,
    /// Pages that the next sync writes.
    dirty: BTreeSet<u64>,
    /// Pages that no sync writes, unless they become dirty again.
    dropped: BTreeSet<u64>,
}

impl Image {
    pub(super) fn wrote(&mut self, offset: u64, length: u64) {
        for page in offset / PAGE..(offset + length).div_ceil(PAGE) {
            self.dropped.remove(&page);
            self.dirty.insert(page);
        }
    }

    pub(super) fn synced(&mut self, file: &File) -> io::Result<()> {
        for page in std::mem::take(&mut self.dirty) {
            let content = read_page(file, page)?;
            let start = bytes(page * PAGE);
            let end = start + content.len();
            if self.durable.len() < end {
                self.durable.resize(end, 0);
            }
            self.durable[start..end].copy_from_slice(&content);
        }
        Ok(())
    }

    pub(super) fn sync_failed(&mut self) {
        self.dropped.append(&mut self.dirty);
    }

    /// Whether anything of it is in memory only.
    pub(super) fn is_pending(&self) -> bool {
        !self.dirty.is_empty() || !self.dropped.is_empty()
    }

    pub(super) fn cut(&mut self, length: u64) {
        self.durable.truncate(bytes(length));
        for pages in [&mut self.dirty, &mut self.dropped] {
            pages.retain(|page| page * PAGE < length);
        }
    }

    /// The file is removed; what the device held of it.
    pub(super) fn removed(&mut self) -> Vec<u8> {
        std::mem::take(self).durable
    }

    /// The page as the device surely holds it; zeros where it holds nothing.
    fn page(&self, page: u64, length: usize) -> Vec<u8> {
        let start = bytes(page * PAGE).min(self.durable.len());
        let mut content = self.durable[start..self.durable.len().min(start + length)].to_vec();
        content.resize(length, 0);
        content
    }

    /// Puts into `file`, a copy of what is in memory, what a power loss leaves.
    fn unplug(&self, file: &File, mut rng: Option<&mut fastrand::Rng>) -> io::Result<()> {
        for &page in self.dirty.union(&self.dropped) {
            let new = read_page(file, page)?;
            let mut left = self.page(page, new.len());
            match rng.as_deref_mut().map(|rng| (rng.u8(0..3), rng)) {
                None | Some((0, _)) => {}
                Some((1, _)) => left = new,
                Some((_, rng)) => {
                    for (left, _) in left.iter_mut().zip(&new).filter(|(left, new)| left != new) {
                        *left = rng.u8(..);
                    }
                }
            }
            file.write_all_at(&left, page * PAGE)?;
        }
        Ok(())
    }
}

impl Model {
    /// What an earlier process has left; otherwise the files, all of which are on the device.
    pub(super) fn of(database: &Path) -> io::Result<Self> {
        let part = |part| read_if_there(&part_of_model(database, part));
        let (mut model, files) = match part("pages")? {
            Some(pages) => (serde_json::from_slice(&pages)?, [part("database")?, part("log")?]),
            None => (Self::default(), [read_if_there(database)?, read_if_there(&log_of(database))?]),
        };
        [model.database.durable, model.log.durable] = files.map(Option::unwrap_or_default);
        model.ghost = part("ghost")?;
        Ok(model)
    }

    pub(super) fn save(&self, database: &Path) -> io::Result<()> {
        let part = |part, bytes: &[u8]| fs::write(part_of_model(database, part), bytes);
        part("pages", &serde_json::to_vec(self)?)?;
        part("database", &self.database.durable)?;
        part("log", &self.log.durable)?;
        match &self.ghost {
            Some(ghost) => part("ghost", ghost)?,
            None => drop(fs::remove_file(part_of_model(database, "ghost"))),
        }
        Ok(())
    }

    pub(super) fn unplug(&self, copy: &Path, loss: Loss) -> io::Result<()> {
        let mut rng = match loss {
            Loss::Some(seed) => Some(fastrand::Rng::with_seed(seed)),
            Loss::All | Loss::Ghost => None,
        };
        let open = |path: &Path| File::options().read(true).write(true).open(path);
        self.database.unplug(&open(copy)?, rng.as_mut())?;
        let log = log_of(copy);
        if log.exists() {
            self.log.unplug(&open(&log)?, rng.as_mut())?;
        } else if let (Some(ghost), Loss::Ghost) = (&self.ghost, loss) {
            fs::write(&log, ghost)?;
        }
        Ok(())
    }

    pub(super) fn evict(&self, log: &Path) -> io::Result<(u64, Vec<u8>)> {
        let none = || io::Error::other("no page of the log counts as clean without being on the device");
        let page = *self.log.dropped.first().ok_or_else(none)?;
        let log = File::options().read(true).write(true).open(log)?;
        let content = read_page(&log, page)?;
        log.write_all_at(&self.log.page(page, content.len()), page * PAGE)?;
        Ok((page, content))
    }
}

/// The file that SQLite keeps beside a database under this suffix.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The write-ahead log of a database.
pub(super) fn log_of(database: &Path) -> PathBuf {
    beside(database, "-wal")
}

/// Where a part of the model lies between two processes.
fn part_of_model(database: &Path, part: &str) -> PathBuf {
    database.with_extension(format!("device-{part}"))
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The page, shorter at the end of the file.
pub(super) fn read_page(file: &File, page: u64) -> io::Result<Vec<u8>> {
    read_at_most(file, page * PAGE, bytes(PAGE))
}

/// The whole file, from a descriptor that stays open.
pub(super) fn read_whole(file: &File) -> io::Result<Vec<u8>> {
    read_at_most(file, 0, bytes(file.metadata()?.len()))
}

fn read_at_most(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut content = vec![0; length];
    let mut filled = 0;
    while filled < content.len() {
        match file.read_at(&mut content[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    content.truncate(filled);
    Ok(content)
}

/// Offsets in small files fit memory.
fn bytes(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
