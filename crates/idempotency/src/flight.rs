//! One flight for many: of all who ask for an operation at once, in whatever process, one gets it, and the others get
//! what came of it. What the tool ledger and the model cache have in common.

use std::sync::Arc;
use std::time::Duration;

use steadfast_store::{
    Abandonment, Batch, BeginOperation, ChangeStamp, Committed, Digest, Durability, FinishOperation, Guard,
    Label, Operation, OperationEnd, OperationKey, OperationRecord, OperationStatus, OperationToken,
    RESOLVE_PATIENCE, Reason, Store, StoreError, StoreTime, TaskId, Term, WallTime, commit_resolved,
};

use crate::attempt::{Attempt, submit};
use crate::call::ToolOutput;
use crate::doubt::Doubt;
use crate::error::LedgerError;
use crate::ledger::Call;
use crate::run::Ran;

/// How often an operation is looked at anew when it changes hands in between.
const ROUNDS_MAX: u32 = 16;
/// How often a call that is under way elsewhere is asked for although it has not changed: its owner's term may end,
/// or its lease be lost, without a trace on the call itself.
const IN_FLIGHT_POLL: Duration = Duration::from_millis(250);
/// A waiter that was woken by somebody else's change looks again no sooner than this after, doubled each time.
const VAIN_PAUSE_FIRST: Duration = Duration::from_millis(1);
/// The longest such pause.
const VAIN_PAUSE_MAX: Duration = Duration::from_millis(16);
/// How long a result is tried to be recorded in all: the tool has been called, so giving up early costs a doubt.
const RECORD_PATIENCE: Duration = Duration::from_secs(30);
/// The pause before a result is tried to be recorded again, doubled each time.
const RECORD_PAUSE_FIRST: Duration = Duration::from_millis(10);

/// An operation as it is to be begun, whoever begins it.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    /// What people know it by.
    pub(crate) name: Label,
    pub(crate) key: OperationKey,
    pub(crate) fingerprint: Digest,
    pub(crate) task: Option<TaskId>,
    pub(crate) lease: Option<Guard>,
    pub(crate) abandonment: Abandonment,
    /// Of the intent.
    pub(crate) durability: Durability,
    /// Of the result.
    pub(crate) result_durability: Durability,
    /// When given, an outcome that is older than this counts as none.
    pub(crate) fresh_for: Option<Duration>,
}

impl Intent {
    /// Whether an outcome of that time counts as none.
    pub(crate) fn is_stale(&self, finished_at: Option<WallTime>, now: WallTime) -> bool {
        let outcome = finished_at.zip(self.fresh_for);
        outcome.is_some_and(|(finished_at, fresh_for)| finished_at.plus(fresh_for) <= now)
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) term: Term,
    pub(crate) wait: Duration,
}

impl Flight {
    /// Begins the operation, or says what became of it; and how long it took to say so.
    pub(crate) async fn ask(&self, intent: &Intent) -> Result<(Call, Duration), LedgerError> {
        let clock = self.store.env().clock();
        let began = clock.monotonic();
        let answer = self.find_or_begin(intent).await?;
        Ok((answer, clock.monotonic().saturating_sub(began)))
    }

    async fn find_or_begin(&self, intent: &Intent) -> Result<Call, LedgerError> {
        let mut now = Some(self.store.env().clock().wall());
        for _ in 0..ROUNDS_MAX {
            // One that has ended is answered by this one read.
            if let Some(record) = self.store.operation(&intent.key).await?
                && let Some(known) = known(intent, &record, now)?
            {
                return Ok(known);
            }
            if let Some(answer) = self.begin(intent).await? {
                return Ok(answer);
            }
            // The store has looked, and its clock decides: an outcome that it does not let anybody begin anew counts,
            // however old it seems here. Two wall clocks that disagree would never come to an end otherwise.
            now = None;
        }
        Err(LedgerError::Contended { key: intent.key.clone(), rounds: ROUNDS_MAX })
    }

    /// For the planted bug: an attempt at a call that nobody has begun, without a word in the store.
    pub(crate) async fn unwritten(&self, intent: &Intent) -> Result<Option<Attempt>, LedgerError> {
        if self.store.operation(&intent.key).await?.is_some() {
            return Ok(None);
        }
        Ok(Some(Attempt {
            store: Arc::clone(&self.store),
            key: intent.key.clone(),
            token: OperationToken::generate(self.store.env()),
            number: 1,
            expires_at: StoreTime::default(),
            lease: intent.lease.clone(),
            durability: intent.result_durability,
        }))
    }

    /// Writes down the intent. `None` when the call has changed since it was read.
    async fn begin(&self, intent: &Intent) -> Result<Option<Call>, LedgerError> {
        let key = &intent.key;
        let token = OperationToken::generate(self.store.env());
        let begin = BeginOperation {
            key: key.clone(),
            fingerprint: intent.fingerprint,
            token,
            task: intent.task.clone(),
            lease: intent.lease.clone(),
            term: self.term,
            abandonment: intent.abandonment,
            fresh_for: intent.fresh_for,
        };
        let mut batch = Batch::new(intent.durability);
        // Its lease is its guard.
        let handle = batch.add(begin);
        let rejection = match commit_resolved(&*self.store, batch, RESOLVE_PATIENCE).await? {
            Committed::Applied(applied) => {
                return Ok(applied.get(handle).ok().map(|begun| {
                    let (number, expires_at) = (begun.attempt, begun.expires_at);
                    let (store, lease) = (Arc::clone(&self.store), intent.lease.clone());
                    let durability = intent.result_durability;
                    Call::Begun(Attempt {
                        store,
                        key: key.clone(),
                        token,
                        number,
                        expires_at,
                        lease,
                        durability,
                    })
                }));
            }
            Committed::Rejected(rejection) => rejection,
        };
        match rejection.reason {
            Reason::OperationInFlight { expires_at } => {
                Ok(Some(Call::InFlight { key: key.clone(), expires_at }))
            }
            Reason::OperationInDoubt { token } => self.record_doubt(key, token).await,
            Reason::OperationEnded { .. } => Ok(None),
            Reason::FingerprintConflict { stored } => Err(LedgerError::Conflict { key: key.clone(), stored }),
            _ => Err(LedgerError::of_rejection(rejection)),
        }
    }

    /// Records that nobody knows what became of the attempt with this token. Whoever was quicker, the next look at
    /// the call tells.
    async fn record_doubt(
        &self,
        key: &OperationKey,
        token: OperationToken,
    ) -> Result<Option<Call>, LedgerError> {
        tracing::warn!(%key, %token, "an operation is in doubt: its caller vanished before it told the result");
        let finish = FinishOperation { key: key.clone(), token, end: OperationEnd::InDoubt };
        match submit(&self.store, Durability::Durable, finish, None).await {
            Err(LedgerError::Store(error)) => Err(error.into()),
            // Rejected: its late result came, or it has another owner by now.
            _ => Ok(None),
        }
    }

    /// Asks until the call is not in flight any more, or the wait is over. The time is that of the asking which was
    /// answered, without the wait for somebody else.
    pub(crate) async fn begun_or_replayed(&self, intent: &Intent) -> Result<(Call, Duration), LedgerError> {
        let clock = self.store.env().clock();
        let end = clock.monotonic().saturating_add(self.wait);
        loop {
            // Before the look: an end that comes after it must end the wait.
            let seen = self.store.change_stamp();
            let (answer, took) = self.ask(intent).await?;
            let left = end.saturating_sub(clock.monotonic());
            match answer {
                Call::InFlight { key, expires_at } if !left.is_zero() => {
                    self.while_owned(&key, expires_at, seen, left.min(IN_FLIGHT_POLL)).await?;
                }
                answer => return Ok((answer, took)),
            }
        }
    }

    /// Waits until the operation has ended, or is not that owner's any more, at most for `limit`.
    async fn while_owned(
        &self,
        key: &OperationKey,
        expires_at: StoreTime,
        mut seen: ChangeStamp,
        limit: Duration,
    ) -> Result<(), StoreError> {
        let env = self.store.env();
        let end = env.clock().monotonic().saturating_add(limit);
        let mut pause = VAIN_PAUSE_FIRST;
        loop {
            let left = end.saturating_sub(env.clock().monotonic());
            if left.is_zero() {
                return Ok(());
            }
            seen = self.store.changed(seen, left).await;
            let record = self.store.operation(key).await?;
            let is_same = |operation: &Operation| {
                operation.status == OperationStatus::Pending && operation.owner.expires_at == expires_at
            };
            if record.is_none_or(|record| !is_same(&record.operation)) {
                return Ok(());
            }
            env.sleep(pause.min(left)).await;
            pause = VAIN_PAUSE_MAX.min(pause * 2);
        }
    }

    /// Records the result of a tool that was called, as a late one once the lease is lost. Whatever goes wrong, it is
    /// not lost in silence.
    pub(crate) async fn record(&self, attempt: Attempt, output: ToolOutput) -> Result<Ran, LedgerError> {
        let (mut pause, mut paused) = (RECORD_PAUSE_FIRST, Duration::ZERO);
        let mut lost = None;
        loop {
            let recorded = match lost {
                None => attempt.finish(output.clone()).await,
                Some(_) => attempt.late(output.clone()).await,
            };
            match (recorded, lost.take()) {
                (Ok(_), None) => return Ok(Ran { output, replayed: false }),
                (Ok(_) | Err(LedgerError::TakenOver { .. } | LedgerError::Ended { .. }), Some(rejection)) => {
                    return Err(LedgerError::LeaseLost(rejection));
                }
                (Err(LedgerError::LeaseLost(rejection)), None) => lost = Some(rejection),
                (Err(error @ (LedgerError::TakenOver { .. } | LedgerError::Ended { .. })), None) => {
                    return Err(error);
                }
                (Err(error), before) if error.may_pass() && paused + pause <= RECORD_PATIENCE => {
                    lost = before;
                    self.store.env().sleep(pause).await;
                    paused += pause;
                    pause *= 2;
                }
                (Err(error), _) => {
                    let (attempt, source) = (Box::new(attempt), Box::new(error));
                    return Err(LedgerError::Unrecorded { attempt, output, source });
                }
            }
        }
    }
}

/// What the record of a call says to somebody who asks for it; nothing while it has not ended, nor when its outcome is
/// too old by a clock that shows `now`, if one is asked.
fn known(
    intent: &Intent,
    record: &OperationRecord,
    now: Option<WallTime>,
) -> Result<Option<Call>, LedgerError> {
    let OperationRecord { operation, output } = record;
    if operation.fingerprint != intent.fingerprint {
        return Err(LedgerError::Conflict { key: operation.key.clone(), stored: operation.fingerprint });
    }
    if now.is_some_and(|now| intent.is_stale(operation.finished_at, now)) {
        return Ok(None);
    }
    let bytes = || match output {
        Some(output) => Ok(output.bytes().clone()),
        None => Err(StoreError::Corrupt { what: format!("the output of {}", operation.key), source: None }),
    };
    Ok(match operation.status {
        OperationStatus::Succeeded => Some(Call::Replayed(ToolOutput::Succeeded(bytes()?))),
        OperationStatus::Failed => Some(Call::Replayed(ToolOutput::Failed(bytes()?))),
        OperationStatus::InDoubt => Some(Call::InDoubt(Doubt::of(&intent.name, operation))),
        // Pending, or a state that this program does not know: the store decides what may be done.
        _ => None,
    })
}
