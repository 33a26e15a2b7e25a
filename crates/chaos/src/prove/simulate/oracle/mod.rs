//! What watches a run from outside: it sees every batch in the instant in which it is applied, every effect in the
//! world, every answer of the model, and holds them against its own account of what must be. It shares no code with
//! the decisions.

mod items;
mod operations;
mod outside;
mod promise;
mod tasks;
#[cfg(test)]
mod tests;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use steadfast_store::{
    Applied, Batch, Command, Committed, Entry, Guard, OperationKey, OperationStatus, OperationToken, Outcome,
    Reason, Rejection, Store, StoreError, TransitionId, WorkItemId, WorkItemPage,
};

use self::items::Items;
use self::operations::{Operations, Times};
pub(super) use self::outside::{Held, Outside, Truth, Working};
pub(super) use self::promise::{Broken, Promise};
use self::tasks::Tasks;
use self::trace::{Answered, Told, Trace};
use super::backend::Backend;
use super::executor::Shared;
use super::machine::{MachineId, WALL_AT_START_MS};

/// Broken promises that are kept; the first one ends a run soon enough.
const BROKEN_MAX: usize = 16;
/// More than the rows of any run.
const ROWS_MAX: u32 = 1_000;

/// Which process sent a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) machine: MachineId,
    pub(super) process: u32,
}

/// What is said of a run while it goes.
#[derive(Debug)]
pub(super) struct Said {
    now: Duration,
    broken: Vec<Broken>,
}

impl Said {
    fn broken(&mut self, promise: Promise, what: String) {
        if self.broken.len() < BROKEN_MAX {
            self.broken.push(Broken { promise, at: self.now, what });
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Oracle {
    shared: Arc<Shared>,
    term: Duration,
    trace: Trace,
    said: Said,
    fired: BTreeMap<&'static str, u64>,
    items: Items,
    operations: Operations,
    tasks: Tasks,
    /// What was applied, by the identities that its callers made.
    claims: BTreeMap<TransitionId, Vec<(WorkItemId, u64)>>,
    moves: BTreeSet<TransitionId>,
    tokens: BTreeSet<OperationToken>,
    commits: u64,
    pub(super) outside: Outside,
}

impl Oracle {
    pub(super) fn new(shared: Arc<Shared>, term: Duration, keeps_log: bool) -> Self {
        Self {
            shared,
            term,
            trace: Trace::new(keeps_log),
            said: Said { now: Duration::ZERO, broken: Vec::new() },
            fired: BTreeMap::new(),
            items: Items::default(),
            operations: Operations::default(),
            tasks: Tasks::default(),
            claims: BTreeMap::new(),
            moves: BTreeSet::new(),
            tokens: BTreeSet::new(),
            commits: 0,
            outside: Outside::default(),
        }
    }

    /// A fault happened.
    pub(super) fn fired(&mut self, fault: &'static str) {
        *self.fired.entry(fault).or_default() += 1;
    }

    /// Something happened that no batch tells.
    pub(super) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        self.trace.note(self.shared.now(), what);
    }

    /// A promise was not kept.
    pub(super) fn broken(&mut self, promise: Promise, what: String) {
        self.said.now = self.shared.now();
        self.said.broken(promise, what);
    }

    pub(super) fn all_broken(&self) -> &[Broken] {
        &self.said.broken
    }

    pub(super) fn all_fired(&self) -> &BTreeMap<&'static str, u64> {
        &self.fired
    }

    pub(super) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Batches that arrived.
    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    fn times(&self) -> Times {
        // The store began at the wall clock's time, and follows true time since.
        let store_ms = WALL_AT_START_MS + millis(self.said.now);
        let wall = self.shared.look(MachineId::SERVER, super::machine::Machine::wall);
        Times { store_ms, wall_ms: wall.as_millis() }
    }

    /// A batch arrived and was answered, in this instant.
    pub(super) fn arrived(
        &mut self,
        sender: Sender,
        batch: &Batch,
        answer: &Result<Committed, StoreError>,
        backend: &Backend,
    ) {
        self.said.now = self.shared.now();
        self.commits += 1;
        let Sender { machine, process } = sender;
        let (told, answered) = (Told(batch), Answered(answer));
        self.trace.note(self.said.now, format_args!("{}.{process} {told}-> {answered}", machine.0));
        match answer {
            Ok(Committed::Applied(applied)) if applied.is_replayed() => self.replayed(batch, applied),
            Ok(Committed::Applied(applied)) => {
                for (entry, outcome) in batch.entries().iter().zip(applied.outcomes()) {
                    self.applied(sender, entry, outcome, backend);
                }
            }
            Ok(Committed::Rejected(rejection)) => self.rejected(batch, rejection),
            Err(error) => self.said.broken(Promise::StoreSound, error.to_string()),
        }
    }

    /// One command was applied; earlier ones of its batch are in the account already.
    fn applied(&mut self, sender: Sender, entry: &Entry, outcome: &Outcome, backend: &Backend) {
        let times = self.times();
        let (now, now_ms) = (self.said.now, times.store_ms);
        let lease = match &entry.command {
            Command::BeginOperation(begin) => entry.guard.as_ref().or(begin.lease.as_ref()),
            _ => entry.guard.as_ref(),
        };
        self.look_at_guard(lease);
        match (&entry.command, outcome) {
            (Command::CreateTask(command), _) => self.tasks.created(command),
            (Command::FinishTask(command), _) => self.tasks.finished(command, &mut self.said),
            (Command::Enqueue(command), _) => self.items.enqueued(command, now_ms),
            (Command::Claim(command), Outcome::Claimed(claimed)) => {
                self.items.claimed(command, claimed, now_ms, &mut self.said);
                let taken = claimed.items.iter().map(|item| (item.id.clone(), item.fence.0));
                self.claims.insert(command.claim, taken.collect());
            }
            (Command::Renew(command), _) => {
                self.items.renewed(&command.guard, command.term.get(), now_ms, &mut self.said);
            }
            (Command::SettleItem(command), Outcome::Settled(settled)) => {
                self.items.settled(command, settled, now_ms, &mut self.said);
            }
            (Command::CancelItem(command), _) => self.items.cancelled(&command.item),
            (Command::Requeue(command), Outcome::Requeued(requeued)) => {
                self.moves.insert(command.requeue);
                self.items.requeued(&command.item, requeued.available_at.as_millis());
            }
            (Command::AppendCheckpoint(command), Outcome::Appended(appended)) => {
                self.tasks.appended(command, appended, &mut self.said);
            }
            (Command::SweepExpired(command), Outcome::Swept(swept)) => {
                self.moves.insert(command.sweep);
                self.look_at_holders(swept.reclaimed.iter().map(|one| (one.item.clone(), one.stale.0)));
                let tasks = &self.tasks;
                let has_ended = |task: &_| tasks.has_ended(task);
                self.items.swept((command, swept), has_ended, (now, now_ms), &mut self.said);
                self.tasks.swept(swept);
            }
            (Command::BeginOperation(command), Outcome::OperationBegun(begun)) => {
                self.tokens.insert(command.token);
                self.operations.begun((sender, command, begun), &self.items, times, &mut self.said);
            }
            (Command::FinishOperation(command), _) => {
                self.operations.finished(command, &self.items, times, &mut self.said);
            }
            (Command::InvalidateOperation(command), _) => {
                self.operations.invalidated(&command.key, &mut self.said);
            }
            (Command::PurgeOperations(command), Outcome::Purged(purged)) if purged.removed > 0 => {
                let tasks = &self.tasks;
                let is_there =
                    |key: &OperationKey| matches!(backend.read(|store| store.operation(key)), Ok(Some(_)));
                let goes_on = |task: &_| !tasks.has_ended(task);
                let gone = self.operations.purged(&command.prefix, is_there, goes_on, &mut self.said);
                if gone != purged.removed {
                    let what = format!("a purge says {}, and {gone} are gone", purged.removed);
                    self.said.broken(Promise::Rows, what);
                }
            }
            _ => {}
        }
    }

    /// Invariant 13: what is applied under a guard is applied under the current lease.
    fn look_at_guard(&mut self, lease: Option<&Guard>) {
        if let Some(lease) = lease
            && !self.items.holds(lease)
        {
            let what = format!("something was applied under {}#{}, which is stale", lease.item, lease.fence);
            self.said.broken(Promise::StaleGuard, what);
        }
    }

    /// Invariant 16: when a sweep takes an item, its holder's own deadline has passed by its own clock. A clock that
    /// runs slow is forgiven what it lost in one term.
    fn look_at_holders(&mut self, reclaimed: impl Iterator<Item = (WorkItemId, u64)>) {
        for (item, fence) in reclaimed {
            let Some((machine, deadline)) = self.outside.deadline(&item, fence) else { continue };
            let (clock, slack) = self.clock_and_slack(machine);
            if clock + slack < deadline {
                let left = deadline.saturating_sub(clock);
                let what = format!("{item}#{fence} was reclaimed {left:?} before its holder's deadline");
                self.said.broken(Promise::Deadline, what);
            }
        }
    }

    /// A machine's monotonic clock, and how far its deadlines may be off for its drift in one term.
    fn clock_and_slack(&self, machine: MachineId) -> (Duration, Duration) {
        self.shared.look(machine, |machine, now| {
            let drift = self.term * machine.drift_ppm.unsigned_abs() / 1_000_000;
            (machine.monotonic(now), drift + drift / 10 + Duration::from_millis(5))
        })
    }

    /// A worker acts because its lease, as it sees it, lasts.
    pub(super) fn acts(&mut self, guard: &Guard, machine: MachineId) {
        let Some(reclaimed) = self.items.reclaimed.get(&(guard.item.clone(), guard.fence.0)) else { return };
        let since = self.shared.now().saturating_sub(*reclaimed);
        let (_, slack) = self.clock_and_slack(machine);
        if since > slack {
            let what =
                format!("{}#{} was acted on {since:?} after it was reclaimed", guard.item, guard.fence);
            self.broken(Promise::Deadline, what);
        }
    }

    /// Invariant 3: a batch that says it was applied before was, and answers as it did.
    fn replayed(&mut self, batch: &Batch, applied: &Applied) {
        for (entry, outcome) in batch.entries().iter().zip(applied.outcomes()) {
            let is_as_before = match (&entry.command, outcome) {
                (Command::Claim(command), Outcome::Claimed(claimed)) => {
                    self.claims.get(&command.claim).is_some_and(|first| {
                        claimed.items.iter().all(|item| first.contains(&(item.id.clone(), item.fence.0)))
                    })
                }
                (Command::Claim(command), _) => self.claims.contains_key(&command.claim),
                (Command::SweepExpired(command), _) => self.moves.contains(&command.sweep),
                (Command::Requeue(command), _) => self.moves.contains(&command.requeue),
                (Command::BeginOperation(command), _) => self.tokens.contains(&command.token),
                (Command::AppendCheckpoint(command), outcome) => self.tasks.knows(command, outcome),
                _ => true,
            };
            if !is_as_before {
                let what = format!("{outcome:?} is not what {:?} answered first", entry.command);
                self.said.broken(Promise::Replay, what);
            }
        }
    }

    /// A guard that is refused as stale is stale.
    fn rejected(&mut self, batch: &Batch, rejection: &Rejection) {
        let guards = batch.entries().iter().filter_map(|entry| entry.guard.as_ref());
        match &rejection.reason {
            Reason::StaleFence { item, shown, .. } | Reason::NotLeased { item, fence: shown, .. } => {
                let guard = Guard { item: item.clone(), fence: *shown };
                if self.items.holds(&guard) {
                    let what = format!("{item}#{shown} was refused, and is the lease: {}", rejection.reason);
                    self.said.broken(Promise::CurrentGuard, what);
                }
            }
            Reason::RepeatedIdentity => {
                let guards: Vec<_> = guards.collect();
                self.said.broken(Promise::Replay, format!("an identity was used twice, under {guards:?}"));
            }
            _ => {}
        }
    }

    /// What is known from outside about a call that is in doubt.
    pub(super) fn truth(&self, key: &OperationKey, token: OperationToken) -> Truth {
        let row = self.operations.rows.get(key).filter(|row| row.token == token);
        let is_at_it = row.is_some_and(|row| {
            let lives = self.shared.look(row.owner.machine, |machine, _| machine.runs(row.owner.process));
            lives && row.lease.as_ref().is_some_and(|lease| self.outside.is_at_work(lease))
        });
        self.outside.truth(key, token, is_at_it)
    }

    /// An effect reaches the world, made by the attempt with this token. What the tool says, or nothing when the world
    /// was promised that this attempt would never come.
    pub(super) fn effect(
        &mut self,
        key: &OperationKey,
        token: OperationToken,
        is_idempotent: bool,
    ) -> Option<String> {
        self.note(format_args!("effect {key} by {token}"));
        if self.outside.is_refused(token) {
            return None;
        }
        let row = self.operations.rows.get(key);
        let is_intended = row.is_some_and(|row| {
            row.token == token && matches!(row.status, OperationStatus::Pending | OperationStatus::InDoubt)
        });
        if !is_idempotent && !is_intended {
            self.broken(Promise::Intent, format!("{key} happened, and {token} is no intent of the store"));
        }
        let (times, says) = self.outside.happened(key, token);
        if !is_idempotent && times > 1 {
            self.broken(Promise::Once, format!("{key} happened {times} times"));
        }
        Some(says)
    }

    /// A machine has had an effect: whether its process ends with it.
    pub(super) fn dies(&mut self, machine: MachineId) -> bool {
        let Some(down) = self.outside.doomed.remove(&machine) else { return false };
        self.outside.dying.push((machine, down));
        self.shared.interrupt();
        true
    }

    /// A caller was handed an output.
    pub(super) fn delivered(&mut self, key: &OperationKey, output: &[u8]) {
        if let Some(first) = self.outside.delivered(key, output) {
            let now = String::from_utf8_lossy(output).into_owned();
            self.broken(Promise::SameBytes, format!("{key} gave {first:?}, and gives {now:?}"));
        }
    }

    /// A caller was handed an answer of the model.
    pub(super) fn answered(&mut self, request: &str, body: &[u8]) {
        let body = String::from_utf8_lossy(body).into_owned();
        if !self.outside.was_said(request, &body) {
            self.broken(Promise::Crossed, format!("{body:?} was handed out for {request}"));
        }
    }

    /// Keys of cached answers that there are.
    pub(super) fn cached(&self) -> Vec<OperationKey> {
        self.operations.cached()
    }

    /// Leases that nobody works under, and from now on who begins to is noted.
    pub(super) fn abandoned(&mut self) -> Vec<Guard> {
        self.outside.begun.clear();
        let leases = self.items.rows.iter().filter(|(_, row)| row.expires_ms.is_some());
        leases
            .map(|(id, row)| Guard { item: id.clone(), fence: steadfast_store::Fence(row.fence) })
            .filter(|guard| !self.outside.is_at_work(guard))
            .collect()
    }

    /// Of these leases, those that last although they should have been reclaimed by now. A claim whose answer was lost is
    /// submitted again for up to a term, and may have given its caller an item that looked abandoned: then it lasts for
    /// as long as he works, and as its last renewal says, and a sweep may take `grace` more.
    pub(super) fn still(&self, leases: &[Guard], grace: Duration) -> Vec<Guard> {
        let now_ms = WALL_AT_START_MS + millis(self.said.now);
        let is_adopted = |guard: &Guard| {
            let begun = self.outside.begun.contains(&(guard.item.clone(), guard.fence.0));
            let until = self.items.rows.get(&guard.item).and_then(|row| row.expires_ms).unwrap_or(now_ms);
            begun && (self.outside.is_at_work(guard) || until + millis(grace) > now_ms)
        };
        leases.iter().filter(|guard| self.items.holds(guard) && !is_adopted(guard)).cloned().collect()
    }

    /// Items that have not come to an end.
    pub(super) fn unfinished(&self) -> Vec<String> {
        let open = self.items.rows.iter().filter(|(_, row)| !is_done(row.status));
        open.map(|(id, row)| format!("{id} is {} at fence {}", row.status, row.fence)).collect()
    }

    /// Items that there are.
    pub(super) fn items(&self) -> usize {
        self.items.rows.len()
    }

    /// Holds every row of the store against the account.
    pub(super) fn compare(&mut self, backend: &Backend) {
        let page = WorkItemPage { task: None, status: None, after: None, limit: ROWS_MAX };
        let stored = backend.read(|store| store.work_items(page)).unwrap_or_default();
        let health = backend.read(Store::health).unwrap_or_default();
        let counted: u64 = health.work_items.iter().map(|(_, count)| count).sum();
        let mut differences = Vec::new();
        if stored.len() != self.items.rows.len() || counted != stored.len() as u64 {
            let (is, must) = (stored.len(), self.items.rows.len());
            differences.push(format!("there are {is} items, counted as {counted}, and must be {must}"));
        }
        for id in self.items.rows.keys() {
            let row = stored.iter().find(|item| item.id == *id);
            differences.extend(self.items.difference(id, row));
        }
        for key in self.operations.rows.keys() {
            match backend.read(|store| store.operation(key)) {
                Ok(stored) => differences.extend(self.operations.difference(key, stored.as_ref())),
                Err(error) => differences.push(format!("{key}: {error}")),
            }
        }
        differences.extend(self.tasks.differences(backend));
        for difference in differences {
            self.broken(Promise::Rows, difference);
        }
    }
}

/// A dead letter is not the end: the office brings it back.
fn is_done(status: steadfast_store::Status) -> bool {
    use steadfast_store::Status;
    matches!(status, Status::Succeeded | Status::Cancelled)
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
