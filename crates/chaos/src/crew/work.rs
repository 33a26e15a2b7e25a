//! Working: some workers that claim one item after the other, do it, and settle it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use steadfast_leases::{LeaseManager, LeaseOptions};
use steadfast_store::{HolderId, Settle};

use super::{CrewError, Member, Trouble};
use crate::planted::Planted;

/// How long a worker looks for another item before it takes it that there are no more.
const WORK_MAX: Duration = Duration::from_secs(1);

/// How it is worked.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkArgs {
    /// Workers that work at the same time.
    #[arg(long)]
    workers: usize,
    /// How long an item takes, in microseconds.
    #[arg(long)]
    item_us: u64,
    /// The world outside: each item that was done adds its name to this file.
    #[arg(long)]
    log: PathBuf,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkReport {
    /// Items that each worker did.
    pub done: Vec<usize>,
    /// What could not be claimed or settled.
    pub trouble: Trouble,
    /// The longest that a claim or a settlement took, in milliseconds.
    pub longest_ms: f64,
    /// From the go to the last settlement, in milliseconds.
    pub span_ms: f64,
}

impl Member {
    pub(super) async fn work(&mut self, args: WorkArgs) -> Result<(), CrewError> {
        let log = Arc::new(OpenOptions::new().append(true).create(true).open(&args.log)?);
        let mut workers = Vec::new();
        for worker in 0..args.workers {
            let holder = HolderId::new(format!("{}/{worker}", self.name))?;
            let leases = LeaseManager::new(self.store.clone(), LeaseOptions::new(holder))?;
            let (log, item) = (Arc::clone(&log), Duration::from_micros(args.item_us));
            workers.push(Worker { leases, log, item, twice: self.has(Planted::WorkTwice) });
        }
        self.ready().await?;
        let began = Instant::now();
        let running: Vec<_> = workers.into_iter().map(|worker| tokio::spawn(worker.work())).collect();
        let mut all =
            WorkReport { done: Vec::new(), trouble: Trouble::default(), longest_ms: 0.0, span_ms: 0.0 };
        for worker in running {
            let (done, trouble, longest, last) = worker.await??;
            all.done.push(done);
            let span = last.map_or(Duration::ZERO, |last| last.duration_since(began));
            all.span_ms = all.span_ms.max(span.as_secs_f64() * 1_000.0);
            all.trouble.merge(&trouble);
            all.longest_ms = all.longest_ms.max(longest.as_secs_f64() * 1_000.0);
        }
        self.report(&all)
    }
}

struct Worker {
    leases: LeaseManager,
    log: Arc<File>,
    item: Duration,
    twice: bool,
}

impl Worker {
    async fn work(self) -> Result<(usize, Trouble, Duration, Option<Instant>), CrewError> {
        let (mut done, mut trouble, mut longest) = (0, Trouble::default(), Duration::ZERO);
        let mut last = None;
        loop {
            let began = Instant::now();
            let lease = match self.leases.claim().await {
                Ok(Some(lease)) => lease,
                // Nothing left, or nothing that is visible yet: only a wait tells.
                Ok(None) => match self.leases.wait_for_work(WORK_MAX).await? {
                    Some(lease) => lease,
                    None => return Ok((done, trouble, longest, last)),
                },
                Err(error) => {
                    trouble.add(error);
                    continue;
                }
            };
            longest = longest.max(began.elapsed());
            let line = format!("{}\n", lease.item().id);
            // One write(2) on a descriptor opened for appending: whole, whoever else writes.
            (&*self.log).write_all(line.as_bytes())?;
            if self.twice && done == 0 {
                (&*self.log).write_all(line.as_bytes())?;
            }
            tokio::time::sleep(self.item).await;
            let began = Instant::now();
            match lease.finish(Settle::Succeeded).await {
                Ok(_) => done += 1,
                Err(error) => trouble.add(error),
            }
            longest = longest.max(began.elapsed());
            last = Some(Instant::now());
        }
    }
}
