//! The device below both stores: it counts the reads that reach it. A time is the machine's, a count is the store's: it
//! says why a larger store takes longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::case::CaseError;
use crate::perf::subject::refused;
use crate::vfs::{Fault, FaultVfs, FileFaults, FileOp, OpKind};

/// Counts reads, and delays each sync as the command line says.
#[derive(Debug)]
pub(super) struct Device {
    reads: AtomicU64,
    sync_delay: Option<Duration>,
}

impl Device {
    /// Registers one as a VFS of its own, and names it.
    pub(super) fn register(sync_delay: Option<Duration>) -> Result<(Arc<Self>, String), CaseError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("growth-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let device = Arc::new(Self { reads: AtomicU64::new(0), sync_delay });
        FaultVfs::register(&name, device.clone()).map_err(refused("count reads"))?;
        Ok((device, name))
    }

    /// Reads so far: of a page each, but for the few of headers.
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

impl FileFaults for Device {
    fn before(&self, op: &FileOp) -> Fault {
        match (op.kind, self.sync_delay) {
            (OpKind::Sync, Some(delay)) => return Fault::Delay(delay),
            (OpKind::Read, _) => {
                self.reads.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        Fault::Pass
    }
}
