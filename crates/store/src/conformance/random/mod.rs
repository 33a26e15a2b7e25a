//! Random sequences of batches, run on the backend and on the in-memory reference side by side under one clock: after
//! every batch the answers are equal, and after every sequence so is everything that can be read.

mod generator;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::conformance::failure::{Failure, Outcome, caught, check, check_eq};
use crate::conformance::random::generator::{Generator, Step, universe};
use crate::conformance::snapshot::Snapshot;
use crate::conformance::text::Described;
use crate::conformance::world::{World, environment};
use crate::error::StoreError;
use crate::memory::MemoryStore;
use crate::outcome::{Committed, Outcome as Answer};
use crate::store::Store;

/// Sequences in one run.
const SEQUENCES: u64 = 256;
/// Batches in one sequence.
const BATCHES: usize = 30;
/// Runs spent on making a failing sequence shorter.
const SHRINKING_RUNS_MAX: usize = 500;

pub(super) async fn random_sequences_answer_as_the_reference_does(world: World<'_>) -> Outcome {
    let mut met = Seen::default();
    for number in 0..SEQUENCES {
        let seed = fastrand::Rng::with_seed(world.seed().wrapping_add(number)).u64(..);
        let steps = Generator::new(seed).steps(BATCHES).await?;
        if let Err(failure) = attempt(&world, seed, &steps, &mut met).await {
            let (steps, failure) = shrunk(&world, seed, steps, failure).await;
            let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
            let steps = steps.join("\n  ");
            let context =
                format_args!("sequence {number} differs from the reference, shortened to\n  {steps}\n")
                    .to_string();
            return Err(failure.within(context));
        }
    }
    met.check_enough()
}

/// Runs one sequence on fresh data. A panic in it is a failure like any other.
async fn attempt(world: &World<'_>, seed: u64, steps: &[Step], met: &mut Seen) -> Outcome {
    caught(side_by_side(world.another(seed).await?, steps, met)).await.and_then(|outcome| outcome)
}

async fn side_by_side(mut world: World<'_>, steps: &[Step], met: &mut Seen) -> Outcome {
    let reference = MemoryStore::new(environment(Arc::clone(world.clock()), world.seed()));
    // Kept from step to step, so that what it remembers grows old.
    let mut peer = None;
    for (number, step) in (1..).zip(steps) {
        match step {
            Step::Advance(span) => world.advance(*span),
            Step::MoveWall(millis) => world.clock().step_wall(*millis),
            Step::Reopen => {
                drop(peer.take());
                world.reopen().await?;
            }
            Step::Commit { batch, through_peer } => {
                if *through_peer && peer.is_none() {
                    peer = Some(world.peer().await?);
                }
                let store = peer.clone().filter(|_| *through_peer).unwrap_or_else(|| world.store());
                let expected = reference.commit(batch.clone()).await;
                met.note(&expected);
                let answers = (told(store.commit(batch.clone()).await), told(expected));
                check_eq!(answers.0, answers.1, "the answer to step {number}, {}", Described(batch));
            }
        }
    }
    let universe = universe();
    let found = Snapshot::of(&*world.store(), &universe).await?;
    found.check_same(&Snapshot::of(&reference, &universe).await?, "backend and reference read differently")
}

/// An answer, comparable: errors by their text.
fn told(answer: Result<Committed, StoreError>) -> Result<Committed, String> {
    answer.map_err(|error| format!("{error:?}"))
}

/// Drops steps as long as the rest still fails, and tells the failure of what is left.
async fn shrunk(
    world: &World<'_>,
    seed: u64,
    mut steps: Vec<Step>,
    mut failure: Failure,
) -> (Vec<Step>, Failure) {
    let mut runs = 0;
    loop {
        let length = steps.len();
        for at in (0..length).rev() {
            if runs == SHRINKING_RUNS_MAX {
                return (steps, failure);
            }
            runs += 1;
            let mut fewer = steps.clone();
            fewer.remove(at);
            if let Err(still) = attempt(world, seed, &fewer, &mut Seen::default()).await {
                (steps, failure) = (fewer, still);
            }
        }
        if steps.len() == length {
            return (steps, failure);
        }
    }
}

/// How often the reference gave which kind of answer: sequences that never meet a rule show nothing about it.
#[derive(Debug, Default)]
struct Seen(BTreeMap<String, u32>);

/// Every kind of answer that a batch of the suite's commands can get.
const ANSWERS: [&str; 44] = [
    "applied",
    "replayed",
    "Invalid",
    // Outcomes.
    "TaskCreated",
    "TaskFinished",
    "Enqueued",
    "Claimed",
    "Renewed",
    "Settled",
    "Appended",
    "VerificationRecorded",
    "Swept",
    "ItemCancelled",
    "Requeued",
    "Pruned",
    "Erased",
    "Purged",
    "Invalidated",
    "OperationBegun",
    "OperationFinished",
    "Superseded",
    // Reasons.
    "NoSuchTask",
    "TaskExists",
    "TaskEnded",
    "NoSuchWorkItem",
    "WorkItemExists",
    "StaleFence",
    "NotLeased",
    "WrongParent",
    "CheckpointExists",
    "NoSuchCheckpoint",
    "FingerprintConflict",
    "OperationInFlight",
    "OperationInDoubt",
    "OperationEnded",
    "StaleToken",
    "RepeatedIdentity",
    "NoSuchOperation",
    "OperationOwned",
    "WorkItemEnded",
    "NotRequeuable",
    "NoCopy",
    "OperationUnfinished",
    "reclaimed",
];

impl Seen {
    fn note(&mut self, answer: &Result<Committed, StoreError>) {
        match answer {
            Err(error) => self.count(&format!("{error:?}")),
            Ok(Committed::Rejected(rejection)) => self.count(&format!("{:?}", rejection.reason)),
            Ok(Committed::Applied(applied)) => {
                self.count(if applied.is_replayed() { "replayed" } else { "applied" });
                for outcome in applied.outcomes() {
                    self.count(&format!("{outcome:?}"));
                    if matches!(outcome, Answer::Swept(swept) if !swept.reclaimed.is_empty()) {
                        self.count("reclaimed");
                    }
                }
            }
        }
    }

    fn count(&mut self, shown: &str) {
        let end = shown.find(|c: char| !c.is_alphanumeric()).unwrap_or(shown.len());
        *self.0.entry(shown[..end].to_owned()).or_default() += 1;
    }

    fn check_enough(&self) -> Outcome {
        let missing: Vec<_> = ANSWERS.iter().filter(|answer| !self.0.contains_key(**answer)).collect();
        check!(
            missing.is_empty(),
            "the sequences of this seed never met {missing:?}, and so show nothing about it: {:?}",
            self.0
        );
        Ok(())
    }
}
