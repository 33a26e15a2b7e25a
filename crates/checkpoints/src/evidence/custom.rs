//! Evidence that only the program itself can judge, by a verifier that it has registered under a name.

use std::fmt::Debug;

use async_trait::async_trait;
use serde::de::IgnoredAny;
use steadfast_store::Label;

use crate::evidence::{Finding, InvalidEvidence, name};

/// Longest subject of a verifier, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 64 * 1024;

/// Judges evidence of a kind that this crate does not know: see
/// [`Verifiers::verifier`](crate::Verifiers::verifier).
///
/// ```
/// use std::collections::BTreeSet;
/// use async_trait::async_trait;
/// use steadfast_checkpoints::{Finding, Verifier};
///
/// /// Stands for a client of the ticket system.
/// #[derive(Debug)]
/// struct ClosedTickets(BTreeSet<u64>);
///
/// #[async_trait]
/// impl Verifier for ClosedTickets {
///     async fn verify(&self, subject: &str) -> Finding {
///         match subject.parse() {
///             Ok(ticket) if self.0.contains(&ticket) => Finding::Verified,
///             Ok(ticket) => Finding::failed(format!("ticket {ticket} is open: close it first")),
///             Err(_) => Finding::failed("the subject is no ticket's number: name one"),
///         }
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(ClosedTickets(BTreeSet::from([7])).verify("7").await, Finding::Verified);
/// # }
/// ```
#[async_trait]
pub trait Verifier: Debug + Send + Sync {
    /// Looks at `subject`, the JSON text of the piece, now: [`Finding::Verified`], [`Finding::failed`] when
    /// it does not hold, [`Finding::pending`] when that cannot be told. A panic, and an answer that takes
    /// longer than the [patience](crate::Verifiers::with_patience) of the verifiers, leave the piece pending;
    /// the future is dropped then. It must not block the thread that polls it.
    async fn verify(&self, subject: &str) -> Finding;
}

/// That a registered verifier agrees to a subject.
///
/// ```
/// use steadfast_checkpoints::{Custom, Piece};
///
/// let closed = Custom::new("ticket-closed", r#"{"ticket":7}"#)?;
/// assert_eq!(Piece::Custom(closed).to_string(), r#"verifier "ticket-closed" on {"ticket":7}"#);
/// # Ok::<(), steadfast_checkpoints::InvalidEvidence>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom {
    verifier: Label,
    subject: String,
}

impl Custom {
    /// What the verifier registered as `verifier` has to agree to: any JSON text, which it is given byte for
    /// byte.
    ///
    /// # Errors
    /// [`InvalidEvidence::Name`] for a name that nothing can be registered under;
    /// [`InvalidEvidence::TooLong`] over [`SUBJECT_BYTES_MAX`]; [`InvalidEvidence::Subject`] for what is no
    /// JSON.
    pub fn new(verifier: impl AsRef<str>, subject: impl Into<String>) -> Result<Self, InvalidEvidence> {
        let (verifier, subject) = (name("verifier", verifier.as_ref())?, subject.into());
        let actual = subject.len();
        if actual > SUBJECT_BYTES_MAX {
            return Err(InvalidEvidence::TooLong { what: "a subject", actual, limit: SUBJECT_BYTES_MAX });
        }
        match serde_json::from_str::<IgnoredAny>(&subject) {
            Ok(_) => Ok(Self { verifier, subject }),
            Err(error) => Err(InvalidEvidence::Subject { why: error.to_string() }),
        }
    }

    /// The verifier's name.
    pub fn verifier(&self) -> &Label {
        &self.verifier
    }

    /// What it looks at.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_without_a_proper_name_or_with_a_subject_that_is_no_json_is_no_evidence() {
        for verifier in ["", "nul\0", &"x".repeat(1_000)] {
            let error = Custom::new(verifier, "7").unwrap_err();
            assert!(matches!(error, InvalidEvidence::Name { what: "verifier", .. }), "{verifier:?}: {error}");
        }
        for subject in ["", "ticket 7", "{", "{} {}"] {
            let error = Custom::new("v", subject).unwrap_err();
            assert!(matches!(error, InvalidEvidence::Subject { .. }), "{subject:?}: {error}");
        }
        let quoted = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        assert!(Custom::new("v", quoted(SUBJECT_BYTES_MAX)).is_ok());
        let error = Custom::new("v", quoted(SUBJECT_BYTES_MAX + 1)).unwrap_err();
        assert!(matches!(error, InvalidEvidence::TooLong { .. }), "{error}");
    }
}
