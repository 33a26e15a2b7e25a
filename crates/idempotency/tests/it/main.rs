//! The tests of the idempotency crate, over the in-memory store: calls, doubts, and running in one go.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod asked;
mod calls;
mod doubts;
mod llm;
mod runs;
mod stage;
