//! What the store crate shows from outside, in one binary. The suite and what is built on it need the feature
//! `conformance`, which `cargo test --workspace` turns on.

#[cfg(feature = "conformance")]
mod conformance;
mod decide;
#[cfg(feature = "conformance")]
mod planted;
