//! One caller: chooses its calls at random, from what it happens to know, so that many of them are nearly right.

use std::time::Duration;

use steadfast_store::Durability;

use super::call::{Answer, Asked, End, Lease, Setting, Settlement, Why};
use super::names::FINGERPRINTS;

/// Terms of leases and operations, in milliseconds: some end while the history lasts.
const TERMS: [i64; 4] = [10, 15, 25, 60];
/// Delays of retries, in milliseconds.
const DELAYS: [i64; 3] = [0, 3, 10];
/// Of so many commits, one loses its answer.
const LOST_ONE_IN: u32 = 12;
/// Of so many calls, one is asked again, answered before or not.
const AGAIN_ONE_IN: u32 = 7;
/// Calls that may be asked again.
const REMEMBERED_MAX: usize = 8;

/// What becomes of a call's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// It is waited for.
    Whole,
    /// The call is dropped when it has not come by then.
    Until(Duration),
}

/// A call that was chosen.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) asked: Asked,
    pub(super) is_again: bool,
    pub(super) patience: Patience,
    pub(super) durability: Durability,
    /// How long to wait before.
    pub(super) pause: Option<Duration>,
    /// How long the model thinks, if it is asked.
    pub(super) thinking: Duration,
}

/// What one caller knows.
#[derive(Debug)]
pub(super) struct Caller {
    rng: fastrand::Rng,
    setting: Setting,
    next_id: u64,
    leases: Vec<Lease>,
    fences: Vec<u64>,
    heads: Vec<u64>,
    /// The item that it swept last.
    swept: Option<usize>,
    tokens: Vec<Vec<u64>>,
    /// The last commits: first those without an answer, which are asked again by preference.
    past: Vec<Asked>,
}

impl Caller {
    /// The ids that it makes begin at `first_id`.
    pub(super) fn new(seed: u64, setting: &Setting, first_id: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            next_id: first_id,
            leases: Vec::new(),
            fences: vec![0; setting.items.len()],
            heads: vec![0; setting.tasks],
            swept: None,
            tokens: vec![Vec::new(); setting.operations],
            past: Vec::new(),
            setting: setting.clone(),
        }
    }

    /// The next call.
    pub(super) fn choose(&mut self) -> Choice {
        let is_again = !self.past.is_empty() && self.one_in(AGAIN_ONE_IN);
        let asked = if is_again {
            // The first half of the time, which is where those without an answer stand.
            let which = self.rng.usize(..self.past.len()) / 2;
            self.past.remove(which)
        } else {
            self.asked()
        };
        let patience = match self.rng.u32(..LOST_ONE_IN) {
            0 if !asked.is_read() => Patience::Until(Duration::from_millis(self.rng.u64(..2))),
            _ => Patience::Whole,
        };
        Choice {
            asked,
            is_again,
            patience,
            durability: if self.one_in(3) { Durability::Durable } else { Durability::Relaxed },
            pause: self.one_in(4).then(|| Duration::from_millis(self.rng.u64(1..6))),
            thinking: Duration::from_millis(self.rng.u64(..4)),
        }
    }

    fn asked(&mut self) -> Asked {
        match self.rng.u32(..100) {
            0..16 => Asked::Claim { id: self.id(), term: self.pick(&TERMS), limit: self.rng.u32(1..3) },
            16..22 => Asked::Renew { lease: self.lease(), term: self.pick(&TERMS) },
            22..29 => Asked::Settle { lease: self.lease(), how: self.how(), delay: self.pick(&DELAYS) },
            29..32 => {
                // What was swept a moment ago, mostly.
                let swept = self.swept.take().filter(|_| !self.one_in(3));
                Asked::Cancel { item: swept.unwrap_or_else(|| self.item()) }
            }
            32..37 => Asked::Requeue { id: self.id(), item: self.item(), delay: self.pick(&DELAYS) },
            37..43 => Asked::Sweep { id: self.id(), limit: self.rng.u32(1..4) },
            43..53 => self.append(),
            53..57 => {
                let (id, lease) = (self.id(), self.lease());
                let task = self.setting.items[lease.item].task;
                Asked::Step { task, id, lease, how: self.how(), delay: self.pick(&DELAYS) }
            }
            57..66 => self.begin(),
            66..74 => self.finish(),
            74..76 => Asked::Invalidate { operation: self.operation() },
            76..84 => Asked::Ask { cache: self.rng.usize(..self.setting.caches), value: self.id() },
            84..89 => Asked::ReadItem { item: self.item() },
            89..92 => Asked::ReadHead { task: self.task() },
            92..95 => Asked::ReadChain { task: self.task() },
            _ => Asked::ReadOperation { operation: self.operation() },
        }
    }

    fn append(&mut self) -> Asked {
        let (task, id) = (self.task(), self.id());
        let lease = self.one_in(3).then(|| self.lease());
        let expected = self.one_in(4).then(|| self.heads[task]);
        Asked::Append { task, id, expected, lease }
    }

    fn begin(&mut self) -> Asked {
        Asked::Begin {
            operation: self.operation(),
            fingerprint: if self.one_in(8) { self.rng.u8(..FINGERPRINTS) } else { 0 },
            token: self.id(),
            term: self.pick(&TERMS),
            lease: self.one_in(3).then(|| self.lease()),
            is_retaken: !self.one_in(3),
        }
    }

    fn finish(&mut self) -> Asked {
        let operation = self.operation();
        let known = self.tokens[operation].len();
        // The newest, mostly.
        let place = if self.one_in(5) { self.rng.usize(..known.max(1)) } else { known.saturating_sub(1) };
        let token = self.tokens[operation].get(place).copied();
        let token = token.unwrap_or_else(|| self.id());
        let end = match self.rng.u32(..10) {
            0..5 => End::Succeeded(self.id()),
            5..7 => End::Failed(self.id()),
            7..8 => End::InDoubt,
            _ => End::DidNotHappen,
        };
        Asked::Finish { operation, token, end }
    }

    /// A lease of its own, or one that somebody may have.
    fn lease(&mut self) -> Lease {
        if !self.leases.is_empty() && !self.one_in(4) {
            let newest = self.leases.len() - 1;
            let which = if self.one_in(3) { self.rng.usize(..=newest) } else { newest };
            return self.leases[which];
        }
        let item = self.item();
        Lease { item, fence: self.fences[item] + self.rng.u64(..2) }
    }

    fn how(&mut self) -> Settlement {
        self.pick(&[
            Settlement::Succeeded,
            Settlement::Retried,
            Settlement::Retried,
            Settlement::Failed,
            Settlement::Released,
            Settlement::Released,
        ])
    }

    fn item(&mut self) -> usize {
        self.rng.usize(..self.setting.items.len())
    }

    fn task(&mut self) -> usize {
        self.rng.usize(..self.setting.tasks)
    }

    fn operation(&mut self) -> usize {
        self.rng.usize(..self.setting.operations)
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.rng.u32(..count) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())]
    }

    /// Takes note of an answer.
    pub(super) fn learn(&mut self, asked: &Asked, answer: Option<&Answer>) {
        if !asked.is_read() && !matches!(asked, Asked::Ask { .. }) {
            let place = if answer.is_none() { 0 } else { self.past.len() };
            self.past.insert(place, asked.clone());
            self.past.truncate(REMEMBERED_MAX);
        }
        match (asked, answer) {
            (_, Some(Answer::Claimed(rows))) => {
                for row in rows {
                    self.leases.push(Lease { item: row.item, fence: row.fence });
                    self.fences[row.item] = row.fence;
                }
            }
            (_, Some(Answer::Item(row))) => self.fences[row.item] = row.fence,
            (_, Some(Answer::Swept(reclaimed))) => {
                for one in reclaimed {
                    self.swept = Some(one.lease.item);
                    self.fences[one.lease.item] = one.lease.fence + 1;
                }
            }
            (Asked::Begin { operation, token, .. }, Some(Answer::Begun { .. }))
            | (Asked::Begin { operation, .. }, Some(Answer::Rejected(Why::InDoubt { token }))) => {
                self.tokens[*operation].push(*token);
            }
            (Asked::ReadOperation { operation }, Some(Answer::Operation(Some(row)))) => {
                self.tokens[*operation].push(row.token);
            }
            (
                Asked::Renew { lease, .. } | Asked::Settle { lease, .. } | Asked::Step { lease, .. },
                Some(Answer::Rejected(Why::StaleFence { current })),
            ) => self.fences[lease.item] = *current,
            (Asked::Append { task, .. }, Some(Answer::Appended { sequence: head }))
            | (Asked::Append { task, .. }, Some(Answer::Rejected(Why::WrongParent { head })))
            | (Asked::ReadHead { task }, Some(Answer::Head(head))) => self.heads[*task] = *head,
            _ => {}
        }
    }
}
