//! Where a crew works: a folder with one shared database, and the runner's end of each member.

use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use steadfast_store::env::Env;
use steadfast_store::{
    Batch, Committed, CreateTask, Delay, Enqueue, Label, Payload, SqliteOptions, SqliteStore, Store, TaskId,
    WorkItemId,
};

use super::{HOLDING, READY, REPORT};
use crate::audit::Audit;
use crate::case::{CaseError, Context, Deadline};
use crate::planted::Planted;
use crate::process::Process;
use crate::recorder;

/// Items in one batch when work is submitted.
const SUBMITTED_AT_ONCE: usize = 500;
/// Claims that may count: an item that is reclaimed is no dead letter.
const ATTEMPTS_MAX: u32 = 1_000;

/// The folder of one run of a case.
#[derive(Debug)]
pub struct Field {
    folder: PathBuf,
    planted: Option<Planted>,
    deadline: Deadline,
}

impl Field {
    /// Makes a folder of this name below the case's.
    ///
    /// # Errors
    /// [`CaseError::Io`].
    pub fn new(context: &Context, name: &str) -> Result<Self, CaseError> {
        let folder = context.folder().join(name);
        fs::create_dir_all(&folder).map_err(CaseError::io("making the folder of a run"))?;
        Ok(Self { folder, planted: context.settings().planted, deadline: context.deadline() })
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// When the case must have ended.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Looks at the database by the runner's own SQL.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn audit(&self) -> Result<Audit, CaseError> {
        Ok(Audit::open(&self.path("agent.db"))?)
    }

    /// Makes tasks with items each, in the order of their numbers, and closes the file again: the members begin with a
    /// log of their own.
    ///
    /// # Errors
    /// [`CaseError::Store`].
    pub fn submit(&self, tasks: &[String], items_of_each: usize) -> Result<(), CaseError> {
        const WHAT: &str = "take the work";
        self.with_store(async |store| {
            let kind = Label::new("load").map_err(CaseError::store(WHAT))?;
            let mut batch = Batch::relaxed();
            for task in tasks {
                let task = TaskId::new(task).map_err(CaseError::store(WHAT))?;
                batch.add(CreateTask { task: task.clone(), kind: kind.clone(), input: Payload::empty() });
                for item in 0..items_of_each {
                    let item = WorkItemId::new(item_name(task.as_str(), item));
                    batch.add(Enqueue {
                        item: item.map_err(CaseError::store(WHAT))?,
                        task: task.clone(),
                        kind: kind.clone(),
                        priority: 0,
                        delay: Delay::ZERO,
                        max_attempts: ATTEMPTS_MAX,
                    });
                    if batch.entries().len() >= SUBMITTED_AT_ONCE {
                        commit(store, std::mem::replace(&mut batch, Batch::relaxed())).await?;
                    }
                }
            }
            if batch.entries().is_empty() { Ok(()) } else { commit(store, batch).await }
        })
    }

    /// Does something with a store of the runner's own, opened for this and closed again.
    ///
    /// # Errors
    /// What `with` answers, or that the file could not be opened.
    pub fn with_store<T>(
        &self,
        with: impl AsyncFnOnce(&SqliteStore) -> Result<T, CaseError>,
    ) -> Result<T, CaseError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.map_err(CaseError::io("starting a runtime"))?.block_on(async {
            let options = SqliteOptions::new(self.path("agent.db"));
            let store =
                SqliteStore::open(options, Env::system()).await.map_err(CaseError::store("open the file"))?;
            let done = with(&store).await;
            store.close().await;
            done
        })
    }

    /// Starts a member, which says when it is ready.
    ///
    /// # Errors
    /// [`CaseError::Io`].
    pub fn start(&self, name: &str, job: &str, options: &[(&str, &dyn Display)]) -> Result<Hand, CaseError> {
        let mut arguments = vec!["crew".to_owned()];
        let mut push = |name: &str, value: &dyn Display| arguments.push(format!("--{name}={value}"));
        push("url", &format!("sqlite:{}", self.path("agent.db").display()));
        push("name", &name);
        push("parent", &std::process::id());
        if let Some(planted) = self.planted {
            push("planted", &planted.name());
        }
        arguments.push(job.to_owned());
        arguments.extend(options.iter().map(|(name, value)| format!("--{name}={value}")));
        Ok(Hand { process: Process::start(name, &self.folder, arguments)?, deadline: self.deadline })
    }

    /// Starts members with these options each, lets them all become ready, and then go together.
    ///
    /// # Errors
    /// [`CaseError`], when one of them does not come so far.
    pub fn start_together<'a>(
        &self,
        members: impl IntoIterator<Item = (String, &'a str, Vec<(&'a str, Box<dyn Display>)>)>,
    ) -> Result<Vec<Hand>, CaseError> {
        let mut hands = Vec::new();
        for (name, job, options) in members {
            let options: Vec<(&str, &dyn Display)> =
                options.iter().map(|(name, value)| (*name, &**value)).collect();
            hands.push(self.start(&name, job, &options)?);
        }
        hands.iter_mut().try_for_each(Hand::wait_until_ready)?;
        hands.iter_mut().try_for_each(Hand::go)?;
        Ok(hands)
    }

    /// Starts a process of the world outside that logs what it is asked in `NAME.log`.
    ///
    /// # Errors
    /// [`CaseError`], when it does not say where it listens.
    pub fn start_outside(
        &self,
        name: &str,
        delay: std::time::Duration,
        answer_bytes: usize,
    ) -> Result<(Process, SocketAddr), CaseError> {
        recorder::start(name, &self.outside_log(name), delay, answer_bytes, self.deadline)
    }

    fn outside_log(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.log"))
    }

    /// What a process of the world outside was asked, in that order: key and rest.
    ///
    /// # Errors
    /// [`CaseError::Io`].
    pub fn asked_outside(&self, name: &str) -> Result<Vec<(String, String)>, CaseError> {
        recorder::requests(&self.outside_log(name))
            .map_err(CaseError::io("reading a log of the world outside"))
    }
}

/// The name of an item of a task.
pub fn item_name(task: &str, item: usize) -> String {
    format!("{task}/{item:06}")
}

async fn commit(store: &SqliteStore, batch: Batch) -> Result<(), CaseError> {
    const WHAT: &str = "take the work";
    match store.commit(batch).await.map_err(CaseError::store(WHAT))? {
        Committed::Applied(_) => Ok(()),
        Committed::Rejected(rejection) => Err(CaseError::store(WHAT)(rejection)),
    }
}

/// The runner's end of a member.
#[derive(Debug)]
pub struct Hand {
    /// The process.
    pub process: Process,
    deadline: Deadline,
}

impl Hand {
    /// Waits until it could go.
    ///
    /// # Errors
    /// [`CaseError`], when it does not come so far.
    pub fn wait_until_ready(&mut self) -> Result<(), CaseError> {
        self.wait_for(READY).map(drop)
    }

    /// Waits until it holds what it was sent for.
    ///
    /// # Errors
    /// [`CaseError`], when it does not come so far.
    pub fn wait_until_holding(&mut self) -> Result<(), CaseError> {
        self.wait_for(HOLDING).map(drop)
    }

    /// Lets it go, or go on.
    ///
    /// # Errors
    /// [`CaseError::Io`], when it has ended.
    pub fn go(&mut self) -> Result<(), CaseError> {
        self.process.say("go")
    }

    /// Its report, once it is done; and it ends well.
    ///
    /// # Errors
    /// [`CaseError`], when it gives none.
    pub fn report<T: DeserializeOwned>(mut self) -> Result<T, CaseError> {
        let line = self.wait_for(REPORT)?;
        let read = serde_json::from_str(&line);
        let read =
            read.map_err(|error| self.process.error(&format!("reports what cannot be read ({error})")))?;
        let status = self.process.wait(self.deadline)?;
        if status.success() { Ok(read) } else { Err(self.process.ended(status)) }
    }

    /// The rest of the next line that begins so.
    fn wait_for(&mut self, wanted: &str) -> Result<String, CaseError> {
        loop {
            let Some(line) = self.process.next_line(self.deadline)? else {
                let status = self.process.wait(self.deadline)?;
                return Err(self.process.ended(status));
            };
            if let Some(rest) = line.text.strip_prefix(wanted) {
                return Ok(rest.to_owned());
            }
        }
    }
}
