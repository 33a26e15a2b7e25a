//! Which checkpoint ids are surely new. Ids are time-ordered, so nearly every one that is asked for lies beyond the
//! largest that was in the file when the writer first looked; those written since are remembered here. That spares
//! each append a search of the index.

use std::collections::BTreeSet;

use crate::id::CheckpointId;

/// Ids remembered at most between groups; the older half goes first.
const KEPT_MAX: usize = 8_192;

/// See the module. To be forgotten after a rollback and when somebody else has committed.
#[derive(Debug, Default)]
pub(super) struct RecentIds {
    /// Every id in the file beyond this one is among the recent. Unknown until the file was asked.
    watermark: Option<CheckpointId>,
    recent: BTreeSet<CheckpointId>,
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
            let found = largest()?.unwrap_or(CheckpointId::from_bytes([0; 16]));
            *self.watermark.insert(found)
        };
        Ok(id <= watermark || self.recent.contains(&id))
    }

    /// An id was written.
    pub(super) fn insert(&mut self, id: CheckpointId) {
        if self.watermark.is_some_and(|watermark| id > watermark) {
            self.recent.insert(id);
        }
    }

    /// The file must be asked again.
    pub(super) fn forget(&mut self) {
        self.watermark = None;
        self.recent.clear();
    }

    /// Keeps memory bounded. To be called between groups.
    pub(super) fn trim(&mut self) {
        if self.recent.len() > KEPT_MAX
            && let Some(middle) = self.recent.iter().nth(KEPT_MAX / 2).copied()
        {
            self.recent = self.recent.split_off(&middle);
            self.recent.remove(&middle);
            self.watermark = Some(middle);
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
