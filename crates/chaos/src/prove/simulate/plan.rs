//! What happens in a run, drawn from its seed: the machines, the work that is handed in, and the faults with their
//! times. A plan is data, so that a failing one can be made smaller and run again.

use std::fmt;
use std::time::Duration;

use super::machine::MachineId;

/// Faults happen in the first part of the hour; then all heals, but for clocks.
pub(super) const CHAOS: Duration = Duration::from_secs(40 * 60);
/// The whole run.
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
/// One seed in so many runs on the SQLite core.
const SQLITE_SHARE: u64 = 10;
/// The largest step of a wall clock.
const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// The largest drift: a hundred times that of a bad quartz.
const DRIFT_PPM_MAX: i32 = 20_000;

/// Every fault that a run may meet, by the names that the report uses.
pub(super) const FAULTS: [&str; 14] = [
    "pause",
    "slow",
    "kill",
    "kill_at_effect",
    "wall_step",
    "drift",
    "failed_commit",
    "unknown_applied",
    "unknown_not_applied",
    "unknown_late",
    "overloaded",
    "failed_read",
    "reorder",
    "cache_loss",
];

/// What a storm does to messages between one machine and the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storm {
    /// A commit surely did not apply.
    Failed,
    /// It applied, and its caller does not learn so.
    UnknownApplied,
    /// It did not apply, and its caller does not learn so.
    UnknownNotApplied,
    /// It applies only after its caller was told that nobody knows.
    UnknownLate,
    /// The store has no room within the caller's wait.
    Overloaded,
    /// A read fails.
    FailedRead,
}

impl Storm {
    pub(super) const ALL: [Self; 6] = [
        Self::Failed,
        Self::UnknownApplied,
        Self::UnknownNotApplied,
        Self::UnknownLate,
        Self::Overloaded,
        Self::FailedRead,
    ];

    /// Its name among [`FAULTS`].
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed_commit",
            Self::UnknownApplied => "unknown_applied",
            Self::UnknownNotApplied => "unknown_not_applied",
            Self::UnknownLate => "unknown_late",
            Self::Overloaded => "overloaded",
            Self::FailedRead => "failed_read",
        }
    }
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    /// Nothing of the machine runs.
    Pause(Duration),
    /// Everything on it waits up to `each` before it runs.
    Slow { each: Duration, lasts: Duration },
    /// Its process ends, and another starts so much later.
    Kill(Duration),
    /// Its process ends right after its next effect on the world, before anybody can know of it; another starts so
    /// much later.
    KillAtEffect(Duration),
    /// Its wall clock is stepped by so many milliseconds.
    WallStep(i64),
    /// So many hundredths of its messages meet a storm.
    Storm { kind: Storm, percent: u8, lasts: Duration },
    /// Its messages take up to so long, each way, and overtake one another.
    Reorder { each: Duration, lasts: Duration },
    /// Cached answers are lost: so many hundredths.
    CacheLoss(u8),
}

/// A fault, when and where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Event {
    pub(super) at: Duration,
    pub(super) machine: MachineId,
    pub(super) fault: Fault,
}

/// One task with its one work item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Errand {
    /// Names it, and seeds what it does.
    pub(super) number: u32,
    /// When it is handed in.
    pub(super) at: Duration,
    pub(super) steps: u32,
    pub(super) max_attempts: u32,
    pub(super) priority: i32,
    /// When it is called off, if it is.
    pub(super) called_off: Option<Duration>,
}

/// One machine that works.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct WorkerPlan {
    pub(super) machine: MachineId,
    /// How many items it works on at once.
    pub(super) hands: u32,
    pub(super) drift_ppm: i32,
    /// Whether it goes on without looking whether its lease lasts: fences must then protect everybody else.
    pub(super) is_careless: bool,
}

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) on_sqlite: bool,
    pub(super) term: Duration,
    pub(super) sweep_period: Duration,
    /// How long a model answer counts.
    pub(super) ttl: Duration,
    pub(super) workers: Vec<WorkerPlan>,
    pub(super) errands: Vec<Errand>,
    pub(super) events: Vec<Event>,
}

impl Plan {
    /// The plan of this seed.
    pub(super) fn draw(seed: u64) -> Self {
        // Neighbouring seeds must give unlike plans.
        let mut hasher = blake3::Hasher::new();
        let mixed = hasher.update(b"simulate").update(&seed.to_le_bytes()).finalize();
        let mut start = [0; 8];
        start.copy_from_slice(&mixed.as_bytes()[..8]);
        let mut rng = fastrand::Rng::with_seed(u64::from_le_bytes(start));
        let workers: Vec<WorkerPlan> = (0..rng.usize(2..=4)).map(|at| worker(&mut rng, at)).collect();
        let errands = (0..rng.u32(6..=14)).map(|number| errand(&mut rng, number)).collect();
        let machines = MachineId::FIRST_WORKER + workers.len();
        let mut events: Vec<Event> = (0..rng.u32(6..=22)).map(|_| event(&mut rng, machines)).collect();
        events.sort_by_key(|event| event.at);
        Self {
            seed,
            on_sqlite: seed.is_multiple_of(SQLITE_SHARE),
            term: Duration::from_secs(rng.u64(20..=120)),
            sweep_period: Duration::from_secs(rng.u64(20..=90)),
            ttl: Duration::from_secs(rng.u64(60..=7_200)),
            workers,
            errands,
            events,
        }
    }

    /// How many machines there are, the store's and the office included.
    pub(super) fn machines(&self) -> usize {
        let last = self.workers.iter().map(|worker| worker.machine.0).max();
        last.unwrap_or(MachineId::OFFICE.0) + 1
    }
}

fn worker(rng: &mut fastrand::Rng, at: usize) -> WorkerPlan {
    WorkerPlan {
        machine: MachineId(MachineId::FIRST_WORKER + at),
        hands: rng.u32(1..=2),
        drift_ppm: if rng.bool() { rng.i32(-DRIFT_PPM_MAX..=DRIFT_PPM_MAX) } else { 0 },
        is_careless: rng.bool(),
    }
}

fn errand(rng: &mut fastrand::Rng, number: u32) -> Errand {
    let at = seconds(rng, 0, CHAOS.as_secs() * 9 / 10);
    Errand {
        number,
        at,
        steps: rng.u32(1..=4),
        max_attempts: rng.u32(2..=6),
        priority: rng.i32(-1..=1),
        called_off: (rng.u8(..12) == 0).then(|| at + seconds(rng, 1, 300)),
    }
}

fn event(rng: &mut fastrand::Rng, machines: usize) -> Event {
    let at = seconds(rng, 1, CHAOS.as_secs());
    let machine = MachineId(rng.usize(MachineId::OFFICE.0..machines));
    let worker = MachineId(rng.usize(MachineId::FIRST_WORKER..machines));
    let (machine, fault) = match rng.u8(..23) {
        0..3 => (worker, Fault::Pause(seconds(rng, 2, 400))),
        3..5 => (worker, Fault::Slow { each: seconds(rng, 1, 30), lasts: seconds(rng, 30, 400) }),
        5..9 => (machine, Fault::Kill(seconds(rng, 1, 120))),
        9..11 => (MachineId(rng.usize(..machines)), Fault::WallStep(rng.i64(-DAY_MS..=DAY_MS))),
        11..17 => {
            let kind = Storm::ALL[rng.usize(..Storm::ALL.len())];
            let percent = if rng.u8(..4) == 0 { 100 } else { rng.u8(5..=90) };
            (machine, Fault::Storm { kind, percent, lasts: seconds(rng, 10, 400) })
        }
        17..19 => (machine, Fault::Reorder { each: seconds(rng, 1, 12), lasts: seconds(rng, 30, 300) }),
        19..22 => (worker, Fault::KillAtEffect(seconds(rng, 1, 120))),
        _ => (MachineId::SERVER, Fault::CacheLoss(if rng.bool() { 100 } else { rng.u8(10..=90) })),
    };
    Event { at, machine, fault }
}

fn seconds(rng: &mut fastrand::Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.u64(from * 1_000..=to * 1_000))
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:?} ", self.at)?;
        match self.machine {
            MachineId::SERVER => f.write_str("the store")?,
            MachineId::OFFICE => f.write_str("the office")?,
            MachineId(number) => write!(f, "worker {number}")?,
        }
        match self.fault {
            Fault::Pause(lasts) => write!(f, ": pause for {lasts:?}"),
            Fault::Slow { each, lasts } => write!(f, ": slow by up to {each:?} a step for {lasts:?}"),
            Fault::Kill(down) => write!(f, ": kill, start again after {down:?}"),
            Fault::KillAtEffect(down) => {
                write!(f, ": kill right after the next effect, start again after {down:?}")
            }
            Fault::WallStep(millis) => write!(f, ": step of the wall clock by {millis} ms"),
            Fault::Storm { kind, percent, lasts } => {
                write!(f, ": {} for {percent} % of its messages for {lasts:?}", kind.name())
            }
            Fault::Reorder { each, lasts } => {
                write!(f, ": messages take up to {each:?} each way for {lasts:?}")
            }
            Fault::CacheLoss(percent) => write!(f, ": loses {percent} % of the cached answers"),
        }
    }
}

impl fmt::Display for Plan {
    /// A line for what there is, and one for each fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backend = if self.on_sqlite { "SQLite" } else { "memory" };
        let workers: Vec<String> = self
            .workers
            .iter()
            .map(|worker| {
                let careless = if worker.is_careless { ", careless" } else { "" };
                let WorkerPlan { machine, hands, drift_ppm, .. } = worker;
                format!("{} ({hands} hands, drift {drift_ppm} ppm{careless})", machine.0)
            })
            .collect();
        let errands: Vec<String> =
            self.errands.iter().map(|errand| format!("{} at {:?}", errand.number, errand.at)).collect();
        write!(
            f,
            "{backend}, term {:?}, sweep every {:?}, answers count {:?}; workers {}; errands {}",
            self.term,
            self.sweep_period,
            self.ttl,
            workers.join(", "),
            errands.join(", ")
        )?;
        self.events.iter().try_for_each(|event| write!(f, "\n  {event}"))
    }
}
