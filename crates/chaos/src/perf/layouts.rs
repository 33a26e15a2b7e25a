//! The trial of table layouts: what the store's tables cost beside the floor, and what others would.
//!
//! It answers why a task has an integer beside its name, why checkpoint ids are ordered by time, why
//! pages have 4 KiB, and what the index over the ids takes. It measures the layout alone: digests
//! are ready-made bytes, no lease is checked, nothing queues.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::Serialize;
use steadfast_store::SqliteOptions;

use super::file::FileOptions;
use super::stats::{Paired, Samples, Summary, paired};
use super::table::{self, GroupRun};
use super::variant::{LAYOUTS, Layout, LayoutFile};
use super::{Floor, FloorOptions, PerfError};

/// Some five folds of a log of 4,000 pages, and about a second.
const ROWS_PER_RUN: usize = 6_000;

/// How thorough the trial is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LayoutOptions {
    /// Where the files are made and removed again: a folder on the device that is to be measured.
    pub folder: PathBuf,
    /// Times the files are made anew; every second time the floor's is made first.
    pub rounds: usize,
    /// Pairs of runs with the files of one round.
    pub pairs_per_round: NonZeroUsize,
    /// Rows in a file before anything is measured, a case each.
    pub preloads: Vec<usize>,
    /// Rows a transaction, a case each.
    pub groups: Vec<usize>,
    /// Rows in a run of single-row transactions; runs of larger groups have twice as many. It should
    /// be more than `wal_pages`, so that a run folds the log several times.
    pub rows_per_run: usize,
    /// Pages of 4 KiB in the log at which it is folded into the file.
    pub wal_pages: u32,
    /// What the bytes are drawn from.
    pub seed: u64,
}

impl LayoutOptions {
    /// Sixteen pairs of each case, with 1, 8 and 100 rows a transaction, in files that are empty and
    /// that have 300,000 rows: a quarter of an hour, and 1 GB for a time.
    pub fn new(folder: impl Into<PathBuf>, seed: u64) -> Self {
        let folder = folder.into();
        let wal_pages = SqliteOptions::new(&folder).wal_pages;
        Self {
            folder,
            rounds: 4,
            pairs_per_round: NonZeroUsize::MIN.saturating_add(3),
            preloads: vec![0, 300_000],
            groups: vec![1, 8, 100],
            rows_per_run: ROWS_PER_RUN,
            wal_pages,
            seed,
        }
    }
}

/// What one layout gave in one case.
#[derive(Debug, Clone, Serialize)]
pub struct LayoutFigure {
    /// The layout.
    pub layout: &'static str,
    /// What sets it apart.
    pub about: &'static str,
    /// Rows that were there before.
    pub preload_rows: usize,
    /// Rows a transaction.
    pub group_rows: usize,
    /// Its rows a second as a share of the floor's, pair by pair.
    pub ratio: Summary,
    /// Its rows a second.
    pub rows_per_second: Summary,
    /// The floor's rows a second.
    pub floor_rows_per_second: Summary,
    /// Its longest transaction of each run, with the fold that it ends in, in milliseconds.
    pub stall_ms: Summary,
    /// The floor's.
    pub floor_stall_ms: Summary,
}

/// The whole trial. Displays as a Markdown table.
#[derive(Debug, Clone, Serialize)]
pub struct LayoutReport {
    /// Layout by layout, preload by preload, group by group.
    pub figures: Vec<LayoutFigure>,
    /// Pages of 4 KiB in the log at which it was folded.
    pub wal_pages: u32,
    /// Whether the two sides shared one list of cached pages. See [the module above](super).
    pub shared_page_cache: bool,
}

/// Runs every layout against the floor and calls `progress` with each figure as it is known.
///
/// Files are made below the folder and removed again, also after an error. The thread is busy all
/// the while.
///
/// # Errors
/// [`PerfError`] from the first step that failed.
pub fn layouts(
    options: &LayoutOptions,
    mut progress: impl FnMut(&LayoutFigure),
) -> Result<LayoutReport, PerfError> {
    let mut figures = Vec::new();
    let mut shared_page_cache = false;
    for layout in LAYOUTS {
        for &preload_rows in &options.preloads {
            let mut cases: Vec<Case> = options.groups.iter().map(|&group| Case::new(group)).collect();
            for round in 0..options.rounds {
                let folder = tempfile::tempdir_in(&options.folder)?;
                let mut sides = Sides::open(*layout, folder.path(), options, preload_rows, round % 2 == 0)?;
                shared_page_cache |= sides.floor.shares_page_cache()?;
                for case in &mut cases {
                    case.run(&mut sides, options)?;
                }
            }
            for case in cases {
                let figure = case.figure(layout, preload_rows);
                progress(&figure);
                figures.push(figure);
            }
        }
    }
    Ok(LayoutReport { figures, wal_pages: options.wal_pages, shared_page_cache })
}

/// A layout and the floor, with equal rows in them.
struct Sides {
    layout: LayoutFile,
    floor: Floor,
}

impl Sides {
    fn open(
        layout: Layout,
        folder: &Path,
        options: &LayoutOptions,
        preload_rows: usize,
        floor_first: bool,
    ) -> Result<Self, PerfError> {
        let open_floor = || {
            let mut floor_options = FloorOptions::new(folder.join("floor.db"), options.seed);
            floor_options.preload_rows = preload_rows;
            floor_options.wal_pages = options.wal_pages;
            Floor::create(&floor_options)
        };
        let open_layout = || {
            let (path, page_size) = (folder.join("layout.db"), layout.page_size);
            let file = FileOptions { path, page_size, vfs: None, wal_pages: options.wal_pages };
            let mut layout = LayoutFile::create(layout, &file, options.seed)?;
            table::fill(&mut layout, preload_rows)?;
            Ok::<_, PerfError>(layout)
        };
        let mut sides = if floor_first {
            let floor = open_floor()?;
            Self { layout: open_layout()?, floor }
        } else {
            let layout = open_layout()?;
            Self { layout, floor: open_floor()? }
        };
        sides.floor.warm()?;
        table::warm(&mut sides.layout)?;
        Ok(sides)
    }
}

/// A group size and what it has given so far.
struct Case {
    group_rows: usize,
    ratios: Vec<f64>,
    speeds: Vec<f64>,
    floor_speeds: Vec<f64>,
    stalls: Vec<f64>,
    floor_stalls: Vec<f64>,
}

impl Case {
    fn new(group_rows: usize) -> Self {
        let empty = Vec::new;
        Self {
            group_rows,
            ratios: empty(),
            speeds: empty(),
            floor_speeds: empty(),
            stalls: empty(),
            floor_stalls: empty(),
        }
    }

    fn run(&mut self, sides: &mut Sides, options: &LayoutOptions) -> Result<(), PerfError> {
        let Self { group_rows, stalls, floor_stalls, .. } = self;
        let rows = rows_of_a_run(*group_rows, options.rows_per_run);
        let Sides { layout, floor } = sides;
        let speed = |run: &GroupRun, stalls: &mut Vec<f64>| {
            stalls.push(run.transactions_ms.max());
            run.rows_per_second()
        };
        let outcome = paired::<PerfError>(
            options.pairs_per_round,
            || Ok(speed(&table::group_loop(layout, *group_rows, rows)?, stalls)),
            || Ok(speed(&floor.group_loop(*group_rows, rows)?, floor_stalls)),
        )?;
        let Paired { ratio, subject, base } = outcome;
        self.ratios.extend(ratio.values());
        self.speeds.extend(subject.values());
        self.floor_speeds.extend(base.values());
        Ok(())
    }

    fn figure(self, layout: &Layout, preload_rows: usize) -> LayoutFigure {
        let summary = |values| Samples::new(values).summary();
        LayoutFigure {
            layout: layout.name,
            about: layout.about,
            preload_rows,
            group_rows: self.group_rows,
            ratio: summary(self.ratios),
            rows_per_second: summary(self.speeds),
            floor_rows_per_second: summary(self.floor_speeds),
            stall_ms: summary(self.stalls),
            floor_stall_ms: summary(self.floor_stalls),
        }
    }
}

/// Larger groups write fewer pages a row, so that a run of them needs more rows to fold the log as often.
fn rows_of_a_run(group_rows: usize, rows_per_run: usize) -> usize {
    if group_rows > 1 { rows_per_run * 2 } else { rows_per_run }
}

impl fmt::Display for LayoutReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| layout | rows before | rows a transaction | share of the floor | floor, rows/s | stall, ms | floor's |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for figure in &self.figures {
            writeln!(
                f,
                "| {} | {} | {} | {:.2} ({:.2} to {:.2}) | {:.0} | {:.1} | {:.1} |",
                figure.layout,
                figure.preload_rows,
                figure.group_rows,
                figure.ratio.p50,
                figure.ratio.p25,
                figure.ratio.p75,
                figure.floor_rows_per_second.p50,
                figure.stall_ms.p50,
                figure.floor_stall_ms.p50,
            )?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "Medians, in brackets the middle half of the pairs; the stall is the longest transaction of a run. \
             The log is folded at {} pages of 4 KiB.",
            self.wal_pages
        )?;
        if self.shared_page_cache {
            writeln!(
                f,
                "This SQLite keeps the pages of all connections in one list; both sides suffer from it."
            )?;
        }
        let mut told = None;
        for figure in self.figures.iter().filter(|figure| told.replace(figure.layout) != Some(figure.layout))
        {
            writeln!(f, "- `{}`: {}", figure.layout, figure.about)?;
        }
        Ok(())
    }
}
