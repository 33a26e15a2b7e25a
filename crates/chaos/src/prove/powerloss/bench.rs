//! What one thread works with: a device for the store under test, another for looking, and the folder that the store
//! takes for the place of its files.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Trouble;
use super::look::{self, Contents, Look};
use super::mirror::Mirror;
use crate::memory_vfs::{Files, MemoryVfs};

/// See the module.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) viewer: MemoryVfs,
    pub(super) machine: MemoryVfs,
    pub(super) mirror: Mirror,
    /// What is wrong with the chains of each content that was met: the same rows, the same chains.
    chains: HashMap<Contents, Vec<String>>,
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
            chains: HashMap::new(),
        })
    }

    /// Looks at these files as SQLite recovers them: contents, integrity, foreign keys, chains.
    pub(super) fn look_deeply(&mut self, files: Files) -> Result<Look, Trouble> {
        let audit = look::open(&self.viewer, files)?;
        let mut look = look::look(&audit)?;
        let chains = if let Some(known) = self.chains.get(&look.contents) {
            known.clone()
        } else {
            let broken = look::broken_chains(&audit)?;
            self.chains.insert(look.contents, broken.clone());
            broken
        };
        look.complaints.extend(chains);
        Ok(look)
    }
}
