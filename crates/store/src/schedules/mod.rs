//! For the program that explores schedules, and only under `--cfg steadfast_shuttle`: what stands in for locks,
//! channels and threads, the writer over a core of the program's own, and bugs to be planted.

mod planted;
pub(crate) mod sync;

pub use self::planted::Planted;
#[cfg(feature = "sqlite")]
pub use crate::sqlite::explored::{Batches, Core, ExploredStore, GROUP_BATCHES_MAX, GROUP_BYTES_MAX};
