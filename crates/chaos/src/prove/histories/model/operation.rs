//! An operation as anybody may understand the promises: one owner at a time, one outcome for ever, and doubt where
//! neither is known.

use super::super::call::{End, Lease, OperationRow, OperationStatus, Why};
use super::span::Span;

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct Operation {
    fingerprint: u8,
    status: OperationStatus,
    is_retaken: bool,
    pub(super) token: u64,
    pub(super) lease: Option<Lease>,
    expires: Span,
    output: Option<u64>,
    attempt: u32,
}

/// An operation after a call, and what is left of the moments at which that can have been.
pub(super) type After = (Option<Operation>, Span);

/// What begins an operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning {
    pub(super) fingerprint: u8,
    pub(super) token: u64,
    pub(super) term: i64,
    pub(super) lease: Option<Lease>,
    pub(super) is_retaken: bool,
}

impl Operation {
    /// Whether it looks like this; what was not known for certain is known then.
    pub(super) fn seen_as(&self, row: &OperationRow) -> Option<Self> {
        let expires = self.expires.at(row.expires)?;
        let own = (self.fingerprint, self.status, self.is_retaken, self.token, self.lease, self.output);
        let other = (row.fingerprint, row.status, row.is_retaken, row.token, row.lease, row.output);
        (own == other && self.attempt == row.attempt).then(|| Self { expires, ..self.clone() })
    }

    /// The moments of `at` at which its owner still has it. `is_held` says whether the lease that it runs under holds,
    /// where that is known.
    fn owned(&self, is_held: Option<bool>, at: Span) -> Option<Span> {
        match (self.status, self.lease) {
            (OperationStatus::Pending, Some(_)) => Some(at).filter(|_| is_held != Some(false)),
            (OperationStatus::Pending, None) => at.until(self.expires.high - 1),
            _ => None,
        }
    }

    /// The moments of `at` at which its owner has lost it.
    fn ownerless(&self, is_held: Option<bool>, at: Span) -> Option<Span> {
        match (self.status, self.lease) {
            (OperationStatus::Pending, Some(_)) => Some(at).filter(|_| is_held != Some(true)),
            (OperationStatus::Pending, None) => at.from(self.expires.low),
            _ => None,
        }
    }

    /// The moments of `at` at which a beginning with this token is recognised, with this deadline and this number of its
    /// attempt: those at which its owner still has it.
    pub(super) fn is_begun(
        &self,
        beginning: Beginning,
        (expires, attempt): (i64, u32),
        is_held: Option<bool>,
        at: Span,
    ) -> Option<Span> {
        let is_told = (self.expires.has(expires), self.attempt) == (true, attempt);
        self.owned(is_held, at).filter(|_| self.is_of(beginning) && is_told)
    }

    /// The moments of `at` at which a beginning with this token is known to have been applied, and its attempt is over or
    /// its owner has lost it.
    pub(super) fn is_over(&self, beginning: Beginning, is_held: Option<bool>, at: Span) -> Option<Span> {
        let over =
            if self.status == OperationStatus::Pending { self.ownerless(is_held, at) } else { Some(at) };
        over.filter(|_| self.is_of(beginning))
    }

    fn is_of(&self, beginning: Beginning) -> bool {
        self.token == beginning.token && self.fingerprint == beginning.fingerprint
    }

    /// The moments of `at` at which a beginning is refused for this reason.
    pub(super) fn refuses(
        &self,
        beginning: Beginning,
        why: &Why,
        is_held: Option<bool>,
        at: Span,
    ) -> Option<Span> {
        let is_other = self.fingerprint != beginning.fingerprint;
        if is_other || self.token == beginning.token {
            return Some(at).filter(|_| is_other && *why == Why::Conflict);
        }
        match *why {
            Why::Ended { status } => {
                let has_ended = matches!(self.status, OperationStatus::Succeeded | OperationStatus::Failed);
                Some(at).filter(|_| has_ended && self.status == status)
            }
            Why::InDoubt { token } if token == self.token => match self.status {
                OperationStatus::InDoubt => Some(at),
                _ if self.is_retaken => None,
                _ => self.ownerless(is_held, at),
            },
            Why::InFlight { expires } if self.expires.has(expires) => self.owned(is_held, at),
            _ => None,
        }
    }

    /// Ended by its newest attempt.
    pub(super) fn finished(&self, token: u64, end: End, is_held: Option<bool>, at: Span) -> Option<After> {
        if self.token != token {
            return None;
        }
        let is_open = matches!(self.status, OperationStatus::Pending | OperationStatus::InDoubt);
        let (status, output) = outcome_of(end);
        let mut after = Self { status, output, ..self.clone() };
        match end {
            End::Succeeded(_) | End::Failed(_) if is_open => Some((Some(after), at)),
            // The same again changes nothing.
            End::Succeeded(_) | End::Failed(_) => (after == *self).then_some((Some(after), at)),
            End::InDoubt if self.status == OperationStatus::InDoubt => Some((Some(after), at)),
            End::InDoubt => self.ownerless(is_held, at).map(|at| (Some(after), at)),
            End::DidNotHappen if is_open => {
                after.lease = None;
                after.expires = at;
                after.is_retaken = true;
                Some((Some(after), at))
            }
            End::DidNotHappen => None,
        }
    }

    /// The moments of `at` at which an end is refused for this reason.
    pub(super) fn refuses_end(
        &self,
        token: u64,
        end: End,
        why: &Why,
        is_held: Option<bool>,
        at: Span,
    ) -> Option<Span> {
        if self.token != token {
            return Some(at).filter(|_| *why == Why::StaleToken);
        }
        match *why {
            Why::Ended { status } => {
                let has_ended = matches!(self.status, OperationStatus::Succeeded | OperationStatus::Failed);
                let is_same = outcome_of(end) == (self.status, self.output);
                Some(at).filter(|_| has_ended && self.status == status && !is_same)
            }
            Why::Owned { expires } if end == End::InDoubt && self.expires.has(expires) => {
                self.owned(is_held, at)
            }
            _ => None,
        }
    }

    /// Forgotten, or why not.
    pub(super) fn invalidated(&self) -> Result<(), Why> {
        match self.status {
            OperationStatus::Succeeded | OperationStatus::Failed => Ok(()),
            status => Err(Why::Unfinished { status }),
        }
    }

    /// Where it stands.
    pub(super) fn stands(&self) -> OperationStatus {
        self.status
    }

    /// How it answers a beginning that got it.
    fn told(&self) -> (Span, u32) {
        (self.expires, self.attempt)
    }
}

fn outcome_of(end: End) -> (OperationStatus, Option<u64>) {
    match end {
        End::Succeeded(output) => (OperationStatus::Succeeded, Some(output)),
        End::Failed(output) => (OperationStatus::Failed, Some(output)),
        End::InDoubt => (OperationStatus::InDoubt, None),
        End::DidNotHappen => (OperationStatus::Pending, None),
    }
}

/// Begun anew: where there is none, or where its owner is gone and another one may have it.
pub(super) fn begun(
    existing: Option<&Operation>,
    beginning: Beginning,
    is_held: Option<bool>,
    at: Span,
) -> Option<(Operation, Span)> {
    let Beginning { fingerprint, token, term, lease, is_retaken } = beginning;
    let (attempt, at) = match existing {
        None => (1, at),
        Some(operation) if operation.fingerprint != fingerprint || operation.token == token => return None,
        Some(operation) if !operation.is_retaken => return None,
        Some(operation) => (operation.attempt + 1, operation.ownerless(is_held, at)?),
    };
    let (status, expires) = (OperationStatus::Pending, at.plus(term));
    Some((Operation { fingerprint, status, is_retaken, token, lease, expires, output: None, attempt }, at))
}

/// The same, answered with this deadline and this number of its attempt.
pub(super) fn begun_until(
    existing: Option<&Operation>,
    beginning: Beginning,
    is_held: Option<bool>,
    (expires, attempt): (i64, u32),
    at: Span,
) -> Option<(Operation, Span)> {
    let (begun, at) = begun(existing, beginning, is_held, at.at(expires - beginning.term)?)?;
    (begun.told() == (Span::exactly(expires), attempt)).then_some((begun, at))
}
