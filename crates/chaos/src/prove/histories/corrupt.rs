//! Wrong histories, made of right ones: one answer is changed into what a faulty store could have given. They test the
//! judge, in each run of the campaign: a class of which it catches none, it does not see.

use super::call::{Answer, Asked, Call, End, History, ItemStatus, Link, Why};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Corruption {
    /// A read of an item shows the fence before.
    StaleItem,
    /// A read of a chain lacks what was appended last.
    StaleChain,
    /// Two claims get the same fence of one item.
    FenceTwice,
    /// A claim takes nothing although it took something.
    ClaimDenied,
    /// An append gets the number of the one before.
    NumberReused,
    /// An append gets a number too many.
    NumberSkipped,
    /// Who is told that an operation is under way gets it all the same.
    TwoOwners,
    /// Other bytes are replayed.
    OtherBytes,
    /// The answer of a cache is not the one that was kept.
    OtherAnswer,
    /// Another fingerprint is no conflict.
    ConflictMissed,
    /// A stale fence is no hindrance.
    StaleFencePassed,
    /// A settlement that was applied is told to be stale.
    SettlementDenied,
    /// A lease is reclaimed that was held for longer.
    ReclaimedEarly,
    /// A finished operation begins anew.
    FinishedAgain,
    /// An answer comes before what it tells of.
    BeforeTheCall,
    /// At the end an acknowledged checkpoint is gone.
    AcknowledgedLost,
    /// At the end an item stands at the fence before.
    FenceFellBack,
}

impl Corruption {
    pub(super) const ALL: [Self; 17] = [
        Self::StaleItem,
        Self::StaleChain,
        Self::FenceTwice,
        Self::ClaimDenied,
        Self::NumberReused,
        Self::NumberSkipped,
        Self::TwoOwners,
        Self::OtherBytes,
        Self::OtherAnswer,
        Self::ConflictMissed,
        Self::StaleFencePassed,
        Self::SettlementDenied,
        Self::ReclaimedEarly,
        Self::FinishedAgain,
        Self::BeforeTheCall,
        Self::AcknowledgedLost,
        Self::FenceFellBack,
    ];

    /// The history with one answer changed so, if there is one to change.
    pub(super) fn plant(self, history: &History, rng: &mut fastrand::Rng) -> Option<History> {
        let mut wrong = history.clone();
        let mut places: Vec<usize> = (0..history.calls.len()).collect();
        rng.shuffle(&mut places);
        places.into_iter().any(|place| self.change(history, &mut wrong, place)).then_some(wrong)
    }

    /// Changes that call, if it is one to change.
    fn change(self, history: &History, wrong: &mut History, place: usize) -> bool {
        if let Some(done) = self.change_of_several(history, wrong, place) {
            return done;
        }
        let Call { asked, answer, is_again, start, end, .. } = &mut wrong.calls[place];
        let Some(answer) = answer else { return false };
        match (self, asked, answer) {
            (Self::StaleItem, _, Answer::Item(row)) if row.fence > 0 => row.fence -= 1,
            (Self::StaleChain, _, Answer::Chain(links)) if !links.is_empty() => drop(links.pop()),
            (Self::NumberReused, _, Answer::Appended { sequence }) if *sequence > 1 => *sequence -= 1,
            (Self::NumberSkipped, _, Answer::Appended { sequence }) => *sequence += 1,
            (Self::OtherBytes, _, Answer::Operation(Some(row))) if row.output.is_some() => {
                row.output = row.output.map(|output| output ^ 1);
            }
            (Self::OtherAnswer, _, Answer::Told { value, is_hit: true }) => *value ^= 1,
            (Self::ConflictMissed, _, Answer::Rejected(why)) if *why == Why::Conflict => {
                *why = Why::InFlight { expires: history.store_time(*end) + 20 };
            }
            (Self::StaleFencePassed, Asked::Renew { term, .. }, answer @ Answer::Rejected(_)) => {
                *answer = Answer::Renewed { expires: history.store_time(*start) + *term };
            }
            (Self::SettlementDenied, Asked::Settle { lease, .. }, answer @ Answer::Settled { .. })
                if !*is_again =>
            {
                *answer = Answer::Rejected(Why::StaleFence { current: lease.fence + 1 });
            }
            (Self::AcknowledgedLost, _, Answer::Sight(sight)) => {
                let chain = sight.chains.iter_mut().find(|chain| matches!(chain.last(), Some(Link::Own(_))));
                return chain.is_some_and(|chain| chain.pop().is_some());
            }
            (Self::FenceFellBack, _, Answer::Sight(sight)) => {
                let row = sight.items.iter_mut().find(|row| row.fence > 0);
                return row.is_some_and(|row| {
                    row.fence -= 1;
                    true
                });
            }
            (Self::BeforeTheCall, _, Answer::Head(head)) if *head > 0 => {
                (*start, *end) = (history.made.1, history.made.1 + 1);
            }
            (Self::BeforeTheCall, _, Answer::Item(row)) if row.fence > 0 => {
                (*start, *end) = (history.made.1, history.made.1 + 1);
            }
            _ => return false,
        }
        true
    }

    /// The same, for what has to do with more than one answer, or makes one out of nothing. None: it is none of these.
    fn change_of_several(self, history: &History, wrong: &mut History, place: usize) -> Option<bool> {
        let call = &history.calls[place];
        let changed = match (self, &call.asked, call.answer.as_ref()) {
            (Self::FenceTwice, Asked::Claim { id, term, .. }, Some(Answer::Claimed(rows)))
                if rows.is_empty() =>
            {
                let other = history.calls.iter().find_map(|other| match &other.answer {
                    Some(Answer::Claimed(rows)) if !other.is_again => rows.first().cloned(),
                    _ => None,
                });
                other.map(|mut row| {
                    let acquired = history.store_time(call.start);
                    row.lease = row.lease.map(|_| super::call::LeaseRow {
                        holder: *id,
                        acquired: acquired.max(row.available),
                        expires: acquired.max(row.available) + term,
                    });
                    row.transition = Some(*id);
                    Answer::Claimed(vec![row])
                })
            }
            (Self::ClaimDenied, _, Some(Answer::Claimed(rows))) if !rows.is_empty() && !call.is_again => {
                Some(Answer::Claimed(Vec::new()))
            }
            (Self::TwoOwners, Asked::Begin { term, .. }, Some(Answer::Rejected(Why::InFlight { .. })))
            | (Self::FinishedAgain, Asked::Begin { term, .. }, Some(Answer::Rejected(Why::Ended { .. }))) => {
                Some(Answer::Begun { expires: history.store_time(call.end) + term, attempt: 2 })
            }
            (
                Self::FinishedAgain,
                Asked::Finish { end: End::Succeeded(_), .. },
                Some(Answer::Rejected(Why::Ended { .. })),
            ) => Some(Answer::Finished { status: super::call::OperationStatus::Succeeded }),
            (Self::ReclaimedEarly, Asked::Sweep { .. }, Some(Answer::Swept(reclaimed)))
                if reclaimed.is_empty() =>
            {
                held_during(history, call).map(|row| {
                    let lease = super::call::Lease { item: row.item, fence: row.fence };
                    let status = ItemStatus::Pending;
                    Answer::Swept(vec![super::call::Reclaimed { lease, status, has_boundary: true }])
                })
            }
            (
                Self::FenceTwice
                | Self::ClaimDenied
                | Self::TwoOwners
                | Self::FinishedAgain
                | Self::ReclaimedEarly,
                ..,
            ) => None,
            _ => return None,
        };
        let is_changed = changed.is_some();
        if is_changed {
            wrong.calls[place].answer = changed;
        }
        Some(is_changed)
    }
}

/// An item that was claimed before this call for longer than it lasted.
fn held_during(history: &History, call: &Call) -> Option<super::call::ItemRow> {
    let over = history.store_time(call.end);
    let claimed =
        history.calls.iter().filter(|other| other.end < call.start).filter_map(|other| match &other.answer {
            Some(Answer::Claimed(rows)) => rows.first(),
            _ => None,
        });
    claimed.rev().find(|row| row.lease.is_some_and(|lease| lease.expires > over)).cloned()
}
