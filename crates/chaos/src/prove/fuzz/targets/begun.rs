//! The checkpoint that a begun step was closed with: 16 bytes name it, anything else is damage.

use std::sync::Arc;

use steadfast_checkpoints::{Begun, CheckpointError, CheckpointManager, CheckpointOptions};
use steadfast_store::env::Env;
use steadfast_store::{
    CheckpointId, CreateTask, FinishOperation, Label, MemoryStore, OperationEnd, Payload, StoreError,
    StoreExt, TaskId,
};

use super::{Met, scratch};

/// Any bytes as the stored output of a begun step.
pub fn begun(data: &[u8]) -> Met {
    scratch::run(async {
        match read(data).await {
            Ok(Begun::Committed(id)) => {
                assert_eq!(id.as_bytes().as_slice(), data, "the step names another checkpoint");
                Met::Taken
            }
            Err(CheckpointError::Store(StoreError::Corrupt { .. })) => {
                assert_ne!(data.len(), 16, "a whole id is called damage");
                Met::Refused
            }
            other => panic!("a closed step was answered {other:?}"),
        }
    })
}

/// Begins a step, closes it with `data` in place of an id, and begins it again.
async fn read(data: &[u8]) -> Result<Begun, CheckpointError> {
    let store = Arc::new(MemoryStore::new(Env::system()));
    let manager = CheckpointManager::new(store.clone(), CheckpointOptions::new("."));
    let (Ok(task), Ok(kind)) = (TaskId::new("report"), Label::new("research")) else { panic!("two names") };
    let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
    if let Err(error) = store.create_task(create).await {
        panic!("{error}");
    }
    let Begun::Open(step) = manager.begin_step(&task, kind.clone(), None).await? else {
        panic!("nobody began it before")
    };
    let output = Payload::new(data.to_vec())?;
    let close = step.close(CheckpointId::from_bytes([0; 16]));
    let close = FinishOperation { end: OperationEnd::Succeeded(output), ..close };
    if let Err(error) = store.finish_operation(close).await {
        panic!("{error}");
    }
    manager.begin_step(&task, kind, None).await
}
