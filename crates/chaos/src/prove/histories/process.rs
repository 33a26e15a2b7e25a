//! The processes that make the calls: each opens the shared file once and takes part in many histories, or dies in one.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadfast_idempotency::{LlmCache, LlmCacheOptions};
use steadfast_store::env::{Env, Failpoint, Failpoints};
use steadfast_store::{CancelItem, Durability, Store, WorkItemId, commit_one, open};

use super::call::Setting;
use super::caller::{Caller, Patience};
use super::log::Log;
use super::names::Names;
use super::perform::{Counter, Mistake};
use crate::process::{die_here, die_with, words};

/// What a process prints when it has opened the store, and whenever a history is over for it.
pub(super) const READY: &str = "READY";
/// How long one caller may take to get an answer from the model before another one asks instead.
const THINKING_TERM: Duration = Duration::from_millis(60);
/// How long a caller waits for another one's answer.
const THINKING_WAIT: Duration = Duration::from_secs(20);

/// How a process is started.
#[derive(Debug, Clone, clap::Args)]
pub struct CallerArgs {
    /// The store.
    #[arg(long)]
    url: String,
    /// The process to die with.
    #[arg(long)]
    parent: u32,
}

/// What a process is told of one history, in a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) setting: Setting,
    /// Which of the processes it is.
    pub(super) process: usize,
    pub(super) seed: u64,
    pub(super) callers: usize,
    /// Of each caller.
    pub(super) calls: usize,
    /// Where to write.
    pub(super) log: PathBuf,
    /// The failpoint at which to die, and the how manieth time it is reached.
    pub(super) die_at: Option<(String, u32)>,
}

impl Order {
    /// The ids that a caller makes come after this one; no other caller of any history makes them.
    fn first_id(&self, caller: usize) -> u64 {
        (self.setting.history << 24) | ((self.process as u64) << 18) | ((caller as u64) << 14)
    }
}

/// Dies where it was told to.
#[derive(Debug, Default)]
struct Trap(Mutex<Option<(Failpoint, u32)>>);

impl Trap {
    fn set(&self, die_at: Option<&(String, u32)>) {
        let place = die_at.and_then(|(name, times)| Some((Failpoint::named(name)?, *times)));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }
}

impl Failpoints for Trap {
    fn reach(&self, point: Failpoint) {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, left)) = place.as_mut().filter(|(place, _)| *place == point) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                die_here();
            }
        }
    }
}

/// What a process met that no history can explain.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CallerError(#[from] Mistake);

/// A process's whole life.
///
/// # Errors
/// What kept it from making its calls.
pub fn make_calls(args: &CallerArgs) -> Result<(), CallerError> {
    Ok(live(args)?)
}

fn live(args: &CallerArgs) -> Result<(), Mistake> {
    die_with(args.parent)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    runtime.block_on(async {
        let trap = Arc::new(Trap::default());
        let store = open(&args.url, Env::system().with_failpoints(trap.clone())).await?;
        let options =
            LlmCacheOptions { term: THINKING_TERM, wait: THINKING_WAIT, ..LlmCacheOptions::default() };
        let cache = LlmCache::new(store.clone(), options)?;
        let mut words = words();
        say(READY)?;
        while let Some(line) = words.recv().await {
            let order: Order = serde_json::from_str(&line)?;
            trap.set(order.die_at.as_ref());
            take_part(order, &store, &cache).await?;
            trap.set(None);
            say(READY)?;
        }
        Ok(())
    })
}

async fn take_part(order: Order, store: &Arc<dyn Store>, cache: &LlmCache) -> Result<(), Mistake> {
    let log = Arc::new(Log::create(&order.log)?);
    let names = Names { history: order.setting.history };
    let counter = Counter { store: store.clone(), cache: cache.clone(), names };
    let callers: Vec<_> = (0..order.callers)
        .map(|number| {
            let seed = order.seed.wrapping_add(number as u64);
            let caller = Caller::new(seed, &order.setting, order.first_id(number));
            tokio::spawn(call(number, caller, order.calls, counter.clone(), log.clone()))
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    // Calls whose answers nobody waited for may still be queued. The queue is served in order: behind this one nothing
    // of theirs is left.
    let item = WorkItemId::new("none")?;
    drop(commit_one(&**store, Durability::Relaxed, CancelItem { item }).await);
    Ok(log.ends()?)
}

async fn call(
    number: usize,
    mut caller: Caller,
    calls: usize,
    counter: Counter,
    log: Arc<Log>,
) -> Result<(), Mistake> {
    for place in 0..calls {
        let choice = caller.choose();
        if let Some(pause) = choice.pause {
            tokio::time::sleep(pause).await;
        }
        let asked = &choice.asked;
        log.asks(number, place, asked, choice.is_again)?;
        let asking = counter.perform(asked, choice.durability, choice.thinking);
        let answer = match choice.patience {
            Patience::Whole => asking.await?,
            // Asked at least once, so that the store has it in most cases.
            Patience::Until(span) => match tokio::time::timeout(span, asking).await {
                Ok(answer) => answer?,
                Err(_) => None,
            },
        };
        caller.learn(asked, answer.as_ref());
        log.hears(number, place, answer)?;
    }
    Ok(())
}

/// One line for the runner, written whole.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}
