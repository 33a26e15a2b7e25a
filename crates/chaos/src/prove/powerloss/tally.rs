//! What came of all images together, and how it is told.

use std::collections::{BTreeMap, HashSet};

use super::campaign::{Examined, IMAGES_OF_SCRIPT, Ran};
use super::fault::Fault;
use super::judge::Kind;
use super::look::Contents;
use super::{boundary, judge};
use crate::case::Context;
use crate::report::{Figure, Unit};

/// Broken promises that are told in words.
const TOLD_MAX: usize = 5;
/// Images a second that one core must look at.
const RATE_MIN: f64 = 1_000.0;
/// The largest database that a script may make, in bytes.
const DATABASE_BYTES_MAX: f64 = 131_072.0;

const CUT_AGAIN: &str = "cut again during recovery";
const SYNC_FAILED: &str = "sync failed";

/// See the module.
#[derive(Debug)]
pub(super) struct Tally {
    name: String,
    images: usize,
    scripts: usize,
    broken: BTreeMap<Kind, usize>,
    told: Vec<String>,
    /// Boundary and fault of each cut, the second ones apart.
    covered: BTreeMap<(&'static str, Fault), u64>,
    covered_again: BTreeMap<(&'static str, Fault), u64>,
    states: HashSet<Contents>,
    failed_syncs: usize,
    operations: usize,
    database_bytes: usize,
}

impl Tally {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            images: 0,
            scripts: 0,
            broken: BTreeMap::new(),
            told: Vec::new(),
            covered: BTreeMap::new(),
            covered_again: BTreeMap::new(),
            states: HashSet::new(),
            failed_syncs: 0,
            operations: 0,
            database_bytes: 0,
        }
    }

    /// Names every fault and every boundary that must be met.
    pub(super) fn name_faults(context: &mut Context) {
        context.name_faults(Fault::ALL.map(Fault::name));
        context.name_faults([CUT_AGAIN, SYNC_FAILED]);
        let boundaries: Vec<String> = boundary::ALL.iter().map(|name| after(name)).collect();
        context.name_faults(boundaries.iter().map(String::as_str));
    }

    /// Takes in what came of a script.
    pub(super) fn add(&mut self, script: usize, ran: Ran) {
        self.scripts += 1;
        self.failed_syncs += ran.failed_syncs;
        self.operations += ran.operations;
        self.database_bytes = self.database_bytes.max(ran.database_bytes);
        for what in ran.broken {
            *self.broken.entry(Kind::Corrupt).or_default() += 1;
            self.tell(format!("script {script}, without any power cut: {what}"));
        }
        for (number, image) in ran.images.into_iter().enumerate() {
            self.images += 1;
            *self.covered.entry((image.boundary, image.fault)).or_default() += 1;
            if let Some(second) = image.again {
                *self.covered_again.entry(second).or_default() += 1;
            }
            self.states.extend(image.contents);
            if let Some(judge::Broken { kind, what }) = &image.broken {
                *self.broken.entry(*kind).or_default() += 1;
                let image = described(script, number, &image);
                self.tell(format!("{image}: {what}"));
            }
        }
    }

    fn tell(&mut self, what: String) {
        if self.told.len() < TOLD_MAX {
            self.told.push(what);
        }
    }

    /// Images that broke a promise in this way.
    pub(super) fn broken(&self, kind: Kind) -> usize {
        self.broken.get(&kind).copied().unwrap_or(0)
    }

    /// Adds figures, faults and notes.
    pub(super) fn report(self, context: &mut Context, core_seconds: f64) {
        for kind in Kind::ALL {
            context.check(Figure::count(kind.figure(), self.broken(kind)).at_most(0.0));
        }
        let again: u64 = self.covered_again.values().sum();
        let pairs = self.covered.len();
        context.check(Figure::count("images", self.images).reported());
        context.check(Figure::count("images_cut_again", usize::try_from(again).unwrap_or(0)).reported());
        context.check(Figure::count("scripts", self.scripts).reported());
        context.check(Figure::count("operations_recorded", self.operations).reported());
        context.check(Figure::count("boundary_and_fault_pairs", pairs).reported());
        context.check(Figure::count("distinct_states_recovered", self.states.len()).reported());
        #[allow(clippy::cast_precision_loss, reason = "both are far below 2^53")]
        let (rate, bytes) = (self.images as f64 / core_seconds, self.database_bytes as f64);
        let rate = Figure::new("images_a_second_a_core", rate, Unit::PerSecond);
        context.check(rate.at_least(RATE_MIN).advisory());
        let bytes = Figure::new("largest_database", bytes, Unit::Bytes);
        context.check(bytes.at_most(DATABASE_BYTES_MAX).exact());
        self.fire(context, again);
        context.findings.notes.extend(self.coverage());
        context.findings.notes.extend(self.told);
    }

    fn fire(&self, context: &mut Context, again: u64) {
        context.fired(CUT_AGAIN, again);
        context.fired(SYNC_FAILED, self.failed_syncs as u64);
        for ((boundary, fault), times) in &self.covered {
            context.fired(fault.name(), *times);
            context.fired(&after(boundary), *times);
        }
    }

    /// A line for each boundary: how often each fault struck there.
    fn coverage(&self) -> Vec<String> {
        let mut lines: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for ((boundary, fault), times) in &self.covered {
            lines.entry(boundary).or_default().push(format!("{} {times}", fault.name()));
        }
        lines
            .into_iter()
            .map(|(boundary, faults)| format!("after {boundary}: {}", faults.join(", ")))
            .collect()
    }
}

fn after(boundary: &str) -> String {
    format!("cut after {boundary}")
}

fn described(script: usize, number: usize, image: &Examined) -> String {
    let Examined { boundary, fault, again, cut, .. } = image;
    let runs = script * IMAGES_OF_SCRIPT + number + 1;
    let again = again.map_or_else(String::new, |(boundary, fault)| {
        format!(", then cut again after {boundary} of the recovery, {}", fault.name())
    });
    format!("image {runs} (script {script}, cut behind operation {cut}, {boundary}, {}{again})", fault.name())
}

/// The devices that leave out syncs must be found out.
pub(super) fn report_controls(context: &mut Context, normal: &Tally, off: &Tally) {
    let figure = |tally: &Tally, kind| {
        let what = if kind == Kind::Lost { "lost_acknowledged" } else { "corrupt" };
        Figure::count(format!("control_{}_{what}_of_{}", tally.name, tally.images), tally.broken(kind))
    };
    context.check(figure(normal, Kind::Lost).at_least(1.0));
    context.check(figure(normal, Kind::Corrupt).at_most(0.0));
    context.check(figure(off, Kind::Lost).at_least(1.0));
    context.check(figure(off, Kind::Corrupt).at_least(1.0));
}
