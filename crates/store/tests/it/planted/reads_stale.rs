//! Bug: a handle keeps what it has read until it commits something itself, and does not hear of the others' commits.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use steadfast_store::{Batch, Committed, MemoryStore, Store, StoreError, WorkItem, WorkItemId};

use super::assert_caught;
use super::wrapper::Bug;

#[derive(Debug, Default)]
struct ReadsStale {
    kept: Mutex<HashMap<WorkItemId, Option<WorkItem>>>,
}

#[async_trait]
impl Bug for ReadsStale {
    async fn commit(&self, store: &MemoryStore, batch: Batch) -> Result<Committed, StoreError> {
        let answer = store.commit(batch).await;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
        answer
    }

    async fn work_item(&self, store: &MemoryStore, id: &WorkItemId) -> Result<Option<WorkItem>, StoreError> {
        let read = store.work_item(id).await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.entry(id.clone()).or_insert(read).clone())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_reads_stale_is_caught() {
    let report = assert_caught::<ReadsStale>(&["a_peer_sees_what_was_acknowledged_at_once"]).await;
    assert!(!report.has_failed("a_rejection_at_the_last_command_leaves_nothing_of_the_first"), "\n{report}");
}
