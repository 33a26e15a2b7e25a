//! Faults by the kernel, on processes: strace(1) makes system calls of a store fail, and a tmpfs of a few pages is full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::acts::Scenario;
use super::subject::Told;
use super::trial::{Bench, Found};
use crate::case::{CaseError, Context, Deadline, Level};
use crate::process::{Process, was_killed};

/// This very program, as `sh` and `strace` are to start it.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// What strace writes of a call that it has made fail.
const INJECTED: &str = "(INJECTED)";
/// What strace writes last.
const ENDED: &str = "+++ killed by SIGKILL +++";
/// How long strace may take to write that.
const LOG_MAX: Duration = Duration::from_secs(10);
/// How long one process may take.
const CHILD_MAX: Duration = Duration::from_secs(60);
/// The exit code of a script that was not permitted to mount.
const NOT_PERMITTED: i32 = 77;
/// Mounts a small tmpfs where nobody else sees it, lets the store fill it, and copies the files out before it goes.
const ON_TMPFS: &str = r#"
program=$1 mount=$2 folder=$3 free=$4 scenario=$5 seed=$6
mount -t tmpfs -o size=4m steadfast "$mount" || exit 77
cp "$folder/base.db" "$mount/agent.db" || exit 1
# tmpfs gives out whole pages, and what is asked for beyond the last one fails.
left=$(df --block-size=1 --output=avail "$mount" | tail -n 1)
head -c $((left - free)) /dev/zero >"$mount/ballast" || exit 1
"$program" iofault-child --database "$mount/agent.db" --scenario "$scenario" --seed "$seed" \
    --ballast "$mount/ballast" --parent $$
[ $? -eq 137 ] || exit 1
rm -f "$mount/ballast"
cp "$mount"/agent.db* "$folder/"
"#;

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Syncs answer EIO.
    SyncEio,
    /// Writes answer ENOSPC.
    WriteEnospc,
    /// There is no room left.
    FullTmpfs,
}

impl Kind {
    const ALL: [Self; 3] = [Self::SyncEio, Self::WriteEnospc, Self::FullTmpfs];

    const fn name(self) -> &'static str {
        match self {
            Self::SyncEio => "strace_sync_eio",
            Self::WriteEnospc => "strace_write_enospc",
            Self::FullTmpfs => "full_tmpfs",
        }
    }

    /// Scenarios in which it has something to strike.
    const fn scenarios(self) -> &'static [&'static str] {
        match self {
            Self::SyncEio | Self::WriteEnospc => {
                &["durable", "claims", "operations", "removal", "reopen", "fold"]
            }
            Self::FullTmpfs => &["fold"],
        }
    }

    /// How many processes it is done to.
    const fn processes(self, level: Level) -> usize {
        let (pr, nightly, release) = match self {
            Self::SyncEio | Self::WriteEnospc => (16, 300, 2_000),
            Self::FullTmpfs => (6, 60, 300),
        };
        match level {
            Level::Pr => pr,
            Level::Nightly => nightly,
            Level::Release => release,
        }
    }
}

/// What came of one process.
enum Struck {
    /// So many calls failed, and this is what it told.
    Told(u64, Vec<Told>),
    /// The system does not permit it.
    NotPermitted,
}

/// Does all of it to processes, one after the other, and says how many there were.
///
/// # Errors
/// When a tool is missing, a sentence that says which package has it.
pub(super) fn strike_processes(context: &mut Context, found: &mut Found) -> Result<usize, CaseError> {
    for (tool, package) in [("strace", "strace"), ("unshare", "util-linux")] {
        needs(tool, package)?;
    }
    let level = context.settings().level;
    let mut planned = 0;
    for kind in Kind::ALL {
        planned += kind.processes(level);
        context.plan(planned);
        let mut is_permitted = true;
        for number in 0..kind.processes(level) {
            let mut rng = context.rng(usize::MAX - planned - number);
            let one = if is_permitted { strike(context, kind, number, &mut rng)? } else { None };
            is_permitted = one.is_some();
            let struck = one.as_ref().map_or(0, |one| one.struck);
            if is_permitted {
                context.fired(kind.name(), struck);
            }
            context.advance(struck > 0);
            found.merge(one.unwrap_or_default());
        }
        if !is_permitted {
            let what = "not carried out, since mounting is not permitted here";
            context.findings.notes.push(format!("{}: {what}", kind.name()));
        }
    }
    Ok(planned)
}

fn needs(tool: &str, package: &str) -> Result<(), CaseError> {
    match Command::new(tool).arg("--version").output() {
        Ok(_) => Ok(()),
        Err(source) => {
            let what = format!("{tool} is needed and cannot be run (apt-get install {package})");
            Err(CaseError::Io { what, source })
        }
    }
}

/// One process from its start to a look at what it left; nothing when the system does not permit it.
fn strike(
    context: &Context,
    kind: Kind,
    number: usize,
    rng: &mut fastrand::Rng,
) -> Result<Option<Found>, CaseError> {
    let names = kind.scenarios();
    let (name, seed) = (names[rng.usize(0..names.len())], rng.u64(..));
    let scenario = Scenario::named(name, seed).map_err(CaseError::store("make a scenario"))?;
    let scenario = scenario.ok_or_else(|| CaseError::store("make a scenario")(name))?;
    let folder = context.folder().join(format!("{}-{number}", kind.name()));
    let vfs = format!("iofault-{}", folder.display());
    let mut bench = Bench::new(&scenario, &folder, &vfs)?;
    let place =
        Left { folder: &folder, scenario: name, seed, deadline: context.deadline().or_after(CHILD_MAX) };
    let (struck, how) = match kind {
        Kind::FullTmpfs => {
            // Room for what a connection shares with others (32 KiB), and for a part of the large batch.
            let free = rng.u64(16..100) * 4_096;
            (place.on_tmpfs(free)?, format!("{free} bytes free"))
        }
        Kind::SyncEio | Kind::WriteEnospc => {
            let plus = if rng.bool() { "+" } else { "" };
            let (calls, error, last) = match kind {
                Kind::SyncEio => ("fsync,fdatasync", "EIO", 6),
                _ => ("pwrite64", "ENOSPC", 20),
            };
            let inject = format!("inject={calls}:error={error}:when={}{plus}", rng.u32(1..=last));
            (place.under_strace(calls, &inject)?, inject)
        }
    };
    let Struck::Told(struck, told) = struck else { return Ok(None) };
    let mut found = Found { struck, ..Found::default() };
    let what = format!("{}, {name}, seed {seed}, {how}", kind.name());
    found.count(&told, &what);
    bench.look_at_left(&place.database(), &told, &what, &mut found)?;
    if found.wrong.is_empty() {
        // What cannot be removed now goes with the folder of the campaign.
        drop(fs::remove_dir_all(&folder));
    }
    Ok(Some(found))
}

/// Where one process leaves its files.
struct Left<'a> {
    folder: &'a Path,
    scenario: &'a str,
    seed: u64,
    deadline: Deadline,
}

impl Left<'_> {
    fn database(&self) -> PathBuf {
        self.folder.join("agent.db")
    }

    fn under_strace(&self, calls: &str, inject: &str) -> Result<Struck, CaseError> {
        fs::copy(self.folder.join("base.db"), self.database())
            .map_err(CaseError::io("copying a database"))?;
        let log = self.folder.join("strace.log");
        let mut command = Command::new("strace");
        // As a grandchild, so that the store stays a child of this process and dies with it.
        command.args(["-D", "-f", "-q"]);
        command.arg("-o").arg(&log).args(["-e", &format!("trace={calls}"), "-e", inject]);
        command.arg(own_program()?).arg("iofault-child").arg("--database").arg(self.database());
        command.args(["--scenario", self.scenario, "--seed", &self.seed.to_string()]);
        command.args(["--parent", &std::process::id().to_string()]);
        let (told, code) = self.hear(command)?;
        if code.is_some() {
            return Err(self.error(format!("the store under strace ended with {code:?}")));
        }
        let log = self.finished_log(&log)?;
        Ok(Struck::Told(log.matches(INJECTED).count() as u64, told))
    }

    fn finished_log(&self, log: &Path) -> Result<String, CaseError> {
        let deadline = self.deadline.or_after(LOG_MAX);
        loop {
            let text = fs::read_to_string(log).map_err(CaseError::io("reading what strace wrote"))?;
            if text.contains(ENDED) {
                return Ok(text);
            }
            deadline.sleep(Duration::from_millis(2), "the end of strace")?;
        }
    }

    fn on_tmpfs(&self, free: u64) -> Result<Struck, CaseError> {
        let mount = self.folder.join("mount");
        fs::create_dir_all(&mount).map_err(CaseError::io("making a folder to mount on"))?;
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["sh", "-c", ON_TMPFS, "sh"]).arg(own_program()?).arg(&mount).arg(self.folder);
        command.args([&free.to_string(), self.scenario, &self.seed.to_string()]);
        let (told, code) = self.hear(command)?;
        match code {
            Some(0) => {
                let missed = told.iter().filter(|told| !told.answer.is_final()).count();
                Ok(Struck::Told(missed as u64, told))
            }
            // `unshare` itself answers 1 where it is not permitted, before anything was told.
            Some(NOT_PERMITTED | 1) if told.is_empty() => Ok(Struck::NotPermitted),
            other => Err(self.error(format!("the store on a full tmpfs ended with {other:?}"))),
        }
    }

    /// What it tells until it ends, and its exit code; none when it was killed.
    fn hear(&self, command: Command) -> Result<(Vec<Told>, Option<i32>), CaseError> {
        let mut process = Process::of("iofault-child", self.folder, command)?;
        let mut told = Vec::new();
        while let Some(line) = process.next_line(self.deadline)? {
            let one = serde_json::from_str(&line.text);
            told.push(one.map_err(|error| process.error(&format!("tells what cannot be read ({error})")))?);
        }
        let status = process.wait(self.deadline)?;
        if !was_killed(status) && status.code().is_none() {
            return Err(process.error(&format!("ended with {status}")));
        }
        Ok((told, status.code()))
    }

    fn error(&self, what: String) -> CaseError {
        CaseError::Process { process: format!("{} of seed {}", self.scenario, self.seed), what }
    }
}

fn own_program() -> Result<PathBuf, CaseError> {
    fs::read_link(OWN_PROGRAM).map_err(CaseError::io("finding this program"))
}
