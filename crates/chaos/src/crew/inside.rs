//! A member that is a thread of the runner, with a runtime of its own: for a store in memory, which no other process
//! can share. Killed, it vanishes between two polls, and its tasks with it: nothing is settled, released or renewed.

use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use clap::Parser;
use steadfast_store::Store;
use tokio::sync::{mpsc as words, oneshot};

use super::{CrewArgs, CrewError, Member, Voice};
use crate::case::{CaseError, Deadline};

/// How long what the member has running on blocking threads may take to end.
const END_MAX: Duration = Duration::from_secs(10);

/// The command line of a member, read without a process.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(flatten)]
    args: CrewArgs,
}

/// The runner's end of such a member. Dropping it kills the member and waits for its end.
#[derive(Debug)]
pub(super) struct Inside {
    name: String,
    words: words::UnboundedSender<String>,
    lines: mpsc::Receiver<String>,
    kill: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<End, CrewError>>>,
}

/// How a member ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Killed,
}

impl Inside {
    /// Starts a member with these arguments on this store.
    pub(super) fn start(name: &str, arguments: &[String], store: Arc<dyn Store>) -> Result<Self, CaseError> {
        let line = Line::try_parse_from(arguments).map_err(CaseError::store("start a member"))?;
        let CrewArgs { name: own_name, planted, job, .. } = line.args;
        let ((words, heard), (line, lines)) = (words::unbounded_channel(), mpsc::channel());
        let (kill, killed) = oneshot::channel();
        let member = Member { name: own_name, store, planted, words: heard, voice: Voice::Inside(line) };
        let serve = move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
            let end = runtime.block_on(async {
                tokio::select! {
                    done = member.serve(job) => done.map(|()| End::Done),
                    Ok(()) = killed => Ok(End::Killed),
                }
            });
            runtime.shutdown_timeout(END_MAX);
            end
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(serve);
        let thread = thread.map_err(CaseError::io(format!("starting {name}")))?;
        Ok(Self { name: name.to_owned(), words, lines, kill: Some(kill), thread: Some(thread) })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The next line that it says; `None` when it says nothing more.
    pub(super) fn next_line(&self, deadline: Deadline) -> Result<Option<String>, CaseError> {
        match self.lines.recv_timeout(deadline.left()) {
            Ok(line) => Ok(Some(line)),
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(None),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                Err(CaseError::TimedOut { what: format!("a line of {}", self.name) })
            }
        }
    }

    /// Sends it a line.
    pub(super) fn say(&self, line: &str) -> Result<(), CaseError> {
        self.words.send(line.to_owned()).map_err(|_| self.error("has ended"))
    }

    /// Ends it where it stands.
    pub(super) fn kill(&mut self) -> Result<(), CaseError> {
        // One that has ended already does not hear of it, which its end tells.
        let _ = self.kill.take().map(|kill| kill.send(()));
        match self.end()? {
            End::Killed => Ok(()),
            End::Done => Err(self.error("ended too early")),
        }
    }

    /// Waits until it has ended by itself.
    pub(super) fn wait(&mut self) -> Result<(), CaseError> {
        match self.end()? {
            End::Done => Ok(()),
            End::Killed => Err(self.error("was killed")),
        }
    }

    fn end(&mut self) -> Result<End, CaseError> {
        let Some(thread) = self.thread.take() else { return Err(self.error("has ended before")) };
        match thread.join() {
            Ok(Ok(end)) => Ok(end),
            Ok(Err(error)) => Err(self.error(&error.to_string())),
            Err(_) => Err(self.error("panicked")),
        }
    }

    pub(super) fn error(&self, what: &str) -> CaseError {
        CaseError::Process { process: self.name.clone(), what: what.to_owned() }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if self.thread.is_some() {
            drop(self.kill());
        }
    }
}
