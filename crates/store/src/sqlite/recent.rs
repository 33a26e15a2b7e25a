//! Which checkpoint ids are surely new. Ids are time-ordered, so nearly every one that is asked for lies beyond the
//! largest that was in the file when the writer first looked; those written since are remembered here. That spares
//! each append a search of the index.

use std::collections::VecDeque;

use crate::id::CheckpointId;

/// Ids remembered at most between groups; the older half goes first.
const KEPT_MAX: usize = 8_192;

/// See the module. To be forgotten after a rollback and when somebody else has committed.
#[derive(Debug, Default)]
pub(super) struct RecentIds {
    /// Every id in the file beyond this one is among the recent. Unknown until the file was asked.
    watermark: Option<u128>,
    /// Ascending. A new id belongs at the end or near it: a tree would walk for nothing.
    recent: VecDeque<u128>,
}

/// Ids as numbers order as their bytes do.
fn number(id: CheckpointId) -> u128 {
    u128::from_be_bytes(*id.as_bytes())
}

impl RecentIds {
    /// Whether the file has to be searched for `id`. `largest` asks it for its largest id.
    pub(super) fn may_be_there<E>(
        &mut self,
        id: CheckpointId,
        largest: impl FnOnce() -> Result<Option<CheckpointId>, E>,
    ) -> Result<bool, E> {
        let watermark = if let Some(watermark) = self.watermark {
            watermark
        } else {
            let found = largest()?.map_or(0, number);
            *self.watermark.insert(found)
        };
        let id = number(id);
        if self.recent.back().is_none_or(|newest| id > *newest) {
            return Ok(id <= watermark);
        }
        Ok(id <= watermark || self.recent.binary_search(&id).is_ok())
    }

    /// An id was written.
    pub(super) fn insert(&mut self, id: CheckpointId) {
        let id = number(id);
        if self.watermark.is_none_or(|watermark| id <= watermark) {
            return;
        }
        if self.recent.back().is_none_or(|newest| id > *newest) {
            self.recent.push_back(id);
        } else if let Err(place) = self.recent.binary_search(&id) {
            self.recent.insert(place, id);
        }
    }

    /// The file must be asked again.
    pub(super) fn forget(&mut self) {
        self.watermark = None;
        self.recent.clear();
    }

    /// Keeps memory bounded. To be called between groups.
    pub(super) fn trim(&mut self) {
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
