//! The channels of this crate: all of them come from here, so that a schedule explorer can put its own in their
//! place.

pub(crate) use tokio::sync::{oneshot, watch};
pub(crate) use tokio_util::sync::CancellationToken;
