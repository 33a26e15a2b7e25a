//! What runs on a worker's machine: an agent that claims items, asks the model, calls tools and keeps checkpoints,
//! by the real components; and the sweep beside it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use steadfast_checkpoints::{CheckpointError, CheckpointManager, CheckpointOptions, NewCheckpoint};
use steadfast_idempotency::{
    Attempt, Doubt, Effect, Found, LedgerError, LedgerOptions, LlmAnswer, LlmCache, LlmCacheError,
    LlmCacheOptions, LlmRequest, ToolCall, ToolLedger, ToolOutput,
};
use steadfast_leases::{Lease, LeaseManager, LeaseOptions, RetryPolicy};
use steadfast_recovery::{Housekeeping, SweepOptions, Sweeper, resume_plan};
use steadfast_store::env::Env;
use steadfast_store::{
    Batch, Committed, FinishTask, HolderId, Label, OperationKey, Payload, RESOLVE_PATIENCE, Settle, Store,
    StoreError, TaskEnd, commit_resolved,
};

use super::errand::{Progress, Step, errand_of, model_fails, nobody_can_tell};
use super::link::Link;
use super::machine::MachineId;
use super::oracle::{Held, Oracle, Promise, Working};
use super::plan::{Plan, WorkerPlan};
use super::planted::Plant;

/// How often something that met trouble is tried before the item is handed back.
const TRIES: u32 = 5;
/// How often a call in doubt is asked for again before the item is handed back.
const DOUBT_TRIES: u32 = 8;

/// Why a worker leaves an item before its end.
#[derive(Debug)]
pub(super) enum Left {
    /// It is not its holder any more.
    Lost,
    /// Something did not work: others shall try.
    Trouble(String),
}

impl From<CheckpointError> for Left {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Rejected(_) => Self::Lost,
            error => Self::Trouble(error.to_string()),
        }
    }
}

/// One process of a worker's machine. Cloned for each of its hands.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    plan: Arc<Plan>,
    own: WorkerPlan,
    oracle: Arc<Mutex<Oracle>>,
    plant: Option<Plant>,
    env: Env,
    store: Arc<dyn Store>,
    leases: LeaseManager,
    checkpoints: CheckpointManager,
    cache: LlmCache,
    ledger: ToolLedger,
}

impl Worker {
    /// Starts the process: its hands and its sweep.
    pub(super) fn start(
        plan: &Arc<Plan>,
        own: WorkerPlan,
        link: Link,
    ) -> Result<(), steadfast_store::InvalidSpan> {
        let (oracle, plant) = (Arc::clone(&link.server.oracle), link.server.plant);
        let name = format!("worker-{}.{}", own.machine.0, link.process);
        let env = link.env.clone();
        let store: Arc<dyn Store> = Arc::new(link);
        let cache_options = LlmCacheOptions {
            ttl: plan.ttl,
            term: plan.term,
            wait: plan.term * 2,
            ..LlmCacheOptions::default()
        };
        let ledger_options = LedgerOptions { term: plan.term, wait: plan.term * 2 };
        let worker = Self {
            leases: LeaseManager::new(Arc::clone(&store), lease_options(plan, &name))?,
            checkpoints: CheckpointManager::new(Arc::clone(&store), CheckpointOptions::new("/nowhere")),
            cache: LlmCache::new(Arc::clone(&store), cache_options)?,
            ledger: ToolLedger::new(Arc::clone(&store), ledger_options)?,
            plan: Arc::clone(plan),
            own,
            oracle,
            plant,
            env: env.clone(),
            store: Arc::clone(&store),
        };
        for _ in 0..own.hands {
            let worker = worker.clone();
            env.runtime().spawn(Box::pin(async move { worker.work().await }));
        }
        if plant != Some(Plant::NoSweep) {
            let housekeeping = Housekeeping {
                every: Duration::from_secs(600),
                keep_checkpoints: None,
                keep_model_answers: Some(plan.ttl),
                keep_tool_calls: Some(Duration::from_secs(900)),
                keep_steps: Some(Duration::from_secs(900)),
            };
            let sweeper = Sweeper::new(store, SweepOptions { page: 4, housekeeping });
            let sweeping = sweeper.run_every(plan.sweep_period);
            // Nobody stops it but the end of its process.
            env.runtime().spawn(Box::pin(async move {
                sweeping.passed(u64::MAX).await;
            }));
        }
        Ok(())
    }

    /// Sleeps between the two, drawn by chance.
    async fn dawdle(&self, from_ms: u64, to_ms: u64) {
        let mut draw = [0; 8];
        self.env.rng().fill(&mut draw);
        let millis = from_ms + u64::from_le_bytes(draw) % (to_ms - from_ms + 1);
        self.env.sleep(Duration::from_millis(millis)).await;
    }

    async fn work(self) {
        loop {
            match self.leases.wait_for_work(Duration::from_millis(500)).await {
                Ok(Some(lease)) => self.hold(lease).await,
                Ok(None) => self.dawdle(5_000, 25_000).await,
                Err(_) => self.dawdle(500, 5_000).await,
            }
        }
    }

    /// Works on one item for as long as it may.
    async fn hold(&self, lease: Lease) {
        let lease = Arc::new(lease);
        let held = Held { machine: self.own.machine, lease: Arc::downgrade(&lease) };
        let _working = Working::begin(&self.oracle, lease.guard(), held);
        let left = if self.own.is_careless || self.plant == Some(Plant::IgnoreDeadline) {
            self.carry_out(&lease).await
        } else {
            tokio::select! {
                // In this order always: nothing but the seed may choose.
                biased;
                _ = lease.lost() => Err(Left::Lost),
                left = self.carry_out(&lease) => left,
            }
        };
        if let Err(Left::Trouble(why)) = left {
            // When even this fails the lease runs out.
            drop(lease.retry(why).await);
        }
    }

    /// Whether the worker may go on, as it sees it.
    fn may_act(&self, lease: &Lease) -> Result<(), Left> {
        let ignores = self.plant == Some(Plant::IgnoreDeadline);
        if self.own.is_careless && !ignores {
            // It does not look, and does not say that it holds anything.
            return Ok(());
        }
        if !ignores && lease.is_lost() {
            return Err(Left::Lost);
        }
        self.oracle.lock().acts(&lease.guard(), self.own.machine);
        Ok(())
    }

    async fn carry_out(&self, lease: &Lease) -> Result<(), Left> {
        let task = lease.item().task.clone();
        let Some(errand) = errand_of(&self.plan, &task) else {
            return Err(Left::Trouble(format!("{task} is no errand")));
        };
        let trouble = |error: steadfast_recovery::RecoveryError| Left::Trouble(error.to_string());
        let from = resume_plan(&self.checkpoints, &task).await.map_err(trouble)?.from;
        let payload = from.and_then(|from| from.payload.ok());
        let mut progress = payload.map_or(Some(Progress::default()), |it| Progress::read(it.bytes()));
        while let Some(at) = progress.take() {
            self.may_act(lease)?;
            let step = Step { errand, number: at.step };
            if at.step == errand.steps {
                return self.finish(lease).await;
            }
            let next = match at.answer {
                None => Progress { step: at.step, answer: Some(self.ask(step).await?) },
                Some(answer) => {
                    self.call(lease, step, &answer).await?;
                    Progress { step: at.step + 1, answer: None }
                }
            };
            self.keep(lease, &next).await?;
            progress = Some(next);
        }
        Err(Left::Trouble("the checkpoint does not read".to_owned()))
    }

    /// Asks the model, through the cache.
    async fn ask(&self, step: Step) -> Result<String, Left> {
        let (tenant, model, prompt) = step.request();
        let wanted = format!("{tenant}/{model}/{prompt}");
        let key_model = if self.plant == Some(Plant::ModelLeftOut) { "model" } else { &model };
        let body = serde_json::json!({ "prompt": prompt });
        let request = LlmRequest { tenant: Some(tenant), ..LlmRequest::new(key_model, body) };
        let mut last = String::new();
        for _ in 0..TRIES {
            let ask = async || {
                self.dawdle(500, 15_000).await;
                if model_fails(&self.env) {
                    return Err(std::io::Error::other("the model is busy"));
                }
                let body = self.oracle.lock().outside.answer(&wanted);
                self.dawdle(0, 2_000).await;
                Ok(LlmAnswer::new(body))
            };
            match self.cache.get_or_ask(&request, ask).await {
                Ok(cached) => {
                    self.oracle.lock().answered(&wanted, &cached.answer.body);
                    return Ok(String::from_utf8_lossy(&cached.answer.body).into_owned());
                }
                Err(LlmCacheError::Cache(LedgerError::Unrecorded { output, .. })) => {
                    // The answer is there, and only not kept for others.
                    drop(output);
                    "the answer could not be kept".clone_into(&mut last);
                }
                Err(error) => last = error.to_string(),
            }
            self.dawdle(500, 5_000).await;
        }
        Err(Left::Trouble(last))
    }

    /// Calls the tool of a step, by the ledger.
    async fn call(&self, lease: &Lease, step: Step, answer: &str) -> Result<(), Left> {
        let call = ToolCall {
            task: Some(lease.item().task.clone()),
            lease: Some(lease.guard()),
            ..ToolCall::new(step.tool(), step.key(), answer.to_owned(), step.effect())
        };
        let trouble = |error: LedgerError| Left::Trouble(error.to_string());
        let key = call.operation_key().map_err(trouble)?;
        if self.plant == Some(Plant::LedgerAfterCall) {
            let token = steadfast_store::OperationToken::generate(&self.env);
            self.touch(step, &key, token).await;
        }
        let (mut tries, mut doubts) = (0, 0);
        loop {
            self.may_act(lease)?;
            let error = match self.run(&call, step, &key).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match error {
                LedgerError::LeaseLost(_) => return Err(Left::Lost),
                LedgerError::Conflict { .. } => {
                    self.oracle.lock().broken(Promise::CallKept, error.to_string());
                    return Err(trouble(error));
                }
                LedgerError::InDoubt(doubt)
                    if self.plant == Some(Plant::RerunDoubt) && step.effect() == Effect::AtMostOnce =>
                {
                    self.oracle.lock().effect(&key, doubt.token, false);
                    return Ok(());
                }
                LedgerError::InDoubt(_) if doubts < DOUBT_TRIES => {
                    doubts += 1;
                    self.dawdle(5_000, 20_000).await;
                }
                LedgerError::Unrecorded { attempt, output, .. } if tries < TRIES => {
                    tries += 1;
                    self.dawdle(1_000, 5_000).await;
                    // Known or not: the next look tells.
                    drop(attempt.late(output).await);
                }
                _ if tries < TRIES => {
                    tries += 1;
                    self.dawdle(1_000, 5_000).await;
                }
                error => return Err(trouble(error)),
            }
        }
    }

    /// Has the ledger run a tool once, or answer for it.
    async fn run(&self, call: &ToolCall, step: Step, key: &OperationKey) -> Result<(), LedgerError> {
        let tool = async |attempt: Attempt| {
            if self.plant == Some(Plant::LedgerAfterCall) {
                return ToolOutput::Succeeded("done before".into());
            }
            self.touch(step, key, attempt.token()).await
        };
        let check = async |doubt: Doubt| {
            if nobody_can_tell(&self.env) {
                return Found::Unknown;
            }
            match self.oracle.lock().outside.look_up(&doubt.key, doubt.token) {
                Some(says) => Found::Happened(ToolOutput::Succeeded(says.into())),
                None => Found::DidNotHappen,
            }
        };
        let ran = self.ledger.run_or_ask(call, tool, check).await?;
        self.oracle.lock().delivered(key, ran.output.bytes());
        Ok(())
    }

    /// The tool itself: it takes its time before and after the moment of its effect.
    async fn touch(
        &self,
        step: Step,
        key: &OperationKey,
        token: steadfast_store::OperationToken,
    ) -> ToolOutput {
        let slowest = step.slowest_ms();
        self.dawdle(10, slowest).await;
        if step.tool_refuses() {
            return ToolOutput::Failed(format!("{key} is refused").into());
        }
        let is_idempotent = step.effect() == Effect::Idempotent;
        let says = self.oracle.lock().effect(key, token, is_idempotent);
        self.oracle.lock().dies(self.own.machine);
        self.dawdle(10, slowest / 2 + 10).await;
        match says {
            Some(says) => ToolOutput::Succeeded(says.into()),
            None => ToolOutput::Failed("refused: it was asked about before".into()),
        }
    }

    /// Keeps a checkpoint. What surely was not applied is tried again as a new one; what is unknown never is.
    async fn keep(&self, lease: &Lease, progress: &Progress) -> Result<(), Left> {
        let mut last = None;
        for _ in 0..TRIES {
            let new = NewCheckpoint {
                work_item: Some(lease.item().id.clone()),
                ..NewCheckpoint::new(lease.item().task.clone(), progress.kind(), progress.write())
            };
            let prepared = self.checkpoints.prepare(new)?;
            match self.checkpoints.commit_step(&prepared, Some(lease.guard()), |_| {}).await {
                Ok(_) => return Ok(()),
                Err(CheckpointError::Store(
                    error @ (StoreError::Failed { .. } | StoreError::Overloaded { .. }),
                )) => last = Some(error),
                Err(error) => return Err(error.into()),
            }
            self.dawdle(200, 3_000).await;
        }
        Err(Left::Trouble(last.map_or_else(String::new, |error| error.to_string())))
    }

    /// Ends task and lease in one commit.
    async fn finish(&self, lease: &Lease) -> Result<(), Left> {
        for _ in 0..TRIES {
            self.may_act(lease)?;
            let mut batch = Batch::durable();
            let (task, end) = (lease.item().task.clone(), TaskEnd::Succeeded);
            batch.add_guarded(lease.guard(), FinishTask { task, end, result: Payload::empty() });
            batch.add(lease.settle(Settle::Succeeded));
            match commit_resolved(&*self.store, batch, RESOLVE_PATIENCE).await {
                Ok(Committed::Applied(_)) => return Ok(()),
                Ok(Committed::Rejected(_)) => return Err(Left::Lost),
                Err(_) => self.dawdle(200, 3_000).await,
            }
        }
        Err(Left::Trouble("the end could not be committed".to_owned()))
    }
}

/// For a manager of this run, under that name.
pub(super) fn lease_options(plan: &Plan, name: &str) -> LeaseOptions {
    let holder = HolderId::new(name).unwrap_or_else(|_| unreachable!("a short name is a holder's"));
    let retry = RetryPolicy { longest: Duration::from_secs(30), ..RetryPolicy::default() };
    LeaseOptions { term: plan.term, retry, ..LeaseOptions::new(holder) }
}

/// A label of the simulation's own.
pub(super) fn label(text: &str) -> Label {
    Label::new(text).unwrap_or_else(|_| unreachable!("a short name is a label"))
}

impl Worker {
    /// The machine, for those who start it again.
    pub(super) fn plan_of(plan: &Plan, machine: MachineId) -> Option<WorkerPlan> {
        plan.workers.iter().find(|worker| worker.machine == machine).copied()
    }
}
