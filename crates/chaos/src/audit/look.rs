//! What scenarios look at, whichever backend holds it: a file by plain SQL, memory by the store's own reads, since
//! there is no other way into it. The chains of both are computed again by [`chain_faults`](super::chain_faults).

use std::fmt::Debug;
use std::sync::Arc;

use steadfast_store::{
    Checkpoint, CheckpointPage, MODEL_KEYS, SequenceNumber, Store, StoreError, TOOL_KEYS, Task, TaskId,
    TaskPage, WorkItemPage, limits::PAGE_ROWS_MAX,
};

use super::{Audit, CheckpointRow, ItemStanding, TaskRow};
use crate::case::CaseError;

/// A look at all that a store holds.
pub trait Look: Debug {
    /// What complains of the store as a whole; nothing for a sound one.
    ///
    /// # Errors
    /// [`CaseError`], when it cannot be looked at; so for all of these.
    fn faults(&self) -> Result<Vec<String>, CaseError>;
    /// A task.
    ///
    /// # Errors
    /// [`CaseError`].
    fn task(&self, key: &str) -> Result<Option<TaskRow>, CaseError>;
    /// All checkpoints of a task, in their order.
    ///
    /// # Errors
    /// [`CaseError`].
    fn checkpoints(&self, task: &TaskRow) -> Result<Vec<CheckpointRow>, CaseError>;
    /// All work items.
    ///
    /// # Errors
    /// [`CaseError`].
    fn items(&self) -> Result<Vec<ItemStanding>, CaseError>;
    /// How many checkpoints of this kind there are, of all tasks.
    ///
    /// # Errors
    /// [`CaseError`].
    fn checkpoints_of_kind(&self, kind: &str) -> Result<usize, CaseError>;
    /// How many operations have succeeded whose keys begin like this: the cache's or the ledger's.
    ///
    /// # Errors
    /// [`CaseError`].
    fn succeeded_operations(&self, keys: &str) -> Result<usize, CaseError>;
}

impl Look for Audit {
    fn faults(&self) -> Result<Vec<String>, CaseError> {
        Ok(self.faults()?)
    }

    fn task(&self, key: &str) -> Result<Option<TaskRow>, CaseError> {
        Ok(self.task(key)?)
    }

    fn checkpoints(&self, task: &TaskRow) -> Result<Vec<CheckpointRow>, CaseError> {
        Ok(self.checkpoints(task)?)
    }

    fn items(&self) -> Result<Vec<ItemStanding>, CaseError> {
        Ok(self.items()?)
    }

    fn checkpoints_of_kind(&self, kind: &str) -> Result<usize, CaseError> {
        Ok(self.checkpoints_of_kind(kind)?)
    }

    fn succeeded_operations(&self, keys: &str) -> Result<usize, CaseError> {
        Ok(self.operations_at("succeeded", keys)?)
    }
}

/// A look at a store that is in this process and nowhere else.
#[derive(Debug)]
pub struct Reads(Arc<dyn Store>);

impl Reads {
    /// Looks at this store.
    pub fn of(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    fn read<T>(&self, look: impl AsyncFnOnce(&dyn Store) -> Result<T, StoreError>) -> Result<T, CaseError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(CaseError::io("starting a runtime"))?;
        runtime.block_on(look(&*self.0)).map_err(CaseError::store("be looked at"))
    }
}

impl Look for Reads {
    /// Each checkpoint is opened by its digest when it is read, which [`checkpoints`](Look::checkpoints) tells of.
    fn faults(&self) -> Result<Vec<String>, CaseError> {
        let known =
            self.read(tasks)?.into_iter().map(|task| task.id).collect::<std::collections::HashSet<_>>();
        let strays = self.read(items)?.into_iter().filter(|item| !known.contains(&item.task));
        Ok(strays.map(|item| format!("{} refers to a task that is not there", item.id)).collect())
    }

    fn task(&self, key: &str) -> Result<Option<TaskRow>, CaseError> {
        let id = TaskId::new(key).map_err(CaseError::store("take a name"))?;
        let Some(record) = self.read(async |store| store.task_record(&id).await)? else { return Ok(None) };
        let result = record.result.map_or_else(Vec::new, |result| result.bytes().to_vec());
        let Task { status, head, head_link, pruned_through, .. } = record.task;
        Ok(Some(TaskRow {
            row: 0,
            key: key.to_owned(),
            status: status.as_str().to_owned(),
            last_sequence: head.0,
            head_link: head_link.as_bytes().to_vec(),
            result,
            pruned_through: pruned_through.0,
        }))
    }

    fn checkpoints(&self, task: &TaskRow) -> Result<Vec<CheckpointRow>, CaseError> {
        let id = TaskId::new(&task.key).map_err(CaseError::store("take a name"))?;
        Ok(self.read(async |store| checkpoints(store, &id).await)?.into_iter().map(row).collect())
    }

    fn items(&self) -> Result<Vec<ItemStanding>, CaseError> {
        let standing = |item: steadfast_store::WorkItem| ItemStanding {
            id: item.id.as_str().to_owned(),
            status: item.status.as_str().to_owned(),
            holder: item.lease.map(|lease| lease.holder.as_str().to_owned()),
            attempt: item.attempt.into(),
            settlement: item.settled.map(|(_, settlement)| settlement.as_str().to_owned()),
        };
        Ok(self.read(items)?.into_iter().map(standing).collect())
    }

    fn checkpoints_of_kind(&self, kind: &str) -> Result<usize, CaseError> {
        self.read(async |store| {
            let mut count = 0;
            for task in tasks(store).await? {
                let all = checkpoints(store, &task.id).await?;
                count += all.iter().filter(|checkpoint| checkpoint.header.kind.as_str() == kind).count();
            }
            Ok(count)
        })
    }

    fn succeeded_operations(&self, keys: &str) -> Result<usize, CaseError> {
        let now = self.read(async |store| store.monitoring().await)?;
        let count = match keys {
            MODEL_KEYS => now.model_answers.succeeded,
            TOOL_KEYS => now.tool_calls.succeeded,
            other => return Err(CaseError::store("count operations")(format!("no such keys: {other}"))),
        };
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }
}

/// What stands in a row of the file. Bytes that did not give their digest are not handed out, and stay empty here: the
/// computation then finds that they do not give it.
fn row(checkpoint: Checkpoint) -> CheckpointRow {
    let Checkpoint { header, payload, evidence, .. } = checkpoint;
    let bytes = |digest: steadfast_store::Digest| digest.as_bytes().to_vec();
    let (salt, payload) = payload
        .map_or_else(|_| Default::default(), |sealed| (sealed.salt().to_vec(), sealed.bytes().to_vec()));
    CheckpointRow {
        sequence: header.sequence.0,
        id: header.id.as_bytes().to_vec(),
        kind: header.kind.as_str().to_owned(),
        work_item: header.work_item.map(|item| item.as_str().to_owned()),
        salt,
        digests: [header.payload, header.evidence, header.parent_link, header.link].map(bytes),
        payload,
        is_erased: header.erased_at.is_some(),
        evidence: evidence.map_or_else(|_| Vec::new(), |evidence| evidence.bytes().to_vec()),
    }
}

async fn tasks(store: &dyn Store) -> Result<Vec<Task>, StoreError> {
    let mut all: Vec<Task> = Vec::new();
    loop {
        let after = all.last().map(|task| task.id.clone());
        let page = store.tasks(TaskPage { after, status: None, limit: PAGE_ROWS_MAX }).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

async fn items(store: &dyn Store) -> Result<Vec<steadfast_store::WorkItem>, StoreError> {
    let mut all: Vec<steadfast_store::WorkItem> = Vec::new();
    loop {
        let after = all.last().map(|item| item.id.clone());
        let page = WorkItemPage { after, task: None, status: None, limit: PAGE_ROWS_MAX };
        let page = store.work_items(page).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

async fn checkpoints(store: &dyn Store, task: &TaskId) -> Result<Vec<Checkpoint>, StoreError> {
    let mut all: Vec<Checkpoint> = Vec::new();
    loop {
        let after = all.last().map_or(SequenceNumber(0), |checkpoint| checkpoint.header.sequence);
        let page = CheckpointPage::OldestFirst { after, limit: PAGE_ROWS_MAX };
        let page = store.checkpoints(task, page).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}
