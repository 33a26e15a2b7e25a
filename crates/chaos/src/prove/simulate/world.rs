//! One run of a plan: machines, store, faults at their times; then everything heals, and the rest of the hour must
//! bring all work to its end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use steadfast_store::InvalidSpan;

use super::backend::Backend;
use super::executor::{Executor, Spinning, Stop};
use super::link::Link;
use super::machine::{self, MachineId};
use super::office::Office;
use super::oracle::{Broken, Oracle, Promise};
use super::plan::{CHAOS, Event, Fault, HOUR, Plan, Storm};
use super::planted::Plant;
use super::server::Server;
use super::worker::Worker;

/// Beyond term and sweep period, what an abandoned lease may take until somebody has reclaimed it: a sweep that met
/// trouble just before, and the way to the store.
const RECLAIM_SLACK: Duration = Duration::from_secs(5);

/// What came of a run.
#[derive(Debug)]
pub(super) struct Told {
    /// Of every line of its log.
    pub(super) hash: blake3::Hash,
    pub(super) broken: Vec<Broken>,
    pub(super) fired: BTreeMap<&'static str, u64>,
    pub(super) stats: Stats,
    /// The last lines of its log, if they were to be kept.
    pub(super) log: Vec<String>,
}

impl Told {
    /// Of a run that told nothing.
    pub(super) fn nothing() -> Self {
        Self {
            hash: blake3::hash(b""),
            broken: Vec::new(),
            fired: BTreeMap::new(),
            stats: Stats::default(),
            log: Vec::new(),
        }
    }
}

/// How much happened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stats {
    pub(super) items: u64,
    pub(super) commits: u64,
    pub(super) polls: u64,
    pub(super) lines: u64,
    /// Effects of idempotent tools that happened again.
    pub(super) repeated: u64,
    /// How often the model was asked.
    pub(super) asked: u64,
}

/// How a plan is run.
#[derive(Debug, Clone, Copy)]
pub(super) struct How<'a> {
    /// For the file of a run on SQLite.
    pub(super) folder: &'a Path,
    pub(super) plant: Option<Plant>,
    pub(super) keeps_log: bool,
}

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotBegun {
    #[error("the file of a simulated store could not be made: {0}")]
    Folder(#[from] std::io::Error),
    #[error(transparent)]
    Open(#[from] steadfast_store::OpenError),
    #[error(transparent)]
    Span(#[from] InvalidSpan),
}

/// Runs a plan for its hour, or until a promise is broken.
pub(super) fn run(plan: &Plan, how: How<'_>) -> Result<Told, NotBegun> {
    let own_folder = if plan.on_sqlite { Some(tempfile::tempdir_in(how.folder)?) } else { None };
    let executor = Executor::new(plan.seed, plan.machines());
    let shared = Arc::clone(&executor.shared);
    if how.plant == Some(Plant::WallClockSweep) {
        executor.adjust(MachineId::SERVER, |server| server.boots_by_wall = true);
    }
    let env = machine::env(&shared, MachineId::SERVER, plan.seed);
    let backend = match &own_folder {
        Some(folder) => Backend::sqlite(folder.path(), env)?,
        None => Backend::memory(env),
    };
    let oracle = Arc::new(Mutex::new(Oracle::new(Arc::clone(&shared), plan.term, how.keeps_log)));
    let machines = (plan.seed, plan.machines());
    let server = Server::new(backend, Arc::clone(&oracle), shared, machines, how.plant);
    let plan = Arc::new(plan.clone());
    let mut world =
        World { executor, server: Arc::new(server), oracle, agenda: BTreeMap::new(), entries: 0, plan };
    world.begin()?;
    let ran = world.all()?;
    Ok(world.tell(ran.is_ok()))
}

/// What is to be done at a time.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Event(Event),
    Resume(MachineId),
    Hasten(MachineId),
    Restart(MachineId),
    Calm(MachineId, Storm),
    Straighten(MachineId),
    /// All faults end.
    Heal,
}

#[derive(Debug)]
struct World {
    executor: Executor,
    server: Arc<Server>,
    oracle: Arc<Mutex<Oracle>>,
    agenda: BTreeMap<(Duration, u64), Entry>,
    entries: u64,
    plan: Arc<Plan>,
}

impl World {
    fn at(&mut self, at: Duration, entry: Entry) {
        self.entries += 1;
        self.agenda.insert((at, self.entries), entry);
    }

    fn begin(&mut self) -> Result<(), InvalidSpan> {
        let plan = Arc::clone(&self.plan);
        for worker in &plan.workers {
            if worker.drift_ppm != 0 {
                self.executor.adjust(worker.machine, |machine| machine.drift_ppm = worker.drift_ppm);
                self.oracle.lock().fired("drift");
            }
            self.start(worker.machine)?;
        }
        self.start(MachineId::OFFICE)?;
        for event in &plan.events {
            self.at(event.at, Entry::Event(*event));
        }
        self.at(CHAOS, Entry::Heal);
        Ok(())
    }

    /// Starts a process on a machine.
    fn start(&self, machine: MachineId) -> Result<(), InvalidSpan> {
        let shared = &self.executor.shared;
        let env = machine::env(shared, machine, self.plan.seed);
        let process = shared.look(machine, |machine, _| machine.process());
        let server = Arc::clone(&self.server);
        let link = Link { machine, process, env, server };
        if let Some(worker) = Worker::plan_of(&self.plan, machine) {
            return Worker::start(&self.plan, worker, link);
        }
        let began = shared.look(machine, |machine, _| machine.monotonic(Duration::ZERO));
        Office::start(&self.plan, link, began)
    }

    /// Everything up to the end of the hour, or until something is broken.
    fn all(&mut self) -> Result<Result<(), Spinning>, InvalidSpan> {
        let mut abandoned = Vec::new();
        let grace = self.plan.sweep_period * 11 / 10 + RECLAIM_SLACK;
        let last_reclaim = CHAOS + self.plan.term + grace;
        while let Some((&(at, number), _)) = self.agenda.first_key_value() {
            match self.executor.run_until(at) {
                Err(spinning) => return Ok(Err(spinning)),
                Ok(Stop::Interrupted) => {
                    self.end_the_doomed();
                    continue;
                }
                Ok(Stop::Reached) => {}
            }
            if self.is_broken() {
                return Ok(Ok(()));
            }
            let Some(entry) = self.agenda.remove(&(at, number)) else { continue };
            self.act(entry)?;
            if matches!(entry, Entry::Heal) {
                abandoned = self.oracle.lock().abandoned();
                break;
            }
        }
        for end in [last_reclaim, HOUR] {
            if self.executor.run_until(end).is_err() {
                return Ok(Err(Spinning));
            }
            if self.is_broken() {
                return Ok(Ok(()));
            }
            let mut oracle = self.oracle.lock();
            let still = oracle.still(&abandoned, grace);
            for guard in still {
                let what = format!("{}#{} has no holder, and nobody reclaimed it", guard.item, guard.fence);
                oracle.broken(Promise::Reclaimed, what);
            }
        }
        let mut oracle = self.oracle.lock();
        oracle.compare(&self.server.backend);
        for item in oracle.unfinished() {
            oracle.broken(Promise::Finishes, item);
        }
        if oracle.items() != self.plan.errands.len() {
            let (items, errands) = (oracle.items(), self.plan.errands.len());
            oracle.broken(Promise::Finishes, format!("{items} of {errands} errands were handed in"));
        }
        Ok(Ok(()))
    }

    /// Ends the processes that were to end with their last effect.
    fn end_the_doomed(&mut self) {
        let dying = std::mem::take(&mut self.oracle.lock().outside.dying);
        for (machine, down) in dying {
            self.executor.kill(machine);
            self.oracle.lock().fired("kill_at_effect");
            self.at(self.executor.shared.now() + down, Entry::Restart(machine));
        }
    }

    fn is_broken(&self) -> bool {
        !self.oracle.lock().all_broken().is_empty()
    }

    fn act(&mut self, entry: Entry) -> Result<(), InvalidSpan> {
        match entry {
            Entry::Event(event) => self.meet(event),
            Entry::Resume(machine) => {
                if self.executor.resume(machine) {
                    self.oracle.lock().fired("pause");
                }
            }
            Entry::Hasten(machine) => self.executor.adjust(machine, |machine| machine.slow = Duration::ZERO),
            Entry::Restart(machine) => {
                if !self.executor.shared.look(machine, |machine, _| machine.is_up) {
                    self.executor.restart(machine);
                    self.start(machine)?;
                }
            }
            Entry::Calm(machine, kind) => self.server.storm(machine, kind, 0),
            Entry::Straighten(machine) => self.server.delay(machine, Duration::ZERO),
            Entry::Heal => {
                let rest = std::mem::take(&mut self.agenda);
                self.oracle.lock().outside.doomed.clear();
                for (_, entry) in rest.into_iter().filter(|(_, entry)| !matches!(entry, Entry::Event(_))) {
                    self.act(entry)?;
                }
            }
        }
        Ok(())
    }

    fn meet(&mut self, Event { machine, fault, .. }: Event) {
        let now = self.executor.shared.now();
        self.oracle.lock().note(format_args!("fault {fault:?} on {}", machine.0));
        match fault {
            Fault::Pause(lasts) => {
                self.executor.pause(machine);
                self.at(now + lasts, Entry::Resume(machine));
            }
            Fault::Slow { each, lasts } => {
                self.executor.adjust(machine, |machine| machine.slow = each);
                self.oracle.lock().fired("slow");
                self.at(now + lasts, Entry::Hasten(machine));
            }
            Fault::Kill(down) => {
                if self.executor.kill(machine) > 0 {
                    self.oracle.lock().fired("kill");
                }
                self.at(now + down, Entry::Restart(machine));
            }
            Fault::KillAtEffect(down) => {
                self.oracle.lock().outside.doomed.insert(machine, down);
            }
            Fault::WallStep(millis) => {
                self.executor.adjust(machine, |machine| machine.wall_ms = millis);
                self.oracle.lock().fired("wall_step");
            }
            Fault::Storm { kind, percent, lasts } => {
                self.server.storm(machine, kind, percent);
                self.at(now + lasts, Entry::Calm(machine, kind));
            }
            Fault::Reorder { each, lasts } => {
                self.server.delay(machine, each);
                self.at(now + lasts, Entry::Straighten(machine));
            }
            Fault::CacheLoss(percent) => {
                let mut keys = self.oracle.lock().cached();
                let mut rng = fastrand::Rng::with_seed(self.plan.seed ^ u64::from(percent));
                keys.retain(|_| rng.u8(..100) < percent);
                self.server.lose(keys);
            }
        }
    }

    fn tell(self, came_to_rest: bool) -> Told {
        // What is still to be done holds what it would be done by: without this nothing of a run would ever be freed.
        for machine in 0..self.plan.machines() {
            self.executor.kill(MachineId(machine));
        }
        let mut oracle = self.oracle.lock();
        if !came_to_rest {
            oracle.broken(Promise::Ends, "it polls on and on".to_owned());
        }
        let stats = Stats {
            items: oracle.items() as u64,
            commits: oracle.commits(),
            polls: self.executor.polls(),
            lines: oracle.trace().lines(),
            repeated: oracle.outside.repeated,
            asked: oracle.outside.asked,
        };
        Told {
            hash: oracle.trace().hash(),
            broken: oracle.all_broken().to_vec(),
            fired: oracle.all_fired().clone(),
            stats,
            log: oracle.trace().last(),
        }
    }
}
