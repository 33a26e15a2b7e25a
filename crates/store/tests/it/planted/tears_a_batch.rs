//! Bug: when a command of a batch is rejected, the ones before it stay.

use async_trait::async_trait;
use steadfast_store::{Batch, Committed, MemoryStore, Store, StoreError};

use super::assert_caught;
use super::wrapper::{Bug, rebuilt};

#[derive(Debug, Default)]
struct TearsABatch;

#[async_trait]
impl Bug for TearsABatch {
    async fn commit(&self, store: &MemoryStore, batch: Batch) -> Result<Committed, StoreError> {
        let answer = store.commit(batch.clone()).await?;
        if let Committed::Rejected(rejection) = &answer {
            let before = batch.entries().iter().take(rejection.index).cloned();
            // Whatever becomes of them: the caller hears of the rejection.
            drop(store.commit(rebuilt(&batch, before)).await);
        }
        Ok(answer)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_tears_a_batch_is_caught() {
    let report = assert_caught::<TearsABatch>(&[
        "a_rejection_at_the_last_command_leaves_nothing_of_the_first",
        "a_batch_is_answered_for_itself_whatever_its_neighbours_do",
        "random_sequences_answer_as_the_reference_does",
    ])
    .await;
    assert!(!report.has_failed("sequence_numbers_are_dense_and_links_recompute"), "\n{report}");

    // A sequence of thirty batches is told by the few that matter.
    let random = report.failed.iter().find(|(name, _)| name.starts_with("random"));
    let said = random.map(|(_, failure)| failure.to_string()).unwrap_or_default();
    let commits = said.lines().filter(|line| line.trim_start().starts_with("commit ")).count();
    assert!((1..=3).contains(&commits), "not shortened: {said}");
}
