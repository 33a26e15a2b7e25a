//! Chaos scenarios and benchmarks: what Steadfast promises, shown.
//!
//! A [`Case`](case::Case) breaks or measures something real and holds what it finds against limits; the
//! [`runner`] carries cases out and [`report`]s. The scenarios start this very program again in hidden roles: the
//! [`worker`] that is killed, the [`crew`] that loads one shared file, and the [`recorder`], the world outside that counts
//! effects. What is left is read by the
//! runner's own SQL ([`audit`]), past all code under test.

pub mod audit;
pub mod case;
pub mod cli;
pub mod crew;
pub mod diagnosis;
pub mod memory_vfs;
pub mod perf;
pub mod planted;
pub mod process;
pub mod prove;
pub mod recorder;
pub mod report;
pub mod runner;
pub mod scenarios;
pub mod smoke;
pub mod vfs;
pub mod worker;
