//! What one thread works with: a device for the store under test, another for looking, and the folder that the store
//! takes for the place of its files.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Trouble;
use super::look::{self, Look, Pages};
use super::mirror::Mirror;
use crate::memory_vfs::{Files, MemoryVfs};

/// See the module.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) viewer: MemoryVfs,
    pub(super) machine: MemoryVfs,
    pub(super) mirror: Mirror,
    /// What was found in each database that was recovered, page for page: the same pages, the same findings.
    known: HashMap<Pages, Look>,
}

impl Bench {
    /// Registers its devices.
    pub(super) fn new(folder: &Path) -> Result<Self, Trouble> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let register = |role| {
            MemoryVfs::register(&format!("powerloss-{role}-{number}"))
                .map_err(|error| Trouble::Mirror(error.to_string()))
        };
        Ok(Self {
            viewer: register("viewer")?,
            machine: register("machine")?,
            mirror: Mirror::new(folder)?,
            known: HashMap::new(),
        })
    }

    /// Looks at these files as SQLite recovers them: contents, integrity, foreign keys, chains.
    pub(super) fn look_deeply(&mut self, files: Files) -> Result<Look, Trouble> {
        let audit = look::open(&self.viewer, files)?;
        // Those of an empty database cannot be had, nor those of a broken one.
        let pages = look::pages(&audit).ok();
        if let Some(known) = pages.and_then(|pages| self.known.get(&pages)) {
            return Ok(known.clone());
        }
        let mut look = look::look(&audit)?;
        look.complaints.extend(look::broken_chains(&audit)?);
        if let Some(pages) = pages {
            self.known.insert(pages, look.clone());
        }
        Ok(look)
    }
}
