//! Bug: two checkpoints of a task stand at one sequence number, as when its head was read before a commit and used
//! after it.

use async_trait::async_trait;
use steadfast_store::{
    Applied, Batch, Checkpoint, Committed, MemoryStore, Outcome, SequenceNumber, Store, StoreError, Task,
    TaskId,
};

use super::assert_caught;
use super::wrapper::Bug;

#[derive(Debug, Default)]
struct ReusesASequenceNumber;

/// The second checkpoint comes out at the place of the first, and all later ones one place too early.
fn reused(sequence: SequenceNumber) -> SequenceNumber {
    SequenceNumber(if sequence.0 > 1 { sequence.0 - 1 } else { sequence.0 })
}

#[async_trait]
impl Bug for ReusesASequenceNumber {
    async fn commit(&self, store: &MemoryStore, batch: Batch) -> Result<Committed, StoreError> {
        let answer = store.commit(batch).await?;
        let Committed::Applied(applied) = answer else { return Ok(answer) };
        let told = applied.outcomes().iter().cloned().map(|outcome| match outcome {
            Outcome::Appended(mut appended) => {
                appended.sequence = reused(appended.sequence);
                Outcome::Appended(appended)
            }
            other => other,
        });
        Ok(Committed::Applied(Applied::new(told.collect(), applied.is_replayed())))
    }

    async fn task(&self, store: &MemoryStore, id: &TaskId) -> Result<Option<Task>, StoreError> {
        let task = store.task(id).await?;
        Ok(task.map(|task| Task { head: reused(task.head), ..task }))
    }

    fn shown(&self, mut checkpoint: Checkpoint) -> Checkpoint {
        checkpoint.header.sequence = reused(checkpoint.header.sequence);
        checkpoint
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_reuses_a_sequence_number_is_caught() {
    let report = assert_caught::<ReusesASequenceNumber>(&[
        "sequence_numbers_are_dense_and_links_recompute",
        "pages_of_checkpoints_run_both_ways",
        "appends_of_two_peers_to_one_task_leave_a_dense_chain",
        "random_sequences_answer_as_the_reference_does",
    ])
    .await;
    assert!(!report.has_failed("a_stale_fence_is_rejected_with_every_effect_it_guards"), "\n{report}");
}
