//! `layouts`: the trial of table layouts, as a table. It has no limits, and runs only when it is named.

use std::num::NonZeroUsize;

use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::perf::{LayoutOptions, layouts};
use crate::report::Figure;

/// The case.
pub(super) const CASE: Case = Case {
    id: "layouts",
    title: "Table Layouts",
    shows: "What the store's tables cost beside the floor, and what others would. Runs only when it is named.",
    needs: Needs::File,
    runs: Runs::of(4, 16),
    run,
};

/// Pairs with files that are not made anew.
const PAIRS_PER_ROUND: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

fn run(context: &mut Context) -> Result<(), CaseError> {
    let folder = tempfile::tempdir_in(context.folder()).map_err(CaseError::io("a folder for the files"))?;
    let mut options = LayoutOptions::new(folder.path(), context.settings().seed);
    options.pairs_per_round = PAIRS_PER_ROUND;
    options.rounds = context.runs().div_ceil(PAIRS_PER_ROUND.get());
    if context.settings().is_quick() {
        options.preloads = vec![0];
        options.groups = vec![1, 100];
        options.rows_per_run /= 4;
    }
    let mut figures = 0;
    let report = layouts(&options, |_| figures += 1)?;
    context.plan(figures);
    for figure in &report.figures {
        let (layout, preload, group) = (figure.layout, figure.preload_rows, figure.group_rows);
        context
            .check(Figure::ratio(format!("{layout}_{preload}_rows_by_{group}"), figure.ratio.p50).reported());
        context.advance(true);
    }
    context.findings.notes.extend(report.to_string().lines().map(str::to_owned));
    Ok(())
}
