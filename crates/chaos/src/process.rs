//! Processes that a case starts: each is held by a guard that kills it by its id, and dies with the runner even when
//! that is killed itself.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::case::{CaseError, Deadline};

/// This very program, even when its file was replaced by a newer build meanwhile: proc(5).
const OWN_PROGRAM: &str = "/proc/self/exe";
/// How often a process is asked whether it has ended.
const END_POLL: Duration = Duration::from_millis(1);
/// How long a stop signal may take to be carried out.
const STOP_MAX: Duration = Duration::from_secs(5);

/// A line that a process printed, and when it was read.
#[derive(Debug, Clone)]
pub struct Line {
    /// The line, without its end.
    pub text: String,
    /// When it arrived.
    pub at: Instant,
}

/// A process of this program in one of its hidden roles. Dropping it kills the process and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<Line>,
    errors: PathBuf,
}

impl Process {
    /// Starts this very program with these arguments. What it prints on its standard error goes to `NAME.stderr` in
    /// `folder`.
    ///
    /// # Errors
    /// [`CaseError::Io`].
    pub fn start<A: AsRef<OsStr>>(
        name: &str,
        folder: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self, CaseError> {
        let mut command = Command::new(OWN_PROGRAM);
        command.args(arguments);
        Self::of(name, folder, command)
    }

    /// Starts another program, in the same way.
    ///
    /// # Errors
    /// [`CaseError::Io`].
    pub fn of(name: &str, folder: &Path, mut command: Command) -> Result<Self, CaseError> {
        let failed = |source| CaseError::Io { what: format!("starting {name}"), source };
        let errors = folder.join(format!("{name}.stderr"));
        let mut child = command
            .arg0(name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        let (line, lines) = mpsc::channel();
        let input = child.stdin.take();
        if let Some(output) = child.stdout.take() {
            // It ends with the process's output; nobody need wait for it.
            drop(thread::spawn(move || forward(BufReader::new(output), &line)));
        }
        Ok(Self { name: name.to_owned(), child, input, lines, errors })
    }

    /// Its name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next line it prints; `None` when it has closed its output, which mostly means that it has ended.
    ///
    /// # Errors
    /// [`CaseError::TimedOut`].
    pub fn next_line(&self, deadline: Deadline) -> Result<Option<Line>, CaseError> {
        match self.lines.recv_timeout(deadline.left()) {
            Ok(line) => Ok(Some(line)),
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(None),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(self.timed_out("a line")),
        }
    }

    /// The next line that it has printed already; none when there is none now.
    pub fn line_by_now(&self) -> Option<Line> {
        self.lines.try_recv().ok()
    }

    /// Whether it has ended, and how.
    ///
    /// # Errors
    /// [`CaseError::Io`].
    pub fn ended_by_now(&mut self) -> Result<Option<ExitStatus>, CaseError> {
        self.child.try_wait().map_err(CaseError::io(format!("waiting for {}", self.name)))
    }

    /// Sends it a line.
    ///
    /// # Errors
    /// [`CaseError::Io`], when it has ended.
    pub fn say(&mut self, line: &str) -> Result<(), CaseError> {
        let Some(input) = &mut self.input else { return Err(self.error("has no input")) };
        writeln!(input, "{line}").map_err(CaseError::io(format!("speaking to {}", self.name)))
    }

    /// Sends SIGKILL. It may have ended before.
    ///
    /// # Errors
    /// [`CaseError::Io`].
    pub fn kill(&mut self) -> Result<Instant, CaseError> {
        self.child.kill().map_err(CaseError::io(format!("killing {}", self.name)))?;
        Ok(Instant::now())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`CaseError::TimedOut`], [`CaseError::Io`].
    pub fn wait(&mut self, deadline: Deadline) -> Result<ExitStatus, CaseError> {
        loop {
            if let Some(status) = self.ended_by_now()? {
                return Ok(status);
            }
            if deadline.left().is_zero() {
                return Err(self.timed_out("its end"));
            }
            thread::sleep(END_POLL);
        }
    }

    /// Stops it with SIGSTOP and waits until it stands still.
    ///
    /// # Errors
    /// [`CaseError::Io`]; [`CaseError::TimedOut`] when it did not stop, or has ended.
    pub fn stop(&self, deadline: Deadline) -> Result<(), CaseError> {
        self.signal(Signal::STOP)?;
        let deadline = deadline.or_after(STOP_MAX);
        // Asks for stops alone, so that its end is left for `wait` to see.
        let stops = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        while waitid(WaitId::Pid(self.pid()?), stops).map_err(|errno| self.os_error(errno))?.is_none() {
            if deadline.left().is_zero() {
                return Err(self.timed_out("its standstill"));
            }
            thread::sleep(END_POLL);
        }
        Ok(())
    }

    /// Lets it go on after [`stop`](Self::stop).
    ///
    /// # Errors
    /// [`CaseError::Io`].
    pub fn go_on(&self) -> Result<(), CaseError> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), CaseError> {
        kill_process(self.pid()?, signal).map_err(|errno| self.os_error(errno))
    }

    fn pid(&self) -> Result<Pid, CaseError> {
        let raw = i32::try_from(self.child.id()).ok();
        raw.and_then(Pid::from_raw).ok_or_else(|| self.error("has no id"))
    }

    fn os_error(&self, errno: rustix::io::Errno) -> CaseError {
        CaseError::Io { what: format!("signalling {}", self.name), source: errno.into() }
    }

    fn timed_out(&self, what: &str) -> CaseError {
        CaseError::TimedOut { what: format!("{what} of {}{}", self.name, self.last_words()) }
    }

    /// It did something that it must not do.
    pub fn error(&self, what: &str) -> CaseError {
        CaseError::Process { process: self.name.clone(), what: format!("{what}{}", self.last_words()) }
    }

    /// It ended with `status`, and should not have.
    pub fn ended(&self, status: ExitStatus) -> CaseError {
        self.error(&format!("ended too early ({status})"))
    }

    /// The end of what it printed on its standard error.
    fn last_words(&self) -> String {
        let errors = std::fs::read_to_string(&self.errors).unwrap_or_default();
        errors.lines().last().map_or_else(String::new, |line| format!(": {line}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended cannot be killed; its id is not given to another before it was waited for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether a process died by SIGKILL.
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}

fn forward(output: impl BufRead, lines: &mpsc::Sender<Line>) {
    for text in output.lines() {
        let Ok(text) = text else { return };
        if lines.send(Line { text, at: Instant::now() }).is_err() {
            return;
        }
    }
}

/// For the started process: makes the kernel kill it when the thread that started it ends.
///
/// # Errors
/// What prctl(2) answers, or that `parent` is gone already.
pub fn die_with(parent: u32) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before the call.
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if now.and_then(|pid| u32::try_from(pid).ok()) == Some(parent) {
        Ok(())
    } else {
        Err(io::Error::other("the runner is gone"))
    }
}

/// For the started process: sends SIGKILL to itself.
pub fn die_here() -> ! {
    // Whatever comes of the call, this thread must not go on.
    let _ = kill_process(rustix::process::getpid(), Signal::KILL);
    loop {
        thread::park();
    }
}

/// For the started process: every line from the runner, read by a thread of its own: a read that was begun cannot be given up.
pub fn words() -> tokio::sync::mpsc::UnboundedReceiver<String> {
    let (word, words) = tokio::sync::mpsc::unbounded_channel();
    drop(thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if word.send(line).is_err() {
                return;
            }
        }
    }));
    words
}
