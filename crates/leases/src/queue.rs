//! The queue from outside: calling items off, looking at dead letters and bringing them back.

use steadfast_store::{
    CancelItem, CommandError, Delay, Durability, Requeue, Requeued, Status, StoreError, TransitionId,
    WorkItem, WorkItemId, WorkItemPage, commit_one_resolved,
};

use crate::manager::LeaseManager;

impl LeaseManager {
    /// Calls an item off: it is not claimed any more, and whoever holds it is fenced off at once. Durable on return.
    ///
    /// # Errors
    /// [`CommandError`]: a [`Rejection`](steadfast_store::Rejection) when there is no such item, or it has ended
    /// otherwise.
    pub async fn cancel(&self, item: WorkItemId) -> Result<(), CommandError> {
        commit_one_resolved(&*self.store, Durability::Durable, CancelItem { item }).await.map(drop)
    }

    /// Items that were given up, in the order of their ids, up to `limit` after `after`. Each says in its
    /// [`detail`](WorkItem::detail) why.
    ///
    /// # Errors
    /// [`StoreError`], for a limit out of bounds too.
    pub async fn dead_letters(
        &self,
        after: Option<WorkItemId>,
        limit: u32,
    ) -> Result<Vec<WorkItem>, StoreError> {
        self.store.work_items(WorkItemPage { task: None, status: Some(Status::Failed), after, limit }).await
    }

    /// Makes a dead letter, a cancelled item or one that needs attention available again, after `delay` and with all
    /// its attempts. Durable on return.
    ///
    /// # Errors
    /// [`CommandError`]: a [`Rejection`](steadfast_store::Rejection) for any other item.
    pub async fn requeue(&self, item: WorkItemId, delay: Delay) -> Result<Requeued, CommandError> {
        let requeue = TransitionId::generate(self.store.env());
        commit_one_resolved(&*self.store, Durability::Durable, Requeue { requeue, item, delay }).await
    }
}
