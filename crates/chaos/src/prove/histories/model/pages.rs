//! The calls that take several items at once: claims and sweeps.

use super::super::call::{Answer, Call, ItemRow, Lease, Link, Reclaimed, Setting};
use super::item::Place;
use super::span::Span;
use super::{Item, World};

/// A world in which a sweep has told the tasks of some items, those that are left, and the deadline of the last one.
type Telling = (World, Vec<usize>, Option<Span>);

/// Where an item stands in the order of claims: priority descending, then since when it is available, then its name.
fn place(setting: &Setting, row: &ItemRow) -> Place {
    Place { urgency: -i64::from(setting.items[row.item].priority), available: row.available, item: row.item }
}

impl World {
    fn seen(&self) -> impl Iterator<Item = (usize, &Item)> {
        self.items.iter().enumerate().filter_map(|(number, item)| item.as_ref().map(|item| (number, item)))
    }

    /// Whether what `id` moved is to be seen: of its items, or surely of all.
    fn is_moved_by(&self, id: u64) -> bool {
        self.seen().any(|(_, item)| item.transition == Some(id))
    }

    fn sees_every_item(&self) -> bool {
        self.items.iter().all(Option::is_some)
    }

    pub(super) fn claim(
        &self,
        setting: &Setting,
        call: &Call,
        (id, term, limit): (u64, i64, u32),
        at: Span,
    ) -> Vec<Self> {
        let is_moved = self.is_moved_by(id);
        match &call.answer {
            None if is_moved => Vec::new(),
            None => self.subsets(limit, at, |item, at| item.claimed(id, term, at)),
            Some(Answer::Superseded) => {
                let is_possible = call.is_again
                    && (is_moved || !self.sees_every_item())
                    && self.seen().all(|(_, item)| !item.is_held_by(id));
                is_possible.then(|| self.at(at)).into_iter().collect()
            }
            Some(Answer::Claimed(rows)) => {
                let again = call.is_again && !rows.is_empty() && (is_moved || !self.sees_every_item());
                let again = again.then(|| self.claimed_again(id, rows, at)).flatten();
                let fresh = (!is_moved).then(|| self.claimed(setting, rows, (id, term, limit), at)).flatten();
                again.into_iter().chain(fresh).collect()
            }
            Some(_) => Vec::new(),
        }
    }

    /// A claim that is recognised tells what it still holds.
    fn claimed_again(&self, id: u64, rows: &[ItemRow], at: Span) -> Option<Self> {
        let mut after = self.at(at);
        for (number, item) in self.seen() {
            match rows.iter().find(|row| row.item == number) {
                Some(row) if item.is_held_by(id) => after.items[number] = Some(item.seen_as(row)?),
                None if !item.is_held_by(id) => {}
                _ => return None,
            }
        }
        Some(after)
    }

    fn claimed(
        &self,
        setting: &Setting,
        rows: &[ItemRow],
        (id, term, limit): (u64, i64, u32),
        at: Span,
    ) -> Option<Self> {
        let mut at = at;
        if let Some(row) = rows.first() {
            at = at.at(row.lease?.acquired)?;
        }
        let is_full = rows.len() == limit as usize;
        let last = rows.last().filter(|_| is_full).map(|row| place(setting, row));
        let mut after = self.clone();
        for (number, item) in self.seen() {
            if let Some(row) = rows.iter().find(|row| row.item == number) {
                let (claimed, when) = item.claimed(id, term, at)?;
                (after.items[number], at) = (Some(claimed.seen_as(row)?), when);
            } else {
                at = item.left_by_claim(last, at)?;
            }
        }
        let are_in_order = rows.is_sorted_by(|a, b| place(setting, a) < place(setting, b));
        (rows.len() <= limit as usize && are_in_order).then(|| after.at(at))
    }

    pub(super) fn sweep(
        &self,
        setting: &Setting,
        call: &Call,
        (id, limit): (u64, u32),
        at: Span,
    ) -> Vec<Self> {
        let is_moved = self.is_moved_by(id);
        match &call.answer {
            None if is_moved => Vec::new(),
            None => {
                let taken = self.subsets(limit, at, |item, at| item.reclaimed(id, at));
                taken.into_iter().flat_map(|after| self.told_of(setting, &after)).collect()
            }
            Some(Answer::Superseded) => {
                let is_possible = call.is_again
                    && (is_moved || !self.sees_every_item())
                    && self.seen().all(|(_, item)| item.reclaimed_by(id).is_none());
                is_possible.then(|| self.at(at)).into_iter().collect()
            }
            Some(Answer::Swept(reclaimed)) => {
                let again = call.is_again && !reclaimed.is_empty() && (is_moved || !self.sees_every_item());
                let again = (again && self.are_reclaimed_by(id, reclaimed)).then(|| self.at(at));
                let fresh = (!is_moved).then(|| self.swept(reclaimed, id, limit, at)).flatten();
                let fresh = fresh.into_iter().flat_map(|after| self.told_of(setting, &after));
                again.into_iter().chain(fresh).collect()
            }
            Some(_) => Vec::new(),
        }
    }

    /// A sweep that is recognised tells what it took and nobody has touched since.
    fn are_reclaimed_by(&self, id: u64, reclaimed: &[Reclaimed]) -> bool {
        self.seen().all(|(number, item)| {
            let told = reclaimed.iter().find(|reclaimed| reclaimed.lease.item == number);
            let is_right = |told: &Reclaimed| told.status == item.status && told.has_boundary;
            told.map(|told| told.lease) == item.reclaimed_by(id) && told.is_none_or(is_right)
        })
    }

    /// The items after a sweep that took these; its checkpoints come later.
    fn swept(&self, reclaimed: &[Reclaimed], id: u64, limit: u32, at: Span) -> Option<Self> {
        let is_full = reclaimed.len() == limit as usize;
        let is_taken = |number: usize| reclaimed.iter().any(|reclaimed| reclaimed.lease.item == number);
        let taken = self.seen().filter(|(number, _)| is_taken(*number));
        let latest = taken.filter_map(|(_, item)| item.deadline()).map(|deadline| deadline.low).max();
        let (mut after, mut at) = (self.clone(), at);
        for (number, item) in self.seen() {
            let told = reclaimed.iter().find(|reclaimed| reclaimed.lease.item == number);
            if let Some(told) = told {
                let (item, when) = item.reclaimed(id, at).filter(|_| item.fence == told.lease.fence)?;
                (told.has_boundary && item.status == told.status).then_some(())?;
                (after.items[number], at) = (Some(item), when);
            } else if !is_full {
                at = item.left_by_sweep(at)?;
            } else if item.deadline().zip(latest).is_some_and(|(own, latest)| own.high < latest) {
                // Its lease ended before one that was taken in its stead.
                return None;
            }
        }
        (reclaimed.len() <= limit as usize).then(|| after.at(at))
    }

    /// Every way in which a sweep that led from here to `after` can have told the tasks of it: by deadline.
    fn told_of(&self, setting: &Setting, after: &Self) -> Vec<Self> {
        let is_new = |(number, item): &(usize, &Item)| {
            self.items[*number].as_ref().is_some_and(|before| before.fence != item.fence)
        };
        let taken: Vec<usize> = after.seen().filter(is_new).map(|(number, _)| number).collect();
        let mut told: Vec<Telling> = vec![(after.clone(), taken, None)];
        while told.iter().any(|(_, left, _)| !left.is_empty()) {
            let more = told.iter().flat_map(|way| self.told_of_one(setting, way));
            told = more.collect();
        }
        told.into_iter().map(|(world, ..)| world).collect()
    }

    /// Each that can come next of those that are left, told, and what is left then.
    fn told_of_one(&self, setting: &Setting, (world, left, before): &Telling) -> Vec<Telling> {
        let ways = left.iter().filter_map(|number| {
            let item = self.items[*number].as_ref()?;
            let deadline = item.deadline()?;
            let is_later = before.is_none_or(|before| before.low <= deadline.high);
            let boundary = Link::Boundary(Lease { item: *number, fence: item.fence });
            let told = world.clone().with_link(setting.items[*number].task, boundary);
            let others = left.iter().copied().filter(|other| other != number).collect();
            is_later.then_some((told, others, Some(deadline)))
        });
        ways.collect()
    }

    /// Every way to take between one and `limit` items.
    fn subsets(&self, limit: u32, at: Span, take: impl Fn(&Item, Span) -> Option<(Item, Span)>) -> Vec<Self> {
        let mut ways = vec![(self.clone(), 0, at)];
        for (number, item) in self.seen() {
            let taken = |(world, count, at): &(Self, u32, Span)| {
                let (after, at) = take(item, *at)?;
                let mut world = world.clone();
                world.items[number] = Some(after);
                (*count < limit).then_some((world, count + 1, at))
            };
            let more: Vec<_> = ways.iter().filter_map(taken).collect();
            ways.extend(more);
        }
        ways.into_iter().filter(|(_, count, _)| *count > 0).map(|(world, _, at)| world.at(at)).collect()
    }
}
