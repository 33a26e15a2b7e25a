//! The effect recorder: the world outside. A process of its own that outlives the workers, does what they ask for, and
//! counts it in a log of its own, so that effects are never counted from our own tables.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::process::die_with;

/// What the recorder prints once it can be asked: this word and its address.
pub const LISTENING: &str = "LISTENING";
/// How long a worker waits for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How the recorder is started.
#[derive(Debug, Clone, clap::Args)]
pub struct RecorderArgs {
    /// Where to append each effect.
    #[arg(long)]
    log: PathBuf,
    /// How long an effect takes after it has happened, in microseconds.
    #[arg(long, default_value_t = 0)]
    delay_us: u64,
    /// The process to die with.
    #[arg(long)]
    parent: u32,
}

/// The recorder's whole life: listens on loopback until it is killed.
///
/// # Errors
/// What the system answers when the socket or the log cannot be made.
pub fn record(args: &RecorderArgs) -> io::Result<()> {
    die_with(args.parent)?;
    let log = OpenOptions::new().create(true).append(true).open(&args.log)?;
    let log = Arc::new(Mutex::new(log));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut out = io::stdout();
    out.write_all(format!("{LISTENING} {}\n", listener.local_addr()?).as_bytes())?;
    out.flush()?;
    let delay = Duration::from_micros(args.delay_us);
    for worker in listener.incoming() {
        let (worker, log) = (worker?, Arc::clone(&log));
        // A worker that is killed closes its connection; there is nobody to tell of it.
        drop(thread::spawn(move || serve(worker, &log, delay)));
    }
    Ok(())
}

/// Does one effect for each line `KEY PAYLOAD`: it has happened once it is in the log, whether or not the worker
/// lives to read the answer.
fn serve(worker: TcpStream, log: &Mutex<File>, delay: Duration) -> io::Result<()> {
    worker.set_nodelay(true)?;
    let mut answers = worker.try_clone()?;
    for request in BufReader::new(worker).lines() {
        let request = request?;
        {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.write_all(format!("{request}\n").as_bytes())?;
            log.flush()?;
        }
        thread::sleep(delay);
        answers.write_all(format!("{}\n", receipt(&request)).as_bytes())?;
    }
    Ok(())
}

/// What the world answers to a request: the same to the same one.
fn receipt(request: &str) -> String {
    let mut receipt = String::from("receipt-");
    for byte in &blake3::hash(request.as_bytes()).as_bytes()[..8] {
        // Writing to a string cannot fail.
        let _ = write!(receipt, "{byte:02x}");
    }
    receipt
}

/// The worker's side: one connection.
#[derive(Debug)]
pub struct Outside {
    requests: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Outside {
    /// Connects.
    ///
    /// # Errors
    /// What the system answers.
    pub fn connect(recorder: SocketAddr) -> io::Result<Self> {
        let requests = TcpStream::connect(recorder)?;
        requests.set_nodelay(true)?;
        requests.set_read_timeout(Some(ANSWER_MAX))?;
        let answers = BufReader::new(requests.try_clone()?);
        Ok(Self { requests, answers })
    }

    /// Has the effect done, and waits for its receipt. Key and payload without blanks.
    ///
    /// # Errors
    /// What the system answers: then nobody knows whether it happened.
    pub fn effect(&mut self, key: &str, payload: &str) -> io::Result<String> {
        self.requests.write_all(format!("{key} {payload}\n").as_bytes())?;
        let mut answer = String::new();
        if self.answers.read_line(&mut answer)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the recorder is gone"));
        }
        Ok(answer.trim_end().to_owned())
    }
}

/// The keys of all effects that have happened, in their order, from the recorder's own log.
///
/// # Errors
/// What the file system answers.
pub fn effects(log: &Path) -> io::Result<Vec<String>> {
    let text = std::fs::read_to_string(log)?;
    let key = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    Ok(text.lines().map(key).collect())
}
