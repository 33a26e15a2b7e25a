//! The way of one process to the store: messages take their time, overtake one another, and meet storms. It is the
//! [`Store`] that the components under test are given.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use steadfast_store::env::Env;
use steadfast_store::{
    Batch, ChangeStamp, Checkpoint, CheckpointId, CheckpointPage, Committed, Health, Monitoring, Operation,
    OperationKey, OperationPage, OperationRecord, Store, StoreError, Task, TaskId, TaskPage, TaskRecord,
    WorkItem, WorkItemId, WorkItemPage, within,
};

use super::machine::MachineId;
use super::planted::Plant;
use super::server::{Letter, Server};

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) machine: MachineId,
    pub(super) process: u32,
    pub(super) env: Env,
    pub(super) server: Arc<Server>,
}

impl Link {
    async fn read<T: Send>(
        &self,
        look: impl FnOnce(&Server) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        let trip = self.server.trip_of_read(self.machine);
        self.server.wait(trip.there).await;
        let found = if trip.fails {
            Err(StoreError::Failed { source: "the read met a storm".into() })
        } else {
            look(&self.server)
        };
        self.server.wait(trip.back).await;
        found
    }
}

#[async_trait]
impl Store for Link {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        batch.validate()?;
        let letter = Letter { machine: self.machine, process: self.process, batch };
        let answer = Server::post(&self.server, letter).await.map_err(|_| StoreError::Closed)?;
        match answer {
            // Planted: the caller is told that nothing was applied, and tries again with another identity.
            Err(StoreError::Unknown { source }) if self.server.plant == Some(Plant::NewIdentity) => {
                Err(StoreError::Failed { source })
            }
            answer => answer,
        }
    }

    async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        self.read(|server| server.backend.read(|store| store.task(id))).await
    }

    async fn task_record(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.read(|server| server.backend.read(|store| store.task_record(id))).await
    }

    async fn work_item(&self, id: &WorkItemId) -> Result<Option<WorkItem>, StoreError> {
        self.read(|server| server.backend.read(|store| store.work_item(id))).await
    }

    async fn work_items(&self, page: WorkItemPage) -> Result<Vec<WorkItem>, StoreError> {
        self.read(|server| server.backend.read(|store| store.work_items(page))).await
    }

    async fn tasks(&self, page: TaskPage) -> Result<Vec<Task>, StoreError> {
        self.read(|server| server.backend.read(|store| store.tasks(page))).await
    }

    async fn checkpoint(&self, id: CheckpointId) -> Result<Option<Checkpoint>, StoreError> {
        self.read(|server| server.backend.read(|store| store.checkpoint(id))).await
    }

    async fn checkpoints(&self, task: &TaskId, page: CheckpointPage) -> Result<Vec<Checkpoint>, StoreError> {
        self.read(|server| server.backend.read(|store| store.checkpoints(task, page))).await
    }

    async fn operation(&self, key: &OperationKey) -> Result<Option<OperationRecord>, StoreError> {
        self.read(|server| server.backend.read(|store| store.operation(key))).await
    }

    async fn operations(&self, task: &TaskId, page: OperationPage) -> Result<Vec<Operation>, StoreError> {
        self.read(|server| server.backend.read(|store| store.operations(task, page))).await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.read(|server| server.backend.read(Store::health)).await
    }

    async fn monitoring(&self) -> Result<Monitoring, StoreError> {
        self.read(|server| server.backend.read(Store::monitoring)).await
    }

    fn change_stamp(&self) -> ChangeStamp {
        self.server.change_stamp()
    }

    async fn changed(&self, seen: ChangeStamp, limit: Duration) -> ChangeStamp {
        within(&self.env, limit, self.server.changed_since(seen)).await;
        self.change_stamp()
    }

    fn env(&self) -> &Env {
        &self.env
    }
}
