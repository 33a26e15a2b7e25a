//! Makes a failing plan smaller: fewer faults, errands, machines, for as long as the same promise is broken.

use std::time::{Duration, Instant};

use super::machine::MachineId;
use super::oracle::Broken;
use super::plan::Plan;

/// Runs that one shrinking may take, and how long: a plan that is only smaller is of use, too.
const TRIES_MAX: u32 = 400;
const TIME_MAX: Duration = Duration::from_secs(30);

/// The smallest plan that was found, and how it fails. `fails` runs a plan and says what it broke first.
pub(super) fn shrunk(
    plan: &Plan,
    broken: &Broken,
    fails: impl FnMut(&Plan) -> Option<Broken>,
) -> (Plan, Broken) {
    let mut search =
        Search { plan: plan.clone(), broken: broken.clone(), fails, tries: 0, began: Instant::now() };
    loop {
        let before = search.plan.clone();
        search.on_memory();
        search.fewer(|plan| &mut plan.events);
        search.fewer(|plan| &mut plan.errands);
        search.fewer_workers();
        search.plainer_workers();
        if search.plan == before || search.is_over() {
            return (search.plan, search.broken);
        }
    }
}

struct Search<F> {
    plan: Plan,
    broken: Broken,
    fails: F,
    tries: u32,
    began: Instant,
}

impl<F: FnMut(&Plan) -> Option<Broken>> Search<F> {
    fn is_over(&self) -> bool {
        self.tries >= TRIES_MAX || self.began.elapsed() >= TIME_MAX
    }

    /// Keeps the candidate if it breaks the same promise.
    fn keep_if_failing(&mut self, candidate: Plan) -> bool {
        if self.is_over() || candidate == self.plan {
            return false;
        }
        self.tries += 1;
        match (self.fails)(&candidate) {
            Some(broken) if broken.promise == self.broken.promise => {
                (self.plan, self.broken) = (candidate, broken);
                true
            }
            _ => false,
        }
    }

    fn on_memory(&mut self) {
        let candidate = Plan { on_sqlite: false, ..self.plan.clone() };
        self.keep_if_failing(candidate);
    }

    /// Leaves out parts of a list: first halves, then ever smaller ones.
    fn fewer<T: Clone>(&mut self, list: impl Fn(&mut Plan) -> &mut Vec<T>) {
        let mut part = list(&mut self.plan).len().div_ceil(2);
        while part > 0 {
            let mut from = 0;
            while from < list(&mut self.plan).len() {
                let mut candidate = self.plan.clone();
                let items = list(&mut candidate);
                let end = items.len().min(from + part);
                items.drain(from..end);
                if !self.keep_if_failing(candidate) {
                    from = end;
                }
            }
            part /= 2;
        }
    }

    /// Without the last worker, as often as that still fails.
    fn fewer_workers(&mut self) {
        while self.plan.workers.len() > 1 {
            let mut candidate = self.plan.clone();
            candidate.workers.pop();
            let machines = candidate.machines();
            candidate.events.retain(|event| event.machine < MachineId(machines));
            if !self.keep_if_failing(candidate) {
                return;
            }
        }
    }

    /// Workers with one hand, a true clock and care.
    fn plainer_workers(&mut self) {
        for at in 0..self.plan.workers.len() {
            for plainer in 0..3 {
                let mut candidate = self.plan.clone();
                let worker = &mut candidate.workers[at];
                match plainer {
                    0 => worker.hands = 1,
                    1 => worker.drift_ppm = 0,
                    _ => worker.is_careless = false,
                }
                self.keep_if_failing(candidate);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prove::simulate::oracle::Promise;
    use crate::prove::simulate::plan::Fault;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let mut kills = |plan: &Plan| {
            let is_kill = |fault: &Fault| matches!(fault, Fault::Kill(_));
            let fails = plan.events.iter().any(|event| is_kill(&event.fault)) && plan.errands.len() > 2;
            fails.then(|| Broken { promise: Promise::Once, at: Duration::ZERO, what: String::new() })
        };
        let plan = (1..100).map(Plan::draw).find(|plan| kills(plan).is_some()).unwrap();
        let first = kills(&plan).unwrap();
        let (small, _) = shrunk(&plan, &first, &mut kills);
        assert_eq!((small.events.len(), small.errands.len(), small.workers.len()), (1, 3, 1), "{small}");
        assert!(matches!(small.events[0].fault, Fault::Kill(_)), "{small}");
        let worker = small.workers[0];
        assert!(worker.hands == 1 && worker.drift_ppm == 0 && !worker.is_careless, "{small}");
    }

    #[test]
    fn another_promise_is_another_failure() {
        let plan = Plan::draw(1);
        let first = Broken { promise: Promise::Once, at: Duration::ZERO, what: String::new() };
        let other = Broken { promise: Promise::Rows, ..first.clone() };
        let (same, _) = shrunk(&plan, &first, |_| Some(other.clone()));
        assert_eq!(same, plan);
    }
}
