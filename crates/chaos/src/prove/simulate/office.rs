//! What runs in the office: it hands in the work, calls some of it off, brings dead letters back, and settles doubts as a
//! person would who looks into the tool's own log.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use steadfast_idempotency::{Doubt, LedgerOptions, ToolLedger, ToolOutput};
use steadfast_leases::LeaseManager;
use steadfast_store::env::Env;
use steadfast_store::{
    CommandError, CreateTask, Delay, Durability, Enqueue, FinishTask, InvalidSpan, OperationPage,
    OperationStatus, Payload, Store, TOOL_KEYS, TaskEnd, commit_one_resolved,
};

use super::errand::{item_of, task_of};
use super::link::Link;
use super::oracle::{Oracle, Truth};
use super::plan::{Errand, Plan};
use super::worker::{label, lease_options};

/// Time between two rounds of the office.
const ROUND: Duration = Duration::from_secs(20);
/// Rows looked at in one read.
const PAGE: u32 = 100;

/// See the module.
#[derive(Debug)]
pub(super) struct Office {
    plan: Arc<Plan>,
    oracle: Arc<Mutex<Oracle>>,
    env: Env,
    began: Duration,
    store: Arc<dyn Store>,
    leases: LeaseManager,
    ledger: ToolLedger,
}

/// What the office remembers between rounds. A new process begins with none of it: all it does may be done again.
#[derive(Debug, Default)]
struct Done {
    handed_in: Vec<u32>,
    called_off: Vec<u32>,
}

impl Office {
    /// Starts the process. `began` is what its monotonic clock showed when the run began.
    pub(super) fn start(plan: &Arc<Plan>, link: Link, began: Duration) -> Result<(), InvalidSpan> {
        let (oracle, env) = (Arc::clone(&link.server.oracle), link.env.clone());
        let store: Arc<dyn Store> = Arc::new(link);
        let options = LedgerOptions { term: plan.term, wait: Duration::ZERO };
        let office = Self {
            leases: LeaseManager::new(Arc::clone(&store), lease_options(plan, "office"))?,
            ledger: ToolLedger::new(Arc::clone(&store), options)?,
            plan: Arc::clone(plan),
            oracle,
            env: env.clone(),
            began,
            store,
        };
        env.runtime().spawn(Box::pin(async move { office.open().await }));
        Ok(())
    }

    async fn open(self) {
        let mut done = Done::default();
        loop {
            let now = self.env.clock().monotonic().saturating_sub(self.began);
            for errand in &self.plan.errands {
                if errand.at <= now
                    && !done.handed_in.contains(&errand.number)
                    && self.hand_in(errand).await.is_ok()
                {
                    done.handed_in.push(errand.number);
                }
                if errand.called_off.is_some_and(|at| at <= now)
                    && done.handed_in.contains(&errand.number)
                    && !done.called_off.contains(&errand.number)
                    && self.call_off(errand).await.is_ok()
                {
                    done.called_off.push(errand.number);
                }
            }
            self.bring_back().await;
            for errand in &self.plan.errands {
                self.settle_doubts(errand).await;
            }
            self.env.sleep(ROUND).await;
        }
    }

    async fn hand_in(&self, errand: &Errand) -> Result<(), CommandError> {
        let (task, kind) = (task_of(errand), label("errand"));
        let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
        commit_one_resolved(&*self.store, Durability::Durable, create).await?;
        let Errand { priority, max_attempts, .. } = *errand;
        let enqueue =
            Enqueue { item: item_of(errand), task, kind, priority, delay: Delay::ZERO, max_attempts };
        match commit_one_resolved(&*self.store, Durability::Durable, enqueue).await {
            // Handed in before, and its task has ended since.
            Err(CommandError::Rejected(_)) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn call_off(&self, errand: &Errand) -> Result<(), CommandError> {
        match self.leases.cancel(item_of(errand)).await {
            Ok(()) => {
                let task = task_of(errand);
                let finish = FinishTask { task, end: TaskEnd::Cancelled, result: Payload::empty() };
                match commit_one_resolved(&*self.store, Durability::Durable, finish).await {
                    Err(CommandError::Rejected(_)) | Ok(_) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            // It had come to an end.
            Err(CommandError::Rejected(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Dead letters get all their attempts again. What cannot be read now is read in the next round.
    async fn bring_back(&self) {
        for item in self.leases.dead_letters(None, PAGE).await.unwrap_or_default() {
            drop(self.leases.requeue(item.id, Delay::ZERO).await);
        }
    }

    async fn settle_doubts(&self, errand: &Errand) {
        let page = OperationPage { after: None, status: Some(OperationStatus::InDoubt), limit: PAGE };
        let found = self.store.operations(&task_of(errand), page).await.unwrap_or_default();
        for operation in found.into_iter().filter(|found| found.key.as_str().starts_with(TOOL_KEYS)) {
            let doubt = Doubt {
                tool: label("tool"),
                key: operation.key,
                token: operation.owner.token,
                attempt: operation.attempt,
                task: operation.task,
                lease: operation.owner.lease,
                begun_at: operation.created_at,
            };
            let truth = self.oracle.lock().truth(&doubt.key, doubt.token);
            // A doubt that somebody else settled meanwhile is settled.
            match truth {
                Truth::Happened(says) => {
                    let output = ToolOutput::Succeeded(says.into());
                    drop(self.ledger.settle_doubt(&doubt, output).await);
                }
                Truth::DidNotHappen => drop(self.ledger.settle_as_not_happened(&doubt).await),
                Truth::MayHappen => {}
            }
        }
    }
}
