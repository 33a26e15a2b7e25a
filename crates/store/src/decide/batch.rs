//! Decides a whole batch: its commands in order, each over the rows as the ones before it leave them.

use crate::batch::{Batch, Entry};
use crate::command::{Claim, Command, SweepExpired};
use crate::decide::overlay::Overlay;
use crate::decide::recall::{is_for_one_batch, recall_or_reject};
use crate::decide::sweep::BOUNDARY;
use crate::decide::{
    Decision, Rows, StoredCheckpoint, Write, called_off, decide_append, decide_begin, decide_cancel_item,
    decide_claim, decide_create_task, decide_enqueue, decide_finish_operation, decide_finish_task,
    decide_guard, decide_invalidate, decide_prune, decide_reclaim, decide_record_verification, decide_renew,
    decide_requeue, decide_settle, error_boundary,
};
use crate::id::{Label, TransitionId, WorkItemId};
use crate::outcome::{
    Applied, Claimed, Committed, Erased, Outcome, Purged, Reason, Reclaimed, Rejection, Swept,
};
use crate::planted::{self, Bug};
use crate::record::{CheckpointHeader, Fence, Operation, OperationStatus, WorkItem};
use crate::time::{Now, StoreTime};

/// Items of ended tasks that one claim calls off before it gives up for this time: they change the store, so whoever
/// waits for work looks again.
const CALLED_OFF_MAX: usize = 256;

/// What becomes of a batch.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// What the caller is told.
    pub(crate) answer: Committed,
    /// What must be written before that is true; empty for a rejection and for a batch applied before.
    pub(crate) writes: Vec<Write>,
    /// Whether the answer repeats what an earlier batch did: then that must be as durable as this one asks for.
    #[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), allow(dead_code))]
    // memory keeps nothing beyond its process
    pub(crate) rests_on_earlier: bool,
}

/// One command's decision, its row already noted in the overlay.
pub(super) enum Step {
    Applied(Outcome),
    Replayed(Outcome),
    Superseded,
    Rejected(Reason),
}

/// Decides `batch` over `rows`.
pub(crate) fn decide_batch<R: Rows>(rows: &mut R, batch: &Batch, now: Now) -> Result<Verdict, R::Error> {
    let mut overlay = Overlay::new(rows);
    let mut outcomes = Vec::with_capacity(batch.entries().len());
    let mut rests_on_earlier = false;
    for (index, entry) in batch.entries().iter().enumerate() {
        if index + 1 == batch.entries().len() {
            overlay.begin_last();
        }
        let held = match entry.lease() {
            Some(guard) => decide_guard(overlay.item(&guard.item)?.as_ref(), guard),
            None => Ok(()),
        };
        let step = match held {
            Ok(()) => decide_one(&mut overlay, entry, now)?,
            Err(reason) => Step::Rejected(reason),
        };
        match step {
            Step::Applied(outcome) => outcomes.push(outcome),
            Step::Replayed(outcome) if !is_for_one_batch(&entry.command) => {
                rests_on_earlier = true;
                outcomes.push(outcome);
            }
            Step::Replayed(_) | Step::Superseded => {
                let reason = why_not_again(&mut overlay, &entry.command)?;
                return recall_or_reject(overlay.rows, batch, now, Rejection { index, reason });
            }
            Step::Rejected(reason) => {
                return recall_or_reject(overlay.rows, batch, now, Rejection { index, reason });
            }
        }
    }
    let writes = overlay.into_writes();
    let answer = Committed::Applied(Applied::new(outcomes, rests_on_earlier && writes.is_empty()));
    Ok(Verdict { answer, writes, rests_on_earlier })
}

/// Why a command that was applied by another batch cannot be applied by this one.
fn why_not_again<R: Rows>(rows: &mut Overlay<'_, R>, command: &Command) -> Result<Reason, R::Error> {
    if let Command::SettleItem(settle) = command
        && let Err(reason) = decide_guard(rows.item(&settle.guard.item)?.as_ref(), &settle.guard)
    {
        return Ok(reason);
    }
    Ok(Reason::RepeatedIdentity)
}

pub(super) fn told(item: &WorkItem, sweep: TransitionId, holder: &str) -> Reclaimed {
    Reclaimed {
        item: item.id.clone(),
        task: item.task.clone(),
        stale: Fence(item.fence.0.saturating_sub(1)),
        status: item.status,
        checkpoint: error_boundary(item, sweep, holder).map(|boundary| boundary.id),
    }
}

pub(super) fn decide_one<R: Rows>(
    rows: &mut Overlay<'_, R>,
    entry: &Entry,
    now: Now,
) -> Result<Step, R::Error> {
    Ok(match &entry.command {
        Command::CreateTask(command) => {
            let existing = rows.task(&command.task)?;
            let decision = decide_create_task(existing.as_ref(), command, now);
            note(rows, decision, Outcome::TaskCreated, |task| Write::InsertTask(task, command.input.clone()))
        }
        Command::FinishTask(command) => {
            let existing = rows.task(&command.task)?;
            let decision = decide_finish_task(existing.as_ref(), command, now);
            note(rows, decision, Outcome::TaskFinished, |task| {
                Write::FinishTask(task, command.result.clone())
            })
        }
        Command::Enqueue(command) => {
            let existing = rows.item(&command.item)?;
            let task = rows.task(&command.task)?;
            let decision = decide_enqueue(existing.as_ref(), task.as_ref(), command, now);
            note(rows, decision, Outcome::Enqueued, Write::InsertItem)
        }
        Command::Claim(command) => decide_claims(rows, command, now)?,
        Command::Renew(command) => {
            let item = rows.item(&command.guard.item)?;
            note(rows, decide_renew(item.as_ref(), command, now), Outcome::Renewed, Write::RenewLease)
        }
        Command::SettleItem(command) => {
            let item = rows.item(&command.guard.item)?;
            note(rows, decide_settle(item.as_ref(), command, now), Outcome::Settled, |item| {
                if item.status.is_terminal() { Write::EndItem(item) } else { Write::UpdateItem(item) }
            })
        }
        Command::CancelItem(command) => {
            let item = rows.item(&command.item)?;
            note(rows, decide_cancel_item(item.as_ref(), command), Outcome::ItemCancelled, Write::UpdateItem)
        }
        Command::Requeue(command) => {
            let item = rows.item(&command.item)?;
            let task = item.as_ref().map_or(Ok(None), |item| rows.task(&item.task))?;
            let decision = decide_requeue(item.as_ref(), task.as_ref(), command, now);
            note(rows, decision, Outcome::Requeued, Write::UpdateItem)
        }
        Command::AppendCheckpoint(command) => {
            let task = rows.task(&command.task)?;
            let existing = rows.checkpoint(command.checkpoint)?;
            let origin = command.copy_of.map_or(Ok(None), |origin| rows.checkpoint(origin))?;
            let (existing, origin) = (existing.as_ref(), origin.as_ref());
            match decide_append(task.as_ref(), existing, origin, command, entry.contents(), now) {
                Decision::Apply((task, header), appended) => {
                    rows.write_finally(Write::InsertCheckpoint(Box::new(StoredCheckpoint {
                        header,
                        payload: command.payload.clone(),
                        evidence: command.evidence.clone(),
                    })));
                    rows.write_finally(Write::MoveHead(task));
                    Step::Applied(Outcome::Appended(appended))
                }
                Decision::Replayed(appended) => Step::Replayed(Outcome::Appended(appended)),
                Decision::Superseded => Step::Superseded,
                Decision::Rejected(reason) => Step::Rejected(reason),
            }
        }
        Command::RecordVerification(command) => {
            let existing = rows.checkpoint(command.checkpoint)?;
            let decision = decide_record_verification(existing.as_ref(), command, now);
            note(rows, decision, Outcome::VerificationRecorded, |verification| {
                Write::RecordVerification(command.checkpoint, verification)
            })
        }
        Command::SweepExpired(command) => decide_sweep(rows, command, now)?,
        Command::PruneCheckpoints(_)
        | Command::EraseCheckpoint(_)
        | Command::PurgeOperations(_)
        | Command::InvalidateOperation(_) => decide_removal(rows, &entry.command, now)?,
        Command::BeginOperation(command) => {
            let existing = rows.operation(&command.key)?;
            let item = leased_item(rows, existing.as_ref())?;
            let task = command.task.as_ref().map_or(Ok(None), |task| rows.task(task))?;
            let decision = decide_begin(existing.as_ref(), task.as_ref(), item.as_ref(), command, now);
            let known = existing.map(|operation| operation.status);
            note(rows, decision, Outcome::OperationBegun, |operation| match known {
                None => Write::InsertOperation(operation),
                Some(OperationStatus::Succeeded | OperationStatus::Failed) => {
                    Write::RenewOperation(operation)
                }
                Some(_) => Write::UpdateOperation(operation, None),
            })
        }
        Command::FinishOperation(command) => {
            let existing = rows.operation(&command.key)?;
            let item = leased_item(rows, existing.as_ref())?;
            let decision = decide_finish_operation(existing.as_ref(), item.as_ref(), command, now);
            note(rows, decision, Outcome::OperationFinished, |operation| {
                Write::UpdateOperation(operation, command.end.output().cloned())
            })
        }
    })
}

/// Decides the commands that remove; they stand alone in their batches.
fn decide_removal<R: Rows>(rows: &mut Overlay<'_, R>, command: &Command, now: Now) -> Result<Step, R::Error> {
    Ok(match command {
        Command::PruneCheckpoints(command) => {
            let task = rows.task(&command.task)?;
            let verified = rows.newest_verified(&command.task)?;
            note(rows, decide_prune(task.as_ref(), verified, command), Outcome::Pruned, Write::Prune)
        }
        Command::EraseCheckpoint(command) => {
            let found = rows.with_copies(command.checkpoint)?;
            let erased = Erased { erased: u32::try_from(found.len()).unwrap_or(u32::MAX) };
            if found.is_empty() {
                match rows.checkpoint(command.checkpoint)? {
                    Some(_) => Step::Replayed(Outcome::Erased(erased)),
                    None => Step::Rejected(Reason::NoSuchCheckpoint { checkpoint: command.checkpoint }),
                }
            } else {
                rows.write_finally(Write::Erase(found, now.wall));
                Step::Applied(Outcome::Erased(erased))
            }
        }
        Command::PurgeOperations(command) => {
            let stale = rows.stale(command, now.wall)?;
            let removed = u32::try_from(stale.len()).unwrap_or(u32::MAX);
            for key in stale {
                rows.write_finally(Write::DeleteOperation(key));
            }
            Step::Applied(Outcome::Purged(Purged { removed }))
        }
        Command::InvalidateOperation(command) => {
            let existing = rows.operation(&command.key)?;
            let decision = decide_invalidate(existing.as_ref(), command);
            note(rows, decision, Outcome::Invalidated, |()| Write::DeleteOperation(command.key.clone()))
        }
        _ => unreachable!("{command:?} removes nothing"),
    })
}

/// Notes what a decision changes, and makes its answer general.
fn note<R: Rows, Row, Answer>(
    rows: &mut Overlay<'_, R>,
    decision: Decision<Row, Answer>,
    outcome: impl FnOnce(Answer) -> Outcome,
    write: impl FnOnce(Row) -> Write,
) -> Step {
    match decision {
        Decision::Apply(row, answer) => {
            rows.write_finally(write(row));
            Step::Applied(outcome(answer))
        }
        Decision::Replayed(answer) => Step::Replayed(outcome(answer)),
        Decision::Superseded => Step::Superseded,
        Decision::Rejected(reason) => Step::Rejected(reason),
    }
}

fn leased_item<R: Rows>(
    rows: &mut Overlay<'_, R>,
    operation: Option<&Operation>,
) -> Result<Option<WorkItem>, R::Error> {
    let lease: Option<&WorkItemId> =
        operation.and_then(|operation| operation.owner.lease.as_ref()).map(|lease| &lease.item);
    lease.map_or(Ok(None), |id| rows.item(id))
}

/// Items that are ready to be claimed although their task has ended are called off on the way.
fn decide_claims<R: Rows>(rows: &mut Overlay<'_, R>, command: &Claim, now: Now) -> Result<Step, R::Error> {
    if !rows.moved_by(command.claim)?.is_empty() {
        return Ok(Step::Superseded);
    }
    let limit = command.limit as usize;
    let mut claimed = Claimed::default();
    let mut called_off_count = 0;
    loop {
        let wanted = (limit - claimed.items.len()).max(called_off_count);
        let found = rows.claimable(command, now.store, wanted)?;
        let is_last = found.len() < wanted;
        for item in found {
            if rows.is_over(&item.task)? {
                rows.write(Write::UpdateItem(called_off(&item)));
                called_off_count += 1;
            } else if claimed.items.len() == limit {
                break;
            } else if let Some(item) = decide_claim(&item, command, now) {
                rows.write(Write::UpdateItem(item.clone()));
                claimed.items.push(item);
            }
        }
        if is_last || claimed.items.len() == limit || called_off_count >= CALLED_OFF_MAX {
            return Ok(Step::Applied(Outcome::Claimed(claimed)));
        }
    }
}

fn decide_sweep<R: Rows>(
    rows: &mut Overlay<'_, R>,
    command: &SweepExpired,
    now: Now,
) -> Result<Step, R::Error> {
    if !rows.moved_by(command.sweep)?.is_empty() {
        return Ok(Step::Superseded);
    }
    let now = if planted::is(Bug::WallClockSweep) {
        Now { store: StoreTime::from_millis(now.wall.as_millis()), ..now }
    } else {
        now
    };
    let mut swept = Swept::default();
    for expired in rows.expired(now.store, command.limit as usize)? {
        let task = rows.task(&expired.task)?;
        let Some(item) = decide_reclaim(&expired, task.as_ref(), command.sweep, now) else { continue };
        let holder = expired.lease.as_ref().map_or("", |lease| lease.holder.as_str());
        rows.write(Write::UpdateItem(item.clone()));
        if let (Some(boundary), Some(task)) = (error_boundary(&item, command.sweep, holder), task) {
            let append = crate::command::AppendCheckpoint {
                checkpoint: boundary.id,
                task: item.task.clone(),
                kind: Label::constant(BOUNDARY),
                work_item: Some(item.id.clone()),
                expected_head: None,
                copy_of: None,
                payload: boundary.payload,
                evidence: boundary.evidence,
            };
            let decision: Decision<(_, CheckpointHeader), _> =
                decide_append(Some(&task), None, None, &append, None, now);
            if let Decision::Apply((task, header), _) = decision {
                let (payload, evidence) = (append.payload, append.evidence);
                rows.write(Write::InsertCheckpoint(Box::new(StoredCheckpoint { header, payload, evidence })));
                rows.write(Write::MoveHead(task));
            }
        }
        swept.reclaimed.push(told(&item, command.sweep, holder));
    }
    swept.reclaimed.sort_by(|a, b| a.item.cmp(&b.item));
    Ok(Step::Applied(Outcome::Swept(swept)))
}
