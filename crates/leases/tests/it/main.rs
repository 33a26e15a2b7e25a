//! The tests of the leases crate, over the in-memory store: claims, heartbeats, losses.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod claims;
mod heartbeats;
mod losses;
mod stage;
