//! The decisions: pure functions from a row, a command and the time to what becomes of both. Every backend and the
//! model checker call them; a backend that fuses one into a single statement must answer as it does.

mod batch;
mod checkpoint;
mod lease;
mod maintenance;
mod operation;
mod overlay;
mod recall;
mod rows;
mod sweep;
mod task;

pub use checkpoint::{decide_append, decide_record_verification};
pub use lease::{
    decide_cancel_item, decide_claim, decide_enqueue, decide_guard, decide_renew, decide_requeue,
    decide_settle, is_asked_for,
};
pub use maintenance::{decide_invalidate, decide_prune};
pub use operation::{decide_begin, decide_finish_operation, is_owned};
pub use sweep::{Boundary, decide_reclaim, error_boundary};
pub use task::{decide_create_task, decide_finish_task};

#[cfg(feature = "postgres")]
pub(crate) use batch::Verdict;
pub(crate) use batch::decide_batch;
pub(crate) use lease::called_off;
#[cfg(feature = "postgres")]
pub(crate) use overlay::Overlay;
#[cfg(feature = "sqlite")]
pub(crate) use overlay::claim_order;
pub(crate) use rows::{Rows, StoredCheckpoint, Write};
pub(crate) use sweep::can_be_gone_on_from;

use crate::outcome::Reason;

/// What becomes of a row and what its command answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<Row, Answer> {
    /// The row is now this, and the command answers that.
    Apply(Row, Answer),
    /// The command was applied before; the row stays and the answer is the same.
    Replayed(Answer),
    /// The command was applied before, and the row has moved on since.
    Superseded,
    /// A precondition does not hold.
    Rejected(Reason),
}
