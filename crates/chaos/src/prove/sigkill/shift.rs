//! One round: a new file, eight workers and a supervisor that are replaced as they are killed, and the end, when all
//! that was submitted is worked off.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::account::Books;
use super::places::{self, RANDOM};
use super::seat::{Orders, Seat, make_folder};
use super::tally::Tally;
use crate::audit::Audit;
use crate::case::{CaseError, Context};
use crate::process::{Process, was_killed};
use crate::recorder;
use crate::worker::die::DieAt;
use crate::worker::told::Told;

/// Workers, beside one supervisor.
const WORKERS: usize = 8;
/// How long a lease lasts without renewal: real, and short, so that what a dead worker held is soon taken over.
pub(super) const TERM: Duration = Duration::from_millis(500);
/// How often the supervisor sweeps.
const SWEEP_PERIOD: Duration = Duration::from_millis(20);
/// Steps of a task.
const STEPS: u16 = 8;
/// Pages at which the log is folded: the fewest that the store takes, so that it happens often.
const WAL_PAGES: u32 = 100;
/// How long an effect takes.
const EFFECT_DELAY: Duration = Duration::from_micros(500);
/// Tasks under way or waiting: some for each worker, and few enough that an orphaned one does not wait long.
const UNDER_WAY: usize = WORKERS + 4;
/// Time between two kills at random.
const PAUSE_MS: std::ops::Range<u64> = 5..60;
/// One replacement in so many dies at a chosen place.
const CHOSEN_EVERY: usize = 3;
/// One random kill in so many hits the supervisor.
const SUPERVISOR_EVERY: usize = 12;
/// How long a process may live that was to die at a place which it does not come to.
const COMES_WITHIN: Duration = Duration::from_secs(2);
/// How often the processes are looked at.
const POLL: Duration = Duration::from_millis(1);
/// Kills between two looks at the sum of all items.
const SUM_EVERY: usize = 50;
/// How long the work that is left may take once nobody is killed any more.
const REST_MAX: Duration = Duration::from_secs(90);

/// See the module.
pub(super) struct Shift {
    orders: Orders,
    rng: fastrand::Rng,
    seats: Vec<Seat>,
    audit: Audit,
    books: Books,
    _recorder: Process,
    next_name: usize,
    next_place: usize,
    next_task: usize,
    /// The task that the supervisor was told to submit.
    ordered: Option<String>,
    done: BTreeSet<String>,
    /// Since when a task has no holder, as its holder was killed.
    orphans: BTreeMap<String, Instant>,
    strikes_at: Instant,
    is_resting: bool,
}

impl Shift {
    /// Makes the file, through several deaths, and starts everybody.
    pub(super) fn begin(context: &mut Context, round: usize, tally: &mut Tally) -> Result<Self, CaseError> {
        let folder = context.folder().join(format!("round-{round}"));
        make_folder(&folder)?;
        let log = folder.join("recorder.log");
        let (recorder, address) = recorder::start("recorder", &log, EFFECT_DELAY, 0, context.deadline())?;
        let orders = Orders {
            folder,
            recorder: address,
            term: TERM,
            sweep_period: SWEEP_PERIOD,
            steps: STEPS,
            wal_pages: WAL_PAGES,
        };
        let mut rng = context.rng(round);
        for (number, die_at) in places::opening(&mut rng).into_iter().enumerate() {
            open_and_die(context, &orders, &format!("opener-{number}"), die_at, tally)?;
        }
        let mut seats = vec![orders.start(context, "supervisor-0", true, None)?];
        let (audit, books) = (wait_for_file(context, &orders)?, Books::new(STEPS));
        for number in 1..=WORKERS {
            seats.push(orders.start(context, &format!("worker-{number}"), false, None)?);
        }
        Ok(Self {
            orders,
            rng,
            seats,
            audit,
            books,
            _recorder: recorder,
            next_name: WORKERS + 1,
            next_place: 0,
            next_task: 0,
            ordered: None,
            done: BTreeSet::new(),
            orphans: BTreeMap::new(),
            strikes_at: Instant::now(),
            is_resting: false,
        })
    }

    /// Goes on until one process more was killed, by the runner or by itself.
    pub(super) fn kill_one(&mut self, context: &mut Context, tally: &mut Tally) -> Result<(), CaseError> {
        let before = tally.kills;
        while tally.kills == before {
            self.go_on(context, tally)?;
            if Instant::now() >= self.strikes_at {
                self.strike(context, tally)?;
            }
            context.deadline().sleep(POLL, "the next kill")?;
        }
        if tally.kills / SUM_EVERY != before / SUM_EVERY {
            self.books.check_sum(&self.audit, &self.name(), self.ordered.as_deref(), tally)?;
        }
        Ok(())
    }

    /// Lets the living do what is left, ends them, and looks at everything.
    pub(super) fn finish(&mut self, context: &mut Context, tally: &mut Tally) -> Result<(), CaseError> {
        self.is_resting = true;
        let deadline = context.deadline().or_after(REST_MAX);
        while self.ordered.is_some() || self.books.submitted.len() > self.done.len() {
            if deadline.left().is_zero() {
                // What is not done is told by the books.
                break;
            }
            self.go_on(context, tally)?;
            // A worker that died between its last commit and its word has left a task that is done.
            for task in self.books.submitted.difference(&self.done.clone()) {
                if self.audit.task(task)?.is_some_and(|task| task.status == "succeeded") {
                    self.done.insert(task.clone());
                }
            }
            thread::sleep(POLL);
        }
        self.seats.clear();
        tally.submitted += self.books.submitted.len();
        let effects = recorder::requests(&self.orders.folder.join("recorder.log"));
        let effects = effects.map_err(CaseError::io("reading the recorder's log"))?;
        self.books.close(&self.audit, &effects, &self.name(), self.ordered.as_deref(), tally)
    }

    /// Removes what is left of a round in which all was right.
    pub(super) fn remove(self) {
        let folder = self.orders.folder.clone();
        drop(self);
        // What cannot be removed now goes with the folder of the campaign.
        drop(fs::remove_dir_all(folder));
    }

    fn name(&self) -> String {
        let name = self.orders.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Hears everybody, replaces the dead, keeps work coming.
    fn go_on(&mut self, context: &mut Context, tally: &mut Tally) -> Result<(), CaseError> {
        for index in 0..self.seats.len() {
            let told = self.seats[index].hear()?;
            self.take_note(index, told, tally);
            if let Some(status) = self.seats[index].process.ended_by_now()? {
                self.replace(context, index, was_killed(status).then_some(Instant::now()), None, tally)?;
            }
        }
        if !self.is_resting
            && self.ordered.is_none()
            && self.books.submitted.len() < self.done.len() + UNDER_WAY
        {
            self.ordered = Some(format!("task-{:06}", self.next_task));
            self.next_task += 1;
            self.order();
        }
        Ok(())
    }

    /// Tells the supervisor what to submit, also a new one what its predecessor was told.
    fn order(&mut self) {
        if let (Some(task), Some(seat)) = (&self.ordered, self.seats.first_mut()) {
            // It may have been killed a moment ago; then its successor is told.
            drop(seat.process.say(task));
        }
    }

    fn take_note(&mut self, index: usize, told: Vec<(Told, Instant)>, tally: &mut Tally) {
        let seat = &mut self.seats[index];
        for (told, at) in told {
            match told {
                Told::Submitted { task } => {
                    seat.is_busy = true;
                    if self.ordered.as_ref() == Some(&task) {
                        self.ordered = None;
                    }
                    self.books.submitted.insert(task);
                }
                Told::Took { task } => (seat.task, seat.is_busy) = (task, true),
                Told::Ack { sequence, id } => {
                    self.books.acknowledged.push((seat.task.clone(), sequence, id));
                    // The first sign of life after the death of the one before.
                    if let Some(since) = self.orphans.remove(&seat.task) {
                        tally.recoveries.push(at.saturating_duration_since(since));
                    }
                }
                Told::Done => drop(self.done.insert(seat.task.clone())),
                _ => {}
            }
        }
    }

    /// Kills somebody at this moment, whatever it does.
    fn strike(&mut self, context: &mut Context, tally: &mut Tally) -> Result<(), CaseError> {
        let supervisor = self.rng.usize(0..SUPERVISOR_EVERY) == 0;
        let is_due = |seat: &Seat| {
            seat.is_supervisor == supervisor
                && seat.is_busy
                && (seat.die_at.is_none() || seat.started.elapsed() > COMES_WITHIN)
        };
        let victims: Vec<usize> = (0..self.seats.len()).filter(|&index| is_due(&self.seats[index])).collect();
        if victims.is_empty() {
            return Ok(());
        }
        let victim = victims[self.rng.usize(0..victims.len())];
        let killed_at = self.seats[victim].process.kill()?;
        self.strikes_at = killed_at + Duration::from_millis(self.rng.u64(PAUSE_MS));
        let status = self.seats[victim].process.wait(context.deadline())?;
        self.replace(context, victim, was_killed(status).then_some(killed_at), Some(RANDOM), tally)
    }

    /// Takes note of an end, and puts another in this place. `fault` is what killed it, unless that was itself.
    fn replace(
        &mut self,
        context: &mut Context,
        index: usize,
        killed_at: Option<Instant>,
        fault: Option<&str>,
        tally: &mut Tally,
    ) -> Result<(), CaseError> {
        let told = self.seats[index].hear_last(context)?;
        self.take_note(index, told, tally);
        let seat = &self.seats[index];
        let (name, is_supervisor) = (seat.process.name().to_owned(), seat.is_supervisor);
        let Some(killed_at) = killed_at else {
            let error = seat.process.error("ended by itself").to_string();
            context.findings.notes.push(format!("{}: {error}", self.name()));
            tally.ended_otherwise.push(name);
            return self.seat(context, index, is_supervisor);
        };
        let own = seat.die_at.map(places::name_of).filter(|_| fault.is_none());
        context.fired(own.as_deref().or(fault).unwrap_or(RANDOM), 1);
        tally.hit(self.orders.bury(&name)?);
        tally.supervisors_killed += usize::from(is_supervisor);
        context.advance(true);
        for item in self.audit.held_by(&name)? {
            let task = item.split('/').next().unwrap_or_default().to_owned();
            tally.orphaned += 1;
            // A successor that is killed before it gave a sign of life makes the wait begin anew.
            tally.disturbed += usize::from(self.orphans.insert(task, killed_at).is_some());
        }
        self.seat(context, index, is_supervisor)
    }

    /// A new process, some of which are told where to die.
    fn seat(&mut self, context: &Context, index: usize, is_supervisor: bool) -> Result<(), CaseError> {
        let role = if is_supervisor { "supervisor" } else { "worker" };
        let name = format!("{role}-{}", self.next_name);
        self.next_name += 1;
        let is_chosen = !self.is_resting && !is_supervisor && self.next_name.is_multiple_of(CHOSEN_EVERY);
        let die_at = is_chosen.then(|| {
            self.next_place += 1;
            places::chosen(self.next_place - 1, &mut self.rng)
        });
        self.seats[index] = self.orders.start(context, &name, is_supervisor, die_at)?;
        if is_supervisor {
            self.order();
        }
        Ok(())
    }
}

/// Starts a process that dies while it makes the file: what it leaves is sound, and the next goes on from there.
fn open_and_die(
    context: &mut Context,
    orders: &Orders,
    name: &str,
    die_at: DieAt,
    tally: &mut Tally,
) -> Result<(), CaseError> {
    let mut seat = orders.start(context, name, true, Some(die_at))?;
    let status = seat.process.wait(context.deadline().or_after(REST_MAX))?;
    if !was_killed(status) {
        return Err(seat.process.ended(status));
    }
    tally.hit(orders.bury(name)?);
    context.fired(&places::name_of(die_at), 1);
    context.advance(true);
    let audit = Audit::open(&orders.database())?;
    tally.faults.look_at_whole(&audit, &format!("a file whose maker died at {die_at}"))
}

/// Opens the file for looking once somebody has brought it to its schema.
fn wait_for_file(context: &Context, orders: &Orders) -> Result<Audit, CaseError> {
    let deadline = context.deadline().or_after(REST_MAX);
    let database: PathBuf = orders.database();
    loop {
        if let Ok(audit) = Audit::open(&database)
            && audit.held_by("nobody").is_ok()
        {
            return Ok(audit);
        }
        deadline.sleep(POLL, "the file of a round")?;
    }
}
