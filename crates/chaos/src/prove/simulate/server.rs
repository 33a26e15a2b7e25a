//! The machine that the store is on: where messages arrive in the order that the weather gives them, where a batch is
//! applied in one instant, and where the oracle sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use steadfast_store::{
    Applied, Batch, ChangeStamp, Command, Committed, InvalidateOperation, OperationEnd, OperationFinished,
    OperationKey, OperationStatus, Outcome, Reason, Rejection, Renewed, StoreError, StoreTime,
};
use tokio::sync::{Notify, oneshot};

use super::backend::Backend;
use super::executor::Shared;
use super::machine::MachineId;
use super::oracle::{Oracle, Sender};
use super::plan::Storm;
use super::planted::Plant;

/// A message takes up to so long each way when nothing is wrong.
const TRIP_MICROS: u64 = 3_000;
/// What was said to be unknown is applied at most so much later.
const LATE_MILLIS: u64 = 20_000;
/// Nobody is kept waiting by a store without room for longer than this.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(5);

/// A batch on its way.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) machine: MachineId,
    pub(super) process: u32,
    pub(super) batch: Batch,
}

/// How long a message takes, and whether it gets through.
#[derive(Debug)]
pub(super) struct Trip {
    pub(super) there: Duration,
    pub(super) back: Duration,
    pub(super) fails: bool,
}

/// What the messages of one machine meet.
#[derive(Debug, Default)]
struct Weather {
    /// The kind of storm, and how many hundredths of the messages meet it.
    storms: BTreeMap<&'static str, (Storm, u8)>,
    /// Each way takes up to so long.
    delay: Duration,
    sent: u64,
    newest_applied: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) backend: Backend,
    pub(super) oracle: Arc<Mutex<Oracle>>,
    pub(super) plant: Option<Plant>,
    shared: Arc<Shared>,
    seed: u64,
    weather: Mutex<Vec<Weather>>,
    changes: AtomicU64,
    changed: Notify,
}

impl Server {
    pub(super) fn new(
        backend: Backend,
        oracle: Arc<Mutex<Oracle>>,
        shared: Arc<Shared>,
        (seed, machines): (u64, usize),
        plant: Option<Plant>,
    ) -> Self {
        let weather = Mutex::new((0..machines).map(|_| Weather::default()).collect());
        let changes = AtomicU64::new(0);
        Self { backend, oracle, plant, shared, seed, weather, changes, changed: Notify::new() }
    }

    /// A storm of this kind begins, or ends at 0 %.
    pub(super) fn storm(&self, machine: MachineId, kind: Storm, percent: u8) {
        let storms = &mut self.weather.lock()[machine.0].storms;
        if percent == 0 {
            storms.remove(kind.name());
        } else {
            storms.insert(kind.name(), (kind, percent));
        }
    }

    /// From now on messages take up to so long each way.
    pub(super) fn delay(&self, machine: MachineId, delay: Duration) {
        self.weather.lock()[machine.0].delay = delay;
    }

    pub(super) async fn wait(&self, span: Duration) {
        if !span.is_zero() {
            self.shared.sleep(span).await;
        }
    }

    /// The number of the next message of a machine, its trip, and what it meets. Drawn from its number, so that one
    /// fault less changes as little of the rest as can be.
    fn next(
        &self,
        machine: MachineId,
        meets: impl Fn(Storm) -> bool,
    ) -> (u64, Trip, Option<Storm>, fastrand::Rng) {
        let mut weather = self.weather.lock();
        let weather = &mut weather[machine.0];
        weather.sent += 1;
        let number = weather.sent;
        let mut rng = fastrand::Rng::with_seed(self.seed ^ ((machine.0 as u64) << 48) ^ number);
        // Neighbouring seeds begin alike.
        rng = fastrand::Rng::with_seed(rng.u64(..) ^ number.rotate_left(32));
        let most = u64::try_from(weather.delay.as_micros()).unwrap_or(u64::MAX).max(TRIP_MICROS);
        let (there, back) =
            (Duration::from_micros(rng.u64(..=most)), Duration::from_micros(rng.u64(..=most)));
        let met = weather.storms.values().find(|(kind, percent)| meets(*kind) && rng.u8(..100) < *percent);
        let met = met.map(|(kind, _)| *kind);
        (number, Trip { there, back, fails: met.is_some() }, met, rng)
    }

    pub(super) fn trip_of_read(&self, machine: MachineId) -> Trip {
        let (_, trip, met, _) = self.next(machine, |kind| kind == Storm::FailedRead);
        if let Some(met) = met {
            self.oracle.lock().fired(met.name());
        }
        trip
    }

    /// Sends a batch: from now on dropping the receiver loses the answer, not the write.
    pub(super) fn post(
        server: &Arc<Self>,
        letter: Letter,
    ) -> oneshot::Receiver<Result<Committed, StoreError>> {
        let (answer, answered) = oneshot::channel();
        let (number, trip, met, mut rng) = server.next(letter.machine, |kind| kind != Storm::FailedRead);
        let on_it = Arc::clone(server);
        server.shared.spawn(
            MachineId::SERVER,
            0,
            Box::pin(async move {
                on_it.wait(trip.there).await;
                if let Some(met) = met {
                    on_it.oracle.lock().fired(met.name());
                }
                let told = match met {
                    None => on_it.arrives(number, &letter),
                    Some(Storm::Failed | Storm::FailedRead) => {
                        Err(StoreError::Failed { source: "the commit met a storm".into() })
                    }
                    Some(Storm::Overloaded) => {
                        let waited = letter.batch.wait().min(ROOM_WAIT_MAX);
                        on_it.wait(waited).await;
                        Err(StoreError::Overloaded { waited, held_by: "a storm" })
                    }
                    Some(Storm::UnknownApplied) => {
                        on_it.arrives(number, &letter).and_then(|_| Err(unknown()))
                    }
                    Some(Storm::UnknownNotApplied | Storm::UnknownLate) => Err(unknown()),
                };
                on_it.wait(trip.back).await;
                // Nobody may be waiting any more.
                drop(answer.send(told));
                if met == Some(Storm::UnknownLate) {
                    on_it.wait(Duration::from_millis(rng.u64(..LATE_MILLIS))).await;
                    // Whatever it answers, nobody hears of it.
                    drop(on_it.arrives(number, &letter));
                }
            }),
        );
        answered
    }

    /// A batch is there: it is applied in this instant, under the eyes of the oracle.
    fn arrives(&self, number: u64, letter: &Letter) -> Result<Committed, StoreError> {
        let Letter { machine, process, batch } = letter;
        {
            let newest = &mut self.weather.lock()[machine.0].newest_applied;
            if number < *newest {
                self.oracle.lock().fired("reorder");
            }
            *newest = number.max(*newest);
        }
        let answer = self.apply(batch);
        let sender = Sender { machine: *machine, process: *process };
        let is_change = matches!(&answer, Ok(Committed::Applied(applied)) if has_changed(applied));
        self.oracle.lock().arrived(sender, batch, &answer, &self.backend);
        if is_change {
            self.changes.fetch_add(1, Ordering::SeqCst);
            self.changed.notify_waiters();
        }
        answer
    }

    fn apply(&self, batch: &Batch) -> Result<Committed, StoreError> {
        match self.plant {
            Some(Plant::NoFenceCheck) => self.backend.apply(&unguarded(batch)),
            Some(Plant::HeartbeatRevives) => match (self.backend.apply(batch)?, batch.entries()) {
                (Committed::Rejected(Rejection { reason: Reason::StaleFence { .. }, .. }), [only])
                    if matches!(only.command, Command::Renew(_)) =>
                {
                    let renewed = Renewed { expires_at: StoreTime::from_millis(i64::MAX) };
                    Ok(Committed::Applied(Applied::new(vec![Outcome::Renewed(renewed)], false)))
                }
                (answer, _) => Ok(answer),
            },
            Some(Plant::LostAcknowledgement) => match batch.entries() {
                [only] if self.changes.load(Ordering::SeqCst).is_multiple_of(8) => match &only.command {
                    Command::FinishOperation(finish) if matches!(finish.end, OperationEnd::Succeeded(_)) => {
                        let finished = OperationFinished { status: OperationStatus::Succeeded };
                        let outcomes = vec![Outcome::OperationFinished(finished)];
                        Ok(Committed::Applied(Applied::new(outcomes, false)))
                    }
                    _ => self.backend.apply(batch),
                },
                _ => self.backend.apply(batch),
            },
            _ => self.backend.apply(batch),
        }
    }

    /// Removes cached answers from the store, as if they had never been kept.
    pub(super) fn lose(&self, keys: Vec<OperationKey>) {
        for key in keys {
            let mut batch = Batch::relaxed();
            batch.add(InvalidateOperation { key });
            let letter = Letter { machine: MachineId::SERVER, process: 0, batch };
            if let Ok(Committed::Applied(_)) = self.arrives(0, &letter) {
                self.oracle.lock().fired("cache_loss");
            }
        }
    }

    pub(super) fn change_stamp(&self) -> ChangeStamp {
        ChangeStamp(self.changes.load(Ordering::SeqCst))
    }

    /// Ends when something has changed since.
    pub(super) async fn changed_since(&self, seen: ChangeStamp) {
        loop {
            let mut notified = std::pin::pin!(self.changed.notified());
            // In the list before the counter is read, or a change between the two is missed.
            notified.as_mut().enable();
            if self.change_stamp() != seen {
                return;
            }
            notified.await;
        }
    }
}

/// Whether anything was written: an empty claim or sweep wakes nobody, as with every store.
fn has_changed(applied: &Applied) -> bool {
    !applied.is_replayed()
        && applied.outcomes().iter().any(|outcome| match outcome {
            Outcome::Claimed(claimed) => !claimed.items.is_empty(),
            Outcome::Swept(swept) => !swept.reclaimed.is_empty(),
            Outcome::Purged(purged) => purged.removed > 0,
            _ => true,
        })
}

fn unknown() -> StoreError {
    StoreError::Unknown { source: "the answer was lost in a storm".into() }
}

/// The same without the guards of checkpoints and results.
fn unguarded(batch: &Batch) -> Batch {
    let mut bare = Batch::new(batch.durability()).wait_at_most(batch.wait());
    for entry in batch.entries() {
        match entry.command.clone() {
            Command::AppendCheckpoint(command) => _ = bare.add(command),
            Command::RecordVerification(command) => _ = bare.add(command),
            Command::FinishOperation(command) => _ = bare.add(command),
            _ => return batch.clone(),
        }
    }
    bare
}
