//! What a history may look like: all its objects, or some of them, as one sequential object. Each call gives every state
//! that it can leave behind if it was answered as it was. What depends on time is a relation: the store stamps the
//! time of a commit itself, no earlier than the call began, no later than it was answered, and never earlier than that of
//! the commit before.

#![allow(clippy::option_option, reason = "the outer one says whether the object is looked at at all")]

mod item;
mod operation;
mod pages;
mod span;

use super::call::{Answer, Asked, Call, End, History, Lease, Link, Setting, Settlement, Sight, Why};

pub(super) use item::Item;
use operation::{Beginning, Operation};
pub(super) use span::Span;

/// Which objects of a history are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// An item alone.
    Item(usize),
    /// A task's chain, with the items of the task: their sweeps write into it.
    Chain(usize),
    /// An operation alone.
    Operation(usize),
    /// A cache alone.
    Cache(usize),
    /// Everything together.
    Whole,
}

/// The objects of one history as they stand after some calls. What is not looked at is not there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// No later commit is stamped with an earlier time.
    clock: i64,
    items: Vec<Option<Item>>,
    chains: Vec<Option<Vec<Link>>>,
    operations: Vec<Option<Option<Operation>>>,
    caches: Vec<Option<Option<u64>>>,
}

impl World {
    /// Before the first call.
    pub(super) fn new(history: &History, scope: Scope) -> Self {
        let setting = &history.setting;
        let made = Span { low: history.store_time(history.made.0), high: history.store_time(history.made.1) };
        let items = setting.items.iter().enumerate().map(|(number, item)| {
            let is_seen = matches!(scope, Scope::Whole)
                || scope == Scope::Item(number)
                || scope == Scope::Chain(item.task);
            is_seen.then(|| Item::new(number, item, made))
        });
        let is_seen = |one: Scope| scope == Scope::Whole || scope == one;
        Self {
            clock: made.low,
            items: items.collect(),
            chains: (0..setting.tasks).map(|task| is_seen(Scope::Chain(task)).then(Vec::new)).collect(),
            operations: (0..setting.operations)
                .map(|one| is_seen(Scope::Operation(one)).then_some(None))
                .collect(),
            caches: (0..setting.caches).map(|one| is_seen(Scope::Cache(one)).then_some(None)).collect(),
        }
    }

    /// Whether such a call has to do with anything that is looked at.
    pub(super) fn concerns(&self, asked: &Asked) -> bool {
        let item = |item: usize| self.items[item].is_some();
        let under = |lease: &Option<Lease>| lease.is_some_and(|lease| item(lease.item));
        match asked {
            Asked::Claim { .. } | Asked::Sweep { .. } => self.items.iter().any(Option::is_some),
            Asked::Look => true,
            Asked::Renew { lease, .. } | Asked::Settle { lease, .. } => item(lease.item),
            Asked::Cancel { item: one }
            | Asked::Requeue { item: one, .. }
            | Asked::ReadItem { item: one } => item(*one),
            Asked::Append { task, lease, .. } => self.chains[*task].is_some() || under(lease),
            Asked::Step { task, lease, .. } => self.chains[*task].is_some() || item(lease.item),
            Asked::ReadHead { task } | Asked::ReadChain { task } => self.chains[*task].is_some(),
            Asked::Begin { operation, lease, .. } => self.operations[*operation].is_some() || under(lease),
            Asked::Finish { operation, .. }
            | Asked::Invalidate { operation }
            | Asked::ReadOperation { operation } => self.operations[*operation].is_some(),
            Asked::Ask { cache, .. } => self.caches[*cache].is_some(),
        }
    }

    /// Everything that `call` can leave behind, which took place within these moments of store time.
    pub(super) fn step(&self, setting: &Setting, call: &Call, within: Span) -> Vec<Self> {
        let Some(at) = within.from(self.clock) else { return Vec::new() };
        if matches!(call.answer, Some(Answer::Nothing(_))) {
            return vec![self.clone()];
        }
        match &call.asked {
            Asked::Claim { id, term, limit } => self.claim(setting, call, (*id, *term, *limit), at),
            Asked::Sweep { id, limit } => self.sweep(setting, call, (*id, *limit), at),
            Asked::Renew { lease, term } => one(self.renew(*lease, *term, call.answer.as_ref(), at)),
            Asked::Settle { lease, how, delay } => {
                one(self.settle(*lease, (*how, *delay), call.answer.as_ref(), at))
            }
            Asked::Cancel { item } => one(self.cancel(*item, call.answer.as_ref(), at)),
            Asked::Requeue { id, item, delay } => {
                one(self.requeue(*item, (*id, *delay), call.answer.as_ref(), at))
            }
            Asked::Append { task, id, expected, lease } => {
                one(self.append(call, (*task, *id), *expected, *lease, at))
            }
            Asked::Step { task, id, lease, how, delay } => {
                self.end_step(call, (*task, *id), *lease, (*how, *delay), at)
            }
            Asked::Begin { operation, fingerprint, token, term, lease, is_retaken } => {
                let (fingerprint, token, term) = (*fingerprint, *token, *term);
                let beginning =
                    Beginning { fingerprint, token, term, lease: *lease, is_retaken: *is_retaken };
                one(self.begin(call, *operation, beginning, at))
            }
            Asked::Finish { operation, token, end } => {
                one(self.finish(*operation, *token, *end, call.answer.as_ref(), at))
            }
            Asked::Invalidate { operation } => one(self.invalidate(*operation, call.answer.as_ref(), at)),
            Asked::Ask { cache, value } => one(self.ask(*cache, *value, call.answer.as_ref())),
            Asked::ReadItem { .. }
            | Asked::ReadHead { .. }
            | Asked::ReadChain { .. }
            | Asked::ReadOperation { .. }
            | Asked::Look => one(self.read(&call.asked, call.answer.as_ref())),
        }
    }

    fn read(&self, asked: &Asked, answer: Option<&Answer>) -> Option<Self> {
        let mut seen = self.clone();
        match (asked, answer?) {
            (Asked::ReadItem { item }, Answer::Item(row)) => {
                seen.items[*item] = Some(self.items[*item].as_ref()?.seen_as(row)?);
            }
            (Asked::ReadHead { task }, Answer::Head(head)) => {
                (length(self.chains[*task].as_ref()?) == *head).then_some(())?;
            }
            (Asked::ReadChain { task }, Answer::Chain(links)) => {
                (self.chains[*task].as_ref()? == links).then_some(())?;
            }
            (Asked::ReadOperation { operation }, Answer::Operation(row)) => {
                seen.operations[*operation] =
                    Some(seen_operation(self.operations[*operation].as_ref()?.as_ref(), row.as_ref())?);
            }
            (Asked::Look, Answer::Sight(sight)) => return self.look(sight),
            _ => return None,
        }
        Some(seen)
    }

    fn look(&self, sight: &Sight) -> Option<Self> {
        let mut seen = self.clone();
        for (item, row) in seen.items.iter_mut().zip(&sight.items) {
            if let Some(item) = item {
                *item = item.seen_as(row)?;
            }
        }
        for (operation, row) in seen.operations.iter_mut().zip(&sight.operations) {
            if let Some(operation) = operation {
                *operation = seen_operation(operation.as_ref(), row.as_ref())?;
            }
        }
        let chains = self
            .chains
            .iter()
            .zip(&sight.chains)
            .all(|(own, other)| own.as_ref().is_none_or(|own| own == other));
        let caches =
            self.caches.iter().zip(&sight.caches).all(|(own, other)| own.is_none_or(|own| own == *other));
        (chains && caches).then_some(seen)
    }

    fn renew(&self, lease: Lease, term: i64, answer: Option<&Answer>, at: Span) -> Option<Self> {
        let item = self.items[lease.item].as_ref()?;
        let after = match answer {
            None => item.renewed(lease.fence, term, at),
            Some(Answer::Renewed { expires }) => item.renewed_until(lease.fence, term, *expires, at),
            Some(Answer::Rejected(why)) => refused(item, lease.fence, why, at),
            _ => None,
        };
        self.with_item(lease.item, after)
    }

    fn settle(
        &self,
        lease: Lease,
        (how, delay): (Settlement, i64),
        answer: Option<&Answer>,
        at: Span,
    ) -> Option<Self> {
        let (item, fence) = (self.items[lease.item].as_ref()?, lease.fence);
        let kept = |holds: bool| holds.then(|| (item.clone(), at));
        let after = match answer {
            None => item.settled(fence, how, delay, at),
            Some(Answer::Settled { status, available }) => {
                let fresh = item.settled_as((fence, how, delay), (*status, *available), at);
                fresh.or_else(|| kept(item.is_settled(fence, how, *status, *available)))
            }
            Some(Answer::Superseded) => kept(item.is_settled_since(fence, how)),
            Some(Answer::Rejected(why)) => kept(item.refuses_settlement(fence, how).as_ref() == Some(why)),
            _ => None,
        };
        self.with_item(lease.item, after)
    }

    fn cancel(&self, item: usize, answer: Option<&Answer>, at: Span) -> Option<Self> {
        let own = self.items[item].as_ref()?;
        let after = match (answer, own.cancelled()) {
            (None, Ok(cancelled)) => (cancelled != *own).then_some(cancelled),
            (Some(Answer::Cancelled), Ok(cancelled)) => Some(cancelled),
            (Some(Answer::Rejected(why)), Err(reason)) => (*why == reason).then(|| own.clone()),
            _ => None,
        };
        self.with_item(item, after.map(|after| (after, at)))
    }

    fn requeue(
        &self,
        item: usize,
        (id, delay): (u64, i64),
        answer: Option<&Answer>,
        at: Span,
    ) -> Option<Self> {
        let own = self.items[item].as_ref()?;
        let is_done = own.transition == Some(id);
        let after = match answer {
            None if is_done => None,
            None => own.requeued(id, delay, at).ok(),
            Some(Answer::Requeued { available }) if is_done => {
                own.is_requeued(id, *available).then(|| (own.clone(), at))
            }
            Some(Answer::Requeued { available }) => own.requeued_for(id, delay, *available, at),
            Some(Answer::Rejected(why)) if !is_done => {
                let reason = own.requeued(id, delay, at).err();
                (reason.as_ref() == Some(why)).then(|| (own.clone(), at))
            }
            _ => None,
        };
        self.with_item(item, after)
    }

    /// What its guard lets through; an item that is not looked at does not stand in the way.
    fn guarded(&self, lease: Option<Lease>) -> Result<(), Why> {
        let item = lease.and_then(|lease| Some((self.items[lease.item].as_ref()?, lease.fence)));
        item.map_or(Ok(()), |(item, fence)| item.guard(fence))
    }

    fn append(
        &self,
        call: &Call,
        (task, id): (usize, u64),
        expected: Option<u64>,
        lease: Option<Lease>,
        at: Span,
    ) -> Option<Self> {
        let guard = self.guarded(lease);
        let Some(chain) = &self.chains[task] else {
            // Seen from its lease alone. What was appended before is recognised whatever has become of that.
            let is_possible = match &call.answer {
                Some(Answer::Rejected(why)) if is_of_a_guard(why) => guard.as_ref() == Err(why),
                Some(_) => {
                    guard.is_ok() || (call.is_again && matches!(call.answer, Some(Answer::Appended { .. })))
                }
                None => false,
            };
            return is_possible.then(|| self.at(at));
        };
        let (head, place) = (length(chain), chain.iter().position(|link| *link == Link::Own(id)));
        let is_expected = expected.is_none_or(|expected| expected == head);
        match (&call.answer, place) {
            (Some(Answer::Appended { sequence }), Some(place)) => {
                (*sequence == place as u64 + 1).then(|| self.at(at))
            }
            (Some(Answer::Rejected(why)), None) => {
                let is_right = match (guard, why) {
                    (Err(reason), why) => reason == *why,
                    (Ok(()), Why::WrongParent { head: told }) => !is_expected && *told == head,
                    // Whether its lease holds is not to be seen from here.
                    (Ok(()), why) => {
                        is_of_a_guard(why) && lease.is_some_and(|lease| self.items[lease.item].is_none())
                    }
                };
                is_right.then(|| self.at(at))
            }
            (answer @ (None | Some(Answer::Appended { .. })), None) if guard.is_ok() && is_expected => {
                let is_next = |answer: &Answer| *answer == Answer::Appended { sequence: head + 1 };
                answer.as_ref().is_none_or(is_next).then(|| self.at(at).with_link(task, Link::Own(id)))
            }
            _ => None,
        }
    }

    fn end_step(
        &self,
        call: &Call,
        (task, id): (usize, u64),
        lease: Lease,
        (how, delay): (Settlement, i64),
        at: Span,
    ) -> Vec<Self> {
        let own = Link::Own(id);
        let place = self.chains[task].as_ref().map(|chain| chain.iter().position(|link| *link == own));
        // Its checkpoint tells whether it was applied before, where the chain is looked at.
        let again = match place {
            Some(place) => place.map(|place| place as u64 + 1),
            None => call.is_again.then_some(0),
        };
        let was_applied = place.flatten().is_some();
        let again = again.filter(|place| self.is_stepped(call.answer.as_ref(), *place, lease, how));
        let fresh = (!was_applied).then(|| self.stepped(call, (task, id), lease, (how, delay), at)).flatten();
        again.map(|_| self.at(at)).into_iter().chain(fresh).collect()
    }

    /// Whether a step that was applied before, as the checkpoint at `place` (or one that is not looked at), is answered so.
    fn is_stepped(&self, answer: Option<&Answer>, place: u64, lease: Lease, how: Settlement) -> bool {
        let item = self.items[lease.item].as_ref();
        match answer {
            Some(Answer::Stepped { sequence, status, available }) => {
                let is_there = place == 0 || *sequence == place;
                is_there && item.is_none_or(|item| item.is_settled(lease.fence, how, *status, *available))
            }
            Some(Answer::Superseded) => item.is_none_or(|item| !item.is_untouched_since(lease.fence, how)),
            _ => false,
        }
    }

    /// A step applied now, or refused.
    fn stepped(
        &self,
        call: &Call,
        (task, id): (usize, u64),
        lease: Lease,
        (how, delay): (Settlement, i64),
        at: Span,
    ) -> Option<Self> {
        let guard = self.guarded(Some(lease));
        if let Some(Answer::Rejected(why)) = &call.answer {
            let is_seen = self.items[lease.item].is_some();
            let is_right = if is_seen { guard.as_ref() == Err(why) } else { is_of_a_guard(why) };
            return is_right.then(|| self.at(at));
        }
        guard.ok()?;
        let stepped = match &call.answer {
            Some(Answer::Stepped { sequence, status, available }) => Some((*sequence, (*status, *available))),
            None => None,
            Some(_) => return None,
        };
        let mut after = self.at(at);
        if let Some(item) = &self.items[lease.item] {
            let settled = match stepped {
                Some((_, stands)) => item.settled_as((lease.fence, how, delay), stands, at),
                None => item.settled(lease.fence, how, delay, at),
            };
            after = self.with_item(lease.item, settled)?;
        }
        let Some(chain) = &self.chains[task] else { return Some(after) };
        let is_next = stepped.is_none_or(|(sequence, _)| sequence == length(chain) + 1);
        is_next.then(|| after.with_link(task, Link::Own(id)))
    }

    /// Whether the lease that an operation runs under holds, where the item is looked at.
    fn is_held(&self, operation: Option<&Operation>) -> Option<bool> {
        let lease = operation?.lease?;
        Some(self.items[lease.item].as_ref()?.guard(lease.fence).is_ok())
    }

    fn begin(&self, call: &Call, operation: usize, beginning: Beginning, at: Span) -> Option<Self> {
        let guard = self.guarded(beginning.lease);
        let Some(existing) = &self.operations[operation] else {
            let is_possible = match &call.answer {
                Some(Answer::Rejected(why)) if is_of_a_guard(why) => guard.as_ref() == Err(why),
                Some(Answer::Begun { .. } | Answer::Superseded) => guard.is_ok() || call.is_again,
                Some(_) => guard.is_ok(),
                None => false,
            };
            return is_possible.then(|| self.at(at));
        };
        let (existing, is_held) = (existing.as_ref(), self.is_held(existing.as_ref()));
        let is_own = existing.is_some_and(|existing| existing.token == beginning.token);
        match &call.answer {
            Some(Answer::Begun { expires, attempt }) if is_own => {
                existing?.is_begun(beginning, (*expires, *attempt), is_held, at).map(|at| self.at(at))
            }
            Some(Answer::Superseded) => existing?.is_over(beginning, is_held, at).map(|at| self.at(at)),
            Some(Answer::Rejected(why)) if is_of_a_guard(why) => {
                let is_seen = beginning.lease.is_some_and(|lease| self.items[lease.item].is_some());
                (!is_own && (!is_seen || guard.as_ref() == Err(why))).then(|| self.at(at))
            }
            _ if guard.is_err() => None,
            Some(Answer::Begun { expires, attempt }) => {
                let told = (*expires, *attempt);
                let (begun, at) = operation::begun_until(existing, beginning, is_held, told, at)?;
                Some(self.with_operation(operation, Some(begun), at))
            }
            Some(Answer::Rejected(why)) => {
                existing?.refuses(beginning, why, is_held, at).map(|at| self.at(at))
            }
            None => {
                let (begun, at) = operation::begun(existing, beginning, is_held, at)?;
                Some(self.with_operation(operation, Some(begun), at))
            }
            Some(_) => None,
        }
    }

    fn finish(
        &self,
        operation: usize,
        token: u64,
        end: End,
        answer: Option<&Answer>,
        at: Span,
    ) -> Option<Self> {
        let existing = self.operations[operation].as_ref()?.as_ref();
        let is_held = self.is_held(existing);
        let (after, at) = match (answer, existing) {
            (Some(Answer::Rejected(Why::NoOperation)), None) => (None, at),
            (Some(Answer::Rejected(why)), Some(own)) => {
                (Some(own.clone()), own.refuses_end(token, end, why, is_held, at)?)
            }
            (Some(Answer::Finished { status }), Some(own)) => own
                .finished(token, end, is_held, at)
                .filter(|(after, _)| after.as_ref().is_some_and(|after| after.stands() == *status))?,
            (None, Some(own)) => own.finished(token, end, is_held, at)?,
            _ => return None,
        };
        Some(self.with_operation(operation, after, at))
    }

    fn invalidate(&self, operation: usize, answer: Option<&Answer>, at: Span) -> Option<Self> {
        let existing = self.operations[operation].as_ref()?.as_ref();
        let after = match (answer, existing, existing.map(Operation::invalidated)) {
            (Some(Answer::Invalidated { was_there: false }), None, _)
            | (None | Some(Answer::Invalidated { was_there: true }), Some(_), Some(Ok(()))) => None,
            (Some(Answer::Rejected(why)), Some(own), Some(Err(reason))) if *why == reason => {
                Some(own.clone())
            }
            _ => return None,
        };
        Some(self.with_operation(operation, after, at))
    }

    fn ask(&self, cache: usize, value: u64, answer: Option<&Answer>) -> Option<Self> {
        let kept = self.caches[cache]?;
        let after = match (answer, kept) {
            (Some(Answer::Told { value: told, is_hit: true }), Some(kept)) if kept == *told => kept,
            (Some(Answer::Told { value: told, is_hit: false }), None) if *told == value => value,
            (None, None) => value,
            _ => return None,
        };
        let mut asked = self.clone();
        asked.caches[cache] = Some(Some(after));
        Some(asked)
    }

    /// The same after a commit at one of these moments.
    fn at(&self, at: Span) -> Self {
        Self { clock: at.low, ..self.clone() }
    }

    fn with_item(&self, item: usize, after: Option<(Item, Span)>) -> Option<Self> {
        let (after, at) = after?;
        let mut changed = self.at(at);
        changed.items[item] = Some(after);
        Some(changed)
    }

    fn with_operation(&self, operation: usize, after: Option<Operation>, at: Span) -> Self {
        let mut changed = self.at(at);
        changed.operations[operation] = Some(after);
        changed
    }

    fn with_link(mut self, task: usize, link: Link) -> Self {
        if let Some(chain) = &mut self.chains[task] {
            chain.push(link);
        }
        self
    }
}

fn one(after: Option<World>) -> Vec<World> {
    after.into_iter().collect()
}

fn refused(item: &Item, fence: u64, why: &Why, at: Span) -> item::After {
    (item.guard(fence).as_ref() == Err(why)).then(|| (item.clone(), at))
}

fn is_of_a_guard(why: &Why) -> bool {
    matches!(why, Why::StaleFence { .. } | Why::NotLeased { .. })
}

fn length(chain: &[Link]) -> u64 {
    chain.len() as u64
}

fn seen_operation(
    own: Option<&Operation>,
    row: Option<&super::call::OperationRow>,
) -> Option<Option<Operation>> {
    match (own, row) {
        (None, None) => Some(None),
        (Some(own), Some(row)) => own.seen_as(row).map(Some),
        _ => None,
    }
}
