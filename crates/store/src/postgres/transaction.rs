//! One transaction for one group of batches: what the shared decisions say, in two round trips.
//!
//! The decisions are synchronous and read rows as they go; a server's rows come over a wire. So the rows are had first:
//! the commands say which ones (`needs`), one round trip begins the transaction, locks and reads them all and looks at
//! the clock last, and the decisions then run over what was read (`loaded`) without waiting for anything. A row that
//! nobody could foresee is named by the decision that asks for it, is read, and the whole group decided again. A second
//! round trip carries every change and, right behind them, COMMIT.
//!
//! The other way, a thread of its own that asks the server row by row whenever a decision does, takes a round trip for
//! each command, holds locks all the while, in the order in which commands happen to name rows, and blocks a thread for
//! each transaction.
//!
//! READ COMMITTED is enough because of the locks, not in spite of it. Whatever decides and may change is locked before it
//! is read (a lock that was waited for reads the newest version), in one order by all; what is only looked at is read
//! behind the locks, so that it cannot be of the time before a wait. What is not there yet cannot be locked: where it is
//! to be made the unique indexes decide (whoever comes second gets an error, and its group is tried again), and where a
//! batch is refused or recognised it is looked for again behind the locks.

use std::time::Duration;

use crate::batch::{Batch, Durability};
use crate::decide::{Overlay, Verdict, Write, decide_batch};
use crate::env::{Env, Failpoint};
use crate::outcome::Committed;
use crate::planted::{self, Bug};
use crate::postgres::connection::{Connection, Step};
use crate::postgres::failure::Trouble;
use crate::postgres::loaded::{Loaded, Missing};
use crate::postgres::needs::{self, Needs};
use crate::postgres::pace::{Look, Pace};
use crate::postgres::sql;
use crate::postgres::sql::transaction::Settings;
use crate::postgres::wire::param;
use crate::postgres::writes::Writes;
use crate::record::OperationStatus;

/// Rounds of reading in one transaction: each reads something that no earlier one did, and a batch has an end.
const ROUNDS_MAX: usize = 4_096;
/// Rows among which durable batches without a change of their own choose the one they write.
const MARKS: u8 = 16;

/// What a transaction may take, and how it is committed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits<'a> {
    /// For each lock.
    pub(super) lock: Duration,
    /// For each statement.
    pub(super) statement: Duration,
    /// For the answer to one round trip, by this process's own clock.
    pub(super) silence: Duration,
    /// `synchronous_commit` of a durable group.
    pub(super) durable: &'a str,
    /// Compares the server's clock with this process's own.
    pub(super) pace: &'a Pace,
}

/// What became of a group that was committed.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) answers: Vec<Committed>,
    pub(super) has_changed: bool,
}

/// What became of a group that was not, or perhaps was.
#[derive(Debug)]
pub(super) enum Lost {
    /// Nothing was applied.
    NotApplied(Trouble),
    /// COMMIT was sent, and no answer tells what became of it.
    Unknown(Trouble),
}

/// Decides and commits a group. The batches must be valid, and those that remove something alone in theirs.
///
/// When this ends in an error the connection may have a transaction open.
pub(super) async fn run(
    connection: &Connection,
    env: &Env,
    batches: &[&Batch],
    limits: Limits<'_>,
) -> Result<Done, Lost> {
    let is_durable = batches.iter().any(|batch| batch.durability() == Durability::Durable);
    let is_flushed = is_durable && !planted::is(Bug::AckBeforeSync);
    let begin = Step::plain(&sql::transaction::begin(Settings {
        statement: limits.statement,
        lock: limits.lock,
        idle: limits.silence,
        synchronous_commit: if is_flushed { limits.durable } else { "off" },
    }));
    env.reach(Failpoint::BEGIN_BEFORE);
    let mut reading = Reading { connection, env, limits, loaded: Loaded::default() };
    reading.read(Some(begin), Needs::of(batches)).await?;
    env.reach(Failpoint::BEGIN_AFTER);
    let verdicts = reading.decided(batches).await?;

    let needs_barrier = batches.iter().zip(&verdicts).any(|(batch, verdict)| {
        batch.durability() == Durability::Durable
            && (verdict.rests_on_earlier || verdict.writes.iter().any(may_change_nothing))
    });
    let mut writes = Writes::default();
    let mut answers = Vec::with_capacity(verdicts.len());
    for verdict in verdicts {
        verdict.writes.into_iter().for_each(|write| writes.add(write));
        answers.push(verdict.answer);
    }
    let mut steps = writes.steps();
    let has_changed = !steps.is_empty();
    if needs_barrier {
        steps.push(mark(env));
    }
    steps.push(Step::plain(sql::transaction::COMMIT));
    env.reach(Failpoint::COMMIT_BEFORE);
    match connection.run(env, limits.silence, steps).await {
        Ok(_) => {}
        // Whichever step it was, the server has taken everything back: behind one that failed COMMIT does that.
        Err(trouble) if trouble.took_back() => return Err(Lost::NotApplied(trouble)),
        Err(trouble) => return Err(Lost::Unknown(trouble)),
    }
    env.reach(Failpoint::COMMIT_AFTER);
    Ok(Done { answers, has_changed })
}

/// A batch that only repeats what an earlier one did, perhaps one that was not flushed, must not be acknowledged before
/// that is: a commit that has written nothing flushes nothing.
fn mark(env: &Env) -> Step {
    let mut byte = [0];
    env.rng().fill(&mut byte);
    let mark = i16::from(byte[0] % MARKS);
    Step::Query(sql::transaction::MARK, vec![param(tokio_postgres::types::Type::INT2, mark)])
}

/// An update that may leave a row as it is. PostgreSQL writes one all the same; it costs nothing to be sure.
fn may_change_nothing(write: &Write) -> bool {
    match write {
        Write::RecordVerification(..) => true,
        Write::UpdateOperation(operation, None) => operation.status == OperationStatus::Pending,
        _ => false,
    }
}

/// A transaction that reads.
struct Reading<'a> {
    connection: &'a Connection,
    env: &'a Env,
    limits: Limits<'a>,
    loaded: Loaded,
}

impl Reading<'_> {
    /// Reads what is needed, and what that names, until nothing is missing that can be foreseen.
    async fn read(&mut self, begin: Option<Step>, mut needs: Needs) -> Result<(), Lost> {
        let mut begin = begin;
        for _ in 0..ROUNDS_MAX {
            let questions = needs.questions();
            let before = usize::from(begin.is_some());
            let steps = begin.take().into_iter().chain(questions.iter().map(needs::step)).collect();
            let before_asking = self.env.clock().monotonic();
            let answers =
                self.connection.run(self.env, self.limits.silence, steps).await.map_err(Lost::NotApplied)?;
            let after = self.env.clock().monotonic();
            for (question, rows) in questions.into_iter().zip(answers.iter().skip(before)) {
                self.loaded.take(question, rows).map_err(Lost::NotApplied)?;
            }
            let shown = self.loaded.now().map_err(Lost::NotApplied)?.store;
            self.loaded.may_sweep(self.limits.pace.may_sweep(Look { shown, before: before_asking, after }));
            needs = self.loaded.named();
            if needs.is_empty() {
                return Ok(());
            }
        }
        Err(Lost::NotApplied(Trouble::impossible("a list of rows that does not end")))
    }

    /// Looks again, behind all locks, for what was to be held and was not there; says whether it still is not.
    async fn is_settled(&mut self) -> Result<bool, Lost> {
        let absent = self.loaded.absent();
        let count = absent.rows();
        if count > 0 {
            self.read(None, absent).await?;
        }
        Ok(self.loaded.absent().rows() == count)
    }

    /// Decides every batch over the rows as those before it leave them.
    async fn decided(&mut self, batches: &[&Batch]) -> Result<Vec<Verdict>, Lost> {
        for _ in 0..ROUNDS_MAX {
            match decide(&mut self.loaded, batches).map_err(Lost::NotApplied)? {
                Ok(verdicts) if !rests_on_absence(batches, &verdicts) || self.is_settled().await? => {
                    return Ok(verdicts);
                }
                Ok(_) => {}
                Err(missing) => self.read(None, missing.into_needs()).await?,
            }
        }
        Err(Lost::NotApplied(Trouble::impossible("a decision that does not end")))
    }
}

/// Whether an answer may rest on some row's absence. One that applies does not: there the unique indexes decide. Of one
/// command the answer is right for the moment at which its row was looked for.
fn rests_on_absence(batches: &[&Batch], verdicts: &[Verdict]) -> bool {
    batches.iter().zip(verdicts).any(|(batch, verdict)| {
        let is_applied = matches!(&verdict.answer, Committed::Applied(applied) if !applied.is_replayed());
        batch.entries().len() > 1 && !is_applied
    })
}

fn decide(loaded: &mut Loaded, batches: &[&Batch]) -> Result<Result<Vec<Verdict>, Missing>, Trouble> {
    let now = loaded.now()?;
    let mut group = Overlay::new(loaded);
    let mut verdicts = Vec::with_capacity(batches.len());
    for (number, batch) in batches.iter().enumerate() {
        let verdict = match decide_batch(&mut group, batch, now) {
            Ok(verdict) => verdict,
            Err(missing) => return Ok(Err(missing)),
        };
        if number + 1 < batches.len() {
            verdict.writes.iter().for_each(|write| group.write(write.clone()));
        }
        verdicts.push(verdict);
    }
    Ok(Ok(verdicts))
}
