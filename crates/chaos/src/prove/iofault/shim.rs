//! Striking every operation of every scenario in turn, several at a time.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use super::acts::{NAMES, Scenario};
use super::disk::{Sickness, StrikeAt};
use super::trial::{Bench, Found};
use crate::case::{CaseError, Context};

/// Where Linux keeps files in memory.
const MEMORY: &str = "/dev/shm";
/// Trials at once.
const AT_ONCE: usize = 2;

/// The name of the fault.
const fn fault_name(sickness: Sickness, is_lasting: bool) -> &'static str {
    match (sickness, is_lasting) {
        (Sickness::Eio, false) => "eio_once",
        (Sickness::Eio, true) => "eio_sticky",
        (Sickness::Enospc, false) => "enospc_once",
        (Sickness::Enospc, true) => "enospc_sticky",
        (Sickness::ShortWrite, false) => "short_write_once",
        (Sickness::ShortWrite, true) => "short_write_sticky",
    }
}

/// All strikes of every scenario, for as many seeds as there are runs; beside what was planned already.
pub(super) fn strike_everywhere(
    context: &mut Context,
    mut planned: usize,
    found: &mut Found,
) -> Result<(), CaseError> {
    let both = [false, true];
    let kinds = Sickness::ALL.into_iter().flat_map(|sickness| both.map(|lasting| (sickness, lasting)));
    context.name_faults(kinds.clone().map(|(sickness, lasting)| fault_name(sickness, lasting)));
    let memory = memory_folder(context)?;
    let mut round = 0;
    while context.goes_on(round) {
        let seed = context.rng(round).u64(..);
        for name in NAMES {
            let scenario = Scenario::named(name, seed).map_err(CaseError::store("make a scenario"))?;
            let Some(scenario) = scenario else { continue };
            let folder = memory.path().join(format!("{name}-{round}"));
            let counted = count(&scenario, &folder)?;
            let strikes = kinds.clone().flat_map(|(sickness, lasting)| {
                (1..=counted[sickness as usize]).map(move |operation| StrikeAt {
                    operation,
                    lasting,
                    sickness,
                })
            });
            let strikes: Vec<StrikeAt> = strikes.collect();
            planned += strikes.len();
            context.plan(planned);
            strike_all(context, &scenario, &folder, &strikes, found)?;
            // What cannot be removed now goes with the folder of the campaign.
            drop(std::fs::remove_dir_all(&folder));
        }
        round += 1;
    }
    Ok(())
}

/// A folder in memory, where the machine has one: what a power loss leaves is modelled, so no real device need be waited
/// for. What lies there is of no use after a failure; its seed shows it again.
fn memory_folder(context: &Context) -> Result<tempfile::TempDir, CaseError> {
    let prefixed = |parent: &Path| tempfile::Builder::new().prefix("steadfast-iofault-").tempdir_in(parent);
    let made = prefixed(Path::new(MEMORY)).or_else(|_| prefixed(context.folder()));
    made.map_err(CaseError::io("making a folder"))
}

/// How many operations of this scenario each sickness can strike.
fn count(scenario: &Scenario, folder: &Path) -> Result<[u64; Sickness::ALL.len()], CaseError> {
    let vfs = vfs_name(folder, "count");
    let mut bench = Bench::new(scenario, &folder.join("count"), &vfs)?;
    let mut counted = [0; Sickness::ALL.len()];
    for sickness in Sickness::ALL {
        counted[sickness as usize] = bench.operations(|disk| disk.seen(sickness))?;
    }
    Ok(counted)
}

fn vfs_name(folder: &Path, bench: &str) -> String {
    format!("iofault-{bench}-{}", folder.display())
}

/// Trials that are taken in turn by several benches.
fn strike_all(
    context: &mut Context,
    scenario: &Scenario,
    folder: &Path,
    strikes: &[StrikeAt],
    found: &mut Found,
) -> Result<(), CaseError> {
    let (told, tells) = mpsc::channel();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for first in 0..AT_ONCE {
            let (told, is_over) = (told.clone(), &is_over);
            scope.spawn(move || {
                let one = |bench: &mut Bench<'_>, strike: StrikeAt| bench.strike(strike);
                let name = format!("bench-{first}");
                let bench = Bench::new(scenario, &folder.join(&name), &vfs_name(folder, &name));
                let mut bench = match bench {
                    Ok(bench) => bench,
                    // Nobody listens any more when another has failed.
                    Err(error) => return drop(told.send((strikes[0], Err(error)))),
                };
                for &strike in strikes.iter().skip(first).step_by(AT_ONCE) {
                    if is_over.load(Ordering::Acquire)
                        || told.send((strike, one(&mut bench, strike))).is_err()
                    {
                        return;
                    }
                }
            });
        }
        drop(told);
        let done = take_note(context, &tells, found);
        is_over.store(true, Ordering::Release);
        done
    })
}

fn take_note(
    context: &mut Context,
    tells: &mpsc::Receiver<(StrikeAt, Result<Found, CaseError>)>,
    found: &mut Found,
) -> Result<(), CaseError> {
    loop {
        match tells.recv_timeout(context.deadline().left()) {
            Ok((strike, one)) => {
                let one = one?;
                context.fired(fault_name(strike.sickness, strike.lasting), one.struck);
                // What struck nothing shows nothing.
                context.advance(one.struck > 0);
                found.merge(one);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                return Err(CaseError::TimedOut { what: "the next trial".to_owned() });
            }
        }
    }
}
