//! One step of the task: the intent, the effect outside, and one commit of checkpoint, result and, at the end, the
//! settlement.

use std::fs::File;
use std::io::Write;

use serde::{Deserialize, Serialize};
use steadfast_checkpoints::{EvidencePack, NewCheckpoint, Prepared, Rule};
use steadfast_idempotency::{Attempt, Call, Effect, ToolCall, ToolOutput};
use steadfast_leases::Lease;
use steadfast_store::{
    Batch, Checkpoint, FinishOperation, FinishTask, Label, Payload, Settle, SettleItem, StoreError, TaskEnd,
};

use super::board::Stage;
use super::told::Told;
use super::{WorkError, Worker};
use crate::planted::Planted;

/// The tool of every call.
const TOOL: &str = "effect";
/// The type of the worker's checkpoints.
const KIND: &str = "step";

/// What a checkpoint keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The step that it ends.
    pub(super) step: u16,
    /// Who made it.
    pub(super) holder: String,
    /// What the world outside answered; empty when that is not known.
    pub(super) receipt: String,
    /// Whether nobody knows if the step's effect happened.
    pub(super) is_in_doubt: bool,
    /// All answers of the model so far, in short; empty without a model.
    pub(super) chain: String,
}

impl State {
    /// The state that a checkpoint keeps.
    ///
    /// # Errors
    /// [`WorkError::State`].
    pub(super) fn read(checkpoint: &Checkpoint) -> Result<Self, WorkError> {
        let wrong = |why| WorkError::State { sequence: checkpoint.header.sequence.0, why };
        let payload = checkpoint.payload.as_ref().map_err(|damaged| wrong(damaged.to_string()))?;
        serde_json::from_slice(payload.bytes()).map_err(|error| wrong(error.to_string()))
    }
}

/// What the step's call is declared to be: the two kinds take turns.
fn effect_of(step: u16) -> Effect {
    if step.is_multiple_of(2) { Effect::AtMostOnce } else { Effect::Idempotent }
}

/// The key under which the ledger keeps the step's call, which the recorder is given too.
pub fn key_of(task: &str, step: u16) -> String {
    format!("tool-ledger:{TOOL}:{}", short_key(task, step))
}

fn short_key(task: &str, step: u16) -> String {
    format!("{task}/step-{step}")
}

/// What the step's checkpoint is committed with.
struct Beside {
    finish: Option<FinishOperation>,
    settle: Option<(FinishTask, SettleItem)>,
}

impl Beside {
    fn add(self, batch: &mut Batch) {
        if let Some(finish) = self.finish {
            batch.add(finish);
        }
        if let Some((finish, settle)) = self.settle {
            batch.add(finish);
            batch.add(settle);
        }
    }
}

impl Worker {
    /// Does the step.
    pub(super) async fn step(&mut self, lease: &Lease, step: u16) -> Result<(), WorkError> {
        if self.args.planted == Some(Planted::Hang) {
            std::future::pending::<()>().await;
        }
        let task = lease.item().task.as_str().to_owned();
        let key = key_of(&task, step);
        let chain = self.think(&task, step).await?;
        self.listener.enter(Stage::Intent, step);
        let mut early = None;
        if self.args.planted == Some(Planted::EffectBeforeIntent) {
            early = Some(self.outside.effect(&key, &format!("step={step}"))?);
        }
        let call = ToolCall {
            task: Some(lease.item().task.clone()),
            lease: Some(lease.guard()),
            ..ToolCall::new(
                Label::new(TOOL)?,
                short_key(&task, step),
                format!("step={step}"),
                effect_of(step),
            )
        };
        let (attempt, receipt) = match self.ledger.call(&call).await? {
            Call::Begun(attempt) => {
                self.listener.enter(Stage::Effect, step);
                let receipt = match early {
                    Some(receipt) => receipt,
                    None => self.outside.effect(&key, &format!("step={step}"))?,
                };
                (Some(attempt), Some(receipt))
            }
            Call::Replayed(output) => (None, Some(String::from_utf8_lossy(output.bytes()).into_owned())),
            Call::InDoubt(doubt) => {
                Told::Doubt { key: doubt.key.as_str().to_owned() }.tell()?;
                if self.args.planted == Some(Planted::RerunDoubt) {
                    self.outside.effect(&key, "again")?;
                }
                (None, None)
            }
            Call::InFlight { .. } => return Err(WorkError::InFlight { step }),
        };
        self.listener.enter(Stage::Record, step);
        let state = State {
            step,
            holder: self.args.holder.clone(),
            is_in_doubt: receipt.is_none(),
            receipt: receipt.unwrap_or_default(),
            chain,
        };
        let prepared = self.prepare(lease, &state).await?;
        self.record(lease, &prepared, attempt, &state).await?;
        self.chain = state.chain;
        Ok(())
    }

    /// One commit; the parent is told of it when it was acknowledged.
    async fn record(
        &self,
        lease: &Lease,
        prepared: &Prepared,
        attempt: Option<Attempt>,
        state: &State,
    ) -> Result<(), WorkError> {
        let id = hex(prepared.id().as_bytes());
        if self.args.planted == Some(Planted::AckBeforeCommit) {
            let head = self.store.task(&lease.item().task).await?.map_or(0, |task| task.head.0);
            Told::Ack { sequence: head + 1, id: id.clone() }.tell()?;
        }
        let mut beside = self.beside(lease, attempt, state)?;
        let mut late = Beside { finish: None, settle: None };
        if self.args.planted == Some(Planted::RecordApart) {
            std::mem::swap(&mut beside, &mut late);
        }
        let guard = self.is_guarding().then(|| lease.guard());
        let done = self.checkpoints.commit_step(prepared, guard, |batch| beside.add(batch)).await?;
        if self.args.planted == Some(Planted::RecordApart) {
            let mut batch = Batch::durable();
            late.add(&mut batch);
            self.store.commit(batch).await?.into_applied().map_err(refused_late)?;
        }
        self.listener.enter(Stage::Acknowledge, state.step);
        if self.args.planted != Some(Planted::AckBeforeCommit) {
            Told::Ack { sequence: done.appended.sequence.0, id }.tell()?;
        }
        Ok(())
    }

    fn beside(&self, lease: &Lease, attempt: Option<Attempt>, state: &State) -> Result<Beside, WorkError> {
        let output = ToolOutput::Succeeded(state.receipt.clone().into());
        let finish = attempt.map(|attempt| attempt.finish_command(output)).transpose();
        let finish = finish.map_err(steadfast_checkpoints::CheckpointError::from)?;
        let is_last = state.step == self.args.steps;
        let result = Payload::new(state.chain.clone());
        let result = result.map_err(steadfast_checkpoints::CheckpointError::from)?;
        let settle = is_last.then(|| {
            let task = lease.item().task.clone();
            (FinishTask { task, end: TaskEnd::Succeeded, result }, lease.settle(Settle::Succeeded))
        });
        Ok(Beside { finish, settle })
    }

    /// The checkpoint of the step, with an artifact of the worker's own as its evidence: written and synced before
    /// anything speaks of it.
    pub(super) async fn prepare(&self, lease: &Lease, state: &State) -> Result<Prepared, WorkError> {
        let name = format!("{}.{}.step-{}.txt", lease.item().task, self.args.holder, state.step);
        let mut artifact = File::create(self.args.artifacts.join(&name))?;
        artifact
            .write_all(format!("step {} by {}: {}\n", state.step, state.holder, state.receipt).as_bytes())?;
        artifact.sync_all()?;
        let piece = self.checkpoints.observe_file(&name).await?;
        let payload = serde_json::to_vec(state).map_err(std::io::Error::from)?;
        let evidence = EvidencePack::new(Rule::All, vec![piece]);
        let evidence = evidence.map_err(steadfast_checkpoints::CheckpointError::from)?;
        let new = NewCheckpoint {
            work_item: Some(lease.item().id.clone()),
            evidence,
            ..NewCheckpoint::new(lease.item().task.clone(), Label::new(KIND)?, payload)
        };
        Ok(self.checkpoints.prepare(new)?)
    }

    pub(super) fn is_guarding(&self) -> bool {
        self.args.planted != Some(Planted::NoGuard)
    }
}

/// The second commit of the planted fault was refused: nothing that a correct worker meets.
fn refused_late(source: steadfast_store::Rejection) -> StoreError {
    StoreError::Failed { source: source.into() }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut digits, byte| {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
