//! Chaos scenarios and benchmarks: what Steadfast promises, shown; and a [`kit`] with which users try a store or an
//! agent of their own.
//!
//! As a development dependency take it with `default-features = false`: then it is the kit and the fault-injecting
//! [`vfs`] alone. The feature `runner`, on by default, is the program behind `cargo xtask`: a `Case` breaks or measures
//! something real and holds what it finds against limits; the `runner` carries cases out and reports. The scenarios
//! start this very program again in hidden roles: the `worker` that is killed, the `crew` that loads one shared file, and
//! the `recorder`, the world outside that counts effects. What is left is read by the runner's own SQL (`audit`), past
//! all code under test.

pub use steadfast_store::conformance::conformance_tests;

#[cfg(feature = "runner")]
pub mod audit;
#[cfg(feature = "runner")]
pub mod case;
#[cfg(feature = "runner")]
pub mod cli;
#[cfg(feature = "runner")]
pub mod crew;
#[cfg(feature = "runner")]
pub mod diagnosis;
pub mod kit;
#[cfg(feature = "runner")]
pub mod memory_vfs;
#[cfg(feature = "runner")]
pub mod perf;
#[cfg(feature = "runner")]
pub mod planted;
#[cfg(feature = "runner")]
pub mod process;
#[cfg(feature = "runner")]
pub mod prove;
#[cfg(feature = "runner")]
pub mod recorder;
#[cfg(feature = "runner")]
pub mod report;
#[cfg(feature = "runner")]
pub mod runner;
#[cfg(feature = "runner")]
pub mod scenarios;
#[cfg(feature = "runner")]
pub mod smoke;
pub mod vfs;
#[cfg(feature = "runner")]
pub mod worker;
