//! Real processes: this test binary started again in a role that its environment names. Parent and child talk in
//! lines: the parent writes to the child's standard input, the child marks its own among those of the test harness.

use std::env;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Lines, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use crate::{ending, migrations, processes, read_only, replaced, syncs, waiting, waking};

const ROLE: &str = "STEADFAST_TEST_ROLE";
const FILE: &str = "STEADFAST_TEST_FILE";
const NUMBER: &str = "STEADFAST_TEST_NUMBER";
const MARK: &str = "child says: ";

/// What a child does, and with which file.
#[derive(Debug, Clone)]
pub(crate) struct Task<'a> {
    pub(crate) role: &'a str,
    pub(crate) file: &'a Path,
    pub(crate) number: usize,
}

/// Does nothing but in a child.
#[test]
fn entry() {
    let Ok(role) = env::var(ROLE) else { return };
    let file = env::var_os(FILE).unwrap();
    let file = Path::new(&file);
    let number = env::var(NUMBER).unwrap().parse().unwrap();
    match role.as_str() {
        "append" => processes::append_in_child(file, number),
        "peer" => processes::peer_in_child(file),
        "open" => migrations::open_in_child(file),
        "open and die" => migrations::open_and_die_in_child(file, number),
        "open and tell" => read_only::open_and_tell_in_child(file),
        "hold lock" => waiting::hold_lock_in_child(file),
        "append until told" => replaced::append_until_told_in_child(file),
        "try to append" => replaced::try_to_append_in_child(file),
        "sync" => syncs::work_in_child(file, number),
        "change folder" => ending::change_folder_in_child(file),
        "committer" => waking::commit_in_child(file),
        other => panic!("no such role: {other}"),
    }
}

/// In a child: tells the parent something.
pub(crate) fn say(text: &str) {
    let mut out = io::stdout().lock();
    // The harness may have begun a line.
    write!(out, "\n{MARK}{text}\n").unwrap();
    out.flush().unwrap();
}

/// In a child: the parent's next line; `None` when there is none to come.
pub(crate) fn hear() -> Option<String> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line).unwrap() {
        0 => None,
        _ => Some(line.trim_end().to_owned()),
    }
}

/// A running child; killed when the test gives it up.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(crate) fn start(task: &Task<'_>) -> Self {
        Self::launch(task, &mut Command::new(env::current_exe().unwrap())).unwrap()
    }

    /// The same as user and group `nobody`. Only root may.
    pub(crate) fn start_unprivileged(task: &Task<'_>) -> Self {
        let as_nobody =
            |binary: &Path| Self::launch(task, Command::new(binary).uid(65_534).gid(65_534).current_dir("/"));
        let own = env::current_exe().unwrap();
        as_nobody(&own).unwrap_or_else(|error| {
            // Some folder on the way to the binary is closed to others.
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            let folder = tempfile::tempdir().unwrap();
            fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
            let copy = folder.path().join("child");
            fs::copy(own, &copy).unwrap();
            loop {
                match as_nobody(&copy) {
                    // A child that another test started meanwhile has the copy open until its own exec.
                    Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {}
                    process => return process.unwrap(),
                }
            }
        })
    }

    /// The same under another program, whose arguments end with the child's.
    pub(crate) fn start_under(program: &str, arguments: &[OsString], task: &Task<'_>) -> Self {
        Self::launch(task, Command::new(program).args(arguments).arg(env::current_exe().unwrap())).unwrap()
    }

    fn launch(task: &Task<'_>, command: &mut Command) -> io::Result<Self> {
        let mut child = command
            .args(["--exact", "child::entry", "--nocapture", "--test-threads=1"])
            .env(ROLE, task.role)
            .env(FILE, task.file)
            .env(NUMBER, task.number.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Ok(Self { child, input, output })
    }

    pub(crate) fn tell(&mut self, text: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{text}").unwrap();
        input.flush().unwrap();
    }

    /// The next thing that the child says; `None` when it has ended.
    pub(crate) fn listen(&mut self) -> Option<String> {
        self.output.by_ref().map(Result::unwrap).find_map(|line| line.strip_prefix(MARK).map(str::to_owned))
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        drop(self.input.take());
        while self.listen().is_some() {}
        self.child.wait().unwrap()
    }

    /// Waits for a good end.
    pub(crate) fn finish(mut self) {
        let status = self.wait();
        assert!(status.success(), "the child failed: {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
