//! `sigkill`: eight workers and a supervisor on one file, killed at random instants and at every failpoint, while others
//! take over; then what is left is held against what was acknowledged and against the log of the world outside.
//!
//! A [`round`](shift) has a new file and hundreds of kills; its end is looked at by SQL ([`account`]).

mod account;
mod bounds;
mod places;
mod seat;
mod shift;
mod tally;

use crate::case::{Case, CaseError, Context, Needs, Runs};
use shift::Shift;
use tally::Tally;

/// The campaign.
pub(super) const CASE: Case = Case {
    id: "sigkill",
    title: "SIGKILL",
    shows: "However often workers and their supervisor are killed, nothing acknowledged is lost and all work is done.",
    needs: Needs::Processes,
    runs: Runs::levels(200, 3_000, 20_000),
    run,
};

/// Kills on one file: more begin with a new one, so that its opening is met too.
const KILLS_OF_ROUND: usize = 500;
/// Lines that tell what was broken.
const DETAILS_MAX: usize = 10;

fn run(context: &mut Context) -> Result<(), CaseError> {
    context.name_faults(places::names());
    let mut tally = Tally::default();
    let done = rounds(context, &mut tally);
    context.findings.checks = tally.checks(shift::TERM);
    context.findings.notes.extend(tally.faults.details(DETAILS_MAX));
    done
}

fn rounds(context: &mut Context, tally: &mut Tally) -> Result<(), CaseError> {
    let mut round = 0;
    while context.goes_on(tally.kills) {
        let before = tally.faults.count();
        let mut shift = Shift::begin(context, round, tally)?;
        let last = tally.kills + KILLS_OF_ROUND;
        while tally.kills < last && context.goes_on(tally.kills) {
            shift.kill_one(context, tally)?;
        }
        shift.finish(context, tally)?;
        if tally.faults.count() == before {
            shift.remove();
        }
        round += 1;
    }
    Ok(())
}
