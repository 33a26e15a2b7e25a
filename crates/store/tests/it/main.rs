//! What the store crate shows from outside, in one binary. The suite and what is built on it need the feature
//! `conformance`, which `cargo test --workspace` turns on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[cfg(feature = "conformance")]
mod conformance;
mod decide;
#[cfg(feature = "conformance")]
mod planted;
