//! Bug: whoever shows a lease on an item has it, whatever its fence: the holder that was given up on writes on.

use async_trait::async_trait;
use steadfast_store::{Batch, Command, Committed, Guard, MemoryStore, Store, StoreError};

use super::assert_caught;
use super::wrapper::{Bug, rebuilt};

#[derive(Debug, Default)]
struct IgnoresTheFence;

/// The lease that holds now in place of the one that was shown.
async fn current(store: &MemoryStore, shown: Guard) -> Result<Guard, StoreError> {
    let item = store.work_item(&shown.item).await?;
    Ok(item.filter(|item| item.lease.is_some()).map_or(shown, |item| item.guard()))
}

#[async_trait]
impl Bug for IgnoresTheFence {
    async fn commit(&self, store: &MemoryStore, batch: Batch) -> Result<Committed, StoreError> {
        let mut entries = batch.entries().to_vec();
        for entry in &mut entries {
            if let Some(shown) = entry.guard.take() {
                entry.guard = Some(current(store, shown).await?);
            }
            match &mut entry.command {
                Command::Renew(renew) => renew.guard = current(store, renew.guard.clone()).await?,
                Command::SettleItem(settle) => settle.guard = current(store, settle.guard.clone()).await?,
                Command::BeginOperation(begin) => {
                    if let Some(lease) = begin.lease.take() {
                        begin.lease = Some(current(store, lease).await?);
                    }
                }
                _ => {}
            }
        }
        store.commit(rebuilt(&batch, entries)).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_ignores_the_fence_is_caught() {
    let report = assert_caught::<IgnoresTheFence>(&[
        "a_stale_fence_is_rejected_with_every_effect_it_guards",
        "a_guard_without_its_lease_is_rejected",
        "random_sequences_answer_as_the_reference_does",
    ])
    .await;
    assert!(!report.has_failed("what_was_acknowledged_is_there_after_reopening"), "\n{report}");
}
