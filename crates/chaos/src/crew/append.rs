//! Appending: some writers, each with checkpoints of its own to put into its task.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use steadfast_checkpoints::{CheckpointManager, CheckpointOptions, NewCheckpoint};
use steadfast_store::{Label, TaskId};

use super::{CrewError, Member, Trouble};
use crate::planted::Planted;
use crate::worker::hex;

/// With a planted fault a slow writer pauses so long after each checkpoint.
const DAWDLING: Duration = Duration::from_millis(100);

/// What is appended.
#[derive(Debug, Clone, clap::Args)]
pub struct AppendArgs {
    /// The tasks; the writers take them in turn.
    #[arg(long = "task", required = true)]
    tasks: Vec<String>,
    /// Writers that append at the same time.
    #[arg(long, default_value_t = 1)]
    writers: usize,
    /// Checkpoints of each writer.
    #[arg(long, default_value_t = usize::MAX)]
    count: usize,
    /// How long they append, if that is over before.
    #[arg(long, default_value_t = 3_600_000)]
    millis: u64,
}

/// A checkpoint that was acknowledged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Appended {
    /// Its task.
    pub task: String,
    /// Its place.
    pub sequence: u64,
    /// Its id, in hexadecimal digits.
    pub id: String,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppendReport {
    /// Every acknowledged checkpoint.
    pub appended: Vec<Appended>,
    /// What was not appended.
    pub trouble: Trouble,
    /// The longest that a writer waited, in milliseconds.
    pub longest_ms: f64,
    /// Most memory that the process had, in KiB.
    pub peak_kib: u64,
}

impl Member {
    pub(super) async fn append(&mut self, args: AppendArgs) -> Result<(), CrewError> {
        let manager = CheckpointManager::new(self.store.clone(), CheckpointOptions::new("."));
        let tasks = args.tasks.iter().map(TaskId::new).collect::<Result<Vec<_>, _>>()?;
        self.ready().await?;
        let end = Instant::now() + Duration::from_millis(args.millis);
        let mut writers = Vec::new();
        for writer in 0..args.writers {
            let (manager, task) = (manager.clone(), tasks[writer % tasks.len()].clone());
            let name = format!("{}/{writer}", self.name);
            let planted = self.planted;
            writers.push(tokio::spawn(async move {
                Writer { manager, task, name, planted }.write(args.count, end).await
            }));
        }
        let mut all =
            AppendReport { appended: Vec::new(), trouble: Trouble::default(), longest_ms: 0.0, peak_kib: 0 };
        for writer in writers {
            let (appended, trouble, longest) = writer.await??;
            all.appended.extend(appended);
            all.trouble.merge(&trouble);
            all.longest_ms = all.longest_ms.max(longest.as_secs_f64() * 1_000.0);
        }
        all.peak_kib = peak_kib()?;
        self.report(&all)
    }
}

struct Writer {
    manager: CheckpointManager,
    task: TaskId,
    name: String,
    planted: Option<Planted>,
}

impl Writer {
    async fn write(
        self,
        count: usize,
        end: Instant,
    ) -> Result<(Vec<Appended>, Trouble, Duration), CrewError> {
        let (mut appended, mut trouble, mut longest) = (Vec::new(), Trouble::default(), Duration::ZERO);
        let kind = Label::new("step")?;
        for number in 0..count {
            if Instant::now() >= end {
                break;
            }
            let state = format!("{} {number}", self.name);
            let prepared =
                self.manager.prepare(NewCheckpoint::new(self.task.clone(), kind.clone(), state))?;
            let id = hex(prepared.id().as_bytes());
            let task = self.task.as_str().to_owned();
            if self.planted == Some(Planted::ForgetAppend) && number == 0 {
                appended.push(Appended { task, sequence: 1, id });
                continue;
            }
            let began = Instant::now();
            match self.manager.commit_step(&prepared, None, |_| {}).await {
                Ok(step) => appended.push(Appended { task, sequence: step.appended.sequence.0, id }),
                Err(error) => trouble.add(error),
            }
            longest = longest.max(began.elapsed());
            if self.planted == Some(Planted::Dawdle) && self.name.starts_with("member-0/") {
                tokio::time::sleep(DAWDLING).await;
            }
        }
        Ok((appended, trouble, longest))
    }
}

/// `VmHWM` of proc(5).
fn peak_kib() -> Result<u64, CrewError> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number =
        line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.trim().parse().ok());
    number.ok_or_else(|| std::io::Error::other("/proc/self/status has no VmHWM").into())
}
