//! The world outside: a process of its own that outlives the workers, does what they ask for, and notes it in a log of
//! its own, so that nothing is ever counted from our own tables. It plays the tools that have effects, and the model
//! that gives answers.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::case::{CaseError, Deadline};
use crate::process::{Process, die_with};

/// What the recorder prints once it can be asked: this word and its address.
const LISTENING: &str = "LISTENING";
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
    /// How long an answer is, in bytes, at least.
    #[arg(long, default_value_t = 0)]
    answer_bytes: usize,
    /// The process to die with.
    #[arg(long)]
    parent: u32,
}

/// Starts one, as `name`, and waits until it can be asked.
///
/// # Errors
/// [`CaseError`], when it does not say where it listens.
pub fn start(
    name: &str,
    log: &Path,
    delay: Duration,
    answer_bytes: usize,
    deadline: Deadline,
) -> Result<(Process, SocketAddr), CaseError> {
    let arguments = [
        "effect-recorder".to_owned(),
        format!("--log={}", log.display()),
        format!("--delay-us={}", delay.as_micros()),
        format!("--answer-bytes={answer_bytes}"),
        format!("--parent={}", std::process::id()),
    ];
    let outside = Process::start(name, log.parent().unwrap_or(Path::new(".")), arguments)?;
    let line = outside.next_line(deadline)?;
    let address = line.and_then(|line| line.text.strip_prefix(LISTENING)?.trim().parse().ok());
    let address = address.ok_or_else(|| outside.error("did not say where it listens"))?;
    Ok((outside, address))
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
        let answer_bytes = args.answer_bytes;
        drop(thread::spawn(move || serve(worker, &log, delay, answer_bytes)));
    }
    Ok(())
}

/// Does one effect for each line `KEY PAYLOAD`: it has happened once it is in the log, whether or not the worker
/// lives to read the answer.
fn serve(worker: TcpStream, log: &Mutex<File>, delay: Duration, answer_bytes: usize) -> io::Result<()> {
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
        answers.write_all(format!("{}\n", receipt(&request, answer_bytes)).as_bytes())?;
    }
    Ok(())
}

/// What the world answers to a request: the same to the same key, whoever asks.
fn receipt(request: &str, bytes: usize) -> String {
    let mut digits = [0; 8];
    let mut answer = blake3::Hasher::new().update(key(request).as_bytes()).finalize_xof();
    let mut receipt = String::from("receipt-");
    loop {
        answer.fill(&mut digits);
        for byte in digits {
            // Writing to a string cannot fail.
            let _ = write!(receipt, "{byte:02x}");
        }
        if receipt.len() >= bytes {
            return receipt;
        }
    }
}

/// What the world answers to a key, for whoever wants to compare.
pub fn answer_to(key: &str, bytes: usize) -> String {
    receipt(key, bytes)
}

fn key(request: &str) -> &str {
    request.split(' ').next().unwrap_or_default()
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

/// All that was asked, in its order, from the log of the one that was asked: key and rest.
///
/// # Errors
/// What the file system answers.
pub fn requests(log: &Path) -> io::Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(log)?;
    let split = |line: &str| {
        let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
        (key.to_owned(), rest.to_owned())
    };
    Ok(text.lines().map(split).collect())
}
