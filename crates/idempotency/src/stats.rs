//! What a ledger and a cache have done so far, counted in this process since they were made, and by the `metrics` facade.
//! Clones count together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{counter, histogram};

const EXECUTIONS: &str = "steadfast_tool_executions_total";
const REPLAYS: &str = "steadfast_tool_replays_total";
const DOUBTS: &str = "steadfast_tool_doubts_total";
const REPLAY_SECONDS: &str = "steadfast_tool_replay_seconds";
const HITS: &str = "steadfast_llm_cache_hits_total";
const MISSES: &str = "steadfast_llm_cache_misses_total";
const TOKENS_SAVED: &str = "steadfast_llm_tokens_saved_total";
const COST_SAVED: &str = "steadfast_llm_cost_saved_micros_total";
const LOOKUP_SECONDS: &str = "steadfast_llm_lookup_seconds";

/// Counts of a tool ledger.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    executions: AtomicU64,
    replays: AtomicU64,
    doubts: AtomicU64,
}

/// What a [`ToolLedger`](crate::ToolLedger) has done in this process.
///
/// ```
/// # use std::sync::Arc;
/// # use steadfast_idempotency::{Effect, LedgerOptions, ToolCall, ToolLedger, ToolOutput};
/// # use steadfast_store::{Label, MemoryStore, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Arc::new(MemoryStore::new(Env::system()));
/// # let tools = ToolLedger::new(store, LedgerOptions::default())?;
/// # let mail = ToolCall::new(Label::new("send-mail")?, "report/mail", "to: all", Effect::AtMostOnce);
/// for _ in 0..4 {
///     tools.run(&mail, async || ToolOutput::Succeeded("sent".into())).await?;
/// }
/// let stats = tools.stats();
/// assert_eq!((stats.executions, stats.replays, stats.doubts), (1, 3, 0));
/// assert_eq!(stats.replay_rate(), 0.75);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerStats {
    /// Tools run here.
    pub executions: u64,
    /// Calls answered from the ledger.
    pub replays: u64,
    /// Calls found in doubt.
    pub doubts: u64,
}

impl LedgerStats {
    /// Replays as a share of all calls that have an outcome: 0 to 1; 0 without any.
    pub fn replay_rate(&self) -> f64 {
        share(self.replays, self.executions)
    }
}

impl Counters {
    /// At 0, and shown so to the facade: the first increment of each is a change that an alert can see.
    pub(crate) fn shared() -> Arc<Self> {
        for name in [EXECUTIONS, REPLAYS, DOUBTS] {
            counter!(name).increment(0);
        }
        Arc::default()
    }

    pub(crate) fn executed(&self) {
        counter!(EXECUTIONS).increment(1);
        self.executions.fetch_add(1, Ordering::Relaxed);
    }

    /// A call was answered from the ledger, which took so long to say so.
    pub(crate) fn replayed(&self, took: Duration) {
        counter!(REPLAYS).increment(1);
        histogram!(REPLAY_SECONDS).record(took.as_secs_f64());
        self.replays.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn doubted(&self) {
        counter!(DOUBTS).increment(1);
        self.doubts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn look(&self) -> LedgerStats {
        LedgerStats {
            executions: self.executions.load(Ordering::Relaxed),
            replays: self.replays.load(Ordering::Relaxed),
            doubts: self.doubts.load(Ordering::Relaxed),
        }
    }
}

/// What a cache has done.
#[derive(Debug, Default)]
pub(crate) struct CacheCounters {
    hits: AtomicU64,
    misses: AtomicU64,
    tokens_saved: AtomicU64,
    cost_saved: AtomicU64,
}

/// What an [`LlmCache`](crate::LlmCache) has done in this process.
///
/// ```
/// # use std::sync::Arc;
/// # use serde_json::json;
/// # use steadfast_idempotency::{LlmAnswer, LlmCache, LlmCacheOptions, LlmRequest};
/// # use steadfast_store::{MemoryStore, env::Env};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = LlmCache::new(Arc::new(MemoryStore::new(Env::system())), LlmCacheOptions::default())?;
/// # let request = LlmRequest::new("large-model", json!({ "prompt": "Why?" }));
/// let answer = LlmAnswer { output_tokens: 40, cost_micros: 150, ..LlmAnswer::new("Because.") };
/// for _ in 0..4 {
///     cache.get_or_ask(&request, async || Ok::<_, std::io::Error>(answer.clone())).await?;
/// }
/// let stats = cache.stats();
/// assert_eq!((stats.misses, stats.hits, stats.hit_rate()), (1, 3, 0.75));
/// assert_eq!((stats.tokens_saved, stats.cost_saved_micros), (120, 450));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Requests answered from the cache, those that waited for another caller's answer included.
    pub hits: u64,
    /// Requests for which the model was asked.
    pub misses: u64,
    /// Tokens, read and written, of the answers that the model was not asked for again.
    pub tokens_saved: u64,
    /// Their price, in millionths of the caller's currency.
    pub cost_saved_micros: u64,
}

impl CacheStats {
    /// Hits as a share of all requests: 0 to 1; 0 without any.
    pub fn hit_rate(&self) -> f64 {
        share(self.hits, self.misses)
    }
}

impl CacheCounters {
    /// At 0, and shown so to the facade: the first increment of each is a change that an alert can see.
    pub(crate) fn shared() -> Arc<Self> {
        for name in [HITS, MISSES, TOKENS_SAVED, COST_SAVED] {
            counter!(name).increment(0);
        }
        Arc::default()
    }

    pub(crate) fn missed(&self) {
        counter!(MISSES).increment(1);
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// An answer of so many tokens and that price was not asked for again; finding it took so long.
    pub(crate) fn hit(&self, tokens: u64, cost_micros: u64, took: Duration) {
        counter!(HITS).increment(1);
        counter!(TOKENS_SAVED).increment(tokens);
        counter!(COST_SAVED).increment(cost_micros);
        histogram!(LOOKUP_SECONDS).record(took.as_secs_f64());
        self.hits.fetch_add(1, Ordering::Relaxed);
        self.tokens_saved.fetch_add(tokens, Ordering::Relaxed);
        self.cost_saved.fetch_add(cost_micros, Ordering::Relaxed);
    }

    pub(crate) fn look(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            tokens_saved: self.tokens_saved.load(Ordering::Relaxed),
            cost_saved_micros: self.cost_saved.load(Ordering::Relaxed),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a share is told, not a count")]
fn share(part: u64, rest: u64) -> f64 {
    if part == 0 { 0.0 } else { part as f64 / (part + rest) as f64 }
}
