//! What a program has registered to look at evidence with: its queries and its verifiers, each under a name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use steadfast_store::Label;

use crate::evidence::{RowQuery, Verifier};

/// How long one look by a registered query or verifier may take when nothing else is said.
pub const PATIENCE_DEFAULT: Duration = Duration::from_mins(1);

/// The registered queries and verifiers of a manager: see
/// [`CheckpointManager::with_verifiers`](crate::CheckpointManager::with_verifiers). Register the same ones in
/// every program that resumes the same tasks. Cloning is cheap enough.
///
/// ```
/// use std::time::Duration;
/// use steadfast_checkpoints::Verifiers;
/// use steadfast_store::Label;
///
/// let verifiers = Verifiers::new()
///     .query(Label::new("customer")?, |_: &[String]| Ok(Some(b"Ada".to_vec())))
///     .with_patience(Duration::from_secs(5));
/// assert!(format!("{verifiers:?}").contains("customer"));
/// # Ok::<(), steadfast_store::InvalidId>(())
/// ```
#[derive(Clone)]
pub struct Verifiers {
    queries: BTreeMap<Label, Arc<dyn RowQuery>>,
    custom: BTreeMap<Label, Arc<dyn Verifier>>,
    patience: Duration,
}

impl Verifiers {
    /// None yet, with [`PATIENCE_DEFAULT`].
    pub fn new() -> Self {
        Self { queries: BTreeMap::new(), custom: BTreeMap::new(), patience: PATIENCE_DEFAULT }
    }

    /// Registers a query. One that was registered under the same name before is replaced.
    #[must_use]
    pub fn query(mut self, name: Label, query: impl RowQuery + 'static) -> Self {
        self.queries.insert(name, Arc::new(query));
        self
    }

    /// Registers a verifier. One that was registered under the same name before is replaced. Queries and
    /// verifiers may have the same names.
    #[must_use]
    pub fn verifier(mut self, name: Label, verifier: impl Verifier + 'static) -> Self {
        self.custom.insert(name, Arc::new(verifier));
        self
    }

    /// How long one look by any of them may take. After that the piece is pending.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub(super) fn query_named(&self, name: &Label) -> Option<Arc<dyn RowQuery>> {
        self.queries.get(name).cloned()
    }

    pub(super) fn verifier_named(&self, name: &Label) -> Option<&dyn Verifier> {
        self.custom.get(name).map(|verifier| &**verifier)
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }
}

impl Default for Verifiers {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Verifiers {
    /// The names: a query need not be printable.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifiers")
            .field("queries", &self.queries.keys())
            .field("verifiers", &self.custom.keys())
            .field("patience", &self.patience)
            .finish()
    }
}
