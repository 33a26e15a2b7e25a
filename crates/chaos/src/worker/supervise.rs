//! The supervisor: it takes no item, but reclaims those of the dead and submits each task that the runner names.

use std::time::Duration;

use steadfast_store::{
    Batch, Committed, CreateTask, Delay, Enqueue, Label, Payload, StoreError, TaskId, WorkItemId,
};

use super::told::Told;
use super::{WorkError, Worker};

/// Claims that may count: more than any campaign kills holders of one item.
const ATTEMPTS_MAX: u32 = 1_000;

/// The item of a task.
pub fn item_of(task: &str) -> String {
    format!("{task}/collect")
}

impl Worker {
    /// Sweeps and submits until it is killed, or nobody names a task any more.
    pub(super) async fn supervise(&mut self) -> Result<(), WorkError> {
        let sweeping = self.sweeper().run_every(Duration::from_millis(self.args.sweep_ms));
        while let Some(task) = self.words.recv().await {
            self.submit(&task).await?;
            Told::Submitted { task }.tell()?;
        }
        sweeping.stop().await;
        Ok(())
    }

    /// A task that was submitted before is recognised: who was killed between the commit and its answer leaves it to
    /// its successor to ask again.
    async fn submit(&self, name: &str) -> Result<(), WorkError> {
        let (task, kind) = (TaskId::new(name)?, Label::new("research")?);
        let mut batch = Batch::durable();
        batch.add(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() });
        batch.add(Enqueue {
            item: WorkItemId::new(item_of(name))?,
            task,
            kind,
            priority: 0,
            delay: Delay::ZERO,
            max_attempts: ATTEMPTS_MAX,
        });
        loop {
            match self.store.commit(batch.clone()).await {
                Ok(Committed::Applied(_)) => return Ok(()),
                Ok(Committed::Rejected(rejection)) => {
                    return Err(StoreError::Failed { source: rejection.into() }.into());
                }
                // The same batch again, whatever became of it.
                Err(StoreError::Overloaded { .. } | StoreError::Unknown { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
