//! What the file promises: damaged bytes are not returned, a durable answer comes after a sync, and another process that
//! comes and goes takes nothing away.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use steadfast_store::{
    Abandonment, AppendCheckpoint, BeginOperation, CheckpointId, CreateTask, Digest, FinishOperation,
    OperationEnd, OperationKey, OperationToken, Payload, SealedPayload, SqliteStore, Store, StoreExt, TaskId,
    Term,
};

use super::visit::NAME;
use super::{Figures, TASK, kind, options, sql, store, task};
use crate::audit::Audit;
use crate::case::{CaseError, Deadline};
use crate::process::Process;
use crate::vfs::{FaultVfs, FileRole, OpKind, Script};

/// Commits of one probe.
const TIMES: usize = 8;

pub(super) async fn damaged_bytes(figures: &mut Figures, folder: &Path) -> Result<(), CaseError> {
    const WHAT: &str = "keep bytes";
    let options = options(folder, "damage");
    let path = options.path.clone();
    let before = store(options.clone()).await?;
    let checkpoint = CheckpointId::generate(before.env());
    let key = OperationKey::new(TASK).map_err(CaseError::store(WHAT))?;
    write_payloads(&before, checkpoint, &key).await?;
    if let Some(before) = Arc::into_inner(before) {
        before.close().await;
    }
    Connection::open(&path)?.execute_batch(sql::DAMAGE)?;
    let after = store(options).await?;
    let input = after.task_record(&task()?).await.is_ok_and(|record| record.is_some());
    let output = after.operation(&key).await.is_ok_and(|record| record.is_some());
    let found = after.checkpoint(checkpoint).await;
    let found = found.map_err(CaseError::store("read a damaged checkpoint"))?;
    let (payload, evidence) =
        found.map_or((true, true), |found| (found.payload.is_ok(), found.evidence.is_ok()));
    let returned = [input, output, payload, evidence].into_iter().filter(|returned| *returned).count();
    figures.add("damaged_payloads_returned", returned);
    Ok(())
}

async fn write_payloads(
    store: &SqliteStore,
    checkpoint: CheckpointId,
    key: &OperationKey,
) -> Result<(), CaseError> {
    const WHAT: &str = "keep bytes";
    let bytes = |text: &'static str| Payload::new(text).map_err(CaseError::store(WHAT));
    let create = CreateTask { task: task()?, kind: kind()?, input: bytes("the input")? };
    store.create_task(create).await.map_err(CaseError::store(WHAT))?;
    let append = AppendCheckpoint {
        checkpoint,
        task: task()?,
        kind: kind()?,
        work_item: None,
        expected_head: None,
        payload: SealedPayload::seal("the state", store.env()).map_err(CaseError::store(WHAT))?,
        evidence: bytes("the evidence")?,
        copy_of: None,
    };
    store.append_checkpoint(append).await.map_err(CaseError::store(WHAT))?;
    let token = OperationToken::generate(store.env());
    let begin = BeginOperation {
        key: key.clone(),
        fingerprint: Digest::of(b"the request"),
        token,
        task: None,
        lease: None,
        term: Term::new(std::time::Duration::from_mins(5)).map_err(CaseError::store(WHAT))?,
        abandonment: Abandonment::Doubt,
        fresh_for: None,
    };
    store.begin_operation(begin).await.map_err(CaseError::store(WHAT))?;
    let end = OperationEnd::Succeeded(bytes("the output")?);
    let finish = FinishOperation { key: key.clone(), token, end };
    store.finish_operation(finish).await.map(drop).map_err(CaseError::store(WHAT))
}

pub(super) async fn synced_answers(
    figures: &mut Figures,
    folder: &Path,
    run: usize,
) -> Result<(), CaseError> {
    let script = Arc::new(Script::new());
    let name = format!("components-syncs-{run}");
    let vfs = FaultVfs::register(&name, script.clone()).map_err(CaseError::store("take a VFS"))?;
    let mut options = options(folder, "syncs");
    options.vfs = Some(vfs.name().to_owned());
    let store = store(options).await?;
    let mut unsynced = 0;
    for index in 0..TIMES {
        let before = script.count(OpKind::Sync, FileRole::Wal);
        create(&store, index).await.map_err(CaseError::store("create a task"))?;
        unsynced += usize::from(script.count(OpKind::Sync, FileRole::Wal) == before);
    }
    figures.add("durable_answers_without_a_sync", unsynced);
    Ok(())
}

pub(super) async fn other_processes(
    figures: &mut Figures,
    folder: &Path,
    deadline: Deadline,
) -> Result<(), CaseError> {
    let options = options(folder, "processes");
    let path = options.path.clone();
    let store = store(options).await?;
    let mut lost = 0;
    for index in 0..TIMES {
        let acknowledged = create(&store, index).await.is_ok();
        if index % 2 == 0 {
            visit(deadline, folder, &path)?;
        }
        let name = format!("{TASK}-{index}");
        let kept = Audit::open(&path).and_then(|audit| audit.task(&name)).is_ok_and(|task| task.is_some());
        lost += usize::from(!acknowledged || !kept);
    }
    figures.add("commits_lost_beside_another_process", lost);
    Ok(())
}

/// A process that opens the file, reads it and closes it again.
fn visit(deadline: Deadline, folder: &Path, path: &Path) -> Result<(), CaseError> {
    let mut process = Process::start(NAME, folder, [NAME.as_ref(), path.as_os_str()])?;
    let status = process.wait(deadline)?;
    if status.success() { Ok(()) } else { Err(process.ended(status)) }
}

async fn create(store: &SqliteStore, index: usize) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let task = TaskId::new(format!("{TASK}-{index}"))?;
    let kind = steadfast_store::Label::new(TASK)?;
    store.create_task(CreateTask { task, kind, input: Payload::empty() }).await?;
    Ok(())
}
