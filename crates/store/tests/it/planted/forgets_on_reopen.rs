//! Bug: what was acknowledged is gone when the store is opened again, as when it was never synced.

use steadfast_store::MemoryStore;
use steadfast_store::Store;

use super::assert_caught;
use super::wrapper::Bug;

#[derive(Debug, Default)]
struct ForgetsOnReopen;

impl Bug for ForgetsOnReopen {
    fn reopened(&self, store: &MemoryStore) -> MemoryStore {
        MemoryStore::new(store.env().clone())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_forgets_on_reopen_is_caught() {
    let report = assert_caught::<ForgetsOnReopen>(&[
        "what_was_acknowledged_is_there_after_reopening",
        "a_commit_right_before_reopening_is_there",
        "fences_keep_growing_over_a_reopening",
        "random_sequences_answer_as_the_reference_does",
    ])
    .await;
    assert!(!report.has_failed("a_stale_fence_is_rejected_with_every_effect_it_guards"), "\n{report}");
}
