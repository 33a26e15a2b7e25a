//! The tests of the SQLite backend: several processes on one file, kills, bad files and bad input, store time, full
//! disks, damage. What every backend must do is tested by the conformance suite.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod bad_files;
mod bad_input;
mod child;
mod damage;
mod disk_full;
mod ending;
mod erasing;
mod furnished;
mod kit;
mod migrations;
mod own_files;
mod processes;
mod pruning;
mod read_only;
mod reference_sql;
mod replaced;
mod schema;
mod sectors;
mod statistics;
mod store_time;
mod syncs;
mod together;
mod waiting;
mod waking;
