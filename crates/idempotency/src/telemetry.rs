//! The spans that the ledger and the cache put around a call.

use tracing::{Span, debug_span};

use crate::attempt::Attempt;
use crate::flight::Intent;

/// Around asking for a call.
pub(crate) fn call(intent: &Intent) -> Span {
    debug_span!("call", tool = %intent.name, key = %intent.key)
}

/// Around asking for a call, the run of the tool, and the record of what came of it.
pub(crate) fn run(intent: &Intent) -> Span {
    debug_span!("run", tool = %intent.name, key = %intent.key)
}

/// Around a request to a model, asked or answered from the cache.
pub(crate) fn get_or_ask(intent: &Intent) -> Span {
    debug_span!("get_or_ask", model = %intent.name, key = %intent.key)
}

/// Around the record of a result, under the lease of its call or as a late one.
pub(crate) fn record(attempt: &Attempt, late: bool) -> Span {
    debug_span!("record", key = %attempt.key, attempt = attempt.number, late)
}
