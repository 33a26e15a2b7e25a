//! Batches: commands that are applied in order, all or nothing, each seeing the ones before it.

use std::marker::PhantomData;
use std::time::Duration;

use crate::command::{
    BeginOperation, Claim, Command, Enqueue, PruneCheckpoints, PurgeOperations, SweepExpired, TypedCommand,
};
use crate::digest::Digest;
use crate::env::Env;
use crate::error::StoreError;
use crate::id::{CheckpointId, OperationToken, TransitionId};
use crate::limits::{
    ATTEMPTS_MAX, BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, COMMIT_WAIT_DEFAULT, KINDS_MAX, PAGE_ROWS_MAX,
};
use crate::record::Guard;

/// What an acknowledged batch survives.
///
/// ```
/// # use steadfast_store::env::Env;
/// # use steadfast_store::{
/// #     AppendCheckpoint, Batch, CheckpointId, CheckpointPage, Claim, CommandError, Committed, CreateTask, Delay, Enqueue,
/// #     FinishTask, HolderId, Label, MemoryStore, Payload, Reason, Renew, SealedPayload, Settle, SettleItem, Store, StoreExt,
/// #     TaskEnd, TaskId, TaskPage, Term, TransitionId, WorkItemId, WorkItemPage,
/// # };
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new(Env::system());
/// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// # let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
/// use steadfast_store::Durability;
///
/// // Survives the power: what the world outside was told.
/// let mut durable = Batch::durable();
/// // Survives a killed process, and may go with the power: what can be made again.
/// let relaxed = Batch::new(Durability::Relaxed);
/// # durable.add(create);
/// # assert!(relaxed.entries().is_empty());
/// # assert!(matches!(store.commit(durable).await?, Committed::Applied(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// The death of the process; a power loss may take the newest of them. For heartbeats and cache entries.
    Relaxed,
    /// Power loss too, as far as the device keeps what it acknowledged.
    Durable,
}

/// Stands for one command of one batch, and finds its outcome.
///
/// ```
/// # use steadfast_store::env::Env;
/// # use steadfast_store::{
/// #     AppendCheckpoint, Batch, CheckpointId, CheckpointPage, Claim, CommandError, Committed, CreateTask, Delay, Enqueue,
/// #     FinishTask, HolderId, Label, MemoryStore, Payload, Reason, Renew, SealedPayload, Settle, SettleItem, Store, StoreExt,
/// #     TaskEnd, TaskId, TaskPage, Term, TransitionId, WorkItemId, WorkItemPage,
/// # };
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new(Env::system());
/// # let (task, kind) = (TaskId::new("report")?, Label::new("research")?);
/// # let create = CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() };
/// let mut batch = Batch::durable();
/// let created = batch.add(create);
/// let Committed::Applied(applied) = store.commit(batch).await? else { unreachable!("nothing stands against it") };
/// println!("{:?}", applied.get(created)?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Handle<C> {
    index: usize,
    command: PhantomData<fn() -> C>,
}

impl<C> Handle<C> {
    /// Which command of the batch, counted from 0.
    pub fn index(&self) -> usize {
        self.index
    }
}

impl<C> Clone for Handle<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Handle<C> {}

/// One command and the lease it must be under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The lease that must hold when the command is applied.
    pub guard: Option<Guard>,
    /// The command.
    pub command: Command,
    /// Of a checkpoint, what its link covers whatever its place: hashed by the caller, not by the writer.
    contents: Option<Digest>,
}

impl Entry {
    fn new(guard: Option<Guard>, command: Command) -> Self {
        let contents = match &command {
            Command::AppendCheckpoint(append) => Some(append.link_contents().digest()),
            _ => None,
        };
        Self { guard, command, contents }
    }

    /// The digest of what a checkpoint's link covers whatever its place; of other commands none.
    pub(crate) fn contents(&self) -> Option<Digest> {
        self.contents
    }

    /// The lease that must hold: the guard, or the one that an operation names as its owner's. Who has lost that must
    /// not state an intent under it.
    pub(crate) fn lease(&self) -> Option<&Guard> {
        match &self.command {
            Command::BeginOperation(command) => self.guard.as_ref().or(command.lease.as_ref()),
            _ => self.guard.as_ref(),
        }
    }
}

/// Commands to be applied together. Cloning is cheap: payloads are shared. Keep a clone until the commit has
/// answered: an `Unknown` answer is resolved by submitting the very same batch again.
///
/// ```
/// # use steadfast_store::{Batch, CreateTask, Label, Payload, TaskId};
/// let mut batch = Batch::durable();
/// let created = batch.add(CreateTask {
///     task: TaskId::new("report")?,
///     kind: Label::new("research")?,
///     input: Payload::new("the topic")?,
/// });
/// // store.commit(batch).await?.into_applied()?.get(created)
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    entries: Vec<Entry>,
    durability: Durability,
    wait: Duration,
}

impl Batch {
    /// An empty batch of that durability.
    pub fn new(durability: Durability) -> Self {
        Self { entries: Vec::new(), durability, wait: COMMIT_WAIT_DEFAULT }
    }

    /// An empty batch whose acknowledgement survives power loss.
    pub fn durable() -> Self {
        Self::new(Durability::Durable)
    }

    /// An empty batch whose acknowledgement survives the death of the process.
    pub fn relaxed() -> Self {
        Self::new(Durability::Relaxed)
    }

    /// Bounds the wait for room in the queue and for the write lock; then the answer is
    /// [`StoreError::Overloaded`] and nothing was applied. What was begun is finished whatever the time.
    #[must_use]
    pub fn wait_at_most(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Adds a command.
    pub fn add<C: TypedCommand>(&mut self, command: C) -> Handle<C> {
        self.push(None, command)
    }

    /// Adds a command that is applied only while this lease holds; otherwise the whole batch is rejected.
    pub fn add_guarded<C: TypedCommand>(&mut self, guard: Guard, command: C) -> Handle<C> {
        self.push(Some(guard), command)
    }

    fn push<C: TypedCommand>(&mut self, guard: Option<Guard>, command: C) -> Handle<C> {
        let index = self.entries.len();
        self.entries.push(Entry::new(guard, command.into()));
        Handle { index, command: PhantomData }
    }

    /// What the planted bug [`UnknownAsNew`](crate::planted::Bug::UnknownAsNew) submits again: the same commands, as if
    /// they were others.
    pub(crate) fn under_new_identities(&self, env: &Env) -> Self {
        let entries = self.entries.iter().map(|entry| {
            let mut command = entry.command.clone();
            match &mut command {
                Command::AppendCheckpoint(append) => append.checkpoint = CheckpointId::generate(env),
                Command::Claim(claim) => claim.claim = TransitionId::generate(env),
                Command::SweepExpired(sweep) => sweep.sweep = TransitionId::generate(env),
                Command::Requeue(requeue) => requeue.requeue = TransitionId::generate(env),
                Command::BeginOperation(begin) => begin.token = OperationToken::generate(env),
                _ => {}
            }
            Entry::new(entry.guard.clone(), command)
        });
        Self { entries: entries.collect(), ..self.clone() }
    }

    /// The commands, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What its acknowledgement survives.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// How long its commit may wait before it is begun.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// Payload bytes in all its commands.
    pub fn payload_bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.command.payload_bytes()).sum()
    }

    /// Checks every limit that types do not already keep. Every backend calls it before anything else.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] or [`StoreError::Invalid`]; nothing was written.
    pub fn validate(&self) -> Result<(), StoreError> {
        if self.entries.len() > BATCH_COMMANDS_MAX {
            return Err(StoreError::TooLarge {
                what: "batch, in commands",
                actual: self.entries.len(),
                limit: BATCH_COMMANDS_MAX,
            });
        }
        let bytes = self.payload_bytes();
        if bytes > BATCH_BYTES_MAX {
            return Err(StoreError::TooLarge {
                what: "batch, in payload bytes",
                actual: bytes,
                limit: BATCH_BYTES_MAX,
            });
        }
        if self.entries.len() > 1 && self.entries.iter().any(|entry| entry.command.is_maintenance()) {
            return Err(StoreError::Invalid {
                what: "batch in which a prune, erase, purge or invalidation is not alone: commit it by itself",
            });
        }
        self.entries.iter().try_for_each(|entry| match &entry.command {
            Command::Claim(Claim { kinds, .. }) if kinds.len() > KINDS_MAX => {
                Err(StoreError::TooLarge { what: "claim, in kinds", actual: kinds.len(), limit: KINDS_MAX })
            }
            Command::Claim(Claim { limit, .. }) => check_page("claim, in items", *limit),
            Command::PruneCheckpoints(PruneCheckpoints { keep: 0, .. }) => Err(StoreError::Invalid {
                what: "retention of 0 checkpoints: keep at least one, or a task could not go on",
            }),
            Command::PruneCheckpoints(PruneCheckpoints { limit, .. }) => {
                check_page("prune page, in checkpoints", *limit)
            }
            Command::PurgeOperations(PurgeOperations { limit, .. }) => {
                check_page("purge page, in operations", *limit)
            }
            Command::SweepExpired(SweepExpired { limit, .. }) => check_page("sweep page, in items", *limit),
            Command::Enqueue(Enqueue { max_attempts, .. }) => match *max_attempts {
                0 => {
                    Err(StoreError::Invalid { what: "max_attempts of 0: an item needs at least one attempt" })
                }
                attempts if attempts > ATTEMPTS_MAX => Err(StoreError::TooLarge {
                    what: "max_attempts",
                    actual: attempts as usize,
                    limit: ATTEMPTS_MAX as usize,
                }),
                _ => Ok(()),
            },
            Command::BeginOperation(BeginOperation { lease: Some(lease), .. })
                if entry.guard.as_ref().is_some_and(|guard| guard != lease) =>
            {
                Err(StoreError::Invalid {
                    what: "operation whose lease differs from its guard: give both the same",
                })
            }
            _ => Ok(()),
        })
    }
}

/// Checks the size of a page.
///
/// # Errors
/// [`StoreError::Invalid`] for none, [`StoreError::TooLarge`] above [`PAGE_ROWS_MAX`].
pub(crate) fn check_page(what: &'static str, rows: u32) -> Result<(), StoreError> {
    match rows {
        0 => Err(StoreError::Invalid { what: "page of 0 rows: ask for at least one" }),
        rows if rows > PAGE_ROWS_MAX => {
            Err(StoreError::TooLarge { what, actual: rows as usize, limit: PAGE_ROWS_MAX as usize })
        }
        _ => Ok(()),
    }
}
