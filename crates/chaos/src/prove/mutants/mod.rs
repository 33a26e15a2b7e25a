//! The campaign `mutants`: a check that cannot fail is a defect. Each planted bug must be caught by the campaign and the
//! check that are named for it, at the level before each change; and from `nightly` on every small change to the pure
//! decisions must be seen by some test, or stand in a list with the reason why it cannot.

mod decisions;
mod planted;
mod survivors;
mod table;

use crate::case::{Case, CaseError, Context, Level, Needs, Runs};
use crate::report::Figure;

use planted::{Child, Runner};
use table::{CATCHES, Catch};

/// The campaign.
pub(super) const CASE: Case = Case {
    id: "mutants",
    title: "Planted Bugs and Mutants",
    shows: "Each planted bug is caught by the check that is named for it, and no change to a decision goes unseen.",
    needs: Needs::Anything,
    runs: Runs::whole(1, 1, 1),
    run,
};

fn run(context: &mut Context) -> Result<(), CaseError> {
    let controls = controls();
    context.plan(controls.len() + CATCHES.len());
    context.name_faults(CATCHES.iter().map(|catch| catch.bug.name()));
    let runner = Runner::find(context)?;
    let mut failed = 0;
    for catch in &controls {
        let child = runner.run(context, None, catch).unwrap_or_else(Child::broken);
        failed += usize::from(!child.passed);
        if !child.passed {
            let told = format!("without a bug, {} failed:", catch.campaign);
            context.findings.notes.push(told);
            context.findings.notes.extend(child.told);
        }
        context.advance(true);
    }
    context.check(Figure::count("campaigns_that_fail_without_a_bug", failed).at_most(0.0));
    for catch in CATCHES {
        let child = runner.run(context, Some(catch.bug), catch).unwrap_or_else(Child::broken);
        context.fired(catch.bug.name(), u64::from(child.planted.as_deref() == Some(catch.bug.name())));
        judge(context, catch, child);
        context.advance(true);
    }
    if context.settings().level > Level::Pr {
        decisions::survive(context)?;
    }
    Ok(())
}

/// Each campaign once, as it is run with a bug.
fn controls() -> Vec<&'static Catch> {
    let mut controls: Vec<&Catch> = Vec::new();
    for catch in CATCHES {
        let is_known = |known: &&Catch| known.campaign == catch.campaign && known.runs == catch.runs;
        if !controls.iter().any(is_known) {
            controls.push(catch);
        }
    }
    controls
}

/// A bug is caught when the check that is named for it failed. That its campaign failed somehow is not enough.
fn judge(context: &mut Context, catch: &Catch, child: Child) {
    let is_caught = child.failed_checks.iter().any(|failed| catch.checks.contains(&failed.as_str()));
    let name = format!("{} caught by {}", catch.bug.name(), catch.campaign);
    context.check(Figure::count(name, usize::from(is_caught)).at_least(1.0));
    if is_caught {
        let seen = child.failed_checks.join(", ");
        context.findings.notes.push(format!("{}: {seen}", catch.bug.name()));
    } else {
        let wanted = catch.checks.join(" or ");
        let told = format!("{} was not caught by {wanted}; its campaign said:", catch.bug.name());
        context.findings.notes.push(told);
        context.findings.notes.extend(child.told);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::Duration;

    use steadfast_store::planted::Bug;

    use super::*;
    use crate::case::{Backend, Settings};
    use crate::prove::CAMPAIGNS;

    /// Whether a bug counts as caught when these checks of its campaign failed.
    fn is_caught(failed: &[&str]) -> bool {
        let settings = Settings {
            backend: Backend::Sqlite,
            level: Level::Pr,
            seed: 1,
            runs: None,
            budget: None,
            timeout: Duration::ZERO,
            folder: PathBuf::new(),
            planted: None,
            sync_delay: None,
            url: None,
        };
        let mut context = Context::new(CASE, Arc::new(settings), PathBuf::new());
        let failed_checks = failed.iter().map(|name| (*name).to_owned()).collect();
        let catch = Catch { bug: Bug::TornBatch, campaign: "a", runs: 1, checks: &["torn", "half"] };
        judge(&mut context, &catch, Child { failed_checks, ..Child::default() });
        context.findings.checks.iter().all(|check| !check.is_failure())
    }

    #[test]
    fn a_bug_is_caught_by_the_check_that_is_named_for_it_and_by_no_other() {
        assert!(is_caught(&["half"]) && is_caught(&["lost", "torn"]));
        assert!(!is_caught(&[]) && !is_caught(&["lost"]));
    }

    #[test]
    fn every_bug_has_a_campaign_that_is_there_and_checks_that_are_named() {
        let bugs: HashSet<Bug> = CATCHES.iter().map(|catch| catch.bug).collect();
        assert!(Bug::ALL.iter().all(|bug| bugs.contains(bug)), "{bugs:?}");
        for catch in CATCHES {
            assert!(CAMPAIGNS.iter().any(|case| case.id == catch.campaign), "{}", catch.campaign);
            assert!(!catch.checks.is_empty() && catch.runs > 0, "{catch:?}");
        }
    }
}
