//! One run: a task, worker after worker killed over it, and after each death a look at what is left.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::look::Left;
use super::lose::lose_answers;
use super::plan::{Kill, Plan};
use super::tally::Tally;
use crate::case::{CaseError, Deadline};
use crate::process::was_killed;
use crate::scenarios::faults::Broken;
use crate::scenarios::hand::Hand;
use crate::scenarios::site::{Orders, Site};
use crate::worker::board;
use crate::worker::told::Told;

/// Workers that may lose their lease by themselves, on a machine that stands still for a term, before a run is given
/// up.
const LOSSES_MAX: usize = 3;

/// How often the model's log is looked at.
const MODEL_POLL: Duration = Duration::from_micros(500);
/// How much earlier a random kill comes with each try at a run whose worker was done before it.
const EARLIER: f64 = 0.7;

/// What a run is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    /// Its name, for messages.
    pub(super) name: &'a str,
    /// How long an undisturbed worker takes.
    pub(super) pace: Duration,
    /// Which try at the run this is, from 0: later ones kill earlier.
    pub(super) attempt: i32,
    /// When the case must have ended.
    pub(super) deadline: Deadline,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Every kill hit, and the task was done in the end. An undisturbed worker took so long.
    Complete(Duration),
    /// A worker was done before it could be killed: the run shows nothing. The first one took so long, undisturbed.
    Missed(Option<Duration>),
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Killed,
    Done,
    Lost,
}

/// One run under way.
struct Trial<'a> {
    site: &'a Site,
    terms: Terms<'a>,
    recorder: SocketAddr,
    model: Option<SocketAddr>,
    tally: &'a mut Tally,
    left: Left,
    doubtful: BTreeSet<String>,
    acknowledged: Vec<(u64, String)>,
    killed_at: Option<Instant>,
    fence: u64,
    workers: usize,
}

/// Carries out a plan.
pub(super) fn run(
    site: &Site,
    plan: &Plan,
    terms: Terms<'_>,
    tally: &mut Tally,
) -> Result<Outcome, CaseError> {
    let (_recorder, recorder) = site.start_recorder(terms.deadline)?;
    let model = site.start_model(terms.deadline)?;
    let model_address = model.as_ref().map(|(_, address)| *address);
    let left = Left::look(site, terms.name, tally)?;
    let (doubtful, acknowledged) = (BTreeSet::new(), Vec::new());
    let mut trial = Trial {
        site,
        terms,
        recorder,
        model: model_address,
        tally,
        left,
        doubtful,
        acknowledged,
        killed_at: None,
        fence: 0,
        workers: 0,
    };
    for (index, kill) in plan.kills.iter().enumerate() {
        let (end, took) = trial.live(Some(*kill))?;
        if end != End::Killed {
            return Ok(Outcome::Missed((end == End::Done && index == 0).then_some(took)));
        }
        if plan.loses_cache {
            trial.tally.answers_lost += lose_answers(&site.database())?;
        }
        if let Some(damage) = plan.damage.filter(|_| index == 0) {
            trial.tally.damaged += usize::from(trial.left.damage(site, damage)?);
        }
        if trial.left.is_finished() {
            return if index + 1 == plan.kills.len() {
                trial.finish(Duration::ZERO)
            } else {
                Ok(Outcome::Missed(None))
            };
        }
    }
    for _ in 0..=LOSSES_MAX {
        let (end, took) = trial.live(None)?;
        if end == End::Done {
            return trial.finish(took);
        }
    }
    let (process, what) =
        (terms.name.to_owned(), format!("{} workers lost their lease by themselves", LOSSES_MAX + 1));
    Err(CaseError::Process { process, what })
}

#[allow(clippy::cast_precision_loss, reason = "a few dozen steps")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl Trial<'_> {
    /// One worker from its start to its end, and a look at what it left.
    fn live(&mut self, kill: Option<Kill>) -> Result<(End, Duration), CaseError> {
        self.workers += 1;
        let name = format!("worker-{}", self.workers);
        let die_at = match kill {
            Some(Kill::Chosen(die_at)) => Some(die_at),
            Some(_) | None => None,
        };
        let orders = Orders { die_at, model: self.model, ..Orders::default() };
        let mut hand = self.site.start_worker(&name, self.recorder, orders)?;
        self.kill(&mut hand, kill)?;
        hand.hear_all(self.terms.deadline)?;
        let ended_at = Instant::now();
        let status = hand.process.wait(self.terms.deadline)?;
        let end = if was_killed(status) {
            End::Killed
        } else if status.success() {
            End::Done
        } else if hand.is_lost() {
            End::Lost
        } else {
            return Err(hand.process.ended(status));
        };
        self.take_note(&hand, end, ended_at);
        let posted = board::read(&self.site.board(&name)).map_err(CaseError::io("reading a board"))?;
        match end {
            End::Killed => self.tally.hit(posted),
            End::Lost => self.tally.ended(posted),
            End::Done => {}
        }
        self.left = Left::look(self.site, self.terms.name, self.tally)?;
        self.left.find_acknowledged(&self.acknowledged, self.terms.name, self.tally);
        self.doubtful.extend(self.left.doubtful());
        Ok((end, hand.done_at().unwrap_or(ended_at).duration_since(hand.started)))
    }

    /// Kills the worker when its time has come, unless it ends before.
    fn kill(&self, hand: &mut Hand, kill: Option<Kill>) -> Result<(), CaseError> {
        let deadline = self.terms.deadline;
        let lives = match kill {
            None | Some(Kill::Chosen(_)) => return Ok(()),
            Some(Kill::Random(share)) => {
                let span = self.expected_span().mul_f64(share * EARLIER.powi(self.terms.attempt));
                !hand.hear_until_time(deadline.or_at(hand.started + span))?
            }
            Some(Kill::Working(span)) => {
                hand.hear_until(deadline, |told| matches!(told, Told::Resume { .. }))?;
                !hand.hear_until_time(deadline.or_after(span))?
            }
            Some(Kill::InModelCall(nth)) => self.is_asking(hand, nth)?,
        };
        if lives {
            hand.process.kill()?;
        }
        Ok(())
    }

    /// Waits until the worker has asked the model so often; false when it ends before.
    fn is_asking(&self, hand: &mut Hand, nth: usize) -> Result<bool, CaseError> {
        let wanted = self.site.model_calls()?.len() + nth;
        while self.site.model_calls()?.len() < wanted {
            if hand.hear_until_time(self.terms.deadline.or_after(MODEL_POLL))? {
                return Ok(false);
            }
            if self.terms.deadline.left().is_zero() {
                return Err(CaseError::TimedOut { what: "a call of the model".to_owned() });
            }
        }
        Ok(true)
    }

    /// How long the next worker will take: one that recovers waits for the term of its predecessor, and has less to
    /// do.
    fn expected_span(&self) -> Duration {
        if self.workers == 1 {
            return self.terms.pace;
        }
        let steps = usize::from(self.site.steps);
        let left = steps.saturating_sub(self.acknowledged.len());
        self.site.term + self.terms.pace.mul_f64(ratio(left, steps))
    }

    /// What the worker told of.
    fn take_note(&mut self, hand: &Hand, end: End, ended_at: Instant) {
        let name = self.terms.name;
        if let Some(from) = hand.resumed_from().filter(|from| *from != self.left.resume_point) {
            let detail = format!(
                "{name}: {} went on from {from}, not {}",
                hand.process.name(),
                self.left.resume_point
            );
            self.tally.faults.add(Broken::WrongResumePoints, detail);
        }
        if let Some(fence) = hand.fence() {
            if fence <= self.fence {
                let detail =
                    format!("{name}: {} holds fence {fence} after {}", hand.process.name(), self.fence);
                self.tally.faults.add(Broken::FencesNotGrown, detail);
            }
            self.fence = fence;
        }
        for key in hand.doubts().filter(|key| !self.doubtful.contains(*key)) {
            self.tally
                .faults
                .add(Broken::WrongDoubts, format!("{name}: {key} was handed over without a kill"));
        }
        if let (Some(killed_at), Some((.., at))) = (self.killed_at, hand.acknowledged().next()) {
            self.tally.recovered(at.saturating_duration_since(killed_at));
            self.killed_at = None;
        }
        self.acknowledged.extend(hand.acknowledged().map(|(sequence, id, _)| (sequence, id.to_owned())));
        if end == End::Killed {
            self.killed_at = Some(ended_at);
        }
    }

    fn finish(self, took: Duration) -> Result<Outcome, CaseError> {
        self.tally.results.push(self.left.result().to_vec());
        self.tally.doubts_named.extend(self.doubtful.iter().cloned());
        self.left.settle_accounts(self.site, &self.doubtful, self.terms.name, self.tally)?;
        Ok(Outcome::Complete(took))
    }
}
