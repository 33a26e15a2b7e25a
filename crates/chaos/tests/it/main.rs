//! The runner as it is called (its command line, its report, what it leaves behind, and that its checks catch faults
//! which are built into the workers on purpose), and the store over a device that fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod command_line;
mod failed_sync;
mod histories;
mod kept;
mod kit;
mod memory;
mod planted;
mod quick;
mod runner;
mod smoke;
mod store_faults;
mod strays;
