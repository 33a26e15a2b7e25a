//! The tests of the checkpoints crate, over the in-memory store: steps, evidence, chains, and where to go on from.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod begun;
mod branches;
mod chains;
mod commands;
mod evidence;
mod kinds;
mod latest;
mod registered;
mod stage;
mod steps;
