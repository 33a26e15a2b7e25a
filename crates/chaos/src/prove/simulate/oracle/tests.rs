//! Each check of the oracle, told of something that must not be. Its account is fed by hand: no store is as wrong as
//! these answers.

use std::time::Duration;

use steadfast_store::env::Env;
use steadfast_store::{
    Abandonment, AppendCheckpoint, Appended, Applied, BeginOperation, CheckpointId, Claim, Claimed, Delay,
    Digest, Enqueue, Enqueued, Fence, FinishOperation, HolderId, Label, LeaseRecord, OperationBegun,
    OperationFinished, Payload, SealedPayload, SequenceNumber, Settled, Status, StoreTime, SweepExpired,
    Swept, TaskId, Term, TypedCommand, WallTime, WorkItem,
};
use steadfast_store::{Reclaimed, Settle, SettleItem};

use super::super::executor::Executor;
use super::*;

const TERM: Duration = Duration::from_secs(30);
const ALMOST: Duration = Duration::from_millis(29_999);
const SENDER: Sender = Sender { machine: MachineId(2), process: 0 };

struct Stage {
    oracle: Oracle,
    backend: Backend,
    executor: Executor,
}

fn id(text: &str) -> WorkItemId {
    WorkItemId::new(text).unwrap()
}

fn task() -> TaskId {
    TaskId::new("task").unwrap()
}

fn label() -> Label {
    Label::new("work").unwrap()
}

impl Stage {
    /// With the items `low` and `high` of one task.
    fn new() -> Self {
        let executor = Executor::new(1, 3);
        let oracle = Oracle::new(Arc::clone(&executor.shared), TERM, false);
        let mut stage = Self { oracle, backend: Backend::memory(Env::system()), executor };
        for (item, priority) in [(id("low"), 0), (id("high"), 1)] {
            let (task, kind) = (task(), label());
            let enqueue = Enqueue { item, task, kind, priority, delay: Delay::ZERO, max_attempts: 2 };
            stage.says(enqueue, Outcome::Enqueued(Enqueued));
        }
        stage
    }

    fn answers<C: TypedCommand>(&mut self, command: C, answer: &Result<Committed, StoreError>) {
        let mut batch = Batch::durable();
        batch.add(command);
        self.oracle.arrived(SENDER, &batch, answer, &self.backend);
    }

    fn says<C: TypedCommand>(&mut self, command: C, outcome: Outcome) {
        self.answers(command, &Ok(Committed::Applied(Applied::new(vec![outcome], false))));
    }

    fn now(&self) -> StoreTime {
        StoreTime::from_millis(WALL_AT_START_MS).plus(self.executor.shared.now())
    }

    fn claims(&mut self, item: &str, fence: u64, attempt: u32) {
        let holder = HolderId::new("holder").unwrap();
        let claim = TransitionId::from_bytes([u8::try_from(fence).unwrap(); 16]);
        let expires_at = self.now().plus(TERM);
        let lease = LeaseRecord { holder: holder.clone(), acquired_at: self.now(), expires_at };
        let taken = WorkItem {
            id: id(item),
            task: task(),
            kind: label(),
            status: Status::InProgress,
            priority: 0,
            available_at: self.now(),
            fence: Fence(fence),
            attempt,
            max_attempts: 2,
            lease: Some(lease),
            transition: Some(claim),
            settled: None,
            detail: String::new(),
            created_at: WallTime::from_millis(0),
        };
        let term = Term::new(TERM).unwrap();
        let command = Claim { claim, holder, term, limit: 1, kinds: Vec::new(), task: None };
        self.says(command, Outcome::Claimed(Claimed { items: vec![taken] }));
    }

    fn releases(&mut self, item: &str, fence: u64) {
        let guard = Guard { item: id(item), fence: Fence(fence) };
        let command = SettleItem { guard, settle: Settle::Released, detail: String::new() };
        let settled = Settled { status: Status::Pending, available_at: self.now() };
        self.says(command, Outcome::Settled(settled));
    }

    fn sweeps(&mut self, item: &str, stale: u64, status: Status) {
        let sweep = TransitionId::from_bytes([0xff; 16]);
        let reclaimed =
            Reclaimed { item: id(item), task: task(), stale: Fence(stale), status, checkpoint: None };
        let swept = Swept { reclaimed: vec![reclaimed] };
        self.says(SweepExpired { sweep, limit: 9 }, Outcome::Swept(swept));
    }

    fn appends(&mut self, name: u8, sequence: u64, text: &'static str) {
        let command = AppendCheckpoint {
            checkpoint: CheckpointId::from_bytes([name; 16]),
            task: task(),
            kind: label(),
            work_item: None,
            expected_head: None,
            copy_of: None,
            payload: SealedPayload::seal(text, &Env::system()).unwrap(),
            evidence: Payload::empty(),
        };
        let appended = Appended { sequence: SequenceNumber(sequence), link: Digest::ZERO };
        self.says(command, Outcome::Appended(appended));
    }

    fn begins(&mut self, token: u8, attempt: u32) {
        let command = BeginOperation {
            key: key(),
            fingerprint: Digest::ZERO,
            token: OperationToken::from_bytes([token; 16]),
            task: None,
            lease: None,
            term: Term::new(TERM).unwrap(),
            abandonment: Abandonment::Doubt,
            fresh_for: None,
        };
        let begun = OperationBegun { expires_at: self.now().plus(TERM), attempt };
        self.says(command, Outcome::OperationBegun(begun));
    }

    fn finishes(&mut self, token: u8, output: &'static str) {
        let end = steadfast_store::OperationEnd::Succeeded(Payload::new(output).unwrap());
        let command = FinishOperation { key: key(), token: OperationToken::from_bytes([token; 16]), end };
        let finished = OperationFinished { status: OperationStatus::Succeeded };
        self.says(command, Outcome::OperationFinished(finished));
    }

    fn passes(&mut self, span: Duration) {
        let end = self.executor.shared.now() + span;
        self.executor.run_until(end).unwrap();
    }

    #[track_caller]
    fn broke(&self, promise: Promise) {
        let all = self.oracle.all_broken();
        assert!(all.iter().any(|broken| broken.promise == promise), "{promise:?} is not among {all:?}");
    }
}

fn key() -> OperationKey {
    OperationKey::new("tool-ledger:pay:1").unwrap()
}

#[test]
fn what_is_right_breaks_nothing() {
    let mut stage = Stage::new();
    stage.claims("high", 1, 1);
    stage.appends(1, 1, "planned:0:a");
    stage.begins(1, 1);
    stage.finishes(1, "paid");
    stage.finishes(1, "paid");
    stage.claims("low", 1, 1);
    stage.releases("low", 1);
    stage.claims("low", 2, 1);
    stage.passes(TERM / 2);
    stage.releases("low", 2);
    stage.passes(TERM / 2);
    stage.sweeps("high", 1, Status::Pending);
    stage.claims("high", 3, 2);
    assert!(stage.oracle.all_broken().is_empty(), "{:?}", stage.oracle.all_broken());
}

#[test]
fn a_claim_out_of_order_is_noticed() {
    let mut stage = Stage::new();
    stage.claims("low", 1, 1);
    stage.broke(Promise::ClaimOrder);
}

#[test]
fn a_second_holder_is_noticed() {
    let mut stage = Stage::new();
    stage.claims("high", 1, 1);
    stage.claims("high", 2, 2);
    stage.broke(Promise::OneHolder);
}

#[test]
fn a_fence_that_is_given_out_again_is_noticed() {
    let mut stage = Stage::new();
    stage.claims("high", 1, 1);
    stage.releases("high", 1);
    stage.claims("high", 1, 1);
    stage.broke(Promise::FenceGrows);
}

#[test]
fn attempts_that_are_miscounted_are_noticed() {
    let mut stage = Stage::new();
    stage.claims("high", 1, 2);
    stage.broke(Promise::Attempts);
    let mut stage = Stage::new();
    stage.claims("high", 1, 1);
    stage.passes(TERM);
    stage.sweeps("high", 1, Status::Failed);
    stage.broke(Promise::Attempts);
}

#[test]
fn a_sweep_before_the_term_is_noticed_to_the_millisecond() {
    let mut stage = Stage::new();
    stage.claims("high", 1, 1);
    stage.passes(ALMOST);
    stage.sweeps("high", 1, Status::Pending);
    stage.broke(Promise::NotEarly);
}

#[test]
fn an_answer_to_what_was_never_applied_is_noticed() {
    let mut stage = Stage::new();
    let command = SweepExpired { sweep: TransitionId::from_bytes([7; 16]), limit: 9 };
    stage.answers(command, &Ok(Committed::Applied(Applied::new(vec![Outcome::Superseded], true))));
    stage.broke(Promise::Replay);
}

#[test]
fn a_current_guard_that_is_refused_is_noticed() {
    let mut stage = Stage::new();
    stage.claims("high", 1, 1);
    let (item, fence) = (id("high"), Fence(1));
    let guard = Guard { item: item.clone(), fence };
    let reason = Reason::StaleFence { item, shown: fence, current: Fence(2) };
    let command = SettleItem { guard, settle: Settle::Released, detail: String::new() };
    stage.answers(command, &Ok(Committed::Rejected(Rejection { index: 0, reason })));
    stage.broke(Promise::CurrentGuard);
}

#[test]
fn a_gap_in_a_chain_and_a_step_told_twice_are_noticed() {
    let mut stage = Stage::new();
    stage.appends(1, 2, "planned:0:a");
    stage.broke(Promise::Dense);
    let mut stage = Stage::new();
    stage.appends(1, 1, "done:0:");
    stage.appends(2, 2, "done:0:");
    stage.broke(Promise::OneIdentity);
}

#[test]
fn a_second_owner_and_a_doubt_begun_again_are_noticed() {
    let mut stage = Stage::new();
    stage.begins(1, 1);
    stage.passes(ALMOST);
    stage.begins(2, 2);
    stage.broke(Promise::OneOwner);
    let mut stage = Stage::new();
    stage.begins(1, 1);
    stage.passes(TERM);
    stage.begins(2, 2);
    stage.broke(Promise::Doubt);
}

#[test]
fn an_outcome_that_changes_is_noticed() {
    let mut stage = Stage::new();
    stage.begins(1, 1);
    stage.finishes(1, "paid");
    stage.finishes(1, "paid twice");
    stage.broke(Promise::Outcome);
    stage.oracle.delivered(&key(), b"paid");
    stage.oracle.delivered(&key(), b"paid twice");
    stage.broke(Promise::SameBytes);
}

#[test]
fn rows_that_are_not_there_and_trouble_of_the_store_are_noticed() {
    let mut stage = Stage::new();
    stage.oracle.compare(&stage.backend);
    stage.broke(Promise::Rows);
    stage.answers(
        SweepExpired { sweep: TransitionId::from_bytes([7; 16]), limit: 9 },
        &Err(StoreError::Closed),
    );
    stage.broke(Promise::StoreSound);
}
