//! The runner's end: one shared file, the processes that make calls at it, and one history after the other.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use steadfast_store::env::{Env, Failpoint};
use steadfast_store::{
    Batch, CancelItem, Committed, CreateTask, Delay, Enqueue, Payload, SqliteOptions, SqliteStore, Store as _,
};

use super::call::{Answer, Asked, Call, History, ItemSetting, ItemStatus, Setting, boot_nanos};
use super::log;
use super::look::Look;
use super::names::Names;
use super::process::{Order, READY};
use crate::case::{CaseError, Context, Deadline};
use crate::process::{Process, was_killed};

/// Where a process is killed: before its commit, and after it.
const BEFORE: [Failpoint; 3] = [Failpoint::BEGIN_BEFORE, Failpoint::BEGIN_AFTER, Failpoint::COMMIT_BEFORE];
const AFTER: [Failpoint; 2] = [Failpoint::COMMIT_AFTER, Failpoint::ANSWER_AFTER];
/// Calls of one history, of all processes together.
const CALLS: usize = 120;
/// The process number of the runner itself, which looks at the end.
const RUNNER: usize = usize::MAX;

/// How a process is to die in a history.
#[derive(Debug, Clone)]
enum Death {
    /// By itself, at a failpoint.
    At(Failpoint, u32),
    /// By the runner, after so long.
    After(Duration),
}

/// What is planned of one history.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    setting: Setting,
    seed: u64,
    callers: usize,
    death: Option<(usize, Death)>,
}

impl Plan {
    /// History number `history`, of that many processes.
    pub(super) fn draw(rng: &mut fastrand::Rng, history: u64, processes: usize) -> Self {
        let tasks = rng.usize(1..3);
        let items = (0..3).map(|_| ItemSetting {
            task: rng.usize(..tasks),
            priority: rng.i32(0..2),
            max_attempts: rng.u32(2..5),
            delay: if rng.u32(..4) == 0 { 8 } else { 0 },
        });
        let items = items.collect();
        let callers = rng.usize(1..3);
        // Most histories of a process have more commits than that, and so the place is reached.
        let reached = u32::try_from(CALLS / processes / 4).unwrap_or(u32::MAX).max(2);
        // Every other history, each way of dying in turn.
        let death = match history % 6 {
            1 => Some(Death::At(BEFORE[rng.usize(..BEFORE.len())], rng.u32(1..reached))),
            3 => Some(Death::At(AFTER[rng.usize(..AFTER.len())], rng.u32(1..reached))),
            5 => Some(Death::After(Duration::from_micros(rng.u64(500..30_000)))),
            _ => None,
        };
        let death = death.map(|death| (rng.usize(..processes), death));
        let setting = Setting { history, items, tasks, operations: 2, caches: 1 };
        Self { setting, seed: rng.u64(..), callers, death }
    }
}

/// A history that was made, and who died in it.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) history: History,
    /// The name of the fault by which a process died.
    pub(super) killed: Option<&'static str>,
    /// Answers that nobody waited for.
    pub(super) lost: u64,
}

/// The processes on one file.
#[derive(Debug)]
pub(super) struct Troop {
    folder: PathBuf,
    deadline: Deadline,
    processes: Vec<Option<Process>>,
    runtime: tokio::runtime::Runtime,
    store: SqliteStore,
    look: Look,
    anchor: i64,
}

impl Troop {
    /// Makes the file, and starts that many processes on it.
    pub(super) fn new(context: &Context, name: &str, processes: usize) -> Result<Self, CaseError> {
        let folder = context.folder().join(name);
        fs::create_dir_all(&folder).map_err(CaseError::io("making the folder of a troop"))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
        let runtime = runtime.map_err(CaseError::io("starting a runtime"))?;
        let path = folder.join("agent.db");
        let store = runtime
            .block_on(SqliteStore::open(SqliteOptions::new(&path), Env::system()))
            .map_err(CaseError::store("open the file"))?;
        let look = Look::open(&path)?;
        let anchor = look.anchor()?;
        let processes = (0..processes).map(|_| None).collect();
        let mut troop =
            Self { folder, deadline: context.deadline(), processes, runtime, store, look, anchor };
        troop.fill()?;
        Ok(troop)
    }

    pub(super) fn size(&self) -> usize {
        self.processes.len()
    }

    /// Starts those that are missing, and waits until all are ready.
    fn fill(&mut self) -> Result<(), CaseError> {
        let is_missing: Vec<bool> = self.processes.iter().map(Option::is_none).collect();
        for (number, place) in self.processes.iter_mut().enumerate() {
            if place.is_none() {
                let url = format!("--url=sqlite:{}", self.folder.join("agent.db").display());
                let parent = format!("--parent={}", std::process::id());
                let arguments = ["history-caller".to_owned(), url, parent];
                *place = Some(Process::start(&format!("caller-{number}"), &self.folder, arguments)?);
            }
        }
        for (place, is_new) in self.processes.iter_mut().zip(is_missing) {
            if let Some(process) = place.as_mut().filter(|_| is_new)
                && !is_ready(process, self.deadline)?
            {
                let status = process.wait(self.deadline)?;
                return Err(process.ended(status));
            }
        }
        Ok(())
    }

    /// Makes one history.
    pub(super) fn make(&mut self, plan: &Plan) -> Result<Made, CaseError> {
        self.fill()?;
        let setting = &plan.setting;
        let from = boot_nanos();
        self.set_up(setting)?;
        let made = (from, boot_nanos());
        let calls_each = CALLS / self.size() / plan.callers;
        let folder = self.folder.clone();
        let log = |number: usize| folder.join(format!("history-{}-{number}.log", setting.history));
        for (number, process) in self.processes.iter_mut().enumerate() {
            let die_at = match &plan.death {
                Some((victim, Death::At(point, times))) if *victim == number => {
                    Some((point.name().to_owned(), *times))
                }
                _ => None,
            };
            let order = Order {
                setting: setting.clone(),
                process: number,
                seed: plan.seed.wrapping_add(1_000 * number as u64),
                callers: plan.callers,
                calls: calls_each,
                log: log(number),
                die_at,
            };
            let order = serde_json::to_string(&order).map_err(CaseError::store("write an order"))?;
            if let Some(process) = process {
                process.say(&order)?;
            }
        }
        let (ends, killed) = self.gather(plan)?;
        let (mut calls, mut lost) = (Vec::new(), 0);
        for (number, end) in ends.into_iter().enumerate() {
            let path = log(number);
            let read = log::read(&path, number, end).map_err(CaseError::io("reading a log"))?;
            calls.extend(read.calls);
            lost += read.lost;
        }
        calls.push(self.last_look(setting)?);
        self.clear(setting, &calls)?;
        let history = History { setting: setting.clone(), made, anchor: self.anchor, calls };
        Ok(Made { history, killed, lost })
    }

    /// Waits until every process is ready again or dead; by when each surely was, and how one died.
    fn gather(&mut self, plan: &Plan) -> Result<(Vec<u64>, Option<&'static str>), CaseError> {
        let mut killed = None;
        if let Some((victim, Death::After(span))) = &plan.death {
            self.deadline.sleep(*span, "the moment to kill a process")?;
            if let Some(process) = &mut self.processes[*victim] {
                process.kill()?;
            }
        }
        let mut ends = Vec::with_capacity(self.size());
        for (number, place) in self.processes.iter_mut().enumerate() {
            let Some(process) = place else { continue };
            let death = plan.death.as_ref().filter(|(victim, _)| *victim == number).map(|(_, death)| death);
            let is_done = is_ready(process, self.deadline)?;
            if is_done && !matches!(death, Some(Death::After(_))) {
                ends.push(boot_nanos());
                continue;
            }
            let status = process.wait(self.deadline)?;
            let Some(death) = death.filter(|_| was_killed(status)) else { return Err(process.ended(status)) };
            // By now it surely was; and one that had finished died in no history.
            ends.push(boot_nanos());
            killed = Some(death.fault()).filter(|_| !is_done);
            *place = None;
        }
        Ok((ends, killed))
    }

    fn set_up(&self, setting: &Setting) -> Result<(), CaseError> {
        const WHAT: &str = "make the objects of a history";
        let names = Names { history: setting.history };
        let kind = names.kind().map_err(CaseError::store(WHAT))?;
        let mut batch = Batch::relaxed();
        for task in 0..setting.tasks {
            let task = names.task(task).map_err(CaseError::store(WHAT))?;
            batch.add(CreateTask { task, kind: kind.clone(), input: Payload::empty() });
        }
        for (number, item) in setting.items.iter().enumerate() {
            batch.add(Enqueue {
                item: names.item(number).map_err(CaseError::store(WHAT))?,
                task: names.task(item.task).map_err(CaseError::store(WHAT))?,
                kind: kind.clone(),
                priority: item.priority,
                delay: Delay::new(Duration::from_millis(item.delay.unsigned_abs()))
                    .map_err(CaseError::store(WHAT))?,
                max_attempts: item.max_attempts,
            });
        }
        match self.runtime.block_on(self.store.commit(batch)).map_err(CaseError::store(WHAT))? {
            Committed::Applied(_) => Ok(()),
            Committed::Rejected(rejection) => Err(CaseError::store(WHAT)(rejection)),
        }
    }

    fn last_look(&self, setting: &Setting) -> Result<Call, CaseError> {
        let start = boot_nanos();
        let sight = self.look.at(setting).map_err(CaseError::store("be read by SQL"))?;
        Ok(Call {
            process: RUNNER,
            caller: 0,
            asked: Asked::Look,
            is_again: false,
            start,
            end: boot_nanos(),
            answer: Some(Answer::Sight(sight)),
        })
    }

    /// Calls off what is still held, so that the sweeps of later histories do not find it.
    fn clear(&self, setting: &Setting, calls: &[Call]) -> Result<(), CaseError> {
        const WHAT: &str = "call off what is held";
        let names = Names { history: setting.history };
        let Some(Answer::Sight(sight)) = calls.last().and_then(|call| call.answer.as_ref()) else {
            return Ok(());
        };
        let mut batch = Batch::relaxed();
        for row in sight.items.iter().filter(|row| row.status == ItemStatus::InProgress) {
            batch.add(CancelItem { item: names.item(row.item).map_err(CaseError::store(WHAT))? });
        }
        self.runtime.block_on(self.store.commit(batch)).map_err(CaseError::store(WHAT)).map(drop)
    }

    /// Ends the processes and removes the file.
    pub(super) fn dismiss(self) -> Result<(), CaseError> {
        let Self { folder, processes, runtime, store, look, .. } = self;
        drop(processes);
        drop(look);
        runtime.block_on(store.close());
        fs::remove_dir_all(folder).map_err(CaseError::io("removing the folder of a troop"))
    }
}

impl Death {
    fn fault(&self) -> &'static str {
        match self {
            Self::At(point, _) if BEFORE.contains(point) => super::KILLED_BEFORE_COMMIT,
            Self::At(..) => super::KILLED_AFTER_COMMIT,
            Self::After(_) => super::KILLED_AT_RANDOM,
        }
    }
}

/// Whether a process says that it is ready; otherwise it has ended.
fn is_ready(process: &Process, deadline: Deadline) -> Result<bool, CaseError> {
    match process.next_line(deadline)? {
        Some(line) if line.text == READY => Ok(true),
        Some(line) => Err(process.error(&format!("says {:?}", line.text))),
        None => Ok(false),
    }
}
