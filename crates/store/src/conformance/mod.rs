//! The conformance suite: what [`Store`](crate::Store) promises, as cases that every implementation must pass.
//!
//! A backend implements [`Harness`] and has one test per case by one line, [`conformance_tests!`]; a program that
//! wants a report calls [`run`]. Both come from one list, [`CASES`]. The suite knows no backend.
//!
//! Every case runs on fresh data under a clock that only the case moves. What is random comes from a seed, which a
//! failure names: set `STEADFAST_SEED` to run with another one, or again with the same.

mod cases;
mod commands;
mod failure;
mod harness;
mod runner;
mod snapshot;
mod text;
mod world;

mod atomicity;
mod attempts;
mod checkpoints;
mod dropping;
mod groups;
mod health;
mod items;
mod leases;
mod limits;
mod operations;
mod payloads;
mod peers;
mod races;
mod random;
mod removing;
mod reopening;
mod resubmission;
mod sweeping;
mod tasks;
mod wakeups;

pub use crate::conformance_tests;
pub use cases::{CASES, Case};
pub use failure::Failure;
pub use harness::{Harness, Instance};
pub use runner::{Report, SEED_DEFAULT, run, run_case, run_case_seeded, seed};
