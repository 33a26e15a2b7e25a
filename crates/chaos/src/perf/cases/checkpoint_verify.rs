//! `checkpoint_verify`: a look at a checkpoint with a file as its evidence, verdict recorded.

use std::fs;
use std::time::Instant;

use steadfast_checkpoints::{CheckpointManager, CheckpointOptions, EvidencePack, NewCheckpoint, Rule};
use steadfast_store::{CreateTask, Label, Payload, StoreExt, TaskId};

use super::{Ground, in_time, latencies, runtime};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::perf::PAYLOAD_BYTES;
use crate::perf::stats::Samples;
use crate::perf::subject::refused;

/// The case.
pub(super) const CASE: Case = Case {
    id: "checkpoint_verify",
    title: "Checkpoint Verification",
    shows: "A checkpoint, its link and its evidence are verified within the reference's limits.",
    needs: Needs::Anything,
    runs: Runs::of(50, 50),
    run,
};

/// The reference's limits.
const AVERAGE_MAX_MS: f64 = 15.0;
const P95_MAX_MS: f64 = 30.0;
/// The file that is evidence.
const FILE_BYTES: usize = 16 * 1024;

fn run(context: &mut Context) -> Result<(), CaseError> {
    let ground = Ground::new(context)?;
    let runtime = runtime()?;
    let base = ground.path("work");
    fs::create_dir(&base).map_err(CaseError::io("making a folder for evidence"))?;
    let took = runtime.block_on(async {
        const WHAT: &str = "make a checkpoint";
        let opened = ground.store("checkpoints.db").await?;
        let store = opened.store();
        let (task, kind) = (TaskId::new("report"), Label::new("step"));
        let (task, kind) = (task.map_err(refused(WHAT))?, kind.map_err(refused(WHAT))?);
        let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
        store.create_task(create).await.map_err(refused(WHAT))?;
        let manager = CheckpointManager::new(store, CheckpointOptions::new(&base));
        let mut rng = context.rng(1);
        let mut took = Vec::new();
        for number in 0..context.runs() {
            let name = format!("evidence-{number}");
            let bytes = ground.pool.cut(&mut rng, FILE_BYTES);
            fs::write(base.join(&name), bytes).map_err(CaseError::io("writing evidence"))?;
            let piece = manager.observe_file(&name).await.map_err(refused(WHAT))?;
            let evidence = EvidencePack::new(Rule::All, vec![piece]).map_err(refused(WHAT))?;
            let state = ground.pool.cut(&mut rng, PAYLOAD_BYTES);
            let new = NewCheckpoint { evidence, ..NewCheckpoint::new(task.clone(), kind.clone(), state) };
            let prepared = manager.prepare(new).map_err(refused(WHAT))?;
            manager.commit_step(&prepared, None, |_| {}).await.map_err(refused(WHAT))?;
            let began = Instant::now();
            let report = manager.verify(prepared.id()).await.map_err(refused("verify a checkpoint"))?;
            took.push(began.elapsed());
            context.advance(report.is_verified());
            in_time(context, "the looks")?;
        }
        drop(manager);
        opened.close().await;
        Ok::<_, CaseError>(took)
    })?;
    latencies(context, "verify", &Samples::of_durations_ms(&took), AVERAGE_MAX_MS, P95_MAX_MS);
    Ok(())
}
