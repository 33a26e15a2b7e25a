//! What a ledger and a cache have done so far, counted in this process since they were made. Clones count together.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of a tool ledger.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    executions: AtomicU64,
    replays: AtomicU64,
    doubts: AtomicU64,
}

/// What a [`ToolLedger`](crate::ToolLedger) has done in this process.
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
    pub(crate) fn executed(&self) {
        self.executions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn replayed(&self) {
        self.replays.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn doubted(&self) {
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
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) tokens_saved: AtomicU64,
    pub(crate) cost_saved: AtomicU64,
}

/// What an [`LlmCache`](crate::LlmCache) has done in this process.
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
