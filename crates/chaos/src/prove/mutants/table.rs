//! Which campaign catches which planted bug, and by which of its checks. To have another campaign answer for a bug,
//! change its row, or add one: a bug may be caught by several.

use steadfast_store::planted::Bug;

/// One bug and what must catch it.
#[derive(Debug)]
pub(super) struct Catch {
    pub(super) bug: Bug,
    /// The campaign, at the level `pr`.
    pub(super) campaign: &'static str,
    /// Its runs: as few as surely show the bug.
    pub(super) runs: u32,
    /// One of these must fail.
    pub(super) checks: &'static [&'static str],
}

/// In the order of [`Bug::ALL`].
pub(super) const CATCHES: &[Catch] = &[
    Catch {
        bug: Bug::NoFenceCheck,
        campaign: "model",
        runs: 1,
        checks: &["promises_broken,_term_2,_2_attempts"],
    },
    Catch {
        bug: Bug::AckBeforeSync,
        campaign: "components",
        runs: 1,
        checks: &["durable_answers_without_a_sync"],
    },
    Catch {
        bug: Bug::UnknownAsNew,
        campaign: "components",
        runs: 1,
        checks: &["checkpoints_appended_twice", "items_claimed_twice"],
    },
    Catch {
        bug: Bug::WallClockSweep,
        campaign: "conformance",
        runs: 1,
        checks: &["a_step_of_the_wall_clock_moves_no_lease"],
    },
    Catch {
        bug: Bug::ModelNotInKey,
        campaign: "components",
        runs: 1,
        checks: &["answers_given_to_another_request"],
    },
    Catch {
        bug: Bug::LedgerAfterCall,
        campaign: "components",
        runs: 1,
        checks: &["calls_without_a_written_intent"],
    },
    Catch {
        bug: Bug::OpenAndClose,
        campaign: "components",
        runs: 1,
        checks: &["commits_lost_beside_another_process"],
    },
    Catch {
        bug: Bug::DigestNotCompared,
        campaign: "components",
        runs: 1,
        checks: &["damaged_payloads_returned"],
    },
    Catch {
        bug: Bug::TornBatch,
        campaign: "conformance",
        runs: 1,
        checks: &["a_reader_sees_all_of_a_batch_or_nothing"],
    },
    Catch {
        bug: Bug::StaleRead,
        campaign: "conformance",
        runs: 1,
        checks: &["a_peer_sees_what_was_acknowledged_at_once"],
    },
];
