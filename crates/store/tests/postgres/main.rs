//! The tests of the PostgreSQL backend: the conformance suite and what only a server can do wrong. They start a server
//! of their own, or use the one that `STEADFAST_POSTGRES_URL` names; without either they are skipped, with one line that
//! says so, unless `STEADFAST_REQUIRE_POSTGRES=1`.

#![cfg(all(feature = "postgres", feature = "conformance"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod by_hand;
mod clocked;
mod cluster;
mod conformance;
mod durability;
mod faults;
mod kit;
mod locks;
mod protected;
mod proxy;
mod server;
mod waking;
