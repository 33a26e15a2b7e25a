//! What the tests have a store do: appends to one task, each under an identity of its own; what they were told became
//! of them; and what must be found afterwards.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use steadfast_store::env::{Env, SeededRng};
use steadfast_store::{
    AppendCheckpoint, Batch, CheckpointId, Committed, Durability, Label, Payload, Reason, Rejection,
    SealedPayload, StoreError, TaskId,
};

/// Bytes of a deed that fits a page.
const SMALL: u32 = 1_000;

/// One batch. The same number is always the very same batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Deed {
    pub(super) number: u8,
    pub(super) durable: bool,
    pub(super) bytes: u32,
}

pub(super) const fn durable(number: u8) -> Deed {
    Deed { number, durable: true, bytes: SMALL }
}

pub(super) const fn relaxed(number: u8) -> Deed {
    Deed { durable: false, ..durable(number) }
}

/// Those of these numbers, durable.
pub(super) fn all(numbers: Range<u8>) -> Vec<Deed> {
    numbers.map(durable).collect()
}

pub(super) fn task() -> TaskId {
    TaskId::new("work").unwrap()
}

impl Deed {
    pub(super) const fn sized(self, bytes: u32) -> Self {
        Self { bytes, ..self }
    }

    pub(super) fn batch(self) -> Batch {
        let seeded = Env::system().with_rng(Arc::new(SeededRng::new(self.number.into())));
        let bytes = vec![self.number; usize::try_from(self.bytes).unwrap()];
        let durability = if self.durable { Durability::Durable } else { Durability::Relaxed };
        let mut batch = Batch::new(durability);
        batch.add(AppendCheckpoint {
            checkpoint: CheckpointId::from_bytes([self.number; 16]),
            task: task(),
            kind: Label::new("step").unwrap(),
            work_item: None,
            expected_head: None,
            payload: SealedPayload::seal(bytes, &seeded).unwrap(),
            evidence: Payload::empty(),
            copy_of: None,
        });
        batch
    }
}

/// What a caller was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Applied,
    /// It had been applied before.
    Replayed,
    Failed,
    DiskFull,
    Unknown,
    /// There was no task.
    Rejected,
    /// Anything else, which is always a failure of the test.
    Other(String),
}

impl Answer {
    pub(super) fn of(answer: Result<Committed, StoreError>) -> Self {
        match answer {
            Ok(Committed::Applied(applied)) if applied.is_replayed() => Self::Replayed,
            Ok(Committed::Applied(_)) => Self::Applied,
            Ok(Committed::Rejected(Rejection { reason: Reason::NoSuchTask { .. }, .. })) => Self::Rejected,
            Err(StoreError::Failed { .. }) => Self::Failed,
            Err(StoreError::DiskFull) => Self::DiskFull,
            // A writer that panicked answers so too.
            Err(StoreError::Unknown { source }) if !source.to_string().contains("ended before") => {
                Self::Unknown
            }
            other => Self::Other(format!("{other:?}")),
        }
    }

    fn acknowledges(&self) -> bool {
        matches!(self, Self::Applied | Self::Replayed)
    }
}

/// Who was told what, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told(pub(super) Vec<(Deed, Answer)>);

/// What had happened to what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Survived {
    Kill,
    PowerLoss,
}

impl Told {
    pub(super) fn answers(&self) -> Vec<Answer> {
        self.0.iter().map(|(_, answer)| answer.clone()).collect()
    }

    /// Each once.
    pub(super) fn deeds(&self) -> BTreeSet<Deed> {
        self.0.iter().map(|(deed, _)| *deed).collect()
    }

    /// Compares with the numbers found, in the order of the chain.
    #[track_caller]
    pub(super) fn agrees_with(&self, found: &[u8], survived: Survived, what: &str) {
        for deed in self.deeds() {
            let times = found.iter().copied().filter(|number| *number == deed.number).count();
            let told = || self.0.iter().filter(|(other, _)| *other == deed).map(|(_, answer)| answer);
            let context =
                || format!("{deed:?} after {:?}: found {found:?} {what}", told().collect::<Vec<_>>());
            assert!(times <= 1, "applied twice: {}", context());
            let acknowledged = told().any(Answer::acknowledges);
            let must_be_there = acknowledged && (deed.durable || survived == Survived::Kill);
            let may_be_there = acknowledged || told().any(|answer| *answer == Answer::Unknown);
            assert!(times == 1 || !must_be_there, "acknowledged and lost: {}", context());
            assert!(times == 0 || may_be_there, "failed and yet applied: {}", context());
        }
        let deeds = self.deeds();
        assert!(found.iter().all(|&number| deeds.iter().any(|deed| deed.number == number)), "{found:?}");
    }
}
