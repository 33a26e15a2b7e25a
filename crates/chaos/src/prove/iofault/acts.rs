//! The scenarios: what a store is asked to do while its device fails, act by act. Every identity, byte and instant in
//! them follows from the seed, so that the same acts can be done again on a device that never fails.

use std::sync::Arc;
use std::time::Duration;

use steadfast_store::env::{Env, SeededRng};
use steadfast_store::{
    Abandonment, AppendCheckpoint, Batch, BeginOperation, CheckpointId, Claim, CreateTask, Delay, Digest,
    Durability, Enqueue, EraseCheckpoint, Fence, FinishOperation, FinishTask, Guard, HolderId, InvalidId,
    Label, OperationEnd, OperationKey, OperationToken, Payload, PayloadTooLarge, PruneCheckpoints,
    PurgeOperations, Renew, SealedPayload, Settle, SettleItem, SweepExpired, TaskEnd, TaskId, Term,
    TransitionId, WorkItemId,
};

/// The term of every lease and operation.
const TERM: Duration = Duration::from_secs(60);
/// Pages of the log at which it is folded, where a scenario is about that: as few as are allowed.
const FEW_PAGES: u32 = 100;
/// As the store has it by default.
const MANY_PAGES: u32 = 4_000;

/// Why a scenario cannot be made: a mistake in this file.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// A name.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// A span.
    #[error(transparent)]
    Span(#[from] steadfast_store::InvalidSpan),
    /// A payload.
    #[error(transparent)]
    Payload(#[from] PayloadTooLarge),
}

/// One thing that is done.
#[derive(Debug, Clone)]
pub enum Act {
    /// A batch is submitted.
    Submit(Submission),
    /// Time passes.
    Wait(Duration),
    /// The store is closed in good order and opened again.
    Reopen,
}

/// A batch, and what submitting it again means.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The batch: always the very same one.
    pub batch: Batch,
    /// Whether it is evaluated anew when it is submitted again, as what removes and what renews is: it leaves nothing
    /// by which it could be recognised, and doing it twice is doing it once.
    pub is_repeatable: bool,
}

impl Submission {
    fn once(batch: Batch) -> Act {
        Act::Submit(Self { batch, is_repeatable: false })
    }

    fn repeatable(batch: Batch) -> Act {
        Act::Submit(Self { batch, is_repeatable: true })
    }

    /// Whether it must survive a power loss once it was acknowledged.
    pub fn is_durable(&self) -> bool {
        self.batch.durability() == Durability::Durable
    }
}

/// What is done, and what was there before.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name, for messages and the command line of a child.
    pub name: &'static str,
    /// Done on a healthy device first; without any of these the file is not there yet.
    pub before: Vec<Batch>,
    /// Done while the device fails.
    pub acts: Vec<Act>,
    /// Pages of the log at which it is folded.
    pub wal_pages: u32,
}

/// The names of all scenarios.
pub const NAMES: [&str; 9] =
    ["new_file", "durable", "relaxed", "claims", "operations", "sweep", "removal", "fold", "reopen"];

impl Scenario {
    /// The scenario of this name, drawn from the seed; none of another name.
    ///
    /// # Errors
    /// [`ActError`], which would be a mistake in this file.
    pub fn named(name: &str, seed: u64) -> Result<Option<Self>, ActError> {
        let maker = Maker { seed, rng: fastrand::Rng::with_seed(seed) };
        maker.scenario(name)
    }

    /// Whether there is a file before the first act.
    pub fn has_file(&self) -> bool {
        !self.before.is_empty()
    }

    /// The submission of this number among the acts.
    pub fn submission(&self, act: usize) -> Option<&Submission> {
        match self.acts.get(act) {
            Some(Act::Submit(submission)) => Some(submission),
            _ => None,
        }
    }
}

/// Makes commands of fixed identities.
struct Maker {
    seed: u64,
    rng: fastrand::Rng,
}

/// A batch of these commands.
macro_rules! batch {
    ($durability:ident: $($command:expr),+ $(,)?) => {{
        let mut batch = Batch::$durability();
        $(batch.add($command);)+
        batch
    }};
}

impl Maker {
    fn scenario(mut self, name: &str) -> Result<Option<Scenario>, ActError> {
        let (name, wal_pages, before, acts) = match name {
            "new_file" => ("new_file", MANY_PAGES, Vec::new(), self.new_file()?),
            "durable" => ("durable", MANY_PAGES, vec![Self::task()?], self.durable()?),
            "relaxed" => ("relaxed", MANY_PAGES, vec![Self::task()?], self.relaxed()?),
            "claims" => ("claims", MANY_PAGES, Self::queue(3)?, self.claims()?),
            "operations" => ("operations", MANY_PAGES, vec![Self::task()?], self.operations()?),
            "sweep" => {
                let mut before = Self::queue(4)?;
                before.push(batch!(durable: Self::claim(1, 3)?));
                ("sweep", MANY_PAGES, before, Self::sweep()?)
            }
            "removal" => {
                let mut before = vec![Self::task()?];
                for number in 1..=8 {
                    before.push(batch!(durable: self.append(number)?));
                }
                before.push(batch!(durable: Self::begin("old", 1)?, self.finish("old", 1)?));
                ("removal", MANY_PAGES, before, self.removal()?)
            }
            "fold" => ("fold", FEW_PAGES, vec![Self::task()?], self.fold()?),
            "reopen" => ("reopen", MANY_PAGES, vec![Self::task()?], self.reopen()?),
            _ => return Ok(None),
        };
        Ok(Some(Scenario { name, before, acts, wal_pages }))
    }

    /// A new file, made and brought to its schema; then the first things in it.
    fn new_file(&mut self) -> Result<Vec<Act>, ActError> {
        Ok(vec![
            Submission::once(Self::task()?),
            Submission::once(batch!(durable: self.append(1)?)),
            Submission::once(batch!(relaxed: self.append(2)?)),
        ])
    }

    fn durable(&mut self) -> Result<Vec<Act>, ActError> {
        Ok(vec![
            Submission::once(batch!(durable: self.append(1)?)),
            Submission::once(batch!(durable: self.append_of(2, 12_000)?, self.append(3)?)),
            Submission::once(batch!(durable: self.append(4)?)),
        ])
    }

    fn relaxed(&mut self) -> Result<Vec<Act>, ActError> {
        Ok(vec![
            Submission::once(batch!(relaxed: self.append(1)?)),
            Submission::once(batch!(relaxed: self.append_of(2, 30_000)?)),
            Submission::once(batch!(durable: self.append(3)?)),
            Submission::once(batch!(relaxed: self.append(4)?)),
        ])
    }

    fn claims(&mut self) -> Result<Vec<Act>, ActError> {
        let (first, second) = (guard(1, 1)?, guard(2, 1)?);
        let mut guarded = Batch::durable();
        guarded.add_guarded(first.clone(), self.append(1)?);
        guarded.add(settle(&first, Settle::Succeeded));
        let retry = settle(&second, Settle::Retry(Delay::new(TERM)?));
        Ok(vec![
            Submission::once(batch!(durable: Self::claim(1, 2)?)),
            Submission::repeatable(batch!(relaxed: Renew { guard: second, term: Term::new(TERM * 2)? })),
            Submission::once(guarded),
            Submission::once(batch!(durable: retry)),
            Submission::once(batch!(durable: Self::claim(2, 1)?)),
        ])
    }

    fn operations(&mut self) -> Result<Vec<Act>, ActError> {
        Ok(vec![
            Submission::once(batch!(durable: Self::begin("call", 1)?)),
            Submission::once(batch!(durable: self.finish("call", 1)?, self.append(1)?)),
            Submission::once(batch!(relaxed: Self::begin("answer", 2)?)),
            Submission::once(batch!(relaxed: self.finish("answer", 2)?)),
            Submission::once(
                batch!(durable: FinishTask { task: task()?, end: TaskEnd::Succeeded, result: Payload::empty() }),
            ),
        ])
    }

    fn sweep() -> Result<Vec<Act>, ActError> {
        let sweep = |number, limit| SweepExpired { sweep: transition(number), limit };
        Ok(vec![
            Act::Wait(TERM * 2),
            Submission::once(batch!(durable: sweep(10, 2))),
            Submission::once(batch!(durable: sweep(11, 10))),
            Submission::once(batch!(durable: Self::claim(2, 2)?)),
        ])
    }

    fn removal(&mut self) -> Result<Vec<Act>, ActError> {
        let purge = PurgeOperations { prefix: String::new(), older_than: TERM, limit: 100 };
        Ok(vec![
            Submission::once(batch!(durable: self.append(9)?)),
            Submission::repeatable(batch!(durable: PruneCheckpoints { task: task()?, keep: 5, limit: 100 })),
            Submission::repeatable(batch!(durable: EraseCheckpoint { checkpoint: checkpoint(7) })),
            Submission::once(batch!(durable: self.append(10)?)),
            Act::Wait(TERM * 2),
            Submission::repeatable(batch!(durable: purge)),
        ])
    }

    /// As much at once as makes the log due to be folded, with something small before and behind it.
    fn fold(&mut self) -> Result<Vec<Act>, ActError> {
        Ok(vec![
            Submission::once(batch!(relaxed: self.append(1)?)),
            Submission::once(batch!(relaxed: self.append_of(2, 400_000)?)),
            Submission::once(batch!(durable: self.append(3)?)),
        ])
    }

    fn reopen(&mut self) -> Result<Vec<Act>, ActError> {
        Ok(vec![
            Submission::once(batch!(durable: self.append(1)?)),
            Act::Reopen,
            Submission::once(batch!(relaxed: self.append(2)?)),
            Act::Reopen,
            Submission::once(batch!(durable: self.append(3)?)),
        ])
    }

    fn task() -> Result<Batch, ActError> {
        Ok(batch!(durable: CreateTask { task: task()?, kind: kind()?, input: Payload::empty() }))
    }

    /// The task and so many items.
    fn queue(items: u64) -> Result<Vec<Batch>, ActError> {
        let mut batches = vec![Self::task()?];
        for number in 1..=items {
            batches.push(batch!(durable: Enqueue {
                item: item(number)?,
                task: task()?,
                kind: kind()?,
                priority: 0,
                delay: Delay::ZERO,
                max_attempts: 5,
            }));
        }
        Ok(batches)
    }

    fn claim(number: u64, limit: u32) -> Result<Claim, ActError> {
        let holder = HolderId::new("worker")?;
        let claim = transition(number);
        Ok(Claim { claim, holder, term: Term::new(TERM)?, limit, kinds: Vec::new(), task: None })
    }

    /// Of up to a few pages.
    fn append(&mut self, number: u64) -> Result<AppendCheckpoint, ActError> {
        let bytes = self.rng.usize(100..6_000);
        self.append_of(number, bytes)
    }

    fn append_of(&mut self, number: u64, bytes: usize) -> Result<AppendCheckpoint, ActError> {
        let seeded = Env::system().with_rng(Arc::new(SeededRng::new(self.seed ^ number)));
        let mut payload = vec![0; bytes];
        self.rng.fill(&mut payload);
        Ok(AppendCheckpoint {
            checkpoint: checkpoint(number),
            task: task()?,
            kind: kind()?,
            work_item: None,
            expected_head: None,
            payload: SealedPayload::seal(payload, &seeded)?,
            evidence: Payload::empty(),
            copy_of: None,
        })
    }

    fn begin(key: &str, number: u64) -> Result<BeginOperation, ActError> {
        Ok(BeginOperation {
            key: OperationKey::new(key)?,
            fingerprint: Digest::of(key.as_bytes()),
            token: OperationToken::from_bytes(numbered(number)),
            task: None,
            lease: None,
            term: Term::new(TERM)?,
            abandonment: Abandonment::Doubt,
            fresh_for: None,
        })
    }

    fn finish(&mut self, key: &str, number: u64) -> Result<FinishOperation, ActError> {
        let mut output = vec![0; self.rng.usize(10..5_000)];
        self.rng.fill(&mut output);
        let end = OperationEnd::Succeeded(Payload::new(output)?);
        let token = OperationToken::from_bytes(numbered(number));
        Ok(FinishOperation { key: OperationKey::new(key)?, token, end })
    }
}

fn task() -> Result<TaskId, InvalidId> {
    TaskId::new("work")
}

fn kind() -> Result<Label, InvalidId> {
    Label::new("step")
}

fn item(number: u64) -> Result<WorkItemId, InvalidId> {
    WorkItemId::new(format!("work/{number}"))
}

fn guard(number: u64, fence: u64) -> Result<Guard, InvalidId> {
    Ok(Guard { item: item(number)?, fence: Fence(fence) })
}

fn settle(guard: &Guard, settle: Settle) -> SettleItem {
    SettleItem { guard: guard.clone(), settle, detail: String::new() }
}

fn checkpoint(number: u64) -> CheckpointId {
    CheckpointId::from_bytes(numbered(number))
}

fn transition(number: u64) -> TransitionId {
    TransitionId::from_bytes(numbered(number))
}

fn numbered(number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes
}
