//! Faults that need no programming: none at all, and a slow device.

use std::time::Duration;

use super::{Fault, FileFaults, FileOp, OpKind};

/// No fault: every operation passes. What the shim itself costs is measured with it.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFaults;

impl FileFaults for NoFaults {
    fn before(&self, _op: &FileOp) -> Fault {
        Fault::Pass
    }
}

/// A device whose flush takes longer: each sync, of whichever file, is done after this pause.
///
/// A sandbox's disk often acknowledges a flush in a tenth of a millisecond; a cloud volume takes
/// one to five. A pause of 2 ms shows what group commit is worth there.
#[derive(Debug, Clone, Copy)]
pub struct SyncDelay(pub Duration);

impl FileFaults for SyncDelay {
    fn before(&self, op: &FileOp) -> Fault {
        match op.kind {
            OpKind::Sync => Fault::Delay(self.0),
            _ => Fault::Pass,
        }
    }
}
