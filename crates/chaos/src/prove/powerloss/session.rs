//! A store at work on a recording device, and what it promised when.

use std::sync::Arc;
use std::time::Duration;

use steadfast_store::env::{Env, ManualClock, SeededRng};
use steadfast_store::{
    Answer, Batch, Command, Committed, Durability, OpenError, SqliteCore, SqliteOptions, StoreError,
};

use super::bench::Bench;
use super::deed::Deed;
use super::fact::{Fact, is_promise};
use super::look::{self, Contents};
use super::trace::Trace;
use super::{Trouble, look::Look, sql};
use crate::memory_vfs::{Device, Files, Name, Op, SyncRule};

/// The log is folded as early as can be asked for, so that a short script folds it.
const WAL_PAGES: u32 = 100;
/// Nobody else holds the write lock.
const WAIT: Duration = Duration::from_secs(1);

/// The device and the settings that a store is opened with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    /// The sectors that the device garbles as a whole; powersafe overwrite is declared off then. None: it keeps what
    /// stands beside a write.
    pub(super) garbles: Option<u16>,
    /// Which syncs it does once the store is open.
    pub(super) rule: SyncRule,
    /// Randomness of the store.
    pub(super) seed: u64,
    /// How often the machine was started.
    pub(super) boot: u8,
}

/// See the module.
pub(super) struct Session {
    device: &'static Device,
    trace: Arc<Trace>,
    core: Option<SqliteCore>,
    options: SqliteOptions,
    setup: Setup,
    start: Files,
    promises: Vec<Promise>,
    appended: Vec<(usize, Deed, u64)>,
    broken: Vec<String>,
    inherits: bool,
    pub(super) env: Env,
    pub(super) clock: Arc<ManualClock>,
}

/// Something was acknowledged: from then on the state after a commit, or a later one, must be there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Promise {
    /// Operations done when the answer was given.
    pub(super) at: usize,
    /// Operations done when that commit was.
    pub(super) commit_at: usize,
    /// What it survives.
    pub(super) durability: Durability,
}

/// A state that a power cut may leave.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    /// Operations done when it could be read.
    pub(super) at: usize,
    /// Operations done when the one before it could be: nothing of it had been written by then.
    pub(super) from: usize,
    pub(super) contents: Contents,
}

/// All that is needed to build the images of a session and to judge them.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) start: Files,
    pub(super) ops: Vec<Op>,
    /// In the order in which they came about.
    pub(super) states: Vec<State>,
    pub(super) promises: Vec<Promise>,
    /// Checkpoints that were acknowledged: when, by which batch, under which number.
    pub(super) appended: Vec<(usize, Deed, u64)>,
    pub(super) setup: Setup,
    /// Whether the store was closed with a log left behind, and opened again in the same boot.
    pub(super) inherits: bool,
    /// What was wrong without any power cut.
    pub(super) broken: Vec<String>,
    pub(super) failed_syncs: usize,
}

impl Session {
    /// Opens a store on a device that holds these files.
    pub(super) fn open(bench: &Bench, start: Files, setup: Setup) -> Result<Self, Trouble> {
        let device = bench.machine.device();
        device.load(start.clone());
        device.set_sector_bytes(setup.garbles.unwrap_or(4096));
        device.record();
        let mut options = SqliteOptions::new(bench.mirror.path());
        options.vfs = Some(bench.machine.name().to_owned());
        options.wal_pages = WAL_PAGES;
        options.powersafe_overwrite = setup.garbles.is_none();
        let trace = Arc::new(Trace::new(device, options.path.clone(), setup.rule));
        let clock = Arc::new(ManualClock::new());
        for _ in 0..setup.boot {
            clock.reboot();
        }
        let failpoints: Arc<Trace> = Arc::clone(&trace);
        let env = Env::system()
            .with_clock(Arc::clone(&clock) as _)
            .with_rng(Arc::new(SeededRng::new(setup.seed)))
            .with_failpoints(failpoints);
        let (promises, appended, broken) = Default::default();
        let (core, inherits) = (None, false);
        let mut session = Self {
            device,
            trace,
            core,
            options,
            setup,
            start,
            promises,
            appended,
            broken,
            inherits,
            env,
            clock,
        };
        session.reopen(bench)?;
        // The schema and the clock were committed under FULL.
        session.promise(Durability::Durable);
        Ok(session)
    }

    /// Closes the store if it is open, and opens it again.
    pub(super) fn reopen(&mut self, bench: &Bench) -> Result<(), Trouble> {
        let is_again = self.core.is_some();
        self.close();
        self.inherits |= is_again && self.device.length(Name::Log) > 0;
        bench.mirror.show_log(self.device)?;
        self.device.set_rule(SyncRule::Honest);
        let opened = SqliteCore::open(&self.options, self.env.clone());
        self.device.set_rule(self.setup.rule);
        self.core = Some(opened?);
        Ok(())
    }

    /// Closes the store, as at the end of its process.
    pub(super) fn close(&mut self) {
        if self.setup.rule == SyncRule::NoLog {
            self.device.set_rule(SyncRule::Honest);
        }
        self.core = None;
    }

    pub(super) fn device(&self) -> &'static Device {
        self.device
    }

    /// How large the database is, whether or not the log has been folded into it.
    pub(super) fn database_bytes(&self, bench: &Bench) -> Result<usize, Trouble> {
        let Some(files) = self.trace.last_files() else { return Ok(0) };
        Ok(look::size(&look::open(&bench.viewer, files)?)?)
    }

    /// Notes that what is committed now was acknowledged.
    pub(super) fn promise(&mut self, durability: Durability) {
        let (at, commit_at) = (self.device.recorded(), self.trace.last_commit_at());
        self.promises.push(Promise { at, commit_at, durability });
    }

    /// Submits a group, notes what was promised, looks whether what was answered is so, and folds the log if that is
    /// due, as the writer does.
    pub(super) fn apply(&mut self, bench: &Bench, group: &[Deed]) -> Result<Vec<Answer>, Trouble> {
        let batches: Vec<Batch> = group.iter().map(Deed::batch).collect();
        let batches: Vec<&Batch> = batches.iter().collect();
        let (before, earlier) = (self.device.recorded(), self.trace.last_files());
        let Some(core) = &mut self.core else { return Ok(Vec::new()) };
        let answers = core.apply(&batches, WAIT);
        for (deed, answer) in group.iter().zip(&answers) {
            match answer {
                Ok(committed) if is_promise(committed) => {
                    self.promise(deed.durability);
                    self.note_append(deed, committed);
                }
                // The failed group was overwritten, and all before it is synced.
                Err(StoreError::Failed { .. }) if self.trace.healed_at() > Some(before) => {
                    self.promise(Durability::Durable);
                }
                _ => {}
            }
        }
        if group.iter().flat_map(|deed| &deed.commands).any(Command::is_maintenance) {
            // What one batch of the group made another may have removed.
        } else if let (Some(earlier), Some(now)) = (earlier, self.trace.last_files()) {
            self.check_answers(bench, group, &answers, [earlier, now])?;
        }
        if let Some(core) = &mut self.core {
            core.fold_log_if_due();
        }
        Ok(answers)
    }

    fn note_append(&mut self, deed: &Deed, committed: &Committed) {
        let Committed::Applied(applied) = committed else { return };
        for (command, outcome) in deed.commands.iter().zip(applied.outcomes()) {
            if let Some(Fact::Checkpoint(_, Some(sequence))) = Fact::of(command, Some(outcome)) {
                self.appended.push((self.device.recorded(), deed.clone(), sequence));
            }
        }
    }

    /// What was applied must be readable now, and what failed must not, unless it was before.
    fn check_answers(
        &mut self,
        bench: &Bench,
        group: &[Deed],
        answers: &[Answer],
        [earlier, now]: [Files; 2],
    ) -> Result<(), Trouble> {
        let mut failed = Vec::new();
        let audit = look::open(&bench.viewer, now)?;
        for (deed, answer) in group.iter().zip(answers) {
            let outcomes = match answer {
                // What an earlier batch did, later ones may have undone.
                Ok(Committed::Applied(applied)) if !applied.is_replayed() => applied.outcomes(),
                Err(StoreError::Failed { .. }) => &[],
                _ => continue,
            };
            for (index, command) in deed.commands.iter().enumerate() {
                let Some(fact) = Fact::of(command, outcomes.get(index)) else { continue };
                match (answer, fact.holds(audit.connection())?) {
                    (Ok(_), false) if group.len() == 1 || !fact.may_be_overtaken() => {
                        self.broken.push(format!("{command:?} was answered to be applied, and is not there"));
                    }
                    (Err(_), true) => failed.push((fact, command)),
                    _ => {}
                }
            }
        }
        drop(audit);
        if !failed.is_empty() {
            let audit = look::open(&bench.viewer, earlier)?;
            for (fact, command) in failed {
                if !fact.holds(audit.connection())? {
                    self.broken.push(format!("{command:?} was answered to have failed, and is there"));
                }
            }
        }
        Ok(())
    }

    /// Ends the recording, with the store closed if it still was open, and works out the states that there were.
    pub(super) fn finish(mut self, bench: &mut Bench) -> Result<Recording, Trouble> {
        self.close();
        let (ops, failed) = self.device.take_recording();
        let (commits, trouble) = self.trace.take();
        if let Some(trouble) = trouble {
            return Err(Trouble::Mirror(trouble));
        }
        let failed_syncs = failed.len();
        // Nobody could tell whose log it was that is written over itself.
        self.inherits |= !has_clock(bench, &self.start)?;
        let mut seen = vec![(0, std::mem::take(&mut self.start))];
        let start = seen[0].1.clone();
        seen.extend(commits.into_iter().map(|commit| (commit.at, commit.files)));
        // A group whose sync failed can be read, and may be there, until a marker has overwritten it.
        seen.extend(failed.into_iter().map(|sync| (sync.at, sync.files)));
        seen.sort_by_key(|(at, _)| *at);
        let mut states: Vec<State> = Vec::with_capacity(seen.len());
        for (at, files) in seen {
            let Look { contents, complaints } = bench.look_deeply(files)?;
            self.broken.extend(complaints);
            let from = states.last().map_or(0, |state| state.at);
            states.push(State { at, from, contents });
        }
        let Self { promises, appended, setup, inherits, broken, .. } = self;
        Ok(Recording { start, ops, states, promises, appended, setup, inherits, broken, failed_syncs })
    }
}

/// Whether a boot stands in these files, or there is no log of any.
fn has_clock(bench: &Bench, files: &Files) -> Result<bool, Trouble> {
    if files.get(Name::Log).is_none_or(<[u8]>::is_empty) {
        return Ok(true);
    }
    let audit = look::open(&bench.viewer, files.clone())?;
    let version: u32 = audit.connection().query_row(sql::VERSION, [], |row| row.get(0))?;
    Ok(version > 0 && audit.connection().query_row(sql::HAS_CLOCK, [], |row| row.get(0))?)
}

impl From<OpenError> for Trouble {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl Session {
    /// Whether the checkpoints of a batch are in the file now.
    pub(super) fn has_checkpoint(&self, bench: &Bench, deed: &Deed) -> Result<bool, Trouble> {
        let audit = look::open(&bench.viewer, self.device.files())?;
        for command in &deed.commands {
            if let Command::AppendCheckpoint(append) = command
                && !audit.has_checkpoint(append.checkpoint.as_bytes())?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Recording {
    /// The longest that the database file ever was, in bytes.
    pub(super) fn largest_database(&self) -> usize {
        let ends = self.ops.iter().map(|op| match op {
            Op::Write { name: Name::Database, offset, bytes } => offset + bytes.len(),
            _ => 0,
        });
        ends.max().unwrap_or(0).max(self.start.length(Name::Database))
    }
}
