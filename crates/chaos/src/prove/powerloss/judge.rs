//! What a power cut left, held against what had been promised.

use std::fmt;

use steadfast_store::Durability;

use super::fault::Fault;
use super::look::Look;
use super::session::Recording;

/// How a promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// SQLite cannot read it, its checks complain, or a chain is broken.
    Corrupt,
    /// An earlier state than was acknowledged.
    Lost,
    /// No state that there ever was: part of a batch, something out of order, a failed batch.
    Torn,
    /// The store does not go on from it as it must.
    Stuck,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Corrupt, Self::Lost, Self::Torn, Self::Stuck];

    /// What the figure is called that counts them.
    pub(super) const fn figure(self) -> &'static str {
        match self {
            Self::Corrupt => "images_corrupt",
            Self::Lost => "images_that_lost_acknowledged",
            Self::Torn => "images_of_no_state_there_was",
            Self::Stuck => "images_the_store_does_not_go_on_from",
        }
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) kind: Kind,
    pub(super) what: String,
}

impl Broken {
    pub(super) fn new(kind: Kind, what: impl fmt::Display) -> Self {
        Self { kind, what: what.to_string() }
    }
}

/// Holds what was found after a cut behind `cut` operations against the recording.
pub(super) fn judge(recording: &Recording, cut: usize, fault: Fault, look: &Look) -> Result<(), Broken> {
    if let Some(first) = look.complaints.first() {
        return Err(Broken::new(Kind::Corrupt, format!("{first} ({} complaints)", look.complaints.len())));
    }
    let floor = floor(recording, cut, fault);
    let possible = |index: &usize| *index == 0 || recording.states[*index].from < cut;
    let mut found = (0..recording.states.len())
        .filter(possible)
        .filter(|index| recording.states[*index].contents == look.contents)
        .map(|index| recording.states[index].at);
    match found.next_back() {
        Some(at) if at >= floor => Ok(()),
        Some(at) => {
            let what =
                format!("the state after operation {at} is there, that after {floor} was acknowledged");
            Err(Broken::new(Kind::Lost, what))
        }
        None => Err(Broken::new(Kind::Torn, "what is there was never the state after any commit")),
    }
}

/// The newest commit that must have survived. Relaxed ones survive as long as nothing that was written is lost.
fn floor(recording: &Recording, cut: usize, fault: Fault) -> usize {
    let counts = |durability| durability == Durability::Durable || fault == Fault::Kept;
    let given = recording.promises.iter().filter(|promise| promise.at <= cut && counts(promise.durability));
    given.map(|promise| promise.commit_at).max().unwrap_or(0)
}
