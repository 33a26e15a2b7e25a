//! An I/O error at the first operation of a little workload, at the second, and so on to the last: once, and from
//! there on. No panic, no wrong answer.

use std::thread;

use steadfast_chaos::prove::iofault::disk::{Loss, Sickness, StrikeAt};

use super::deed::Answer::{Applied, Failed, Rejected, Replayed, Unknown};
use super::deed::{durable, relaxed};
use super::lab::Step::{Commit, CreateTask, Heal, Kill, Read};
use super::lab::{OPEN, Place, Report, Step};

const COMMITS: [Step; 4] = [Commit(durable(1)), Commit(relaxed(2)), Commit(durable(3)), Read];

/// Processes at once: they mostly wait, for the device and for the pool of readers.
const AT_ONCE: u64 = 8;

/// A workload, struck at each of its operations in turn.
struct Strikes<'a> {
    place: fn() -> Place,
    lasting: bool,
    steps: &'a [Step],
    /// Looks at what callers were told.
    check: fn(&Report, &str),
    power_loss: bool,
}

impl Strikes<'_> {
    /// Goes on for as long as there is an operation to strike, and says how many there were.
    fn all(&self) -> u64 {
        thread::scope(|scope| {
            let threads: Vec<_> =
                (1..=AT_ONCE).map(|first| scope.spawn(move || self.every_nth(first))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        })
    }

    fn every_nth(&self, first: u64) -> u64 {
        let operations = (first..).step_by(usize::try_from(AT_ONCE).unwrap());
        let struck = |&operation: &u64| {
            self.strike(StrikeAt { operation, lasting: self.lasting, sickness: Sickness::Eio })
        };
        operations.take_while(struck).count() as u64
    }

    /// Whether there was anything to strike.
    fn strike(&self, strike: StrikeAt) -> bool {
        let place = (self.place)();
        let report = place.run(&[&[Step::StrikeAt(strike)], self.steps, &[Kill]].concat());
        (self.check)(&report, &format!("{strike:?}: {:?}", report.answers()));
        // What was there before the workload is all on the device; a new file's beginnings are not modelled.
        let losses = [Loss::All, Loss::Some(strike.operation)];
        place.audit_after(&report.told, if self.power_loss { &losses } else { &[] });
        report.struck > 0
    }
}

#[test]
fn an_error_at_any_one_operation_leaves_every_answer_true() {
    let steps = [&[OPEN], &COMMITS[..]].concat();
    let check = |report: &Report, what: &str| {
        let answers = report.answers();
        // One error can always be overcome, so that nothing is unknown, and it meets one batch only.
        assert!(answers.iter().all(|answer| [Applied, Failed].contains(answer)), "{what}");
        let failed = answers.iter().filter(|&answer| *answer == Failed).count();
        assert!(if report.open { failed <= 1 } else { failed == 3 }, "{what}");
    };
    let strikes = Strikes { place: Place::new, lasting: false, steps: &steps, check, power_loss: true };
    assert!(strikes.all() > 20);
}

#[test]
fn errors_from_any_operation_on_leave_every_answer_true_and_the_store_recovers() {
    let again = [Heal, Commit(durable(1)), Commit(relaxed(2)), Commit(durable(3)), Read];
    let steps = [&[OPEN], &COMMITS[..], &again].concat();
    let check = |report: &Report, what: &str| {
        let answers = report.answers();
        assert!(answers[..3].iter().all(|answer| [Applied, Failed, Unknown].contains(answer)), "{what}");
        let unknown = answers.iter().filter(|&answer| *answer == Unknown).count();
        assert!(unknown <= 1, "after the first nothing is tried: {what}");
        let resolved = if report.open { &[Applied, Replayed][..] } else { &[Failed] };
        assert!(answers[3..].iter().all(|answer| resolved.contains(answer)), "{what}");
    };
    let strikes = Strikes { place: Place::new, lasting: true, steps: &steps, check, power_loss: true };
    assert!(strikes.all() > 20);
}

#[test]
fn an_error_at_any_one_operation_on_a_new_file_leaves_every_answer_true() {
    let steps = [&[OPEN, CreateTask], &COMMITS[..]].concat();
    let check = |report: &Report, what: &str| {
        let answers = report.answers();
        assert!(answers.iter().all(|answer| [Applied, Failed, Rejected].contains(answer)), "{what}");
    };
    let strikes = Strikes { place: Place::empty, lasting: false, steps: &steps, check, power_loss: false };
    assert!(strikes.all() > 50);
}
