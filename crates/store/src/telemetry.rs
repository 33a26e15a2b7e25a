//! The span that every backend puts around a commit.

use tracing::{Span, debug_span};

use crate::batch::{Batch, Durability};

/// Around one commit, from its validation to its answer. While nobody listens it costs one branch, and its fields are
/// not looked at.
pub(crate) fn commit(batch: &Batch) -> Span {
    debug_span!("commit", commands = batch.entries().len(), durability = name(batch.durability()))
}

fn name(durability: Durability) -> &'static str {
    match durability {
        Durability::Relaxed => "relaxed",
        Durability::Durable => "durable",
    }
}
