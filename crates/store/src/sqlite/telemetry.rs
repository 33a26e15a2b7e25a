//! What the writer tells the program around it, by the `metrics` and `tracing` facades: once a group, never once a
//! batch, and at no cost worth measuring while nobody listens.

use metrics::{counter, gauge, histogram};

use crate::error::StoreError;
use crate::outcome::Committed;
use crate::sqlite::core::Answer;

/// A log this many times longer than it is folded at means a reader that never finishes.
const LOG_ALARM_FACTOR: u32 = 4;

/// What was told of the log last.
#[derive(Debug, Default)]
pub(super) struct LogAlarm {
    /// The length at which the next warning is due; none was given yet while it is zero.
    next: u32,
}

impl LogAlarm {
    /// Warns of a log that grows, each time it has doubled, and takes it back once it is short again. Answers whether
    /// it has warned.
    pub(super) fn look(&mut self, pages: u32, fold_every: u32) -> bool {
        let first = fold_every.saturating_mul(LOG_ALARM_FACTOR);
        if pages < fold_every {
            self.next = 0;
        }
        if pages < self.next.max(first) {
            return false;
        }
        self.next = pages.saturating_mul(2);
        tracing::warn!(
            pages,
            fold_every,
            "the write-ahead log grows: some reader never finishes its transaction"
        );
        true
    }
}

/// What can become of a batch, as its label.
const OUTCOMES: [&str; 5] = ["applied", "rejected", "overloaded", "failed", "unknown"];

fn outcome_of(answer: &Answer) -> &'static str {
    match answer {
        Ok(Committed::Applied(_)) => "applied",
        Ok(Committed::Rejected(_)) => "rejected",
        Err(StoreError::Overloaded { .. }) => "overloaded",
        Err(StoreError::Unknown { .. }) => "unknown",
        Err(_) => "failed",
    }
}

/// Shows every counter at 0, so that its first increment is a change that an alert can see.
pub(super) fn register() {
    for outcome in OUTCOMES {
        counter!("steadfast_batches_total", "outcome" => outcome).increment(0);
    }
}

/// A group has been answered; `pages` stand in the log.
pub(super) fn group(answers: &[Answer], pages: u32) {
    for outcome in OUTCOMES {
        let count = answers.iter().filter(|answer| outcome_of(answer) == outcome).count();
        if count > 0 {
            counter!("steadfast_batches_total", "outcome" => outcome).increment(count as u64);
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "a group has at most some thousand batches")]
    histogram!("steadfast_group_batches").record(answers.len() as f64);
    gauge!("steadfast_log_pages").set(f64::from(pages));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growing_log_is_told_each_time_it_has_doubled() {
        let mut alarm = LogAlarm::default();
        let mut told = |pages| alarm.look(pages, 1_000);
        assert!(!told(3_999));
        assert!(told(4_000));
        assert!(!told(7_999));
        assert!(told(8_000));
        assert!(!told(999), "folded");
        assert!(!told(3_000));
        assert!(told(5_000), "it grows again");
    }
}
