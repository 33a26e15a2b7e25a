//! `iofault`: a device that answers EIO, ENOSPC or short writes, at operation 1, 2, 3 … to the end, once and from there
//! on, in each scenario; and the same done to processes for real, by the kernel.
//!
//! The store's device is the shim of [`crate::vfs`] with a model of what a power loss would leave ([`disk`]). What
//! callers were told is held against every row of the file, read by SQL: some course of events must explain both
//! (`explain`), after SIGKILL, after simulated power losses, and after the callers have asked again.

pub mod acts;
mod child;
mod content;
pub mod disk;
mod explain;
mod image;
mod real;
mod shim;
mod sql;
mod subject;
mod trial;

use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::report::Figure;
pub use child::{ChildArgs, ChildError, submit_all};
use trial::{Found, Wrong};

/// The campaign.
pub(super) const CASE: Case = Case {
    id: "iofault",
    title: "I/O Faults",
    shows: "Whatever a failing device does, no acknowledgement is wrong, and what is unknown resolves by asking again.",
    needs: Needs::Processes,
    runs: Runs::levels(1, 10, 100),
    run,
};

/// Lines that tell what was wrong.
const DETAILS_MAX: usize = 10;

fn run(context: &mut Context) -> Result<(), CaseError> {
    let mut found = Found::default();
    let done = carry_out(context, &mut found);
    tell(context, &found);
    done
}

fn carry_out(context: &mut Context, found: &mut Found) -> Result<(), CaseError> {
    // What the kernel is asked to do comes first: where it cannot be asked, that is known at once.
    let planned = real::strike_processes(context, found)?;
    shim::strike_everywhere(context, planned, found)
}

fn tell(context: &mut Context, found: &Found) {
    for wrong in Wrong::ALL {
        let times = found.wrong.iter().filter(|(kind, _)| *kind == wrong).count();
        context.check(Figure::count(wrong.name(), times).at_most(0.0));
    }
    // Without any of these the checks above had nothing to look at.
    context.check(Figure::count("answers_failed", found.failed).at_least(1.0));
    context.check(Figure::count("answers_unknown", found.unknown).at_least(1.0));
    context.check(Figure::count("unknown_and_done", found.unknown_done).reported());
    context.check(Figure::count("unknown_and_not_done", found.unknown_not_done).at_least(1.0));
    context.check(Figure::count("files_looked_at", found.images).at_least(1.0));
    let details = found.wrong.iter().map(|(wrong, detail)| format!("{}: {detail}", wrong.name()));
    context.findings.notes.extend(details.take(DETAILS_MAX));
}
