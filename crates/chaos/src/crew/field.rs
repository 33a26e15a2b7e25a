//! Where a crew works: a folder with one shared database, or a store in memory, and the runner's end of each member.

use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::de::DeserializeOwned;
use steadfast_store::env::Env;
use steadfast_store::{
    Batch, Committed, CreateTask, Delay, Enqueue, Label, MemoryStore, Payload, SqliteOptions, SqliteStore,
    Store, TaskId, WorkItemId,
};

use super::inside::Inside;
use super::{HOLDING, READY, REPORT};
use crate::audit::{Audit, Look, Reads};
use crate::case::{Backend, CaseError, Context, Deadline};
use crate::planted::Planted;
use crate::process::{Process, was_killed};
use crate::recorder;

/// Items in one batch when work is submitted.
const SUBMITTED_AT_ONCE: usize = 500;
/// Claims that may count: an item that is reclaimed is no dead letter.
const ATTEMPTS_MAX: u32 = 1_000;

/// The folder of one run of a case.
#[derive(Debug)]
pub struct Field {
    folder: PathBuf,
    /// The store itself, where it is in memory.
    memory: Option<Arc<dyn Store>>,
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
        let memory: Option<Arc<dyn Store>> = match context.settings().backend {
            Backend::Sqlite => None,
            Backend::Memory => Some(Arc::new(MemoryStore::new(Env::system()))),
        };
        Ok(Self { folder, memory, planted: context.settings().planted, deadline: context.deadline() })
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// When the case must have ended.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Looks at the database by the runner's own SQL; at a store in memory by its reads.
    ///
    /// # Errors
    /// What SQLite answers.
    pub fn audit(&self) -> Result<Box<dyn Look>, CaseError> {
        match &self.memory {
            Some(store) => Ok(Box::new(Reads::of(store.clone()))),
            None => Ok(Box::new(Audit::open(&self.path("agent.db"))?)),
        }
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

    /// Does something with a store of the runner's own, opened for this and closed again; with the store in memory.
    ///
    /// # Errors
    /// What `with` answers, or that the file could not be opened.
    fn with_store<T>(
        &self,
        with: impl AsyncFnOnce(&dyn Store) -> Result<T, CaseError>,
    ) -> Result<T, CaseError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.map_err(CaseError::io("starting a runtime"))?.block_on(async {
            if let Some(store) = &self.memory {
                return with(&**store).await;
            }
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
        let member = match &self.memory {
            // Its verb is what a process is told by.
            Some(store) => Body::Thread(Inside::start(name, &arguments[1..], store.clone())?),
            None => Body::Process(Process::start(name, &self.folder, arguments)?),
        };
        Ok(Hand { member, deadline: self.deadline })
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

async fn commit(store: &dyn Store, batch: Batch) -> Result<(), CaseError> {
    const WHAT: &str = "take the work";
    match store.commit(batch).await.map_err(CaseError::store(WHAT))? {
        Committed::Applied(_) => Ok(()),
        Committed::Rejected(rejection) => Err(CaseError::store(WHAT)(rejection)),
    }
}

/// The runner's end of a member.
#[derive(Debug)]
pub struct Hand {
    member: Body,
    deadline: Deadline,
}

/// What a member is.
#[derive(Debug)]
enum Body {
    /// A process, on a file.
    Process(Process),
    /// A thread of the runner, on a store in memory.
    Thread(Inside),
}

impl Hand {
    /// Its name.
    pub fn name(&self) -> &str {
        match &self.member {
            Body::Process(process) => process.name(),
            Body::Thread(thread) => thread.name(),
        }
    }

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
    /// [`CaseError`], when it has ended.
    pub fn go(&mut self) -> Result<(), CaseError> {
        match &mut self.member {
            Body::Process(process) => process.say("go"),
            Body::Thread(thread) => thread.say("go"),
        }
    }

    /// Kills it and waits for its end. Gives a moment after which it did nothing more.
    ///
    /// # Errors
    /// [`CaseError`], when it had ended before.
    pub fn kill(mut self) -> Result<Instant, CaseError> {
        match &mut self.member {
            Body::Process(process) => {
                let killed = process.kill()?;
                let status = process.wait(self.deadline)?;
                if was_killed(status) { Ok(killed) } else { Err(process.ended(status)) }
            }
            Body::Thread(thread) => thread.kill().map(|()| Instant::now()),
        }
    }

    /// Its report, once it is done; and it ends well.
    ///
    /// # Errors
    /// [`CaseError`], when it gives none.
    pub fn report<T: DeserializeOwned>(mut self) -> Result<T, CaseError> {
        let line = self.wait_for(REPORT)?;
        let read = serde_json::from_str(&line).map_err(|error| {
            let what = format!("reports what cannot be read ({error})");
            match &self.member {
                Body::Process(process) => process.error(&what),
                Body::Thread(thread) => thread.error(&what),
            }
        })?;
        self.ends_well()?;
        Ok(read)
    }

    fn ends_well(&mut self) -> Result<(), CaseError> {
        match &mut self.member {
            Body::Process(process) => {
                let status = process.wait(self.deadline)?;
                if status.success() { Ok(()) } else { Err(process.ended(status)) }
            }
            Body::Thread(thread) => thread.wait(),
        }
    }

    /// The rest of the next line that begins so.
    fn wait_for(&mut self, wanted: &str) -> Result<String, CaseError> {
        loop {
            let line = match &self.member {
                Body::Process(process) => process.next_line(self.deadline)?.map(|line| line.text),
                Body::Thread(thread) => thread.next_line(self.deadline)?,
            };
            let Some(line) = line else {
                self.ends_well()?;
                return Err(CaseError::Process {
                    process: self.name().to_owned(),
                    what: "ended too early, though well".to_owned(),
                });
            };
            if let Some(rest) = line.strip_prefix(wanted) {
                return Ok(rest.to_owned());
            }
        }
    }
}
