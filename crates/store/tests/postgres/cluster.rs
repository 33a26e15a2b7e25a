//! A throw-away PostgreSQL server: a cluster of its own in a temporary folder, on a free port of the loopback, as an
//! unprivileged user where this runs as root (the server refuses to be root). It ends with the process that started it,
//! however that one ends. Needs the standard library alone, so that `cargo xtask postgres` can start one too.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

/// Where Debian puts what is not in `PATH`.
const DEBIAN: &str = "/usr/lib/postgresql";
/// How long the server may take to start.
const START_LOOKS_MAX: u32 = 600;
/// Who may connect: on this machine the owner, whose connections are many and short, without a password; everybody else
/// is asked for one.
const ACCESS: &str = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits for the process that started it to be gone, which closes the standard input, and takes the server and its
/// folder away then. Signals from a terminal are not for it.
const KEEPER: &str = r#"trap '' INT TERM HUP
program=$1 folder=$2 port=$3
shift 3
"$program" -D "$folder/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c max_connections=400 -c shared_buffers=64MB -c max_locks_per_transaction=256 -c max_wal_size=512MB \
    "$@" >"$folder/log" 2>&1 &
server=$!
read -r line
kill -QUIT "$server" 2>/dev/null
wait "$server"
cd / && rm -rf "$folder"
"#;

/// A server that runs for as long as this lives.
#[derive(Debug)]
pub(crate) struct Server {
    url: String,
    /// Closed with this.
    stdin: Option<ChildStdin>,
    keeper: Child,
}

impl Server {
    /// `postgres://…` without a query.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Makes a cluster and starts a server on it, with these settings (`name=value`) on top.
    ///
    /// # Errors
    /// What is missing or went wrong, as a sentence.
    pub(crate) fn start(settings: &[&str]) -> Result<Self, String> {
        let programs = programs().ok_or_else(|| {
            format!("neither PATH nor {DEBIAN}/*/bin has initdb and postgres: install the package postgresql")
        })?;
        let owner = unprivileged()?;
        let folder = folder(owner).map_err(|error| format!("a temporary folder cannot be made: {error}"))?;
        let made =
            make_cluster(&programs, &folder, owner).and_then(|()| run(&programs, &folder, owner, settings));
        if made.is_err() {
            // What is wrong has been told; the folder goes as far as it can.
            drop(fs::remove_dir_all(&folder));
        }
        made
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It takes the folder away before it ends.
        drop(self.keeper.wait());
    }
}

/// The folder of the programs.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    folders.extend(versions.into_iter().map(|(_, folder)| folder));
    folders.into_iter().find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// Whom the server runs as, where this runs as root: user and group.
pub(crate) fn unprivileged() -> Result<Option<(u32, u32)>, String> {
    let own = fs::metadata("/proc/self").map_err(|error| format!("/proc/self cannot be read: {error}"))?;
    if own.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = ["postgres", "nobody"].into_iter().find_map(|name| {
        let fields: Vec<&str> = users
            .lines()
            .map(|line| line.split(':').collect())
            .find(|fields: &Vec<&str>| fields[0] == name)?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    });
    let missing = "this runs as root, a server refuses to, and there is neither a user postgres nor nobody";
    found.map(Some).ok_or_else(|| missing.to_owned())
}

fn folder(owner: Option<(u32, u32)>) -> io::Result<PathBuf> {
    let base = std::env::temp_dir();
    for number in 0..1_000 {
        let folder = base.join(format!("steadfast-postgres-{}-{number}", std::process::id()));
        match fs::create_dir(&folder) {
            Ok(()) => {
                fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
                if let Some((user, group)) = owner {
                    chown(&folder, Some(user), Some(group))?;
                }
                return Ok(folder);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn command(program: &Path, folder: &Path, owner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("LC_ALL", "C").env_remove("PGDATA");
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command
}

fn make_cluster(programs: &Path, folder: &Path, owner: Option<(u32, u32)>) -> Result<(), String> {
    let output = command(&programs.join("initdb"), folder, owner)
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "--pgdata"])
        .arg(folder.join("data"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("initdb cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    fs::write(folder.join("data/pg_hba.conf"), ACCESS)
        .map_err(|error| format!("the access rules cannot be written: {error}"))
}

fn run(
    programs: &Path,
    folder: &Path,
    owner: Option<(u32, u32)>,
    settings: &[&str],
) -> Result<Server, String> {
    let port = TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("there is no free port: {error}"))?
        .port();
    let mut keeper = command(Path::new("/bin/sh"), folder, owner)
        .args(["-c", KEEPER, "sh"])
        .arg(programs.join("postgres"))
        .arg(folder)
        .arg(port.to_string())
        .args(settings.iter().flat_map(|setting| ["-c", *setting]))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("a shell cannot be run: {error}"))?;
    let stdin = keeper.stdin.take();
    let server = Server { url: format!("postgres://postgres@127.0.0.1:{port}/postgres"), stdin, keeper };
    let log = folder.join("log");
    for _ in 0..START_LOOKS_MAX {
        let said = fs::read_to_string(&log).unwrap_or_default();
        if said.contains("database system is ready to accept connections") {
            return Ok(server);
        }
        if said.contains("FATAL") {
            return Err(format!("the server does not start: {}", said.trim()));
        }
        thread::sleep(LOOK_EVERY);
    }
    Err(format!("the server has not started: {}", fs::read_to_string(&log).unwrap_or_default().trim()))
}
