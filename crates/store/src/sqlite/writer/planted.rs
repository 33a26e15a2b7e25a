//! The writer's commit, and how batches join it, with a mistake in them, for the program that explores schedules to
//! find.

use std::time::Duration;

use super::{GROUP_BATCHES_MAX, GROUP_BYTES_MAX, GroupCommit, OpenGroup, Request, Thread};
use crate::batch::Batch;
use crate::error::StoreError;
use crate::schedules::Planted;
use crate::sqlite::group::Closed;

impl<C: GroupCommit> Thread<C> {
    /// Commits the group, if a mistake of the writer's is planted, with that mistake.
    pub(super) fn commit_wrongly(&mut self, length: usize) -> bool {
        let is_planted = [
            Planted::AnswersSwapped,
            Planted::GoneLeftOut,
            Planted::OverdueCommitted,
            Planted::WokenBeforeCommit,
        ]
        .into_iter()
        .any(Planted::is_in);
        if !is_planted {
            return false;
        }
        let mut group: Vec<Request> = self.pending.drain(..length).collect();
        if Planted::GoneLeftOut.is_in() {
            group.retain(|request| !request.answer.is_closed());
        }
        if Planted::WokenBeforeCommit.is_in() {
            self.watch.bump();
        }
        let batches: Vec<&Batch> = group.iter().map(|request| &request.batch).collect();
        let mut answers = self.core.apply_some(&mut Closed(&batches), Duration::ZERO);
        if self.core.take_changed() && !Planted::WokenBeforeCommit.is_in() {
            self.watch.bump();
        }
        if Planted::AnswersSwapped.is_in() {
            answers.reverse();
        }
        let mut left = group.into_iter();
        for (answer, request) in answers.into_iter().zip(&mut left) {
            let now = self.env.clock().monotonic();
            if Planted::OverdueCommitted.is_in() && request.is_overdue(now) {
                let waited = request.waited(now);
                request.reply(Err(StoreError::Overloaded { waited, held_by: "the batches before it" }));
            } else {
                request.reply(answer);
            }
        }
        for request in left.rev() {
            self.pending.push_front(request);
        }
        true
    }
}

impl OpenGroup<'_> {
    /// Takes in the next batch, if a mistake of joining is planted, with that mistake.
    pub(super) fn join_wrongly(&mut self, fits: &dyn Fn(&Batch) -> bool) -> Option<bool> {
        let is_planted =
            [Planted::OverdueJoins, Planted::JoinsPastLimits, Planted::JoinsAhead, Planted::UnfitForgotten]
                .into_iter()
                .any(Planted::is_in);
        if !is_planted {
            return None;
        }
        let (is_unlimited, is_ahead) = (Planted::JoinsPastLimits.is_in(), Planted::JoinsAhead.is_in());
        if self.pending.len() > self.length && !is_ahead || self.length >= GROUP_BATCHES_MAX && !is_unlimited
        {
            return Some(false);
        }
        let Ok(request) = self.requests.try_recv() else { return Some(false) };
        let bytes = self.bytes + request.payload_bytes;
        let is_overdue = || request.is_overdue(self.env.clock().monotonic());
        let joins = fits(&request.batch)
            && (bytes <= GROUP_BYTES_MAX || is_unlimited)
            && (Planted::OverdueJoins.is_in() || !is_overdue());
        if joins || !Planted::UnfitForgotten.is_in() {
            self.pending.push_back(request);
        }
        if joins {
            (self.length, self.bytes) = (self.length + 1, bytes);
        }
        Some(joins)
    }
}
