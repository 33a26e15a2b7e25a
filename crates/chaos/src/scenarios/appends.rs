//! What is looked at wherever many writers append: all that was acknowledged is there and in its place, every chain is
//! whole, and nobody was refused.

use std::collections::BTreeMap;

use super::faults::{Broken, Faults};
use crate::case::{CaseError, Context};
use crate::crew::field::{Field, Hand};
use crate::crew::{AppendReport, Appended, Trouble};
use crate::report::{Check, Figure, Unit};
use crate::worker::hex;

/// What these cases look for.
const KINDS: &[Broken] =
    &[Broken::AcknowledgedLost, Broken::IntegrityFaults, Broken::ChainBreaks, Broken::SequenceGaps];
/// Lines that tell what was broken.
const DETAILS_MAX: usize = 10;

/// What all writers of a run did together.
#[derive(Debug)]
pub(super) struct Appends {
    faults: Faults,
    /// Checkpoints in the file that somebody was told of, at the place that he was told.
    found: usize,
    /// Of each member, in the order of the members.
    of_each: Vec<usize>,
    trouble: Trouble,
    longest_ms: f64,
    peak_kib: u64,
}

impl Appends {
    /// Waits for the reports of all members, and holds them against the file.
    pub(super) fn gather(field: &Field, tasks: &[String], hands: Vec<Hand>) -> Result<Self, CaseError> {
        let mut all = Self {
            faults: Faults::new(KINDS),
            found: 0,
            of_each: Vec::new(),
            trouble: Trouble::default(),
            longest_ms: 0.0,
            peak_kib: 0,
        };
        let mut told: BTreeMap<String, Vec<Appended>> = BTreeMap::new();
        for hand in hands {
            let report: AppendReport = hand.report()?;
            all.of_each.push(report.appended.len());
            all.trouble.merge(&report.trouble);
            all.longest_ms = all.longest_ms.max(report.longest_ms);
            all.peak_kib = all.peak_kib.max(report.peak_kib);
            for appended in report.appended {
                told.entry(appended.task.clone()).or_default().push(appended);
            }
        }
        let audit = field.audit()?;
        all.faults.look_at_whole(&*audit, "the file")?;
        for task in tasks {
            let (_, rows) = all.faults.look_at_chain(&*audit, task, task)?;
            let there: BTreeMap<String, u64> = rows.iter().map(|row| (hex(&row.id), row.sequence)).collect();
            for Appended { sequence, id, .. } in told.remove(task).unwrap_or_default() {
                if there.get(&id) == Some(&sequence) {
                    all.found += 1;
                } else {
                    let detail = format!("{task}: checkpoint {sequence} ({id}) is not there");
                    all.faults.add(Broken::AcknowledgedLost, detail);
                }
            }
        }
        Ok(all)
    }

    /// Most memory that a member had.
    pub(super) fn peak_kib(&self) -> u64 {
        self.peak_kib
    }

    /// What the poorest member got of a fair share: 1 is fair.
    #[allow(clippy::cast_precision_loss, reason = "some thousand checkpoints")]
    pub(super) fn poorest_share(&self) -> f64 {
        let fair = self.of_each.iter().sum::<usize>() as f64 / self.of_each.len().max(1) as f64;
        self.of_each.iter().min().map_or(f64::NAN, |poorest| *poorest as f64 / fair)
    }

    /// The longest that a writer waited.
    pub(super) fn longest(&self, name: &str) -> Check {
        Figure::new(name, self.longest_ms, Unit::Ms).reported()
    }

    /// Every one of `planned` is there, nobody was refused, and nothing is broken.
    pub(super) fn tell(&self, context: &mut Context, planned: usize) {
        self.tell_as(context, "", planned);
    }

    /// The same, with something before the name of each check.
    #[allow(clippy::cast_precision_loss, reason = "some hundred checkpoints")]
    pub(super) fn tell_as(&self, context: &mut Context, prefix: &str, planned: usize) {
        let locked = self.trouble.told.iter().filter(|error| error.contains("locked")).count();
        let mut checks = vec![
            Figure::count("checkpoints", self.found).at_least(planned as f64),
            Figure::count("refused", self.trouble.count).at_most(0.0),
            Figure::count("locked_errors", locked).at_most(0.0),
        ];
        checks.extend(self.faults.checks());
        for mut check in checks {
            check.name.insert_str(0, prefix);
            context.check(check);
        }
        context.findings.notes.extend(self.trouble.told.iter().map(|error| format!("refused: {error}")));
        context.findings.notes.extend(self.faults.details(DETAILS_MAX));
    }

    /// The share of `planned` that is there: all of it.
    #[allow(clippy::cast_precision_loss, reason = "some hundred checkpoints")]
    pub(super) fn success(&self, planned: usize) -> Check {
        let success = self.found as f64 / planned as f64 * 100.0;
        Figure::new("success", success, Unit::Percent).at_least(100.0).exact()
    }

    /// Counts what was carried out.
    pub(super) fn advance(&self, context: &mut Context) {
        for _ in 0..self.found {
            context.advance(true);
        }
    }
}
