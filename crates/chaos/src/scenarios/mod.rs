//! The chaos matrix: each scenario breaks something real and then looks at what is left, from outside.

mod faults;
mod hand;
mod kill9;
mod lease_expiration;
mod site;

use crate::case::Case;

/// The matrix, in the order of the reference.
pub const CASES: &[Case] = &[kill9::CASE, lease_expiration::CASE];
