//! Which ids are surely new: of checkpoints, and of the transitions that move work items. Ids are time-ordered, so
//! nearly every one that is asked for lies beyond the largest that was in the file when the writer first looked; those
//! written since are remembered here. That spares each append and each claim a search of an index.

use std::collections::VecDeque;

use crate::id::{CheckpointId, TransitionId};

/// Ids remembered at most between groups; the older half goes first.
const KEPT_MAX: usize = 8_192;

/// An id of 16 bytes, as a number: numbers order as the bytes do.
pub(super) trait Numbered {
    fn number(self) -> u128;
}

impl Numbered for CheckpointId {
    fn number(self) -> u128 {
        u128::from_be_bytes(*self.as_bytes())
    }
}

impl Numbered for TransitionId {
    fn number(self) -> u128 {
        u128::from_be_bytes(*self.as_bytes())
    }
}

/// What the writer remembers. To be forgotten after a rollback and when somebody else has committed.
#[derive(Debug, Default)]
pub(super) struct Recent {
    pub(super) checkpoints: RecentIds,
    pub(super) transitions: RecentIds,
}

impl Recent {
    /// The file must be asked again.
    pub(super) fn forget(&mut self) {
        self.checkpoints.forget();
        self.transitions.forget();
    }

    /// Keeps memory bounded. To be called between groups.
    pub(super) fn trim(&mut self) {
        self.checkpoints.trim();
        self.transitions.trim();
    }
}

/// The ids of one kind; see the module.
#[derive(Debug, Default)]
pub(super) struct RecentIds {
    /// Every id in the file beyond this one is among the recent. Unknown until the file was asked.
    watermark: Option<u128>,
    /// Ascending. A new id belongs at the end or near it: a tree would walk for nothing.
    recent: VecDeque<u128>,
}

impl RecentIds {
    /// Whether the file has to be searched for `id`. `largest` asks it for its largest id.
    pub(super) fn may_be_there<Id: Numbered, E>(
        &mut self,
        id: Id,
        largest: impl FnOnce() -> Result<Option<Id>, E>,
    ) -> Result<bool, E> {
        let watermark = if let Some(watermark) = self.watermark {
            watermark
        } else {
            let found = largest()?.map_or(0, Numbered::number);
            *self.watermark.insert(found)
        };
        let id = id.number();
        if self.recent.back().is_none_or(|newest| id > *newest) {
            return Ok(id <= watermark);
        }
        Ok(id <= watermark || self.recent.binary_search(&id).is_ok())
    }

    /// An id was written.
    pub(super) fn insert(&mut self, id: impl Numbered) {
        let id = id.number();
        if self.watermark.is_none_or(|watermark| id <= watermark) {
            return;
        }
        if self.recent.back().is_none_or(|newest| id > *newest) {
            self.recent.push_back(id);
        } else if let Err(place) = self.recent.binary_search(&id) {
            self.recent.insert(place, id);
        }
    }

    fn forget(&mut self) {
        self.watermark = None;
        self.recent.clear();
    }

    fn trim(&mut self) {
        if self.recent.len() > KEPT_MAX {
            self.watermark = self.recent.drain(..=KEPT_MAX / 2).next_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> CheckpointId {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        CheckpointId::from_bytes(bytes)
    }

    #[test]
    fn an_id_that_is_there_is_never_called_new() {
        let mut recent = RecentIds::default();
        let ask = |recent: &mut RecentIds, number| {
            recent.may_be_there(id(number), || Ok::<_, ()>(Some(id(9)))).unwrap()
        };
        assert!(ask(&mut recent, 5) && ask(&mut recent, 9), "below the largest of the file");
        assert!(!ask(&mut recent, 10));
        for number in 10..20_000 {
            recent.insert(id(number));
            recent.trim();
        }
        assert!(recent.recent.len() <= KEPT_MAX + 1);
        for number in 0..20_000 {
            assert!(ask(&mut recent, number), "{number}");
        }
        assert!(!ask(&mut recent, 20_000));
        recent.forget();
        assert!(!ask(&mut recent, 10), "the file is asked again");
    }
}
