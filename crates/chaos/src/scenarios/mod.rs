//! The chaos and the stress matrix: each case breaks or loads something real and then looks at what is left, from
//! outside.

mod appends;
mod concurrent_checkpoints;
pub(crate) mod faults;
mod hand;
pub(crate) mod kills;
mod lease_expiration;
mod llm_cache;
mod recovery_sweep;
mod site;
mod stress;
mod tool_replay;

use crate::case::Case;

/// The chaos matrix, in the order of the reference.
pub const CHAOS: &[Case] = &[
    kills::kill9::CASE,
    concurrent_checkpoints::CASE,
    lease_expiration::CASE,
    recovery_sweep::CASE,
    llm_cache::CASE,
    tool_replay::CASE,
    kills::e2e::CASE,
];

/// The stress matrix, in the order of the reference.
pub const STRESS: &[Case] = stress::CASES;
