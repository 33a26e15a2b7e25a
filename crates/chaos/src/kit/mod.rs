//! For users: what a store or an agent of their own is held against. [`conformance_tests!`](crate::conformance_tests)
//! makes a test of each case of the contract for a third-party store; a [`FaultyStore`] fails as it is told;
//! [`crash_matrix`] runs an agent once for each place at which it can be killed.

mod crash;
mod faulty;
mod life;
mod matrix;
mod world;

pub use crash::{CrashPoint, CrashReport, PointReport, Side, Verdict};
pub use faulty::{FaultyStore, StoreFault, StoreFaults};
pub use matrix::{BoxError, CrashMatrix, crash_matrix};
pub use world::World;
