//! `lease_contention`: twenty workers want the same items. Each is done once, and every worker gets its share.

use std::collections::BTreeMap;
use std::fs;

use super::{MEMBERS, Options, start};
use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::crew::field::Field;
use crate::crew::{Trouble, WorkReport};
use crate::report::{Figure, Unit};
use crate::scenarios::faults::{Broken, Faults};

/// The case.
pub(super) const CASE: Case = Case {
    id: "lease_contention",
    title: "Lease Contention",
    shows: "Twenty workers in four processes share thousands of items: each is done once, and no worker starves.",
    needs: Needs::Anything,
    runs: Runs::of(4_000, 5_000),
    run,
};

const TASK: &str = "work";
/// Workers of each process.
const WORKERS: usize = 5;
/// How long an item takes, in microseconds.
const ITEM_US: u64 = 1_000;
/// The reference's number of items: too few to share out, so told only.
const FEW: usize = 50;
/// Of a fair share.
const POOREST_MIN: f64 = 0.5;
/// What is looked for in the file.
const KINDS: &[Broken] = &[Broken::IntegrityFaults, Broken::NotSettledOnce];
/// Lines that tell what was broken.
const DETAILS_MAX: usize = 10;

/// What all workers did.
struct Shift {
    /// Items of each worker.
    done: Vec<usize>,
    trouble: Trouble,
    longest_ms: f64,
    /// How often the world outside saw each item.
    seen: BTreeMap<String, usize>,
    faults: Faults,
}

fn run(context: &mut Context) -> Result<(), CaseError> {
    let items = context.runs();
    context.plan(items);
    let few = shift(context, "few", FEW)?;
    let working = few.done.iter().filter(|done| **done > 0).count();
    context.check(Figure::count("workers_with_one_of_50_items", working).reported());
    context.check(Figure::count("items_done_twice_of_50", few.repeated()).at_most(0.0));

    let shift = shift(context, "many", items)?;
    for _ in 0..shift.once() {
        context.advance(true);
    }
    tell(context, &shift, items);
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "some thousand items")]
fn tell(context: &mut Context, shift: &Shift, items: usize) {
    let fair = items as f64 / (MEMBERS * WORKERS) as f64;
    let share = |done: Option<&usize>| done.map_or(f64::NAN, |done| *done as f64 / fair);
    context.check(Figure::count("items_done_once", shift.once()).at_least(items as f64));
    context.check(Figure::count("items_done_twice", shift.repeated()).at_most(0.0));
    context.check(Figure::count("refused", shift.trouble.count).at_most(0.0));
    for check in shift.faults.checks() {
        context.check(check);
    }
    let working = shift.done.iter().filter(|done| **done > 0).count();
    context.check(Figure::count("workers_with_items", working).at_least((MEMBERS * WORKERS) as f64));
    context
        .check(Figure::ratio("poorest_worker_share", share(shift.done.iter().min())).at_least(POOREST_MIN));
    context.check(Figure::ratio("richest_worker_share", share(shift.done.iter().max())).reported());
    context.check(Figure::new("longest_wait_ms", shift.longest_ms, Unit::Ms).reported());
    context.findings.notes.extend(shift.trouble.told.iter().cloned());
    context.findings.notes.extend(shift.faults.details(DETAILS_MAX));
}

fn shift(context: &Context, name: &'static str, items: usize) -> Result<Shift, CaseError> {
    let field = Field::new(context, name)?;
    field.submit(&[TASK.to_owned()], items)?;
    let log = field.path("work.log");
    let options = |_| -> Options {
        let log = log.display().to_string();
        vec![("workers", Box::new(WORKERS)), ("item-us", Box::new(ITEM_US)), ("log", Box::new(log))]
    };
    let mut shift = Shift {
        done: Vec::new(),
        trouble: Trouble::default(),
        longest_ms: 0.0,
        seen: BTreeMap::new(),
        faults: Faults::new(KINDS),
    };
    for hand in start(&field, "work", options)? {
        let report: WorkReport = hand.report()?;
        shift.done.extend(report.done);
        shift.trouble.merge(&report.trouble);
        shift.longest_ms = shift.longest_ms.max(report.longest_ms);
    }
    let text = fs::read_to_string(&log).map_err(CaseError::io("reading the log of the work"))?;
    for item in text.lines() {
        *shift.seen.entry(item.to_owned()).or_default() += 1;
    }
    let audit = field.audit()?;
    shift.faults.look_at_whole(&*audit, name)?;
    for item in audit.items()? {
        if item.status != "succeeded" || item.attempt != 1 {
            let detail = format!("{}: {} after {} claims", item.id, item.status, item.attempt);
            shift.faults.add(Broken::NotSettledOnce, detail);
        }
    }
    Ok(shift)
}

impl Shift {
    fn once(&self) -> usize {
        self.seen.values().filter(|times| **times == 1).count()
    }

    fn repeated(&self) -> usize {
        self.seen.values().filter(|times| **times > 1).count()
    }
}
