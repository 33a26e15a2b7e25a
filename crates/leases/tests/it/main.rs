//! The tests of the leases crate, over the in-memory store: claims, heartbeats, losses, the queue.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod claims;
mod heartbeats;
mod losses;
mod queue;
mod stage;
