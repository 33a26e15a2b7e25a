//! A row of a database as evidence, by a query that the program has registered: what is stored names the
//! query and gives its parameters; no SQL and no table's name ever comes from data.

use steadfast_store::{Digest, Label, Source};

use crate::evidence::{Failure, Finding, InvalidEvidence, name};

/// Most parameters of one query.
pub const PARAMETERS_MAX: usize = 32;
/// Longest parameter of a query, in bytes.
pub const PARAMETER_BYTES_MAX: usize = 4_000;

/// A query that the program knows by a name: see [`Verifiers::query`](crate::Verifiers::query). A closure is
/// one.
///
/// ```
/// use std::collections::HashMap;
/// use steadfast_checkpoints::{RowQuery, Verifiers};
/// use steadfast_store::{Label, Source};
///
/// /// Stands for a connection pool.
/// struct Invoices(HashMap<String, String>);
///
/// impl RowQuery for Invoices {
///     fn fetch(&self, parameters: &[String]) -> Result<Option<Vec<u8>>, Source> {
///         let [number] = parameters else { return Err("give the invoice's number".into()) };
///         // Bind it as a parameter of a statement that stands here, in the program.
///         Ok(self.0.get(number).map(|state| state.clone().into_bytes()))
///     }
/// }
///
/// let invoices = Invoices(HashMap::from([("7".into(), "paid".into())]));
/// let verifiers = Verifiers::new()
///     .query(Label::new("invoice")?, invoices)
///     .query(Label::new("customer")?, |_: &[String]| Ok(Some(b"Ada".to_vec())));
/// # Ok::<(), steadfast_store::InvalidId>(())
/// ```
pub trait RowQuery: Send + Sync {
    /// The row that these parameters find, as bytes that are the same for the same row; none when there is
    /// none. Runs off the threads that poll futures, so it may block, for as long as the
    /// [patience](crate::Verifiers::with_patience) of the verifiers: after that nobody waits for its answer.
    ///
    /// The parameters come from stored data: bind them, never build a statement of them.
    ///
    /// # Errors
    /// Whatever kept it from looking. The piece is pending then, and so it is after a panic.
    fn fetch(&self, parameters: &[String]) -> Result<Option<Vec<u8>>, Source>;
}

impl<F> RowQuery for F
where
    F: Fn(&[String]) -> Result<Option<Vec<u8>>, Source> + Send + Sync,
{
    fn fetch(&self, parameters: &[String]) -> Result<Option<Vec<u8>>, Source> {
        self(parameters)
    }
}

/// What a query has to find.
///
/// ```
/// # use steadfast_checkpoints::ExpectedRow;
/// # use steadfast_store::Digest;
/// let paid = ExpectedRow::Content(Digest::of(b"paid"));
/// assert_ne!(paid, ExpectedRow::Exists);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedRow {
    /// A row, whatever is in it.
    Exists,
    /// A row of which the query gives bytes with this digest.
    Content(Digest),
}

/// That a registered query finds a row. [`observe_row`](crate::CheckpointManager::observe_row) makes one of
/// the row that is there now.
///
/// ```
/// use steadfast_checkpoints::{DatabaseRow, ExpectedRow, Piece};
///
/// let row = DatabaseRow::new("invoice", vec!["7".to_owned()], ExpectedRow::Exists)?;
/// assert_eq!(Piece::DatabaseRow(row).to_string(), "row of query \"invoice\" with [\"7\"]");
/// # Ok::<(), steadfast_checkpoints::InvalidEvidence>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseRow {
    query: Label,
    parameters: Vec<String>,
    expected: ExpectedRow,
}

impl DatabaseRow {
    /// What the query registered as `query` has to find with these parameters.
    ///
    /// # Errors
    /// [`InvalidEvidence::Name`] for a name that nothing can be registered under;
    /// [`InvalidEvidence::TooManyParameters`]; [`InvalidEvidence::TooLong`] for one of them.
    pub fn new(
        query: impl AsRef<str>,
        parameters: Vec<String>,
        expected: ExpectedRow,
    ) -> Result<Self, InvalidEvidence> {
        let query = name("query", query.as_ref())?;
        let actual = parameters.len();
        if actual > PARAMETERS_MAX {
            return Err(InvalidEvidence::TooManyParameters { actual, limit: PARAMETERS_MAX });
        }
        if let Some(long) = parameters.iter().find(|parameter| parameter.len() > PARAMETER_BYTES_MAX) {
            let (what, actual) = ("a parameter", long.len());
            return Err(InvalidEvidence::TooLong { what, actual, limit: PARAMETER_BYTES_MAX });
        }
        Ok(Self { query, parameters, expected })
    }

    /// The query's name.
    pub fn query(&self) -> &Label {
        &self.query
    }

    /// What it is asked with.
    pub fn parameters(&self) -> &[String] {
        &self.parameters
    }

    /// What it has to find.
    pub fn expected(&self) -> ExpectedRow {
        self.expected
    }

    /// The same, expecting the row of this digest.
    pub(crate) fn with_content(mut self, found: Digest) -> Self {
        self.expected = ExpectedRow::Content(found);
        self
    }

    /// What the digest of the row that was found, if any, says.
    pub(super) fn judge(&self, found: Option<Digest>) -> Finding {
        match (self.expected, found) {
            (_, None) => Finding::Failed(Failure::NoRow),
            (ExpectedRow::Content(expected), Some(found)) if expected != found => {
                Finding::Failed(Failure::OtherRow { expected, found })
            }
            (ExpectedRow::Exists | ExpectedRow::Content(_), Some(_)) => Finding::Verified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_without_a_proper_name_or_with_too_many_parameters_is_no_evidence() {
        let new = |query: &str, parameters| DatabaseRow::new(query, parameters, ExpectedRow::Exists);
        for query in ["", "nul\0", &"x".repeat(1_000)] {
            let error = new(query, Vec::new()).unwrap_err();
            assert!(matches!(error, InvalidEvidence::Name { what: "query", .. }), "{query:?}: {error}");
        }
        assert!(new("q", vec![String::new(); PARAMETERS_MAX]).is_ok());
        let error = new("q", vec![String::new(); PARAMETERS_MAX + 1]).unwrap_err();
        assert!(matches!(error, InvalidEvidence::TooManyParameters { .. }), "{error}");
        assert!(new("q", vec!["x".repeat(PARAMETER_BYTES_MAX)]).is_ok());
        let error = new("q", vec!["x".repeat(PARAMETER_BYTES_MAX + 1)]).unwrap_err();
        assert!(matches!(error, InvalidEvidence::TooLong { .. }), "{error}");
    }
}
