//! Recognises a batch that had been applied before, by the rows that its commands would have left: nothing is stored
//! only to remember an answer.

use crate::batch::{Batch, Entry};
use crate::command::{Claim, Command, SweepExpired};
use crate::decide::batch::{Step, Verdict, decide_one, told};
use crate::decide::overlay::{Overlay, claim_order};
use crate::decide::{Rows, decide_guard, error_boundary};
use crate::id::TransitionId;
use crate::outcome::{Applied, Claimed, Committed, Outcome, Rejection, Renewed, Swept};
use crate::record::{Fence, Status, WorkItem};
use crate::time::Now;

/// Whether the command's identity was made for one batch, so that finding it applied says the same of that batch. A
/// task, an item, a result or a settlement that is there already says nothing about the rest: one may have been
/// recorded alone before it is named again beside a new checkpoint.
pub(super) fn is_for_one_batch(command: &Command) -> bool {
    matches!(
        command,
        Command::AppendCheckpoint(_)
            | Command::BeginOperation(_)
            | Command::Claim(_)
            | Command::SweepExpired(_)
            | Command::Requeue(_)
    )
}

/// What a command's rows say of whether it was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trace {
    /// By this batch, whatever else it holds: its identity was made for one batch.
    Certain,
    /// Everything is as it would have left it, or was once.
    There,
    /// It has no row of its own, or another command has changed it since.
    Untold,
    /// What it would have left, and nothing takes away, is not there.
    Missing,
}

/// Whether the whole batch had been applied. A checkpoint's id belongs to it alone: where the batch has one, its row
/// decides. Otherwise an identity that was made for one batch does; and without one, nothing may be missing, and
/// either a result or a settlement is there or every command would change nothing.
fn was_applied<R: Rows>(rows: &mut R, batch: &Batch, now: Now) -> Result<bool, R::Error> {
    let is_append = |entry: &&Entry| matches!(entry.command, Command::AppendCheckpoint(_));
    if batch.entries().iter().any(|entry| is_append(&entry)) {
        for entry in batch.entries().iter().filter(is_append) {
            if trace(rows, entry, now)? == Trace::Certain {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    let traces: Vec<Trace> =
        batch.entries().iter().map(|entry| trace(rows, entry, now)).collect::<Result<_, _>>()?;
    if traces.contains(&Trace::Certain) {
        return Ok(true);
    }
    let mut tells =
        batch.entries().iter().zip(&traces).filter(|(entry, _)| {
            matches!(entry.command, Command::FinishOperation(_) | Command::SettleItem(_))
        });
    let is_told = tells.any(|(_, trace)| *trace == Trace::There);
    Ok(!traces.contains(&Trace::Missing) && (is_told || traces.iter().all(|trace| *trace == Trace::There)))
}

/// What the rows say of one command, without its guard: a lease that was lost since undoes nothing.
fn trace<R: Rows>(rows: &mut R, entry: &Entry, now: Now) -> Result<Trace, R::Error> {
    // Claims and sweeps are recognised before they choose anything, the others from their one row.
    let step = match &entry.command {
        Command::Claim(Claim { claim: moved, .. })
        | Command::SweepExpired(SweepExpired { sweep: moved, .. }) => {
            let is_there = !rows.moved_by(*moved)?.is_empty();
            return Ok(if is_there { Trace::Certain } else { Trace::Untold });
        }
        _ => decide_one(&mut Overlay::new(rows), entry, now)?,
    };
    let is_there = matches!(step, Step::Replayed(_) | Step::Superseded);
    Ok(match &entry.command {
        command if is_for_one_batch(command) => {
            if is_there {
                Trace::Certain
            } else {
                Trace::Untold
            }
        }
        _ if is_there => Trace::There,
        // Tasks, their ends and items stay for ever.
        Command::CreateTask(_) | Command::FinishTask(_) | Command::Enqueue(_) => Trace::Missing,
        Command::SettleItem(settle) => match rows.item(&settle.guard.item)? {
            // A later settlement has taken the place of this one, if it was made.
            Some(item) if item.settled.is_some_and(|(fence, _)| fence > settle.guard.fence) => Trace::Untold,
            _ => Trace::Missing,
        },
        // A result stays with its token; only a purge, or a beginning in its place, takes it away.
        Command::FinishOperation(finish) if finish.end.output().is_some() => {
            match rows.operation(&finish.key)? {
                Some(operation) if operation.owner.token == finish.token => Trace::Missing,
                _ => Trace::Untold,
            }
        }
        _ => Trace::Untold,
    })
}

/// Some command cannot be applied. Either that is because the whole batch had been, or it is rejected.
pub(super) fn recall_or_reject<R: Rows>(
    rows: &mut R,
    batch: &Batch,
    now: Now,
    rejection: Rejection,
) -> Result<Verdict, R::Error> {
    if was_applied(rows, batch, now)? {
        return recall(rows, batch, now);
    }
    Ok(Verdict { answer: Committed::Rejected(rejection), writes: Vec::new(), rests_on_earlier: false })
}

/// Answers for a batch that had been applied: atomicity says that then all of it was.
fn recall<R: Rows>(rows: &mut R, batch: &Batch, now: Now) -> Result<Verdict, R::Error> {
    let mut outcomes = Vec::with_capacity(batch.entries().len());
    for entry in batch.entries() {
        let outcome = match &entry.command {
            Command::Renew(renew) => rows
                .item(&renew.guard.item)?
                .filter(|item| decide_guard(Some(item), &renew.guard).is_ok())
                .and_then(|item| item.lease)
                .map(|lease| Outcome::Renewed(Renewed { expires_at: lease.expires_at })),
            Command::Claim(claim) => recall_claim(rows, claim.claim)?,
            Command::SweepExpired(sweep) => recall_sweep(rows, sweep.sweep)?,
            _ => match decide_one(&mut Overlay::new(rows), entry, now)? {
                // A verdict recorded again says what it said.
                Step::Replayed(outcome) | Step::Applied(outcome @ Outcome::VerificationRecorded(_)) => {
                    Some(outcome)
                }
                Step::Applied(_) | Step::Superseded | Step::Rejected(_) => None,
            },
        };
        outcomes.push(outcome.unwrap_or(Outcome::Superseded));
    }
    let answer = Committed::Applied(Applied::new(outcomes, true));
    Ok(Verdict { answer, writes: Vec::new(), rests_on_earlier: true })
}

fn recall_claim<R: Rows>(rows: &mut R, claim: TransitionId) -> Result<Option<Outcome>, R::Error> {
    let mut items = rows.moved_by(claim)?;
    items.retain(|item| item.status == Status::InProgress);
    items.sort_by_key(claim_order);
    Ok((!items.is_empty()).then_some(Outcome::Claimed(Claimed { items })))
}

fn recall_sweep<R: Rows>(rows: &mut R, sweep: TransitionId) -> Result<Option<Outcome>, R::Error> {
    let mut reclaimed = Vec::new();
    for item in rows.moved_by(sweep)? {
        if !is_called_off_since(rows, &item, sweep)? {
            reclaimed.push(told(&item, sweep, ""));
        }
    }
    reclaimed.sort_by(|a, b| a.item.cmp(&b.item));
    Ok((!reclaimed.is_empty()).then_some(Outcome::Swept(Swept { reclaimed })))
}

/// Whether somebody called the item off after `sweep` had reclaimed it: its row still names the sweep, but fence and
/// status are another's. A reclaim itself cancels only what belongs to an ended task, and leaves no boundary then.
fn is_called_off_since<R: Rows>(
    rows: &mut R,
    item: &WorkItem,
    sweep: TransitionId,
) -> Result<bool, R::Error> {
    if item.status != Status::Cancelled {
        return Ok(false);
    }
    if rows.task(&item.task)?.is_some_and(|task| !task.status.is_terminal()) {
        return Ok(true);
    }
    let (status, fence) = (Status::Pending, Fence(item.fence.0.saturating_sub(1)));
    let before = WorkItem { status, fence, ..item.clone() };
    match error_boundary(&before, sweep, "") {
        Some(boundary) => Ok(rows.checkpoint(boundary.id)?.is_some()),
        None => Ok(false),
    }
}
