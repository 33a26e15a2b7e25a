//! One round: a holder, its successor, and what the file says at each turn.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{TERM, Tally};
use crate::audit::{BOUNDARY, CheckpointRow, ItemRow, LeaseColumns};
use crate::case::{CaseError, Deadline};
use crate::scenarios::faults::Broken;
use crate::scenarios::hand::Hand;
use crate::scenarios::site::{ITEM, Orders, Site, TASK};
use crate::worker::board::{self, Phase};
use crate::worker::hex;
use crate::worker::told::Told;

/// After how many steps a holder waits, its heartbeat going on; and its successor, where it shall still hold the item
/// when the first wakes.
const PAUSE_AFTER: u16 = 3;
/// How long a holder that wakes may take to hear that its lease is gone, before it counts as not told.
const TOLD_PATIENCE: Duration = Duration::from_secs(5);
/// What a zombie tries: to renew, to append, to settle.
const STALE_ATTEMPTS: usize = 3;
/// How often a holder is stopped anew because it was inside a transaction.
const STOPS_MAX: usize = 200;

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The holder was stopped, replaced and woken.
    Complete,
    /// The holder lost its lease before it was stopped: the round shows nothing.
    LostBefore,
}

/// What is done in one round.
pub(super) struct Plan {
    /// Whether the holder is stopped while it works, after this time, or while it waits between two steps.
    stop_at_work: Option<Duration>,
    /// Whether its successor still holds the item when it wakes, or has settled it.
    taker_keeps: bool,
    /// Whether the successor looks for work while the holder still lives, for longer than a term.
    taker_comes_early: bool,
    /// Drawn for each stop that has to be repeated.
    rng: fastrand::Rng,
}

impl Plan {
    pub(super) fn new(number: usize, rng: &mut fastrand::Rng) -> Self {
        let at_work = Duration::from_millis(rng.u64(5..50));
        Self {
            stop_at_work: (number % 2 == 1).then_some(at_work),
            taker_keeps: number % 4 < 2,
            taker_comes_early: number.is_multiple_of(2),
            rng: rng.clone(),
        }
    }
}

/// One round under way.
pub(super) struct Round<'a> {
    pub(super) site: &'a Site,
    pub(super) name: &'a str,
    pub(super) deadline: Deadline,
    pub(super) tally: &'a mut Tally,
}

impl Round<'_> {
    /// Carries it out.
    pub(super) fn run(mut self, plan: &Plan) -> Result<Outcome, CaseError> {
        let (_recorder, recorder) = self.site.start_recorder(self.deadline)?;
        let pause_after = plan.stop_at_work.is_none().then_some(PAUSE_AFTER);
        let orders = Orders { pause_after, zombie: true, ..Orders::default() };
        let mut holder = self.site.start_worker("holder", recorder, orders)?;
        holder.hear_until(self.deadline, |told| matches!(told, Told::Held { .. }))?;
        let pause_after = plan.taker_keeps.then_some(PAUSE_AFTER);
        let orders = Orders { pause_after, ..Orders::default() };
        let mut early = None;
        if let Some(at_work) = plan.stop_at_work {
            self.deadline.sleep(at_work, "the holder to work")?;
        } else {
            holder.hear_until(self.deadline, |told| *told == Told::Paused)?;
            if plan.taker_comes_early {
                early = Some(self.site.start_worker("taker", recorder, orders)?);
                self.deadline.sleep(TERM + TERM / 3, "the holder's heartbeat")?;
            }
        }
        self.stop_when_idle(&holder, plan.rng.clone())?;
        // Whatever it told until now it told before it was stopped.
        holder.hear_until_time(self.deadline.or_after(Duration::ZERO))?;
        if holder.is_lost() {
            return Ok(Outcome::LostBefore);
        }
        let (item, lease) = self.leased()?;
        if item.fence != holder.fence().unwrap_or(0) {
            let detail = format!("{}: fence {} although the heartbeat went on", self.name, item.fence);
            self.tally.faults.add(Broken::ReclaimedEarly, detail);
        }
        let mut taker = match early {
            Some(taker) => taker,
            None => self.site.start_worker("taker", recorder, orders)?,
        };
        taker.hear_until(self.deadline, |told| matches!(told, Told::Resume { .. }))?;
        let takeover = self.look_at_takeover(&item, &lease, &holder, &taker)?;
        if plan.taker_keeps {
            taker.hear_until(self.deadline, |told| *told == Told::Paused)?;
        } else {
            taker.hear_until(self.deadline, |told| *told == Told::Done)?;
        }
        self.wake(&mut holder)?;
        if plan.taker_keeps {
            taker.process.say("go")?;
        }
        taker.hear_all(self.deadline)?;
        let status = taker.process.wait(self.deadline)?;
        if !status.success() {
            return Err(taker.process.ended(status));
        }
        self.look_at_end(&holder, &taker, takeover)?;
        Ok(Outcome::Complete)
    }

    /// Stops the holder while it writes nothing; one that is hit inside a transaction goes on and is stopped anew.
    fn stop_when_idle(&mut self, holder: &Hand, mut rng: fastrand::Rng) -> Result<(), CaseError> {
        for _ in 0..STOPS_MAX {
            holder.process.stop(self.deadline)?;
            let posted = board::read(&self.site.board(holder.process.name()));
            if posted.map_err(CaseError::io("reading a board"))?.phase == Phase::Idle {
                self.tally.stops += 1;
                return Ok(());
            }
            self.tally.stops_in_vain += 1;
            holder.process.go_on()?;
            self.deadline.sleep(Duration::from_micros(rng.u64(100..3_000)), "the holder to be idle")?;
        }
        Err(holder.process.error("was inside a transaction at every stop"))
    }

    /// The item, and the lease that somebody must hold on it.
    fn leased(&self) -> Result<(ItemRow, LeaseColumns), CaseError> {
        let item = self.item()?;
        let lease = item.lease.clone().ok_or_else(|| self.wrong("nobody holds the item"))?;
        Ok((item, lease))
    }

    fn item(&self) -> Result<ItemRow, CaseError> {
        self.site.audit()?.item(ITEM)?.ok_or_else(|| self.wrong("the item is gone"))
    }

    fn wrong(&self, what: &str) -> CaseError {
        CaseError::Process { process: self.name.to_owned(), what: what.to_owned() }
    }

    /// The takeover came in time, and not before; gives the sequence number of the checkpoint that tells of it.
    fn look_at_takeover(
        &mut self,
        item: &ItemRow,
        lease: &LeaseColumns,
        holder: &Hand,
        taker: &Hand,
    ) -> Result<u64, CaseError> {
        let now = self.item()?;
        // A reclaimed item is available from the moment of its reclaim, in store time.
        let after_term = now.available_at_ms - lease.expires_at_ms;
        if let Ok(millis) = u64::try_from(after_term) {
            self.tally.takeovers.push(Duration::from_millis(millis));
        } else {
            let detail = format!("{}: reclaimed {} ms before the end of the term", self.name, -after_term);
            self.tally.faults.add(Broken::ReclaimedEarly, detail);
        }
        let (first, second) = (holder.fence().unwrap_or(0), taker.fence().unwrap_or(0));
        if second <= item.fence || now.fence < second {
            let detail =
                format!("{}: {} before, {second} after, {} in the file", self.name, item.fence, now.fence);
            self.tally.faults.add(Broken::FencesNotGrown, detail);
        }
        if first == second {
            let detail = format!("{}: holder and taker were given fence {first}", self.name);
            self.tally.faults.add(Broken::FencesShared, detail);
        }
        let rows = self.checkpoints()?;
        let boundary = rows.iter().rev().find(|row| row.kind == BOUNDARY);
        boundary.map(|row| row.sequence).ok_or_else(|| self.wrong("no checkpoint tells of the reclaim"))
    }

    fn checkpoints(&mut self) -> Result<Vec<CheckpointRow>, CaseError> {
        let audit = self.site.audit()?;
        Ok(self.tally.faults.look_at_file(&audit, TASK, self.name)?.1)
    }

    /// Lets the first holder go on: it must hear that its lease is gone, and everything it tries must be refused.
    fn wake(&mut self, holder: &mut Hand) -> Result<(), CaseError> {
        let woken = Instant::now();
        holder.process.go_on()?;
        match self.hear_of_loss(holder)? {
            Heard::Loss { how, at } => {
                self.tally.told.push(at.saturating_duration_since(woken));
                if how != "deadline" {
                    self.tally.faults.add(Broken::NotByOwnDeadline, format!("{}: {how}", self.name));
                }
                holder.process.say("go")?;
            }
            Heard::Nothing => {
                let detail = format!("{}: not within {TOLD_PATIENCE:?}", self.name);
                self.tally.faults.add(Broken::HoldersNotTold, detail);
                holder.process.say("go")?;
            }
            Heard::End => {
                let detail = format!("{}: it ended without a word of it", self.name);
                self.tally.faults.add(Broken::HoldersNotTold, detail);
            }
        }
        holder.hear_all(self.deadline)?;
        let fenced = holder.told.iter().filter(|(told, _)| matches!(told, Told::Fenced { .. })).count();
        let taken: Vec<&str> = holder.told.iter().filter_map(|(told, _)| taken(told)).collect();
        self.tally.rejected += fenced;
        for what in &taken {
            self.tally.faults.add(Broken::StaleWritesTaken, format!("{}: {what} was taken", self.name));
        }
        if fenced + taken.len() < STALE_ATTEMPTS {
            let status = holder.process.wait(self.deadline)?;
            return Err(holder.process.ended(status));
        }
        Ok(())
    }

    fn hear_of_loss(&self, holder: &mut Hand) -> Result<Heard, CaseError> {
        let patience = self.deadline.or_after(TOLD_PATIENCE);
        loop {
            match holder.hear(patience) {
                Ok(Some(Told::Lost { how })) => {
                    let at = holder.told.last().map_or_else(Instant::now, |(_, at)| *at);
                    return Ok(Heard::Loss { how, at });
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Heard::End),
                Err(CaseError::TimedOut { .. }) if !self.deadline.left().is_zero() => {
                    return Ok(Heard::Nothing);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Nothing of the first holder came into the file after the takeover, and its successor settled the item once.
    fn look_at_end(&mut self, holder: &Hand, taker: &Hand, takeover: u64) -> Result<(), CaseError> {
        let rows = self.checkpoints()?;
        let tried: Vec<&str> = holder.told.iter().filter_map(|(told, _)| tried(told)).collect();
        for row in &rows {
            let state: Value = serde_json::from_slice(&row.payload).unwrap_or_default();
            let is_late = row.sequence > takeover && state["holder"] == holder.process.name();
            if is_late || tried.contains(&hex(&row.id).as_str()) {
                let detail = format!("{}: checkpoint {} is the first holder's", self.name, row.sequence);
                self.tally.faults.add(Broken::StaleWritesTaken, detail);
            }
        }
        let item = self.item()?;
        let settled = taker.fence().map(|fence| (fence, "succeeded".to_owned()));
        if item.status != "succeeded" || item.settled != settled {
            let detail = format!("{}: {} by {:?}, not by {settled:?}", self.name, item.status, item.settled);
            self.tally.faults.add(Broken::NotSettledOnce, detail);
        }
        let audit = self.site.audit()?;
        let status = audit.task(TASK)?.map(|task| task.status).unwrap_or_default();
        if status != "succeeded" {
            self.tally.faults.add(Broken::TasksUnfinished, format!("{}: the task is {status}", self.name));
        }
        Ok(())
    }
}

/// What a holder that was woken has said of its loss.
enum Heard {
    Loss { how: String, at: Instant },
    Nothing,
    End,
}

fn taken(told: &Told) -> Option<&str> {
    match told {
        Told::Taken { what } => Some(what),
        _ => None,
    }
}

fn tried(told: &Told) -> Option<&str> {
    match told {
        Told::Trying { id } => Some(id),
        _ => None,
    }
}
