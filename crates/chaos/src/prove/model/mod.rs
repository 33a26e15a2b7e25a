//! The campaign `model`: every state that the protocol of leases and sweeps can reach with three workers and two items,
//! over the store's own decisions, and none of them may break a promise. The same with flawed decisions must find one
//! that does.

mod promises;
mod protocol;
mod rows;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use crate::case::{Case, CaseError, Context, Needs, Runs};
use crate::report::Figure;

use promises::SITUATIONS;
use protocol::{FAULTS, Protocol, Step};
use rows::{Flaw, Rows, Size};
use state::{Promise, State};

/// The campaign.
pub(super) const CASE: Case = Case {
    id: "model",
    title: "Model of Leases and Sweeps",
    shows: "In every state that three workers and two items can reach, with pauses, crashes and unknown answers, no promise about leases is broken.",
    needs: Needs::Anything,
    runs: Runs::whole(1, 2, 3),
    run,
};

/// What each run explores: every level all that the one before does, and one size more.
const SIZES: [Size; 3] =
    [Size { term: 2, attempts: 2 }, Size { term: 2, attempts: 3 }, Size { term: 3, attempts: 3 }];
/// What the flaws are tried in: enough for each of them to show.
const SMALL: Size = Size { term: 1, attempts: 2 };
/// Cores that it uses.
const THREADS: usize = 2;

/// What an exploration found.
#[derive(Debug)]
struct Explored {
    states: usize,
    transitions: usize,
    depth: usize,
    /// Whether nothing was left to explore.
    is_whole: bool,
    /// Promises that some state breaks, each with the shortest way there.
    broken: Vec<(&'static str, Vec<String>)>,
    /// Situations that came up.
    situations: usize,
    met: [u64; FAULTS.len()],
}

fn run(context: &mut Context) -> Result<(), CaseError> {
    context.name_faults(FAULTS);
    context.plan(context.runs().min(SIZES.len()) + Flaw::ALL.len());
    for size in SIZES.into_iter().take(context.runs()) {
        let explored = explore(size, Flaw::None, None, context.deadline().left())?;
        let name = |what: &str| format!("{what},_term_{},_{}_attempts", size.term, size.attempts);
        context.check(Figure::count(name("states"), explored.states).reported());
        context.check(Figure::count(name("transitions"), explored.transitions).reported());
        context.check(Figure::count(name("depth"), explored.depth).reported());
        context.check(Figure::count(name("exhausted"), usize::from(explored.is_whole)).at_least(1.0));
        context.check(Figure::count(name("promises_broken"), explored.broken.len()).at_most(0.0));
        let all = u32::try_from(SITUATIONS.len()).unwrap_or(u32::MAX);
        context.check(Figure::count(name("situations_met"), explored.situations).at_least(all.into()));
        for (fault, times) in FAULTS.into_iter().zip(explored.met) {
            context.fired(fault, times);
        }
        tell(context, &explored);
        context.advance(explored.is_whole);
        if !explored.broken.is_empty() {
            // On top of a decision that is wrong already the flaws show nothing.
            return Ok(());
        }
    }
    controls(context)
}

/// The model must find what each flaw breaks.
fn controls(context: &mut Context) -> Result<(), CaseError> {
    let mut unfound = 0;
    for (flaw, promise) in Flaw::ALL {
        let explored = explore(SMALL, flaw, Some(promise), context.deadline().left())?;
        let way = explored.broken.iter().find(|(name, _)| *name == promise.name());
        match way {
            Some((name, way)) if flaw == Flaw::NoFenceCheck => {
                context
                    .check(Figure::count("steps_to_a_stale_effect_without_fences", way.len()).at_least(1.0));
                context.findings.notes.push(format!("without the fence check, against \"{name}\":"));
                context.findings.notes.extend(way.iter().map(|step| format!("  {step}")));
            }
            Some(_) => {}
            None => {
                unfound += 1;
                let told = format!("{flaw:?} broke nothing: \"{}\" cannot fail", promise.name());
                context.findings.notes.push(told);
            }
        }
        context.advance(true);
    }
    context.check(Figure::count("flaws_tried", Flaw::ALL.len()).reported());
    context.check(Figure::count("flaws_not_found", unfound).at_most(0.0));
    Ok(())
}

fn tell(context: &mut Context, explored: &Explored) {
    for (name, way) in &explored.broken {
        context.findings.notes.push(format!("broken: {name}; the shortest way there:"));
        context.findings.notes.extend(way.iter().map(|step| format!("  {step}")));
    }
}

/// Explores everything; with a promise sought, until it is broken.
fn explore(size: Size, flaw: Flaw, sought: Option<Promise>, time: Duration) -> Result<Explored, CaseError> {
    let rows = Rows::new(size, flaw).map_err(CaseError::store("name the rows of the model"))?;
    // With a flaw the workers keep their names, so that a counterexample can be read.
    let model = Protocol::new(rows, sought.is_none());
    let started = Instant::now();
    // One thread finds the shortest way, and the same in each run.
    let threads = if sought.is_some() { 1 } else { THREADS };
    let builder = model.checker().threads(threads).timeout(time);
    let checker = match sought {
        None => builder.finish_when(HasDiscoveries::AnyFailures),
        Some(promise) => builder.finish_when(HasDiscoveries::AllOf(BTreeSet::from([promise.name()]))),
    }
    .spawn_bfs()
    .join();
    let is_whole = started.elapsed() < time && checker.is_done();
    let mut broken = Vec::new();
    let mut situations = 0;
    for (name, path) in checker.discoveries() {
        if SITUATIONS.contains(&name) {
            situations += 1;
        } else {
            broken.push((name, path.into_vec().into_iter().filter_map(told).collect()));
        }
    }
    Ok(Explored {
        states: checker.unique_state_count(),
        transitions: checker.state_count(),
        depth: checker.max_depth(),
        is_whole,
        broken,
        situations,
        met: checker.model().met.each_ref().map(|times| times.load(Ordering::Relaxed)),
    })
}

/// One step of a way, as it is printed.
fn told((state, step): (State, Option<Step>)) -> Option<String> {
    let items = state.items.map(|item| {
        let lease = item.lease.map_or_else(String::new, |left| format!(", lease ends in {left}"));
        format!("{}, attempt {}{lease}", item.status, item.attempt)
    });
    step.map(|step| format!("{step:?}, while the items are: {}", items.join("; ")))
}
