//! What the oracle holds a run to, by name and by the number of the invariant.

use std::fmt;
use std::time::Duration;

macro_rules! promises {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $invariant:literal;)+) => {
        /// One check of the oracle.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(in super::super) enum Promise { $($(#[$doc])* $variant),+ }

        impl Promise {
            /// Every check.
            pub(in super::super) const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name: what is counted when it does not hold.
            pub(in super::super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The invariant that it belongs to; 0 for those of the simulation itself.
            pub(in super::super) const fn invariant(self) -> u8 {
                match self { $(Self::$variant => $invariant),+ }
            }
        }
    };
}

promises! {
    /// A batch submitted again answers as it did first, or Superseded, and changes nothing.
    Replay = "replays_that_differ", 3;
    /// No step of a task is recorded twice: an unknown commit keeps its identity.
    OneIdentity = "steps_recorded_twice", 3;
    /// Claims take what comes first, and whatever there is.
    ClaimOrder = "claims_out_of_order", 4;
    /// Numbers of checkpoints are dense.
    Dense = "sequence_gaps", 8;
    /// A fence only grows.
    FenceGrows = "fences_that_did_not_grow", 11;
    /// One holder per fence, and none while there is another.
    OneHolder = "items_with_two_holders", 12;
    /// Nothing is applied under a stale guard.
    StaleGuard = "stale_guards_applied", 13;
    /// A guard that is current is not refused.
    CurrentGuard = "current_guards_refused", 13;
    /// A renewal keeps only a lease that there is.
    Renewal = "heartbeats_that_revived", 14;
    /// Nothing is reclaimed before its term on the store's clock.
    NotEarly = "leases_reclaimed_early", 15;
    /// Once all is healthy, a lease without a holder is reclaimed within term and sweep period.
    Reclaimed = "leases_not_reclaimed", 15;
    /// A holder stops at its own deadline, before anybody else may have the item.
    Deadline = "holders_past_their_deadline", 16;
    /// One attempt is counted for each claim, the cap holds, and a sweep leaves nothing out.
    Attempts = "attempts_miscounted", 17;
    /// The rows are those that the acknowledged commands make.
    Rows = "rows_that_differ", 18;
    /// Whoever asks for a call gets the same bytes.
    SameBytes = "outputs_that_differ", 19;
    /// One owner of an operation at a time.
    OneOwner = "operations_with_two_owners", 20;
    /// An answer of the cache is one that the model gave to this very request.
    Crossed = "answers_to_other_requests", 21;
    /// A call keeps its input, whatever became of the cache.
    CallKept = "calls_that_changed", 22;
    /// The intent is in the store before the call.
    Intent = "effects_without_intent", 23;
    /// What must not happen twice does not.
    Once = "effects_twice", 24;
    /// What is in doubt is not begun again.
    Doubt = "doubts_begun_again", 24;
    /// A finished outcome never changes until it is purged.
    Outcome = "outcomes_that_changed", 25;
    /// After all has healed everything finishes.
    Finishes = "items_not_finished", 0;
    /// A store without trouble of its own reports none.
    StoreSound = "errors_of_the_store", 0;
    /// The run comes to an end, without a panic.
    Ends = "runs_without_an_end", 0;
}

/// A promise that was not kept.
#[derive(Debug, Clone)]
pub(in super::super) struct Broken {
    pub(in super::super) promise: Promise,
    pub(in super::super) at: Duration,
    pub(in super::super) what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:?}: {}", self.promise.name(), self.at, self.what)?;
        match self.promise.invariant() {
            0 => Ok(()),
            invariant => write!(f, " (invariant {invariant})"),
        }
    }
}
