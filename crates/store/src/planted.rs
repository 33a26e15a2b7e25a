//! Bugs that can be built into the product, to see a named check catch each: a check that cannot fail is a defect. Only
//! the feature `planted` brings them; without it [`is`] is a constant, and nothing of them is compiled.

use crate::batch::Batch;
use crate::env::Env;

/// Names the bug that is planted in this process and, as it is inherited, in those that it starts.
pub const VARIABLE: &str = "STEADFAST_PLANTED";

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bug {
    /// The guard takes any fence of an item in progress.
    NoFenceCheck,
    /// A durable batch is acknowledged before it is synced.
    AckBeforeSync,
    /// A batch whose answer is unknown is submitted again under new identities.
    UnknownAsNew,
    /// The sweep goes by the wall clock.
    WallClockSweep,
    /// The key of a model's answer leaves the model out.
    ModelNotInKey,
    /// The ledger is written after the tool was called.
    LedgerAfterCall,
    /// The process opens and closes the files of its own database by itself.
    OpenAndClose,
    /// Bytes are returned whether they match their digest or not.
    DigestNotCompared,
    /// A batch is committed in two pieces.
    TornBatch,
    /// A reader looks at what was there a while ago.
    StaleRead,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Self; 10] = [
        Self::NoFenceCheck,
        Self::AckBeforeSync,
        Self::UnknownAsNew,
        Self::WallClockSweep,
        Self::ModelNotInKey,
        Self::LedgerAfterCall,
        Self::OpenAndClose,
        Self::DigestNotCompared,
        Self::TornBatch,
        Self::StaleRead,
    ];

    /// Its name in [`VARIABLE`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoFenceCheck => "no-fence-check",
            Self::AckBeforeSync => "ack-before-sync",
            Self::UnknownAsNew => "unknown-as-new",
            Self::WallClockSweep => "wall-clock-sweep",
            Self::ModelNotInKey => "model-not-in-key",
            Self::LedgerAfterCall => "ledger-after-call",
            Self::OpenAndClose => "open-and-close",
            Self::DigestNotCompared => "digest-not-compared",
            Self::TornBatch => "torn-batch",
            Self::StaleRead => "stale-read",
        }
    }
}

/// Why the bug that [`VARIABLE`] names is not planted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotPlanted {
    /// There is no such bug.
    #[error("{VARIABLE} names no bug: {name:?}")]
    NoSuchBug {
        /// What it says.
        name: String,
    },
    /// This program was built without the bugs.
    #[error("{VARIABLE} is set, and this program was built without the feature `planted`")]
    WithoutBugs,
}

/// The bug that is planted in this process, if any.
///
/// # Errors
/// [`NotPlanted`]: whoever asked for a bug and has none must not take its absence for a check that failed to see it.
pub fn chosen() -> Result<Option<Bug>, NotPlanted> {
    let Some(name) = std::env::var_os(VARIABLE) else { return Ok(None) };
    let bug = Bug::ALL.into_iter().find(|bug| name == bug.name());
    let bug = bug.ok_or_else(|| NotPlanted::NoSuchBug { name: name.to_string_lossy().into_owned() })?;
    if cfg!(feature = "planted") { Ok(Some(bug)) } else { Err(NotPlanted::WithoutBugs) }
}

/// Whether this bug is planted.
#[cfg(feature = "planted")]
pub fn is(bug: Bug) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<Bug>> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| chosen().ok().flatten()) == Some(bug)
}

/// Whether this bug is planted: never, without the feature `planted`.
#[cfg(not(feature = "planted"))]
pub const fn is(_: Bug) -> bool {
    false
}

/// A batch as it is submitted again after an unknown answer: the very same one.
pub(crate) fn again(batch: &Batch, env: &Env) -> Batch {
    if is(Bug::UnknownAsNew) { batch.under_new_identities(env) } else { batch.clone() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_bugs_have_one_name() {
        assert_eq!(Bug::ALL.map(Bug::name).into_iter().collect::<BTreeSet<_>>().len(), Bug::ALL.len());
    }

    #[test]
    fn without_the_variable_no_bug_is_planted() {
        assert_eq!(chosen(), Ok(None));
        assert!(Bug::ALL.into_iter().all(|bug| !is(bug)));
    }
}
