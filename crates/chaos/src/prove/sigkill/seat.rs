//! One process of a shift as the runner sees it: a worker or the supervisor, where it is to die, and what it told.

use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::case::{CaseError, Context};
use crate::process::Process;
use crate::worker::board::{self, Posted};
use crate::worker::die::DieAt;
use crate::worker::told::Told;

/// How long the last lines of a dead process may take to arrive.
const LAST_LINES_MAX: Duration = Duration::from_secs(5);

/// What all processes of a shift are told.
#[derive(Debug, Clone)]
pub(super) struct Orders {
    pub(super) folder: PathBuf,
    pub(super) recorder: SocketAddr,
    pub(super) term: Duration,
    pub(super) sweep_period: Duration,
    pub(super) steps: u16,
    pub(super) wal_pages: u32,
}

impl Orders {
    pub(super) fn database(&self) -> PathBuf {
        self.folder.join("agent.db")
    }

    fn board(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.board"))
    }

    /// Starts a worker or a supervisor.
    pub(super) fn start(
        &self,
        context: &Context,
        name: &str,
        is_supervisor: bool,
        die_at: Option<DieAt>,
    ) -> Result<Seat, CaseError> {
        let mut arguments = vec!["worker".to_owned()];
        let mut push = |option: &str, value: &dyn Display| arguments.push(format!("--{option}={value}"));
        let url = format!("sqlite:{}?wal_pages={}", self.database().display(), self.wal_pages);
        push("url", &url);
        push("artifacts", &self.folder.join("artifacts").display());
        push("board", &self.board(name).display());
        push("recorder", &self.recorder);
        push("holder", &name);
        push("steps", &self.steps);
        push("term-ms", &self.term.as_millis());
        push("sweep-ms", &self.sweep_period.as_millis());
        push("parent", &std::process::id());
        if let Some(die_at) = die_at {
            push("die-at", &die_at);
        }
        if let Some(planted) = context.settings().planted {
            push("planted", &planted.name());
        }
        arguments.push(if is_supervisor { "--supervise" } else { "--forever" }.to_owned());
        let process = Process::start(name, &self.folder, arguments)?;
        Ok(Seat {
            process,
            is_supervisor,
            die_at,
            is_busy: false,
            task: String::new(),
            started: Instant::now(),
        })
    }

    /// What the board of a dead process says; board and last words go with it.
    pub(super) fn bury(&self, name: &str) -> Result<Posted, CaseError> {
        let path = self.board(name);
        let posted = board::read(&path).map_err(CaseError::io("reading a board"))?;
        for file in [path, self.folder.join(format!("{name}.stderr"))] {
            // What is left of them harms nobody.
            drop(fs::remove_file(file));
        }
        Ok(posted)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) process: Process,
    pub(super) is_supervisor: bool,
    pub(super) die_at: Option<DieAt>,
    /// Whether it has begun to do what it is there for.
    pub(super) is_busy: bool,
    /// The task that it has taken last.
    pub(super) task: String,
    pub(super) started: Instant,
}

impl Seat {
    /// What it has told since it was heard last, each with its time.
    pub(super) fn hear(&mut self) -> Result<Vec<(Told, Instant)>, CaseError> {
        let mut told = Vec::new();
        while let Some(line) = self.process.line_by_now() {
            told.push(self.read(&line.text, line.at)?);
        }
        Ok(told)
    }

    /// What it still had to tell when it died.
    pub(super) fn hear_last(&mut self, context: &Context) -> Result<Vec<(Told, Instant)>, CaseError> {
        let deadline = context.deadline().or_after(LAST_LINES_MAX);
        let mut told = Vec::new();
        while let Some(line) = self.process.next_line(deadline)? {
            told.push(self.read(&line.text, line.at)?);
        }
        Ok(told)
    }

    fn read(&self, line: &str, at: Instant) -> Result<(Told, Instant), CaseError> {
        let told: Told = line.parse().map_err(|wrong: String| self.process.error(&wrong))?;
        Ok((told, at))
    }
}

/// Makes the folder of a shift.
pub(super) fn make_folder(folder: &Path) -> Result<(), CaseError> {
    fs::create_dir_all(folder.join("artifacts")).map_err(CaseError::io("making the folder of a round"))
}
