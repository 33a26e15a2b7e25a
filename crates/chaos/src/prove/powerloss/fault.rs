//! What a power cut may do to that which was not surely on the device: the classes of faults.

/// One class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fault {
    /// Nothing: what was written is there, as after the death of the process alone.
    Kept,
    /// All of it is gone.
    Dropped,
    /// Each write, cut and directory entry by itself reached the device or did not.
    Reordered,
    /// So did each 512 bytes of a write.
    Torn512,
    /// So did each 4,096 bytes of a write, as the page cache writes them.
    Torn4096,
    /// Where it was written stands what was there, what was written, or anything at all, each 512 bytes by themselves.
    Garbage,
    /// The same of whole sectors of 512 bytes, what stood beside the write included: on a device of which powersafe
    /// overwrite is declared off.
    Garbled512,
    /// The same with sectors of 4,096 bytes.
    Garbled4096,
    /// No cut of a file reached the device; all writes did.
    LostTruncate,
    /// No file that was made or removed since its folder was synced is so on the device; all writes are there.
    LostEntry,
    /// What could be read after a failed sync, and counted as clean, is gone; what was written since is there.
    LostAfterFailedSync,
}

impl Fault {
    /// Every class.
    pub(super) const ALL: [Self; 11] = [
        Self::Kept,
        Self::Dropped,
        Self::Reordered,
        Self::Torn512,
        Self::Torn4096,
        Self::Garbage,
        Self::Garbled512,
        Self::Garbled4096,
        Self::LostTruncate,
        Self::LostEntry,
        Self::LostAfterFailedSync,
    ];

    /// What it is called in reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Dropped => "dropped",
            Self::Reordered => "reordered",
            Self::Torn512 => "torn at 512",
            Self::Torn4096 => "torn at 4096",
            Self::Garbage => "garbage",
            Self::Garbled512 => "sectors of 512 garbled",
            Self::Garbled4096 => "sectors of 4096 garbled",
            Self::LostTruncate => "truncate lost",
            Self::LostEntry => "directory entry lost",
            Self::LostAfterFailedSync => "lost after a failed sync",
        }
    }

    /// Whether it happens seldom, so that it is to be taken where it can be.
    pub(super) const fn is_rare(self) -> bool {
        matches!(self, Self::LostTruncate | Self::LostEntry | Self::LostAfterFailedSync)
    }

    /// The unit in which a write is taken apart, in bytes; none where it is taken whole.
    pub(super) const fn unit(self) -> Option<usize> {
        match self {
            Self::Torn512 | Self::Garbage | Self::Garbled512 => Some(512),
            Self::Torn4096 | Self::Garbled4096 => Some(4096),
            _ => None,
        }
    }
}
