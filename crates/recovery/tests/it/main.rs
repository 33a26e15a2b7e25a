//! The tests of the recovery crate, over the in-memory store: sweeps, and the plan to resume.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod background;
mod housekeeping;
mod resume;
mod stage;
mod sweeps;
